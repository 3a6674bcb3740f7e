"""Roads as data: what the renderer draws, what drivers follow, and what a SUMO network is turned into."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path as FilePath

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError
from mimic_contracts.motion import wrap_angle
from mimic_contracts.validation import check_array, check_choice, check_number, check_text

MARKINGS = ("none", "solid", "dashed")
DIRECTIONS = ("left", "straight", "right")
RULES = ("stop", "all_way_stop", "give_way")
LINE_STEP_M = 0.5
JOINT_M = 0.05  # two lanes whose ends are nearer share that point


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One lane: centre (N, 2) float64, m, in driving direction (for a closed lane the last point is not the first
    again); the markings on its own two edges; successors: ids of the lanes that it leads into.

    has_sidewalk: a kerb and a pavement belong to the lane (a town has them as areas of their own); arrows: DIRECTIONS
    painted on it; is_internal: it crosses a junction, whose area is its asphalt; yields_to: internal lanes of the same
    junction whose traffic has the right of way over it (signals at green leave that in force).
    """

    lane_id: str
    centre_m: NDArray[np.float64]
    width_m: float
    speed_limit_mps: float
    left_marking: str
    right_marking: str
    has_sidewalk: bool  # on the right
    successors: tuple[str, ...]
    arrows: tuple[str, ...] = ()
    is_internal: bool = False
    yields_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_text("lane.lane_id", self.lane_id)
        check_array("lane.centre_m", self.centre_m, shape=(None, 2), dtype=np.float64)
        check_number("lane.width_m", self.width_m, low=1.5, high=8.0)
        check_number("lane.speed_limit_mps", self.speed_limit_mps, low=1.0, high=60.0)
        check_choice("lane.left_marking", self.left_marking, MARKINGS)
        check_choice("lane.right_marking", self.right_marking, MARKINGS)
        for arrow in self.arrows:
            check_choice("lane.arrows", arrow, DIRECTIONS)
        if len(self.centre_m) < 3:
            raise ContractError(f"lane '{self.lane_id}': centre has {len(self.centre_m)} points, must have at least 3")


@dataclass(frozen=True, kw_only=True)
class Area:
    """A paved area: its outline (N, 2) float64, m, without a repeated end."""

    outline_m: NDArray[np.float64]

    def __post_init__(self) -> None:
        check_array("area.outline_m", self.outline_m, shape=(None, 2), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Path:
    """A way for people on foot: its middle (N, 2) float64, m, and its width."""

    centre_m: NDArray[np.float64]
    width_m: float

    def __post_init__(self) -> None:
        check_array("path.centre_m", self.centre_m, shape=(None, 2), dtype=np.float64)
        check_number("path.width_m", self.width_m, low=0.5, high=20.0)


@dataclass(frozen=True, kw_only=True)
class StopLine:
    """Where a lane waits: at its end, from the left to the right of it, (2,) float64 each, m; rule: one of RULES
    ("stop" at signals, too)."""

    lane_id: str
    rule: str
    left_m: NDArray[np.float64]
    right_m: NDArray[np.float64]

    def __post_init__(self) -> None:
        check_choice("stop_line.rule", self.rule, RULES)


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One signal head: position of its middle lamp (3,) float64, m; yaw_rad: where the lamps face; the lanes that it holds.

    signal_id: SUMO's tlLogic; link_indices: the characters of its state string that this head shows, which agree.
    arm_m: the head hangs from an arm, whose post stands so far to the right of it, seen by those who wait; 0: on the post.
    """

    signal_id: str
    position_m: NDArray[np.float64]
    yaw_rad: float
    lane_ids: tuple[str, ...]
    link_indices: tuple[int, ...]
    arm_m: float = 0.0

    def __post_init__(self) -> None:
        check_array("signal.position_m", self.position_m, shape=(3,), dtype=np.float64)

    @property
    def post_m(self) -> NDArray[np.float64]:
        """(2,) where its post stands."""
        return self.position_m[:2] + self.arm_m * np.array([-np.sin(self.yaw_rad), np.cos(self.yaw_rad)])


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A traffic sign: kind one of RULES; position of its foot (2,) float64, m; yaw_rad: where it faces."""

    kind: str
    position_m: NDArray[np.float64]
    yaw_rad: float

    def __post_init__(self) -> None:
        check_choice("sign.kind", self.kind, RULES)
        check_array("sign.position_m", self.position_m, shape=(2,), dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class RoadNetwork:
    """Lanes that know each other, and what a town has besides; lane ids are unique and every successor exists.

    junctions: asphalt without markings; corners: pavement where sidewalks meet; parking: strips
    between lane and kerb, in driving direction; sumo_file: where the network was read,
    so that SUMO can move others through it.
    """

    name: str
    lanes: tuple[Lane, ...]
    junctions: tuple[Area, ...] = ()
    sidewalks: tuple[Path, ...] = ()
    corners: tuple[Area, ...] = ()
    crossings: tuple[Path, ...] = ()
    parking: tuple[Path, ...] = ()
    stop_lines: tuple[StopLine, ...] = ()
    signals: tuple[Signal, ...] = ()
    signs: tuple[Sign, ...] = ()
    sumo_file: FilePath | None = None

    def __post_init__(self) -> None:
        if not self.lanes or len(self._by_id) != len(self.lanes):
            raise ContractError(f"network '{self.name}': lane ids are {self._some_ids()}, must be at least one and all different")
        for lane in self.lanes:
            unknown = set(lane.successors) - self._by_id.keys()
            if unknown:
                raise ContractError(f"lane '{lane.lane_id}': successors {sorted(unknown)} are not in network '{self.name}'")

    @cached_property
    def _by_id(self) -> dict[str, Lane]:
        return {lane.lane_id: lane for lane in self.lanes}

    def _some_ids(self) -> str:
        return ", ".join(lane.lane_id for lane in self.lanes[:20]) + (" …" if len(self.lanes) > 20 else "")

    def lane(self, lane_id: str) -> Lane:
        """The lane of this id; raises ContractError that lists the known ones."""
        if lane_id not in self._by_id:
            raise ContractError(f"lane: '{lane_id}' is not in network '{self.name}', which has {self._some_ids()}")
        return self._by_id[lane_id]

    def line(self, lane_ids: Sequence[str]) -> "Line":
        """The centre line along lanes that follow each other; closed when the last leads into the first.

        Raises ContractError where a lane does not lead into the next.
        """
        for here, after in pairwise(lane_ids):
            if after not in self.lane(here).successors:
                raise ContractError(f"route: lane '{here}' does not lead into '{after}'")
        points = np.concatenate([self.lane(lane_id).centre_m for lane_id in lane_ids])
        closed = lane_ids[0] in self.lane(lane_ids[-1]).successors
        following = np.roll(points, -1, axis=0)
        is_joint = np.hypot(*(following - points).T) < JOINT_M  # the end of one lane and the start of the next: once is enough
        is_joint[-1] &= closed
        return Line.through(points[~is_joint], closed=closed)


@dataclass(frozen=True, eq=False)
class Line:
    """A smooth line, sampled every LINE_STEP_M or a little less: arc length s_m, points x_m, y_m, yaw_rad (unwrapped),
    curvature_1pm and its derivative along the line, each (N,) float64; a closed line repeats its first point at the end."""

    s_m: NDArray[np.float64]
    x_m: NDArray[np.float64]
    y_m: NDArray[np.float64]
    yaw_rad: NDArray[np.float64]
    curvature_1pm: NDArray[np.float64]
    curvature_rate_1pm2: NDArray[np.float64]
    closed: bool

    @property
    def length_m(self) -> float:
        """Length of the line (of one lap when closed)."""
        return float(self.s_m[-1])

    @classmethod
    def through(cls, points_m: NDArray[np.float64], *, closed: bool) -> "Line":
        """The cubic (Catmull-Rom) line through points (N, 2), a few of which fall on every bend."""
        if closed:
            points_m = np.concatenate([points_m, points_m[:1]])
        chord = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points_m, axis=0).T))])
        count = int(np.ceil(chord[-1] / LINE_STEP_M)) + 1
        s = np.linspace(0.0, chord[-1], count)
        x, y = _cubic(points_m, np.interp(s, chord, np.arange(len(chord))), closed=closed).T
        step = s[1] - s[0]
        if closed:  # differences run across the seam
            dx, dy = _periodic_slope(x, step), _periodic_slope(y, step)
            yaw = np.unwrap(np.arctan2(dy, dx))
            turn = yaw[-1] - yaw[0]
            curvature = _periodic_slope(yaw, step, turn)
            rate = _periodic_slope(curvature, step)
        else:
            yaw = np.unwrap(np.arctan2(np.gradient(y, step), np.gradient(x, step)))
            curvature = np.gradient(yaw, step)
            rate = np.gradient(curvature, step)
        return cls(s_m=s, x_m=x, y_m=y, yaw_rad=yaw, curvature_1pm=curvature, curvature_rate_1pm2=rate, closed=closed)

    def within(self, s_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Arc lengths brought into the line: modulo the lap when closed, held at the ends otherwise."""
        return np.mod(s_m, self.length_m) if self.closed else np.clip(s_m, 0.0, self.length_m)

    def sample(self, values: NDArray[np.float64], s_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """(M,) linear interpolation of a column (N,) of this line at arc lengths (M,)."""
        return np.interp(self.within(np.asarray(s_m)), self.s_m, values)

    def poses(self, s_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """(M, 3) [x_m, y_m, yaw_rad] at arc lengths (M,); the yaw is wrapped."""
        yaw = wrap_angle(self.sample(self.yaw_rad, s_m))
        return np.stack([self.sample(self.x_m, s_m), self.sample(self.y_m, s_m), yaw], axis=1)

    def project(self, x_m: float, y_m: float) -> tuple[float, float]:
        """(arc length, signed distance, left positive) of the nearest place of the line to a point."""
        nearest = int(np.argmin((self.x_m - x_m) ** 2 + (self.y_m - y_m) ** 2))
        c, s = np.cos(self.yaw_rad[nearest]), np.sin(self.yaw_rad[nearest])
        dx, dy = x_m - self.x_m[nearest], y_m - self.y_m[nearest]
        along, left = c * dx + s * dy, -s * dx + c * dy
        # On a curve the foot point is found from the centre of the circle, not along the tangent: exact for an arc.
        curvature = self.curvature_1pm[nearest]
        if abs(curvature) > 1e-9:
            angle = np.arctan2(along * curvature, 1.0 - left * curvature)
            along, left = angle / curvature, (1.0 - np.hypot(along * curvature, 1.0 - left * curvature)) / curvature
        return float(self.within(self.s_m[nearest] + along)), float(left)

    def shifted(self, left_m: NDArray[np.float64]) -> "Line":
        """The line moved sideways by (N,) metres, left positive."""
        points = np.stack([self.x_m - left_m * np.sin(self.yaw_rad), self.y_m + left_m * np.cos(self.yaw_rad)], axis=1)
        return Line.through(points[:-1] if self.closed else points, closed=self.closed)

    def smooth(self, values: NDArray[np.float64], *, width_m: float) -> NDArray[np.float64]:
        """(N,) Gaussian mean of a column (N,) along the line, with standard deviation width_m."""
        mean = smooth_periodic if self.closed else smooth_open
        return mean(values, step_m=float(self.s_m[1]), width_m=width_m)

    def smoothed(self, *, width_m: float) -> "Line":
        """The line through the mean of its points: corners become bends, bends become a little wider; ends stay."""
        points = np.stack([self.smooth(self.x_m, width_m=width_m), self.smooth(self.y_m, width_m=width_m)], axis=1)
        return Line.through(points[:-1] if self.closed else points, closed=self.closed)

    def slope(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) derivative along the line of a column (N,) (one that is the same after a lap when closed)."""
        return _periodic_slope(values, float(self.s_m[1])) if self.closed else np.gradient(values, float(self.s_m[1]))


def smooth_periodic(values: NDArray[np.float64], *, step_m: float, width_m: float) -> NDArray[np.float64]:
    """(N,) Gaussian mean with standard deviation width_m along a closed line whose last value repeats the first."""
    reach = int(np.ceil(3.0 * width_m / step_m))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step_m / width_m) ** 2)
    lap = values[:-1]
    smooth = np.convolve(np.concatenate([lap[-reach:], lap, lap[:reach]]), kernel / kernel.sum(), mode="valid")
    return np.append(smooth, smooth[0])


def smooth_open(values: NDArray[np.float64], *, step_m: float, width_m: float) -> NDArray[np.float64]:
    """(N,) Gaussian mean along an open line, which goes on beyond its ends as its mirror image: the end values stay."""
    reach = min(int(np.ceil(3.0 * width_m / step_m)), len(values) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step_m / width_m) ** 2)
    before, after = 2.0 * values[0] - values[reach:0:-1], 2.0 * values[-1] - values[-2 : -reach - 2 : -1]
    return np.convolve(np.concatenate([before, values, after]), kernel / kernel.sum(), mode="valid")


def _periodic_slope(values: NDArray[np.float64], step_m: float, lap_change: float = 0.0) -> NDArray[np.float64]:
    """Central differences of a column whose last value is the first one plus lap_change."""
    before = np.concatenate([[values[-2] - lap_change], values[:-1]])
    after = np.concatenate([values[1:], [values[1] + lap_change]])
    return (after - before) / (2.0 * step_m)


def _cubic(points_m: NDArray[np.float64], index: NDArray[np.float64], *, closed: bool) -> NDArray[np.float64]:
    """(M, 2) points between the points (N, 2) at fractional indices (M,), without kinks (linear pieces would wave in curvature)."""
    before, after = (points_m[-2], points_m[1]) if closed else (2 * points_m[0] - points_m[1], 2 * points_m[-1] - points_m[-2])
    padded = np.concatenate([before[None], points_m, after[None]])
    i = np.minimum(index.astype(np.int64), len(points_m) - 2)
    f = (index - i)[:, None]
    a, b, c, d = padded[i], padded[i + 1], padded[i + 2], padded[i + 3]
    return 0.5 * (2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f**2 + (3 * b - a - 3 * c + d) * f**3)
