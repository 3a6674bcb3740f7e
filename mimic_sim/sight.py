"""What can be seen from the car: road users and signals in the rig's view, not hidden, large enough, for long enough.

Without rendering: rays in the ground plane, and heights along them. A road user is visible when in some camera it is at
least MIN_ACTOR_PX high, inside the picture, and at least MIN_SHARE of its width has a free line of sight to as much of it
above whatever stands nearer (walls, vehicles). A signal is visible when its lamps are at least MIN_LAMP_PX large, face the
car and are not hidden. A road user counts as seen after CONFIRM_S of being visible, and until it has not been for as long.
Fog, and the reach of the head lights for who has no lights by night, end the view.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.motion import wrap_angle
from mimic_contracts.rig import CameraSpec, load_rig
from mimic_sim.eye import Eye, corners_m, entries_m
from mimic_sim.looks import Look
from mimic_sim.moment import Moment
from mimic_sim.right_of_way import Link, waiting_lines
from mimic_sim.road_network import Signal
from mimic_sim.signal_meshes import LAMP_RADIUS_M

if TYPE_CHECKING:
    from mimic_sim.world import World

MIN_ACTOR_PX, MIN_LAMP_PX, MIN_SHARE = 4.0, 2.0, 0.3
CONFIRM_S = 0.3
RAYS = 7
FOG_DEPTHS = 3.0  # optical depths through which something is still made out
REACH_M, HEAD_LIGHTS_M = 150.0, 40.0
LAMPS_FACE_RAD = np.radians(65.0)
BEFORE_WALL_M = 1.0  # a signal may stand so close to a wall
HIDING_KINDS = ("car", "van", "truck", "bus")
UNLIT_KINDS = ("bicycle", "pedestrian")
# What SUMO's characters mean to a driver.
STATES = {"r": "red", "s": "red", "u": "red_yellow", "y": "yellow", "g": "green", "o": "off", "O": "off"}

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """The part of a moment that a driver knows of: moment with the road users in view only; lights: the state (one of
    LIGHT_STATES) of each visible signal that holds the way, and the lane at whose end it holds it; eyes: the cameras then."""

    moment: Moment
    lights: tuple[tuple[Signal, str, str], ...] = ()  # signal, lane_id, state
    eyes: tuple[Eye, ...] = ()

    def light_states(self) -> dict[str, str]:
        """Lane id → state; the heads of one lane agree."""
        return {lane_id: state for _, lane_id, state in self.lights}


@dataclass
class Sight:
    """What one drive's rig has seen so far. walls: (N, 5) float64 boxes [x_m, y_m, yaw_rad, length_m, width_m]."""

    cameras: Sequence[CameraSpec]
    look_of_day: Look
    walls: Array
    heads: Sequence[tuple[Signal, str, Link]]  # that hold the way: signal, lane, link
    _since_s: dict[str, float] = field(default_factory=dict)
    _last_s: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, world: "World") -> "Sight":
        """The eyes of the world's vehicle on the world's way."""
        lines = [line for line in waiting_lines(world.network, world.way) if line.link is not None]
        heads = [
            (signal, line.lane_id, line.link)
            for line in lines
            for signal in world.network.signals
            if line.link is not None and signal.signal_id == line.link.signal_id and line.link.index in signal.link_indices
        ]
        return cls(load_rig(world.vehicle.rig).cameras, world.look, world.static_boxes, heads)

    def look(self, moment: Moment) -> Seen:
        """Look once; to be called at every tick, in order."""
        time_s = moment.stamp_ns / 1e9
        eyes, bodies = self._open(moment)
        is_visible = np.any([_visible_shares(eye, bodies) >= MIN_SHARE for eye in eyes], axis=0)
        for actor_id in (bodies.ids[i] for i in np.flatnonzero(is_visible).tolist()):
            self._since_s.setdefault(actor_id, time_s)
            self._last_s[actor_id] = time_s
        for actor_id in [a for a, last_s in self._last_s.items() if time_s - last_s >= CONFIRM_S - 1e-6]:
            del self._since_s[actor_id], self._last_s[actor_id]
        seen = tuple(a for a in moment.actors if time_s - self._since_s.get(a.actor_id, np.inf) >= CONFIRM_S - 1e-6)
        return Seen(replace(moment, actors=seen), tuple(self._lights(moment, eyes, bodies)), eyes)

    def lights(self, moment: Moment) -> list[tuple[Signal, str, str]]:
        """The visible heads that hold the way, as of Seen."""
        return list(self._lights(moment, *self._open(moment)))

    def _open(self, moment: Moment) -> tuple[tuple[Eye, ...], "_Bodies"]:
        """The eyes at a moment, and who is within their reach."""
        reach_m = min(REACH_M, FOG_DEPTHS / self.look_of_day.fog_1pm)
        eyes = tuple(Eye.of(camera, moment.ego.pose, walls=self.walls, reach_m=reach_m) for camera in self.cameras)
        return eyes, _Bodies.of(moment, reach_m=reach_m, is_dark=self.look_of_day.beam > 0.0)

    def _lights(self, moment: Moment, eyes: Sequence[Eye], bodies: "_Bodies") -> Iterator[tuple[Signal, str, str]]:
        ego = moment.ego
        near = [head for head in self.heads if math.dist(head[0].position_m[:2], (ego.x_m, ego.y_m)) < REACH_M]
        if not near:
            return
        lamps = np.array([(*signal.position_m, signal.yaw_rad) for signal, _, _ in near])
        is_seen = np.any([_sees_lamps(eye, lamps, bodies) for eye in eyes], axis=0)
        for signal, lane_id, link in (near[i] for i in np.flatnonzero(is_seen).tolist()):
            shown = link.shown(moment.signals)
            if shown:
                yield signal, lane_id, STATES.get(shown, STATES.get(shown.lower(), "unknown"))


@dataclass(frozen=True, eq=False)
class _Bodies:
    """Road users that the air and the light let be seen: ids, boxes (N, 5) and their corners (N, 4, 2), heights (N,), and
    whether they hide others (N,)."""

    ids: Sequence[str]
    boxes: Array
    corners_m: Array
    heights_m: Array
    hides: NDArray[np.bool_]

    @classmethod
    def of(cls, moment: Moment, *, reach_m: float, is_dark: bool) -> "_Bodies":
        rows = np.array([(a.x_m, a.y_m, a.yaw_rad, a.length_m, a.width_m, a.height_m) for a in moment.actors]).reshape(-1, 6)
        limits_m = np.array([HEAD_LIGHTS_M if is_dark and a.kind in UNLIT_KINDS else reach_m for a in moment.actors])
        near = np.flatnonzero(np.hypot(rows[:, 0] - moment.ego.x_m, rows[:, 1] - moment.ego.y_m) < limits_m)
        actors = [moment.actors[i] for i in near]
        hides = np.array([a.kind in HIDING_KINDS for a in actors], bool)
        return cls([a.actor_id for a in actors], rows[near, :5], corners_m(rows[near]), rows[near, 5], hides)


def _visible_shares(eye: Eye, bodies: _Bodies) -> Array:
    """(N,) of how much of each body's width something is to be seen; zero when it is too small or outside the picture."""
    shares = np.zeros(len(bodies.boxes))
    middle, distance = eye.look_at(bodies.boxes[:, :2])
    spread = wrap_angle(eye.look_at(bodies.corners_m)[0] - middle[:, None])
    low, high = middle + spread.min(axis=1), middle + spread.max(axis=1)
    touches = distance < np.hypot(bodies.boxes[:, 3], bodies.boxes[:, 4]) / 2.0  # it may be all around the camera
    within = np.flatnonzero(touches | ((high > -eye.half_width_rad) & (low < eye.half_width_rad)))  # may be seen, or hide others
    distance = np.maximum(distance[within], 0.1)
    boxes, heights, hides = bodies.boxes[within], bodies.heights_m[within], bodies.hides[within]
    who = np.flatnonzero((eye.focal_px * heights / distance >= MIN_ACTOR_PX) & (np.abs(middle[within]) < np.pi / 2.0))
    if not len(who):
        return shares
    low, high = np.maximum(low[within[who]], -eye.half_width_rad), np.minimum(high[within[who]], eye.half_width_rad)
    bearings = (low[:, None] + (high - low)[:, None] * (np.arange(RAYS) + 0.5) / RAYS).ravel()
    angles = eye.yaw_rad + bearings
    own = np.repeat(who, RAYS)
    to_all = entries_m(eye.place_m, np.stack([np.cos(angles), np.sin(angles)], axis=1), boxes)
    to_own = to_all[np.arange(len(own)), own]
    to_own = np.where(np.isfinite(to_own), to_own, distance[own])
    # Over a vehicle that stands nearer only what is higher than the line over its roof is seen.
    nearer = (to_all < to_own[:, None] - 0.05) & hides
    rise = (heights - eye.place_m[2]) / np.maximum(to_all, 0.1)
    hidden_below_m = np.where(nearer, eye.place_m[2] + rise * to_own[:, None], 0.0).max(axis=1)
    seen_px = eye.focal_px * (heights[own] - np.maximum(hidden_below_m, 0.0)) / np.maximum(to_own, 0.1)
    is_seen = (to_own <= eye.free_m(bearings)) & (seen_px >= MIN_ACTOR_PX)
    shares[within[who]] = is_seen.reshape(-1, RAYS).mean(axis=1)
    return shares


def _sees_lamps(eye: Eye, lamps: Array, bodies: _Bodies) -> NDArray[np.bool_]:
    """(H,) whether signals (H, 4) [x_m, y_m, z_m, yaw_rad] are in the picture, large enough, turned here and not hidden."""
    bearings, away_m = eye.look_at(lamps[:, :2])
    rise_m = lamps[:, 2] - eye.place_m[2]
    is_in_picture = (np.abs(bearings) < eye.half_width_rad) & (np.abs(np.arctan2(rise_m, away_m) - eye.pitch_rad) < eye.half_height_rad)
    is_large = eye.focal_px * 2.0 * LAMP_RADIUS_M >= MIN_LAMP_PX * away_m
    faces = np.abs(wrap_angle(bearings + eye.yaw_rad + np.pi - lamps[:, 3])) < LAMPS_FACE_RAD
    is_seen: NDArray[np.bool_] = is_in_picture & is_large & faces
    if is_seen.any():
        is_seen &= away_m < eye.reach_m
        is_seen &= away_m - BEFORE_WALL_M <= eye.free_m(bearings)
        angles = eye.yaw_rad + bearings
        entry = entries_m(eye.place_m, np.stack([np.cos(angles), np.sin(angles)], axis=1), bodies.boxes)
        is_nearer = (entry < away_m[:, None]) & bodies.hides
        line_m = eye.place_m[2] + (rise_m / away_m)[:, None] * np.where(is_nearer, entry, 0.0)
        is_seen &= ~(is_nearer & (line_m < bodies.heights_m)).any(axis=1)
    return is_seen
