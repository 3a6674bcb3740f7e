"""What can be seen from the car: road users and signals in the rig's view, not hidden, large enough, for long enough.

Without rendering: rays in the ground plane, and heights along them. A road user is visible when in some camera it is at
least MIN_ACTOR_PX high, inside the picture, and at least MIN_SHARE of its width has a free line of sight to as much of it
above whatever stands nearer (walls, vehicles). A signal is visible when its lamps are at least MIN_LAMP_PX large, face the
car and are not hidden. A road user counts as seen after CONFIRM_S of being visible, and until it has not been for as long.
Fog, and the reach of the head lights for who has no lights by night, end the view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.motion import wrap_angle
from mimic_contracts.rig import CameraSpec, load_rig
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
HIDING_KINDS = ("car", "van", "truck", "bus")
UNLIT_KINDS = ("bicycle", "pedestrian")
# What SUMO's characters mean to a driver.
STATES = {"r": "red", "s": "red", "u": "red_yellow", "y": "yellow", "g": "green", "o": "off", "O": "off"}

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """The part of a moment that a driver knows of: moment with the road users in view only; lights: the state (one of
    LIGHT_STATES) of each visible signal that holds the way, and the lane at whose end it holds it."""

    moment: Moment
    lights: tuple[tuple[Signal, str, str], ...] = ()  # signal, lane_id, state

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
        visible = self._visible(moment)
        for actor_id in visible:
            self._since_s.setdefault(actor_id, time_s)
            self._last_s[actor_id] = time_s
        for actor_id in [a for a, last_s in self._last_s.items() if time_s - last_s >= CONFIRM_S - 1e-6]:
            del self._since_s[actor_id], self._last_s[actor_id]
        seen = tuple(a for a in moment.actors if time_s - self._since_s.get(a.actor_id, np.inf) >= CONFIRM_S - 1e-6)
        return Seen(replace(moment, actors=seen), tuple(self.lights(moment)))

    def _visible(self, moment: Moment) -> set[str]:
        """Ids of who is visible at this moment from any camera."""
        reach_m = min(REACH_M, FOG_DEPTHS / self.look_of_day.fog_1pm)
        is_dark = self.look_of_day.beam > 0.0
        near = [
            a
            for a in moment.actors
            if np.hypot(a.x_m - moment.ego.x_m, a.y_m - moment.ego.y_m) < (HEAD_LIGHTS_M if is_dark and a.kind in UNLIT_KINDS else reach_m)
        ]
        if not near:
            return set()
        boxes = np.array([(a.x_m, a.y_m, a.yaw_rad, a.length_m, a.width_m) for a in near])
        heights = np.array([a.height_m for a in near])
        hides = np.array([a.kind in HIDING_KINDS for a in near])
        walls = self._near_walls(moment)
        found: set[str] = set()
        for camera in self.cameras:
            share = _visible_shares(_Eye.of(camera, moment), boxes, heights, hides, walls)
            found.update(near[i].actor_id for i in np.flatnonzero(share >= MIN_SHARE))
        return found

    def _near_walls(self, moment: Moment) -> Array:
        away = np.hypot(self.walls[:, 0] - moment.ego.x_m, self.walls[:, 1] - moment.ego.y_m)
        return self.walls[away < REACH_M]

    def lights(self, moment: Moment) -> list[tuple[Signal, str, str]]:
        """The visible heads that hold the way, as of Seen."""
        found = []
        blockers = [a for a in moment.actors if a.kind in ("van", "truck", "bus")]
        boxes = np.array([(a.x_m, a.y_m, a.yaw_rad, a.length_m, a.width_m) for a in blockers]).reshape(-1, 5)
        heights = np.array([a.height_m for a in blockers])
        for signal, lane_id, link in self.heads:
            eyes = [_Eye.of(camera, moment) for camera in self.cameras]
            shown = link.shown(moment.signals)
            if shown and any(eye.sees_lamps(signal, boxes, heights, self._near_walls(moment)) for eye in eyes):
                found.append((signal, lane_id, STATES.get(shown, STATES.get(shown.lower(), "unknown"))))
        return found


@dataclass(frozen=True, eq=False)
class _Eye:
    """A camera at a moment: place (3,), direction, half of its fields of view, focal length in pixels."""

    place_m: Array
    yaw_rad: float
    pitch_rad: float
    half_width_rad: float
    half_height_rad: float
    focal_px: float

    @classmethod
    def of(cls, camera: CameraSpec, moment: Moment) -> "_Eye":
        ego, mounting = moment.ego, camera.mounting
        c, s = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
        place = np.array([ego.x_m + c * mounting.x_m - s * mounting.y_m, ego.y_m + s * mounting.x_m + c * mounting.y_m, mounting.z_m])
        focal_px = float(camera.intrinsics()[0, 0])
        half_height = float(np.arctan(camera.height_px / 2.0 / focal_px))
        return cls(place, ego.yaw_rad + mounting.yaw_rad, -mounting.pitch_rad, camera.horizontal_fov_rad / 2.0, half_height, focal_px)

    def bearings(self, points_m: Array) -> Array:
        """(...,) angles of points (..., 2) from the optical axis, left positive."""
        return wrap_angle(np.arctan2(points_m[..., 1] - self.place_m[1], points_m[..., 0] - self.place_m[0]) - self.yaw_rad)

    def sees_lamps(self, signal: Signal, boxes: Array, heights: Array, walls: Array) -> bool:
        """Whether the lamps of a signal are in the picture, large enough, turned here and not hidden."""
        x, y, z = signal.position_m - self.place_m
        away_m = float(np.hypot(x, y))
        bearing = float(self.bearings(signal.position_m[:2]))
        is_in_picture = abs(bearing) < self.half_width_rad and abs(np.arctan2(z, away_m) - self.pitch_rad) < self.half_height_rad
        faces = abs(float(wrap_angle(np.arctan2(-y, -x) - signal.yaw_rad))) < LAMPS_FACE_RAD
        if not is_in_picture or not faces or self.focal_px * 2.0 * LAMP_RADIUS_M / away_m < MIN_LAMP_PX:
            return False
        ray = np.array([[x, y]]) / away_m
        if (_entries(self.place_m[:2], ray, walls) < away_m - 1.0).any():
            return False
        entry = _entries(self.place_m[:2], ray, boxes)[0]
        line_m = self.place_m[2] + z * entry / away_m
        return not ((entry < away_m) & (line_m < heights)).any()


def _visible_shares(eye: _Eye, boxes: Array, heights: Array, hides: NDArray[np.bool_], walls: Array) -> Array:
    """(N,) of how much of each box's width something is to be seen; zero when it is too small or outside the picture."""
    shares = np.zeros(len(boxes))
    bearings = eye.bearings(_corners(boxes))
    middle = eye.bearings(boxes[:, :2])
    spread = wrap_angle(bearings - middle[:, None])
    low, high = middle + spread.min(axis=1), middle + spread.max(axis=1)
    distance = np.maximum(np.hypot(boxes[:, 0] - eye.place_m[0], boxes[:, 1] - eye.place_m[1]), 0.1)
    is_candidate = (
        (high > -eye.half_width_rad) & (low < eye.half_width_rad) & (eye.focal_px * heights / distance >= MIN_ACTOR_PX) & (np.abs(middle) < np.pi / 2.0)
    )
    who = np.flatnonzero(is_candidate)
    if not len(who):
        return shares
    low, high = np.maximum(low[who], -eye.half_width_rad), np.minimum(high[who], eye.half_width_rad)
    steps = (np.arange(RAYS) + 0.5) / RAYS
    angles = eye.yaw_rad + low[:, None] + (high - low)[:, None] * steps
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(-1, 2)
    own = np.repeat(who, RAYS)
    to_all = _entries(eye.place_m[:2], rays, boxes)
    to_own = to_all[np.arange(len(rays)), own]
    to_own = np.where(np.isfinite(to_own), to_own, distance[own])
    is_free = ~(_entries(eye.place_m[:2], rays, walls) < to_own[:, None]).any(axis=1)
    # Over a vehicle that stands nearer only what is higher than the line over its roof is seen.
    nearer = (to_all < to_own[:, None] - 0.05) & hides[None]
    rise = (heights[None] - eye.place_m[2]) / np.maximum(to_all, 0.1)
    hidden_below_m = np.where(nearer, eye.place_m[2] + rise * to_own[:, None], 0.0).max(axis=1)
    seen_px = eye.focal_px * (heights[own] - np.maximum(hidden_below_m, 0.0)) / np.maximum(to_own, 0.1)
    shares[who] = (is_free & (seen_px >= MIN_ACTOR_PX)).reshape(-1, RAYS).mean(axis=1)
    return shares


def _corners(boxes: Array) -> Array:
    """(N, 4, 2) corners of boxes (N, 5)."""
    c, s = np.cos(boxes[:, 2]), np.sin(boxes[:, 2])
    ahead, left = np.stack([c, s], axis=-1) * boxes[:, 3:4] / 2.0, np.stack([-s, c], axis=-1) * boxes[:, 4:5] / 2.0
    return boxes[:, None, :2] + np.stack([ahead + left, ahead - left, -ahead - left, left - ahead], axis=1)


def _entries(place_m: Array, rays: Array, boxes: Array) -> Array:
    """(R, N) distance at which each ray, (R, 2) unit vectors from a place (2,), enters each box; infinite where it misses."""
    c, s = np.cos(boxes[:, 2]), np.sin(boxes[:, 2])
    dx, dy = place_m[0] - boxes[:, 0], place_m[1] - boxes[:, 1]
    start = c * dx + s * dy, c * dy - s * dx
    step = rays[:, :1] * c + rays[:, 1:] * s, rays[:, 1:] * c - rays[:, :1] * s
    entry, leave = np.zeros((len(rays), len(boxes))), np.full((len(rays), len(boxes)), np.inf)
    for at, by, half in zip(start, step, (boxes[:, 3] / 2.0, boxes[:, 4] / 2.0), strict=True):
        slope = np.where(np.abs(by) < 1e-9, 1e-9, by)
        one, two = (-half - at) / slope, (half - at) / slope
        entry, leave = np.maximum(entry, np.minimum(one, two)), np.minimum(leave, np.maximum(one, two))
    return np.where(entry <= leave, entry, np.inf)
