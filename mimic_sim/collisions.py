"""Contacts between the ego's box and the other road users' boxes, and whose fault each is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.motion import to_frame
from mimic_contracts.vehicle import VehicleSpec
from mimic_sim.actors import Actor

STANDING_MPS = 0.1
APART_S = 1.0  # boxes that part for less than this are still in the same contact


@dataclass(frozen=True, kw_only=True)
class Contact:
    """The first tick of a contact: with whom, and whether the ego is to blame."""

    actor: Actor
    at_fault: bool


class ContactWatch:
    """Looks for contacts tick by tick; one contact with one actor counts once (METRICS, driving score)."""

    def __init__(self, ego: VehicleSpec) -> None:
        self.ego = ego
        self._last_touch_s: dict[str, float] = {}

    def look(self, time_s: float, ego_pose: NDArray[np.float64], actors: Sequence[Actor], *, ego_speed_mps: float, in_lane: bool) -> tuple[Contact, ...]:
        """The contacts that begin now. ego_pose: (3,) float64 [x_m, y_m, yaw_rad] of the rear axle; in_lane: whether
        the ego's whole box is inside its lane, for the question of fault."""
        box = ego_box(ego_pose, self.ego)
        begun = []
        for index in np.flatnonzero(touching(box, actor_boxes(actors))).tolist():
            actor = actors[index]
            if time_s - self._last_touch_s.get(actor.actor_id, -np.inf) > APART_S:
                begun.append(Contact(actor=actor, at_fault=is_at_fault(box, actor, ego_speed_mps=ego_speed_mps, in_lane=in_lane)))
            self._last_touch_s[actor.actor_id] = time_s
        return tuple(begun)


def is_at_fault(ego: NDArray[np.float64], actor: Actor, *, ego_speed_mps: float, in_lane: bool) -> bool:
    """Whether the ego is to blame for touching this actor: always, but when it stands, and when it moves forward inside
    its lane and the other's middle is behind its rear bumper (it was rear-ended). ego: box (5,) as ego_box gives it.

    Simple on purpose: whoever drives into our side while we move is blamed on us, as nobody here runs red lights.
    """
    if abs(ego_speed_mps) < STANDING_MPS:
        return False
    middle = to_frame(np.array([[actor.x_m, actor.y_m, actor.yaw_rad]]), ego[:3])[0]
    is_behind = middle[0] < -ego[3] / 2.0
    return not (is_behind and in_lane and ego_speed_mps > 0.0)


def touching(one: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) whether a box (5,) and each of the boxes (N, 5), float64 [x_m, y_m, yaw_rad, length_m, width_m] about their
    middles, have a point in common.

    Separating axes: two rectangles are apart exactly when their shadows on an axis of one of them are.
    """
    turn = others[:, 2] - one[2]
    c, s = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    dx, dy = others[:, 0] - one[0], others[:, 1] - one[1]
    half_length, half_width = one[3] / 2.0, one[4] / 2.0
    half_lengths, half_widths = others[:, 3] / 2.0, others[:, 4] / 2.0

    def along(yaw: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Distances between the middles along the two axes of a box that points to yaw."""
        return np.abs(dx * np.cos(yaw) + dy * np.sin(yaw)), np.abs(dy * np.cos(yaw) - dx * np.sin(yaw))

    ahead, aside = along(one[2])
    ahead_of_other, aside_of_other = along(others[:, 2])
    return (
        (ahead <= half_length + half_lengths * c + half_widths * s)
        & (aside <= half_width + half_lengths * s + half_widths * c)
        & (ahead_of_other <= half_lengths + half_length * c + half_width * s)
        & (aside_of_other <= half_widths + half_length * s + half_width * c)
    )


def ego_box(pose: NDArray[np.float64], ego: VehicleSpec) -> NDArray[np.float64]:
    """(5,) box of the ego whose rear axle is at pose, (3,) float64 [x_m, y_m, yaw_rad]."""
    x, y, yaw = pose
    middle_m = ego.length_m / 2.0 - ego.rear_overhang_m
    return np.array([x + middle_m * np.cos(yaw), y + middle_m * np.sin(yaw), yaw, ego.length_m, ego.width_m])


def actor_boxes(actors: Sequence[Actor]) -> NDArray[np.float64]:
    """(N, 5) float64 boxes of actors, in their order."""
    return np.array([(a.x_m, a.y_m, a.yaw_rad, a.length_m, a.width_m) for a in actors]).reshape(-1, 5)
