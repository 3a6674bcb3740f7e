"""Camera topics in, the rig's pictures packed in one out."""

import sys
from functools import partial
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.rig import load_rig
from mimic_contracts.ros_conversions import camera_info, ns_to_stamp, rgb_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import ERROR, OK, RELIABLE_QOS, SENSOR_QOS, WARN, MimicNode, run_node
from mimic_contracts.static_transforms import StaticTransforms
from mimic_contracts.vehicle import load_vehicle
from perception.camera_core import CameraCore, Picture
from perception.camera_health import NEEDS_MOTION, CameraHealth, HealthLimits
from perception.camera_parameters import CameraParameters, by_camera, crops_by_camera
from perception.ros_images import TF_STATIC_QOS, note_transform, picture_of, tf_message_type

INFO_PATIENCE_NS = 1_000_000_000
NO_PICTURES = ("no picture", "unusable picture")  # problems that leave the planner without eyes


class CameraNode(MimicNode):
    """Publishes /perception/frame with the stamp of the reference camera, the rig's first.

    In lockstep it publishes once per tick or says in a diagnostic with the tick's stamp why it cannot. In real time a
    timer on the steady clock reports how each camera does. A change of how the pictures are is reported at once in both.
    """

    parameters_class = CameraParameters

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._publisher: Any = None
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)

    def configure(self) -> None:
        """Read the rig and the mounting, make the core, the publisher and the subscriptions."""
        p = self.parameters
        self._rig = load_rig(p.rig)
        names = {camera.name for camera in self._rig.cameras}
        topics, info_topics = by_camera("topics", p.topics), by_camera("info_topics", p.info_topics)
        self._crops = crops_by_camera(p.crops)
        if set(topics) != names:
            raise ContractError(f"topics: are given for {sorted(topics)}, rig '{self._rig.name}' has {sorted(names)}")
        for parameter, given in (("info_topics", info_topics), ("crops", self._crops)):
            if not set(given) <= names:
                raise ContractError(f"{parameter}: are given for {sorted(given)}, rig '{self._rig.name}' has {sorted(names)}")
        undescribed = names - set(info_topics) - set(self._crops)
        if undescribed:
            raise ContractError(f"info_topics: camera {', '.join(sorted(undescribed))} has neither a camera_info topic nor a crop")
        mountings = load_vehicle(p.vehicle).cameras if p.mounting == "vehicle_file" else {}
        unmounted = names - set(mountings) - set(self._crops)
        if p.mounting == "vehicle_file" and unmounted:
            raise ContractError(f"vehicle: '{p.vehicle}' says no mounting of camera {', '.join(sorted(unmounted))}: add it under cameras")
        self._core = CameraCore(
            self._rig,
            mountings={name: mounting for name, mounting in mountings.items() if name in names},
            crops=self._crops,
            sync_tolerance_ns=round(p.sync_tolerance_s * 1e9),
        )
        limits = HealthLimits(
            min_rate_hz=p.min_rate_hz,
            max_age_s=p.max_age_s,
            frozen_after=p.frozen_after,
            dark_below=p.dark_below,
            bright_above=p.bright_above,
            blocked_detail_below=p.blocked_detail_below,
        )
        self._health = {camera.name: CameraHealth(limits) for camera in self._rig.cameras}
        self._reported: dict[str, tuple[str, ...]] = dict.fromkeys(self._health, ())
        self._refusals: dict[str, str] = {}  # why a camera's last refused picture was refused
        self._bad_infos: dict[str, str] = {}
        self._without_info = names - set(self._crops)  # cameras whose first camera_info is awaited, in lockstep
        self._held: dict[str, tuple[Image | CompressedImage, int]] = {}  # their picture, and when it came
        self._transforms = StaticTransforms()
        self._mounted: set[str] = set()  # cameras whose mounting the transforms told
        self._message = rgb_message(np.zeros(self._rig.packed_shape, np.uint8), stamp_ns=0, frame_id=self._rig.name)
        self._packed = np.frombuffer(self._message.data, np.uint8).reshape(self._rig.packed_shape)  # the same bytes
        self._publisher = self.create_publisher(Image, "perception/frame", RELIABLE_QOS if p.lockstep else SENSOR_QOS)
        picture_type = Image if p.transport == "raw" else CompressedImage
        qos = RELIABLE_QOS if p.lockstep else qos_profile_sensor_data
        for name, topic in topics.items():
            self.create_subscription(picture_type, topic, partial(self._on_picture, name), qos)
        for name, topic in info_topics.items():
            self.create_subscription(CameraInfo, topic, partial(self._on_info, name), qos)
        if p.mounting == "tf_static":
            self.create_subscription(tf_message_type(), "tf_static", self._on_transforms, TF_STATIC_QOS)

    def activate(self) -> None:
        """Begin to publish; in lockstep, once the planner listens."""
        if self.parameters.lockstep:
            self.wait_for_subscribers(self._publisher)
            self.create_timer(INFO_PATIENCE_NS / 2e9, self._lose_patience, clock=self._steady)
        else:
            self.create_timer(1.0 / self.parameters.diagnostics_rate_hz, self._on_timer, clock=self._steady)

    def deactivate(self) -> None:
        """Fall silent."""
        self._held.clear()

    def _on_picture(self, camera: str, message: Image | CompressedImage, info: dict[str, int]) -> None:
        if not self.is_active:
            return
        self.trace.begin(stamp_to_ns(message.header.stamp), sent_ns=info["source_timestamp"])
        if self.parameters.lockstep and camera in self._without_info:
            # The first tick's picture and camera_info travel apart; which arrives first must not change the run.
            self._held[camera] = (message, self._steady.now().nanoseconds)
            return
        self._serve(camera, message)

    def _serve(self, camera: str, message: Image | CompressedImage) -> None:
        """Decode, warp, group and publish; or say why not."""
        stamp_ns = stamp_to_ns(message.header.stamp)
        try:
            ns_to_stamp(stamp_ns)
        except ContractError as error:
            self._refuse(camera, str(error), stamp_ns=None)
            return
        try:
            self._learn_mounting(camera, message.header.frame_id)
            picture = picture_of(message)
            self.trace.mark("decoded")
            group = self._core.add(camera, picture, stamp_ns=stamp_ns)
            self.trace.mark("warped")
        except MimicError as error:
            self._refuse(camera, str(error), stamp_ns=stamp_ns)
            return
        if group is not None:
            self._publish({name: frame.image for name, frame in group.items()}, group[self._rig.cameras[0].name].stamp_ns)
        self._health[camera].add(picture, stamp_ns=stamp_ns, steady_ns=self._steady.now().nanoseconds)
        self._report_change(camera, stamp_ns=stamp_ns)

    def _publish(self, images: dict[str, Picture], stamp_ns: int) -> None:
        """Pack the pictures into the message, which is the same one each time: only the bytes change."""
        self.trace.begin(stamp_ns)
        self._rig.pack(images, out=self._packed)
        self._message.header.stamp = ns_to_stamp(stamp_ns)
        self.trace.mark("packed")
        self._publisher.publish(self._message)
        self.trace.end("published")

    def _refuse(self, camera: str, reason: str, *, stamp_ns: int | None) -> None:
        """Count a picture of no use; in lockstep each is an answer to a tick, in real time the timer repeats the reason."""
        self._health[camera].add_unusable()
        is_news = "unusable picture" not in self._reported[camera]
        self._refusals[camera] = reason
        self._reported[camera] = self._health[camera].picture_problems
        if is_news:
            self.get_logger().error(f"camera '{camera}': {reason}", throttle_duration_sec=5.0)
        if is_news or self.parameters.lockstep:
            self.diagnose(ERROR, f"camera '{camera}': {reason}", stamp_ns=stamp_ns)

    def _report_change(self, camera: str, *, stamp_ns: int) -> None:
        """Once, when a camera's pictures become bad or good."""
        problems = self._health[camera].picture_problems
        if problems == self._reported[camera]:
            return
        self._reported[camera] = problems
        text = f"camera '{camera}': {', '.join(problems) or 'ok'}"
        self.get_logger().warning(text)
        self.diagnose(WARN if set(problems) - {NEEDS_MOTION} else OK, text, stamp_ns=stamp_ns)

    def _on_info(self, camera: str, message: CameraInfo) -> None:
        try:
            self._core.set_camera_info(camera, camera_info(message))
        except ContractError as error:
            if self._bad_infos.get(camera) != str(error):  # drivers repeat it with each picture
                self._bad_infos[camera] = str(error)
                self.get_logger().error(f"camera '{camera}': {error}")
                self.diagnose(ERROR, f"camera '{camera}': {error}")
            return
        self._without_info.discard(camera)
        self._serve_held(camera)

    def _serve_held(self, camera: str) -> None:
        if camera in self._held and self.is_active:
            message, _ = self._held.pop(camera)
            self._serve(camera, message)

    def _lose_patience(self) -> None:
        """Lockstep: a tick is answered even when no camera_info ever comes."""
        for camera, (_, since_ns) in list(self._held.items()):
            if self._steady.now().nanoseconds - since_ns > INFO_PATIENCE_NS:
                self._without_info.discard(camera)
                self._serve_held(camera)

    def _on_transforms(self, message: Any) -> None:
        for stamped in message.transforms:
            try:
                note_transform(self._transforms, stamped)
            except MimicError as error:
                self.get_logger().error(f"/tf_static: {error}", throttle_duration_sec=5.0)
        self._mounted.clear()

    def _learn_mounting(self, camera: str, optical_frame: str) -> None:
        """From the transforms, once they are all there; raises MimicError as long as they aren't."""
        if self.parameters.mounting != "tf_static" or camera in self._crops or camera in self._mounted:
            return
        self._core.set_mounting(camera, self._transforms.mounting(optical_frame, base_frame=self.parameters.base_frame))
        self._mounted.add(camera)

    def _on_timer(self) -> None:
        """Real time: how each camera does."""
        for name, health in self._health.items():
            verdict = health.check(steady_ns=self._steady.now().nanoseconds)
            is_blind = any(problem in NO_PICTURES for problem in verdict.problems)
            reason = f" ({self._refusals[name]})" if "unusable picture" in verdict.problems else ""
            values = {**verdict.values, "offset_s": self._core.offsets_ns.get(name, 0) / 1e9, "dropped_frames": self._core.dropped_frames}
            level = ERROR if is_blind else WARN if set(verdict.problems) - {NEEDS_MOTION} else OK
            self.diagnose(level, f"camera '{name}': {', '.join(verdict.problems) or 'ok'}{reason}", values)


def main() -> int:
    """Run the node."""
    return run_node(CameraNode, "camera_node")


if __name__ == "__main__":
    sys.exit(main())
