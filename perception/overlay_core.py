"""The overlay without ROS: the picture of the rig's first camera with the plan on its road, and in words what drives and what limits it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.plan import Plan
from mimic_contracts.rig import Rig
from mimic_contracts.validation import check_stamp_ns
from perception.plan_drawing import WHITE_RGB, Colour, Picture, draw_line, draw_plan, write_lines

KEPT_NS = 500_000_000  # a plan that is older than this, by the newest picture, is no plan for it any more
FAINTEST = 0.2  # opacity of an alternative, however improbable
ALTERNATIVE_RGB: Colour = (64, 196, 255)
WARN_RGB: Colour = (255, 170, 40)
ALARM_RGB: Colour = (255, 70, 60)
SHOWN_AHEAD_S = 2.0  # whose planned speed is told
KMH_PER_MPS = 3.6


@dataclass(frozen=True, kw_only=True)
class DrivingStatus:
    """What the vehicle interface says of itself; limits: those that bite, as its diagnostics tell them."""

    mode: str = "no vehicle interface"
    driven_by: str = ""
    limits: str = ""
    reason: str = ""

    def lines(self, *, wants_driver: bool) -> list[tuple[str, Colour]]:
        """Words for people, from the general to the particular, each line in its colour."""
        lines = [(f"{self.mode}, plans by {self.driven_by}" if self.driven_by else self.mode, WHITE_RGB)]
        if self.limits:
            lines.append((f"limited by {self.limits}", WARN_RGB))
        if wants_driver:
            lines.append((f"TAKE OVER: {self.reason}", ALARM_RGB))
        return lines


class OverlayCore:
    """Note what arrives, then draw, as often as is wanted. Each picture shows the plan that was made from it."""

    def __init__(self, rig: Rig, *, width_px: int) -> None:
        first = rig.cameras[0]
        self._rig = rig
        self._camera = replace(first, height_px=round(width_px * first.height_px / first.width_px), width_px=width_px)
        self._pictures: dict[int, Picture] = {}  # by stamp, those that a plan may still come for
        self._plan: Plan | None = None
        self._alternatives: Sequence[tuple[float, NDArray[np.float64]]] = ()
        self._alternatives_ns = self._drawn_ns = -1
        self.speed_mps = math.nan
        self.status = DrivingStatus()
        self.wants_driver = False

    def note_frame(self, packed: Picture, *, stamp_ns: int) -> None:
        """The rig's packed picture (H, W, 3) uint8 RGB, which is kept as it is; raises ContractError when it is not the rig's, or of
        no time that a drawing of it could have."""
        check_stamp_ns("frame.stamp_ns", stamp_ns)
        picture = self._rig.unpack(packed)[self._camera.name]
        if self._pictures and stamp_ns <= max(self._pictures):
            self._pictures.clear()  # the clock was set back: another drive
        self._pictures[stamp_ns] = picture
        for old_ns in [key for key in self._pictures if stamp_ns - key > KEPT_NS]:
            del self._pictures[old_ns]

    def note_plan(self, plan: Plan) -> None:
        """What is planned; a plan of anything but a car is not drawn."""
        self._plan = plan if plan.spec is CAR else None

    def note_alternatives(self, alternatives: Sequence[tuple[float, NDArray[np.float64]]], *, stamp_ns: int) -> None:
        """Probability and points (N, 2) in the vehicle frame of each alternative of the plan of this stamp."""
        self._alternatives, self._alternatives_ns = alternatives, stamp_ns

    def draw(self) -> tuple[Picture, int] | None:
        """The newest picture that has a plan, (H, W, 3) uint8 RGB, and its stamp; without any plan the newest; None when it is drawn already."""
        plan = self._plan if self._plan is not None and self._plan.stamp_ns in self._pictures else None
        stamp_ns = plan.stamp_ns if plan is not None else max(self._pictures, default=self._drawn_ns)
        if stamp_ns == self._drawn_ns:
            return None
        self._drawn_ns = stamp_ns
        size = (self._camera.width_px, self._camera.height_px)
        canvas = np.asarray(cv2.resize(self._pictures[stamp_ns], size, interpolation=cv2.INTER_CUBIC), np.uint8)
        if plan is not None:
            draw_plan(canvas, plan.values, self._camera)
            if self._alternatives_ns == stamp_ns:
                width_px = max(round(size[0] / 300), 1)
                for probability, points_m in sorted(self._alternatives, key=lambda one: one[0]):
                    draw_line(canvas, points_m, self._camera, colour=ALTERNATIVE_RGB, opacity=max(FAINTEST, min(probability, 1.0)), width_px=width_px)
        write_lines(canvas, [(self._speeds(plan), WHITE_RGB), *self.status.lines(wants_driver=self.wants_driver)])
        return canvas, stamp_ns

    def _speeds(self, plan: Plan | None) -> str:
        now = "speed unknown" if math.isnan(self.speed_mps) else f"{self.speed_mps * KMH_PER_MPS:.0f} km/h"
        planned = "no plan" if plan is None else f"planned {plan.at(SHOWN_AHEAD_S)[CAR.index('speed_mps')] * KMH_PER_MPS:.0f} in {SHOWN_AHEAD_S:.0f} s"
        return f"{now}, {planned}"
