"""A drive of the expert becomes a bag: what sim_node sends and record_node writes, without ROS between them.

The bag is made of the finished drive, tick by tick, so that the same drive can be rendered again through another rig, in
another light and weather. Log times are the simulation's stamps: the same drive gives the same bytes.

    /clock, /planning/route_command, /planning/route, /localization/kinematic_state, /vehicle/steering,
    /sim/expert_trajectory                           every tick
    /camera/CAMERA/image_raw/compressed              at the image rate
    /camera/CAMERA/camera_info                       before the first picture, and each second

Ground truth belongs to the tick of the picture, with its stamp (std_msgs/String holds JSON with stamp_ns). Road users
have the same number in all of it, over the whole drive; frames are base_link or the camera's.

    /sim/ground_truth/CAMERA/semantic/compressed     PNG mono8: index in mimic_contracts.labels.SEMANTIC_CLASSES
    /sim/ground_truth/CAMERA/instance/compressed     PNG mono16: number of the road user, 0 for none
    /sim/ground_truth/CAMERA/depth/compressed        PNG 16UC1: mm along the optical axis, 0 in the sky, 65535 beyond
    /sim/ground_truth/CAMERA/boxes_2d                String: what the camera sees of road users (bag_messages)
    /sim/ground_truth/boxes_3d                       MarkerArray: road users within BOXES_M
    /sim/ground_truth/lane                           Path: the middle of the way's lane ahead
    /sim/ground_truth/situation                      String: light, stop line, lead … (ground_truth)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bag_tools.bag_writer import BagWriter
from bag_tools.message_bytes import MessageBytes
from mimic_contracts.labels import Labels
from mimic_contracts.rig import CameraSpec, load_rig
from mimic_sim import bag_messages as messages
from mimic_sim import expert
from mimic_sim.boxes import boxes_m, visible_boxes
from mimic_sim.drive_result import DriveResult
from mimic_sim.ground_truth import GroundTruth
from mimic_sim.moment import Moment
from mimic_sim.navigation import Navigation
from mimic_sim.view import View
from mimic_sim.world import World

BOXES_M = 100.0
SKY_MM, FARTHEST_MM = 0, 65535
TRUTH = "/sim/ground_truth"


def record(
    drive: DriveResult,
    world: World,
    bag: Path,
    *,
    image_rate_hz: float,
    with_ground_truth: bool,
    on_tick: Callable[[int], None] = lambda tick: None,
) -> None:
    """Write a bag of a drive as the rig and the look of `world` show it, which may differ from those it was driven with.

    on_tick: told of each tick that is written. Raises MimicError when the bag or the pictures cannot be made.
    """
    pictured = picture_ticks(len(drive), tick_s=drive.route.tick_s, image_rate_hz=image_rate_hz)
    cameras = load_rig(world.vehicle.rig).cameras
    truth = _Truth(drive, world, cameras, lifetime_ns=round(1e9 / image_rate_hz)) if with_ground_truth else None
    writer = BagWriter(bag, overwrite=False)
    try:
        with View(world, cameras) as view:
            ticks = _Ticks(drive, world, cameras, view, truth, Navigation(world.way, seed=drive.route.seed))
            for tick, station_m in enumerate(_stations_m(drive, world)):
                stamp_ns = int(drive.columns["stamp_ns"][tick])
                for topic, message in ticks.messages(tick, station_m, is_pictured=tick in pictured):
                    if topic not in writer.counts:
                        writer.add_topic(topic, message.type_name)
                    writer.write(topic, stamp_ns, message.data)
                on_tick(tick)
    except BaseException:
        writer.abort()
        raise
    writer.close()


def picture_ticks(count: int, *, tick_s: float, image_rate_hz: float) -> set[int]:
    """Which of the ticks have pictures: about image_rate_hz of them a second, beginning with the first; all of them when
    ticks are not more frequent."""
    due = np.floor(np.arange(count) * min(tick_s * image_rate_hz, 1.0) + 1e-6)
    return set(np.flatnonzero(np.diff(due, prepend=-1.0) > 0.0).tolist())


def _stations_m(drive: DriveResult, world: World) -> Iterator[float]:
    """Where on the way the car is at each tick, as Simulation finds it."""
    station_m = None
    for x_m, y_m in zip(drive.columns["x_m"].tolist(), drive.columns["y_m"].tolist(), strict=True):
        station_m = world.lane_line.project(x_m, y_m)[0] if station_m is None else world.way.project_near(x_m, y_m, station_m=station_m)[0]
        yield station_m


@dataclass(frozen=True, eq=False)
class _Ticks:
    """Makes the messages of one drive."""

    drive: DriveResult
    world: World
    cameras: tuple[CameraSpec, ...]
    view: View
    truth: "_Truth | None"
    navigation: Navigation

    def messages(self, tick: int, station_m: float, *, is_pictured: bool) -> Iterator[tuple[str, MessageBytes]]:
        """Topics and messages of one tick, in sim_node's order."""
        stamp_ns, ego = int(self.drive.columns["stamp_ns"][tick]), self.drive.ego(tick)
        infos = [(f"/camera/{camera.name}/camera_info", messages.camera_info_bytes(camera, stamp_ns=stamp_ns)) for camera in self.cameras]
        if tick == 0:  # before the first picture, which can't be understood without
            yield from infos
        yield "/clock", messages.clock_bytes(stamp_ns)
        yield "/planning/route_command", messages.text_bytes(self.world.way.command_at(station_m))
        yield "/planning/route", messages.route_bytes(self.navigation.ahead_m(station_m), stamp_ns=stamp_ns)
        yield "/localization/kinematic_state", messages.odometry_bytes(ego, stamp_ns=stamp_ns)
        yield "/vehicle/steering", messages.steering_bytes(ego, self.world.vehicle, stamp_ns=stamp_ns)
        yield "/sim/expert_trajectory", messages.plan_bytes(expert.plan_of(self.drive.plans[tick], stamp_ns=stamp_ns))
        if is_pictured:
            moment = self.drive.moment(tick)
            pictures = self.view.pictures(moment)
            for camera in self.cameras:
                yield f"/camera/{camera.name}/image_raw/compressed", messages.jpeg_bytes(pictures[camera.name], camera, stamp_ns=stamp_ns)
            if self.truth is not None:
                yield from self.truth.messages(moment, self.view.labels(moment), station_m)
        if tick % max(round(1.0 / self.drive.route.tick_s), 1) == 0:
            yield from infos


class _Truth:
    """Ground truth of one drive; the number of a road user is 1 + its index in the drive's trace."""

    def __init__(self, drive: DriveResult, world: World, cameras: tuple[CameraSpec, ...], *, lifetime_ns: int) -> None:
        self._around, self._cameras, self._lifetime_ns = GroundTruth(world), cameras, lifetime_ns
        self._numbers = {actor.actor_id: i + 1 for i, actor in enumerate(drive.trace.looks)}

    def messages(self, moment: Moment, labels: dict[str, Labels], station_m: float) -> Iterator[tuple[str, MessageBytes]]:
        """Topics and messages of one picture's tick."""
        stamp_ns, pose, actors = moment.stamp_ns, moment.ego.pose, moment.actors
        numbers = np.array([0, *(self._numbers[actor.actor_id] for actor in actors)], np.uint16)
        for camera in self._cameras:
            seen, topic = labels[camera.name], f"{TRUTH}/{camera.name}"
            yield f"{topic}/semantic/compressed", messages.png_bytes(seen.semantic, "mono8", camera, stamp_ns=stamp_ns)
            yield f"{topic}/instance/compressed", messages.png_bytes(numbers[seen.instance], "mono16", camera, stamp_ns=stamp_ns)
            yield f"{topic}/depth/compressed", messages.png_bytes(_depth_mm(seen.depth_m), "16UC1", camera, stamp_ns=stamp_ns)
            found = visible_boxes(actors, pose, camera, seen)
            seen_actors = [actors[box.instance - 1] for box in found]
            yield f"{topic}/boxes_2d", messages.boxes_2d_bytes(found, seen_actors, [int(numbers[box.instance]) for box in found], stamp_ns=stamp_ns)
        boxes = boxes_m(actors, pose)
        near = np.flatnonzero(np.hypot(boxes[:, 0], boxes[:, 1]) < BOXES_M).tolist()
        kinds, ids = [actors[i].kind for i in near], numbers[1:][near].tolist()
        yield f"{TRUTH}/boxes_3d", messages.markers_bytes(boxes[near], kinds, ids, stamp_ns=stamp_ns, lifetime_ns=self._lifetime_ns)
        yield f"{TRUTH}/lane", messages.path_bytes(self._around.lane_ahead(moment, station_m), stamp_ns=stamp_ns)
        situation = self._around.situation(moment, station_m)
        if situation["lead"] is not None:
            situation["lead"] = {"id": self._numbers[situation["lead"].pop("actor_id")], **situation["lead"]}
        yield f"{TRUTH}/situation", messages.json_bytes(stamp_ns, situation)


def _depth_mm(depth_m: NDArray[np.float32]) -> NDArray[np.uint16]:
    """(H, W) uint16 mm."""
    mm = np.clip(np.rint(depth_m * 1e3), 1.0, FARTHEST_MM)
    return np.where(np.isinf(depth_m), SKY_MM, mm).astype(np.uint16)
