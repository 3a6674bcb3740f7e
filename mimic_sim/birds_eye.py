"""A drive from above: lanes, who is around, the car and its plan, what the signals show. The car drives upwards."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.motion import to_frame
from mimic_sim.collisions import ego_box
from mimic_sim.moment import Moment
from mimic_sim.right_of_way import link_of
from mimic_sim.road_network import Line, Path
from mimic_sim.scene_meshes import ZEBRA_M
from mimic_sim.world import World

AHEAD_M, BEHIND_M = 55.0, 15.0  # what lies above and below the car in the picture
SHIFT = 4  # OpenCV draws at 1/16 of a pixel
GROUND, WALL, ASPHALT, EDGE, WAY, ZEBRA, WAITING = (58, 70, 56), (92, 84, 80), (98, 98, 102), (150, 150, 150), (118, 122, 146), (205, 205, 205), (235, 235, 235)
EGO, PLAN, BRAKE, INDICATOR = (255, 200, 60), (70, 200, 120), (255, 60, 50), (255, 160, 0)
KINDS = {"pedestrian": (250, 120, 200), "bicycle": (120, 220, 250)}
VEHICLE = (120, 165, 235)
LIGHTS = {"r": (240, 40, 40), "u": (240, 110, 20), "y": (240, 200, 20), "g": (40, 220, 90)}

Points = NDArray[np.float64]
RGB = tuple[int, int, int]


class BirdsEye:
    """Draws one world, in squares of size_px."""

    def __init__(self, world: World, *, size_px: int) -> None:
        network, way = world.network, {lane.lane_id for lane in world.way.lanes}
        self._size_px, self._scale = size_px, size_px / (AHEAD_M + BEHIND_M)
        self._vehicle = world.vehicle
        lanes = [(_strip(lane.centre_m, lane.width_m), lane) for lane in network.lanes]
        shapes = [(area.outline_m, ASPHALT, True) for area in network.junctions]
        shapes += [(outline, ASPHALT, True) for outline, lane in lanes]
        shapes += [(outline, WAY, True) for outline, lane in lanes if lane.lane_id in way]
        shapes += [(bar, ZEBRA, True) for crossing in network.crossings for bar in _bars(crossing)]
        shapes += [(_corners(box), WALL, True) for box in world.static_boxes]
        shapes += [(outline, EDGE, False) for outline, lane in lanes if not lane.is_internal]
        self._shapes = shapes
        self._middles_m = np.array([points.mean(axis=0) for points, _, _ in shapes])
        self._reach_m = np.array([np.hypot(*(points - points.mean(axis=0)).T).max() for points, _, _ in shapes]) + 1.3 * AHEAD_M
        by_id = {lane.lane_id: lane for lane in network.lanes}
        self._waiting = [
            (np.stack([line.left_m, line.right_m]), [link_of(network, line.lane_id, name) for name in by_id[line.lane_id].successors])
            for line in network.stop_lines
        ]

    def picture(self, moment: Moment, plan: Points) -> NDArray[np.uint8]:
        """(size_px, size_px, 3) uint8 RGB. plan: (T, C) of CAR in the vehicle frame; NaN where there is none."""
        canvas = np.full((self._size_px, self._size_px, 3), GROUND, np.uint8)
        ego = moment.ego.pose
        for k in np.flatnonzero(np.hypot(*(self._middles_m - ego[:2]).T) < self._reach_m):
            points, colour, is_filled = self._shapes[k]
            (self._fill if is_filled else self._line)(canvas, points, colour, ego)
        for ends, links in self._waiting:
            shown = [link.shown(moment.signals) for link in links if link is not None] or [""]
            shares = np.linspace(0.0, 1.0, len(shown) + 1)[:, None]
            places = ends[0] + shares * (ends[1] - ends[0])  # one part of the line for each way that goes on from it
            for i, letter in enumerate(shown):
                self._line(canvas, places[i : i + 2], LIGHTS.get(letter.lower(), WAITING), ego, width_px=4 if letter else 2)
        for actor in moment.actors:
            box = np.array([actor.x_m, actor.y_m, actor.yaw_rad, actor.length_m, actor.width_m])
            self._road_user(canvas, box, KINDS.get(actor.kind, VEHICLE), ego, brakes=actor.brake, indicates=actor.indicator)
        if np.isfinite(plan).all():
            pixels = self._pixels(plan[:, [CAR.index("x_m"), CAR.index("y_m")]])
            cv2.polylines(canvas, [pixels], False, PLAN, 3, cv2.LINE_AA, SHIFT)
        self._road_user(canvas, ego_box(ego, self._vehicle), EGO, ego, brakes=moment.ego.acceleration_mps2 < -0.5, indicates="none")
        return canvas

    def _road_user(self, canvas: NDArray[np.uint8], box: Points, colour: RGB, ego: Points, *, brakes: bool, indicates: str) -> None:
        corners = _corners(box)  # front left, front right, rear right, rear left
        self._fill(canvas, corners, colour, ego)
        self._line(canvas, np.stack([(corners[0] + corners[1]) / 2.0, box[:2]]), (40, 40, 40), ego)  # where it faces
        if brakes:
            self._line(canvas, corners[2:], BRAKE, ego, width_px=3)
        for side, ends in (("left", corners[[0, 3]]), ("right", corners[[1, 2]])):
            if indicates in (side, "both"):
                self._line(canvas, ends, INDICATOR, ego, width_px=2)

    def _fill(self, canvas: NDArray[np.uint8], outline_m: Points, colour: RGB, ego: Points) -> None:
        cv2.fillPoly(canvas, [self._pixels(_in_frame(outline_m, ego))], colour, cv2.LINE_AA, SHIFT)

    def _line(self, canvas: NDArray[np.uint8], points_m: Points, colour: RGB, ego: Points, *, width_px: int = 1) -> None:
        cv2.polylines(canvas, [self._pixels(_in_frame(points_m, ego))], False, colour, width_px, cv2.LINE_AA, SHIFT)

    def _pixels(self, points_m: Points) -> NDArray[np.int32]:
        """(N, 2) of points in the vehicle frame, in steps of OpenCV's."""
        u = self._size_px / 2.0 - self._scale * points_m[:, 1]
        v = self._scale * (AHEAD_M - points_m[:, 0])
        return np.round(np.stack([u, v], axis=1) * 2**SHIFT).astype(np.int32)


def _in_frame(points_m: Points, ego: Points) -> Points:
    return to_frame(np.column_stack([points_m, np.zeros(len(points_m))]), ego)[:, :2]


def _corners(box: Points) -> Points:
    """(4, 2) of a box [x, y, yaw, length, width]: front left, front right, rear right, rear left."""
    x, y, yaw, length, width = box
    ahead, left = np.array([np.cos(yaw), np.sin(yaw)]) * length / 2.0, np.array([-np.sin(yaw), np.cos(yaw)]) * width / 2.0
    return np.array([x, y]) + np.stack([ahead + left, ahead - left, -ahead - left, left - ahead])


def _strip(centre_m: Points, width_m: float) -> Points:
    """(2 N, 2) outline of a lane or path around its middle (N, 2)."""
    along = np.gradient(centre_m, axis=0)
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None] * width_m / 2.0
    return np.concatenate([centre_m + aside, (centre_m - aside)[::-1]])


def _bars(crossing: Path) -> list[Points]:
    """The bars of a zebra, ZEBRA_M wide and as far apart."""
    line = Line.through(crossing.centre_m, closed=False)
    starts = np.arange(ZEBRA_M / 2.0, line.length_m - ZEBRA_M, 2.0 * ZEBRA_M)
    return [_strip(line.poses(np.array([start, start + ZEBRA_M]))[:, :2], crossing.width_m) for start in starts]
