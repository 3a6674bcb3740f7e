"""Camera topics in, the rig's pictures packed in one out."""

import sys
from functools import partial

from rclpy.clock import Clock, ClockType
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.rig import load_rig
from mimic_contracts.ros_conversions import camera_info, rgb_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import ERROR, LATCHED_QOS, OK, RELIABLE_QOS, SENSOR_QOS, WARN, MimicNode, run_node
from mimic_contracts.vehicle import load_vehicle
from perception.camera_core import CameraCore
from perception.camera_health import CameraHealth, HealthLimits
from perception.camera_parameters import CameraParameters, by_camera, crops_by_camera
from perception.ros_images import mounting_of, picture_of


class CameraNode(MimicNode):
    """Publishes /perception/frame with the stamp of the reference camera, the rig's first."""

    parameters_class = CameraParameters

    def configure(self) -> None:
        """Read the rig and the mounting, make the core, the publisher and the subscriptions."""
        p = self.parameters
        self._rig = load_rig(p.rig)
        names = {camera.name for camera in self._rig.cameras}
        topics, info_topics = by_camera("topics", p.topics), by_camera("info_topics", p.info_topics)
        crops = crops_by_camera(p.crops)
        if set(topics) != names:
            raise ContractError(f"topics: are given for {sorted(topics)}, rig '{self._rig.name}' has {sorted(names)}")
        undescribed = names - set(info_topics) - set(crops)
        if undescribed:
            raise ContractError(f"info_topics: camera {', '.join(sorted(undescribed))} has neither a camera_info topic nor a crop")
        mountings = load_vehicle(p.vehicle).cameras if p.mounting == "vehicle_file" else {}
        self._core = CameraCore(
            self._rig,
            mountings={name: mounting for name, mounting in mountings.items() if name in names},
            crops=crops,
            sync_tolerance_ns=round(p.sync_tolerance_s * 1e9),
        )
        limits = HealthLimits(min_rate_hz=p.min_rate_hz, max_age_s=p.max_age_s)
        self._health = {name: CameraHealth(limits) for name in names}
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = None
        self._frame_ids: dict[str, str] = {}  # optical frame → camera
        self._publisher = self.create_publisher(Image, "/perception/frame", RELIABLE_QOS if p.lockstep else SENSOR_QOS)
        picture_type = Image if p.transport == "raw" else CompressedImage
        qos = RELIABLE_QOS if p.lockstep else qos_profile_sensor_data
        self._inputs = [self.create_subscription(picture_type, topic, partial(self._on_picture, name), qos) for name, topic in topics.items()]
        self._inputs += [self.create_subscription(CameraInfo, topic, partial(self._on_info, name), qos) for name, topic in info_topics.items()]
        if p.mounting == "tf_static":
            self._inputs.append(self.create_subscription(TFMessage, "/tf_static", self._on_transforms, LATCHED_QOS))

    def activate(self) -> None:
        """Begin to publish; in lockstep, once the planner listens."""
        if self.parameters.lockstep:
            self.wait_for_subscribers(self._publisher)
        else:
            self._timer = self.create_timer(1.0 / self.parameters.diagnostics_rate_hz, self._on_timer, clock=self._steady)

    def deactivate(self) -> None:
        """Fall silent."""
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None

    def cleanup(self) -> None:
        """Destroy what configure made."""
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self.destroy_publisher(self._publisher)

    def _on_picture(self, camera: str, message: Image | CompressedImage) -> None:
        if not self.is_active:
            return
        stamp_ns = stamp_to_ns(message.header.stamp)
        self._frame_ids[message.header.frame_id] = camera
        try:
            picture = picture_of(message)
            self._health[camera].add(picture, stamp_ns=stamp_ns, steady_ns=self._steady.now().nanoseconds)
            group = self._core.add(camera, picture, stamp_ns=stamp_ns)
        except MimicError as error:
            self._health[camera].add_bad_payload()
            self.diagnose(ERROR, f"camera '{camera}': {error}", stamp_ns=stamp_ns)
            return
        if group is not None:
            images = {name: frame.image for name, frame in group.items()}
            reference_ns = group[self._rig.cameras[0].name].stamp_ns
            self._publisher.publish(rgb_message(self._rig.pack(images), stamp_ns=reference_ns, frame_id=self._rig.name))

    def _on_info(self, camera: str, message: CameraInfo) -> None:
        try:
            self._core.set_camera_info(camera, camera_info(message))
        except ContractError as error:
            self.get_logger().error(f"camera '{camera}': {error}", throttle_duration_sec=5.0)
            self.diagnose(ERROR, f"camera '{camera}': {error}")

    def _on_transforms(self, message: TFMessage) -> None:
        """The mounting of each optical frame that a picture named, from its parent, the vehicle's base frame."""
        for transform in message.transforms:
            camera = self._frame_ids.get(transform.child_frame_id, transform.child_frame_id.removesuffix("_optical_frame"))
            if transform.header.frame_id == self.parameters.base_frame and camera in self._health:
                self._core.set_mounting(camera, mounting_of(transform))

    def _on_timer(self) -> None:
        """Real time: how each camera does."""
        for name, health in self._health.items():
            verdict = health.check(steady_ns=self._steady.now().nanoseconds)
            level = ERROR if "no picture" in verdict.problems else WARN if verdict.problems else OK
            values = {**verdict.values, "dropped_frames": self._core.dropped_frames}
            self.diagnose(level, f"camera '{name}': {', '.join(verdict.problems) or 'ok'}", values)


def main() -> int:
    """Run the node."""
    return run_node(CameraNode, "camera_node")


if __name__ == "__main__":
    sys.exit(main())
