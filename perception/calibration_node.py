"""Watches how a camera is mounted while the vehicle is driven, and says whether what is thought of it is right."""

import sys
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.rig import Mounting, load_rig
from mimic_contracts.ros_conversions import BASE_FRAME, rgb_array, stamp_to_ns
from mimic_contracts.ros_lifecycle import LATCHED_QOS, OK, SENSOR_QOS, WARN, MimicNode, run_node
from mimic_contracts.static_transforms import StaticTransforms
from mimic_contracts.validation import check_number
from mimic_contracts.vehicle import load_vehicle
from perception.calibration_core import CalibrationCore
from perception.calibration_memory import memory_path, recall, remember
from perception.calibration_parameters import CalibrationParameters
from perception.camera_parameters import by_camera
from perception.mounting_estimate import CALIBRATED, Judgement
from perception.ros_images import TF_STATIC_QOS, note_transform, tf_message_type

DIAGNOSTICS_PERIOD_S = 0.5
MOST_ASIDE_RAD = np.radians(10.0)


class CalibrationNode(MimicNode):
    """Real time only, and in nobody's way: it says what it sees in diagnostics, of which the supervisor makes 'degraded'."""

    parameters_class = CalibrationParameters

    def configure(self) -> None:
        """Read rig, vehicle file and memory, make the core, the publisher and the subscriptions."""
        p = self.parameters
        self._rig, self._vehicle = load_rig(p.rig), load_vehicle(p.vehicle)
        self._camera = self._rig.camera(p.camera)
        if abs(self._camera.mounting.yaw_rad) > MOST_ASIDE_RAD:
            aside_deg = np.degrees(self._camera.mounting.yaw_rad)
            raise ContractError(
                f"camera: '{p.camera}' of rig '{p.rig}' looks {aside_deg:.0f}° aside, must look ahead, to see where the vehicle goes: "
                "say calibration_required: false in the vehicle file, and measure how its cameras are mounted"
            )
        self._memory = memory_path(p.memory, vehicle=self._vehicle.name, camera=p.camera) if p.memory else None
        self._blocks = [] if self._memory is None else recall(self._memory)
        self._core: CalibrationCore | None = None
        self._rejection = self._not_remembered = self._frame = ""
        self._last = ""
        self._publisher = self.create_publisher(TransformStamped, f"calibration/{p.camera}", LATCHED_QOS)
        self.create_subscription(Image, p.frame_topic, self._on_frame, SENSOR_QOS)
        self.create_subscription(Odometry, p.odometry_topic, self._on_odometry, SENSOR_QOS)
        if p.mounting == "vehicle_file":
            if p.camera not in self._vehicle.cameras:
                raise ContractError(f"vehicle: '{p.vehicle}' says no mounting of camera {p.camera}: add it under cameras")
            self._begin(self._vehicle.cameras[p.camera])
        else:
            infos = by_camera("info_topics", p.info_topics)
            if p.camera not in infos:
                raise ContractError(f"info_topics: are given for {sorted(infos)}, must be for camera '{p.camera}' too: its frame in /tf_static is named there")
            self._transforms = StaticTransforms()
            self.create_subscription(CameraInfo, infos[p.camera], self._on_info, qos_profile_sensor_data)
            self.create_subscription(tf_message_type(), "tf_static", self._on_transforms, TF_STATIC_QOS)

    def activate(self) -> None:
        """Begin to look, and to say what is known; the silence afterwards forbids to engage."""
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._say, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._say()

    def _begin(self, mounting: Mounting) -> None:
        """With the mounting in use; another one later begins anew, with what is remembered."""
        self._mounting = mounting
        self._core = CalibrationCore(self._camera, mounting, self.parameters, blocks=self._blocks)
        self._publish(self._core.judge())

    def _on_frame(self, message: Image) -> None:
        if not self.is_active or self._core is None:
            return
        try:
            picture = self._rig.unpack(rgb_array(message))[self.parameters.camera]
        except ContractError as error:
            self._rejection = str(error)
            return
        if self._core.note_picture(picture, stamp_ns=stamp_to_ns(message.header.stamp)):
            self._remember()
            self._publish(self._core.judge())

    def _on_odometry(self, message: Odometry) -> None:
        if self._core is None:
            return
        twist = message.twist.twist
        try:
            check_number("odometry.speed_mps", twist.linear.x)
            check_number("odometry.yaw_rate_radps", twist.angular.z)
        except ContractError as error:
            self._rejection = str(error)
            return
        self._core.note_odometry(stamp_ns=stamp_to_ns(message.header.stamp), speed_mps=twist.linear.x, yaw_rate_radps=twist.angular.z)

    def _on_info(self, message: CameraInfo) -> None:
        self._frame = message.header.frame_id
        self._learn_mounting()

    def _on_transforms(self, message: Any) -> None:
        for stamped in message.transforms:
            try:
                note_transform(self._transforms, stamped)
            except MimicError as error:
                self._rejection = f"/tf_static: {error}"
        self._learn_mounting()

    def _learn_mounting(self) -> None:
        """From the transforms, once they are all there, and again when they change."""
        try:
            mounting = self._transforms.mounting(self._frame, base_frame=self.parameters.base_frame)
        except MimicError as error:
            self._rejection = str(error)
            return
        if self._core is None or mounting != self._mounting:
            self._begin(mounting)

    def _remember(self) -> None:
        """What cannot be written is said, and costs no more than the next start."""
        if self._memory is None or self._core is None:
            return
        self._blocks = self._core.blocks
        try:
            remember(self._memory, self._blocks, vehicle=self._vehicle.name, camera=self._camera.name)
            self._not_remembered = ""
        except MimicError as error:
            self._not_remembered = str(error)

    def _publish(self, judgement: Judgement) -> None:
        """The mounting as seen, once it is known: base_link to the camera's own axes (x forward, y left, z up)."""
        if not np.isfinite(judgement.estimate).all():
            return
        yaw_rad, pitch_rad, height_m = judgement.estimate
        message = TransformStamped()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id, message.child_frame_id = BASE_FRAME, self._camera.name
        t, q = message.transform.translation, message.transform.rotation
        t.x, t.y, t.z = self._mounting.x_m, self._mounting.y_m, float(height_m)
        q.x, q.y, q.z, q.w = quaternion(yaw_rad=yaw_rad, pitch_rad=pitch_rad, roll_rad=self._mounting.roll_rad)
        self._publisher.publish(message)

    def _say(self) -> None:
        """Twice a second; in the log when the status changes."""
        subject = f"mounting of '{self._camera.name}'"
        if self._core is None:
            self.diagnose(WARN, f"{subject}: not known from /tf_static yet", {"rejected": self._rejection})
            return
        judgement = self._core.judge()
        text = f"{subject}: {judgement.status}: {judgement.reason}"
        if judgement.status != self._last:
            self._last = judgement.status
            self.get_logger().info(text)
        values = {
            "progress": f"{judgement.progress:.2f}",
            "yaw_rad": judgement.estimate[0],
            "pitch_rad": judgement.estimate[1],
            "height_m": judgement.estimate[2],
            "blocks": len(self._core.blocks),
            "looks": self._core.looks,
            "sightings": self._core.sightings,
            "memory": self._memory or "",
            "not_remembered": self._not_remembered,
            "rejected": self._rejection,
        }
        self.diagnose(OK if judgement.status == CALIBRATED else WARN, text, values)


def quaternion(*, yaw_rad: float, pitch_rad: float, roll_rad: float) -> tuple[float, float, float, float]:
    """(x, y, z, w) of turns about z, then y, then x, as Mounting has them."""
    (cy, sy), (cp, sp), (cr, sr) = ((float(np.cos(a / 2.0)), float(np.sin(a / 2.0))) for a in (yaw_rad, pitch_rad, roll_rad))
    return sr * cp * cy - cr * sp * sy, cr * sp * cy + sr * cp * sy, cr * cp * sy - sr * sp * cy, cr * cp * cy + sr * sp * sy


def main() -> int:
    """Run the node."""
    return run_node(CalibrationNode, "calibration_node")


if __name__ == "__main__":
    sys.exit(main())
