"""The supervisor without ROS: is everything alive that drives, does what it says fit together, and is this where it may drive?

It knows nothing of the planner, nor of the vehicle interface, whose plans and commands it could have been wrong about, too.
"""

from collections import deque
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.plan import Plan
from mimic_contracts.rig import Rig
from mimic_contracts.vehicle import VehicleSpec
from vehicle_interface.plan_tracker import Motion
from vehicle_interface.plausibility import MOVING_MPS, FrozenPictures, OdometryPlausibility, PlanContinuity, Stream
from vehicle_interface.supervision import DEGRADED, OK, STOP, Verdict, worst
from vehicle_interface.supervisor_parameters import SupervisorParameters

STRIDE = 8  # of the pixels that are looked at: enough for light and change, and cheap
COMPLAINT_S = 1.5  # nodes repeat twice a second what is wrong
CALIBRATION_NODE = "calibration_node"
SPEED_MARGIN_MPS = 1.0  # for a road that falls
BRIGHTNESS_S = 2.0  # over which the light is judged: longer than a bridge's shadow at 10 m/s


class SupervisorCore:
    """One per vehicle. Note what arrives, then judge, often."""

    def __init__(self, vehicle: VehicleSpec, rig: Rig, parameters: SupervisorParameters) -> None:
        p = parameters
        self._parameters, self._odd = p, vehicle.odd
        self._max_speed_mps = vehicle.odd.max_speed_mps or vehicle.limits.max_speed_mps
        self._heartbeats_ns: dict[str, int] = {}
        self._complaints: dict[tuple[str, str], tuple[int, Verdict]] = {}
        self._calibration: tuple[int, Verdict] | None = None  # when it was said, and what
        self._streams: Mapping[str, Stream] = {"pictures": Stream("pictures", p.frame_timeout_s), "odometry": Stream("odometry", p.odometry_timeout_s)}
        self._pictures = {camera.name: FrozenPictures(camera.name, p.frozen_after_s) for camera in rig.cameras}
        self._odometry, self._plans = OdometryPlausibility(), PlanContinuity()
        self._brightness: deque[tuple[int, float]] = deque()

    def note_heartbeat(self, node: str, *, steady_ns: int) -> None:
        """A node's loop runs."""
        self._heartbeats_ns[node] = steady_ns

    def note_diagnosis(self, node: str, said: Verdict, *, steady_ns: int) -> None:
        """A node says how it does; of its subject (what is before the colon) the last word counts."""
        if node == CALIBRATION_NODE:
            self._calibration = (steady_ns, said)
        if node in self._parameters.complaint_names:
            self._complaints[node, said.reason.partition(":")[0]] = (steady_ns, Verdict(said.level, f"{node}: {said.reason}"))

    def note_pictures(self, pictures: Mapping[str, NDArray[np.uint8]], *, stamp_ns: int, steady_ns: int) -> None:
        """The pictures of a moment arrived: of each camera an (H, W, 3) uint8 RGB."""
        samples = {name: np.ascontiguousarray(picture[::STRIDE, ::STRIDE, 1]) for name, picture in pictures.items()}
        self._streams["pictures"].note(stamp_ns=stamp_ns, steady_ns=steady_ns)
        for name, sample in samples.items():
            self._pictures[name].note(sample, stamp_ns=stamp_ns, is_moving=abs(self._odometry.speed_mps) > MOVING_MPS)
        self._brightness.append((steady_ns, float(np.mean([sample.mean() for sample in samples.values()]))))
        while steady_ns - self._brightness[0][0] > BRIGHTNESS_S * 1e9:
            self._brightness.popleft()

    def note_odometry(self, motion: Motion, *, steady_ns: int) -> None:
        """Odometry arrived."""
        self._streams["odometry"].note(stamp_ns=motion.stamp_ns, steady_ns=steady_ns)
        self._odometry.note(motion)

    def note_plan(self, plan: Plan) -> None:
        """A plan arrived. Whether plans arrive at all is the vehicle interface's to see, which follows them."""
        pose = self._odometry.pose_at(plan.stamp_ns)
        if pose is not None and plan.spec is CAR:
            self._plans.note(plan, pose)

    def judge(self, *, now_ns: int, steady_ns: int) -> Verdict:
        """What may be done now."""
        self._complaints = {subject: said for subject, said in self._complaints.items() if steady_ns - said[0] <= COMPLAINT_S * 1e9}
        return worst(
            [
                *self._dead(steady_ns),
                *(finding for stream in self._streams.values() for finding in stream.findings(now_ns=now_ns, steady_ns=steady_ns)),
                *self._odometry.findings(),
                *(finding for pictures in self._pictures.values() for finding in pictures.findings()),
                *self._plans.findings(),
                *(verdict for _, verdict in self._complaints.values()),
                *self._uncalibrated(steady_ns),
                *self._outside(),
            ]
        )

    def _dead(self, steady_ns: int) -> list[Verdict]:
        timeout_s = self._parameters.heartbeat_timeout_s
        return [
            Verdict(STOP, f"no heartbeat of {node} within {timeout_s} s")
            for node in self._parameters.node_names
            if node not in self._heartbeats_ns or steady_ns - self._heartbeats_ns[node] > timeout_s * 1e9
        ]

    def _uncalibrated(self, steady_ns: int) -> list[Verdict]:
        """Whether somebody says that the cameras are mounted as is thought. Its death or doubts do not stop who drives already:
        nothing has moved by that."""
        if not self._parameters.calibration_required:
            return []
        if self._calibration is None or steady_ns - self._calibration[0] > COMPLAINT_S * 1e9:
            return [Verdict(DEGRADED, f"{CALIBRATION_NODE} does not say that the cameras are mounted right")]
        said = self._calibration[1]
        return [] if said.level == OK else [Verdict(DEGRADED, f"{CALIBRATION_NODE}: {said.reason}")]

    def _outside(self) -> list[Verdict]:
        """In what the vehicle is not where, or not as, it may be driven."""
        found, odd, pose = [], self._odd, self._odometry.pose
        if abs(self._odometry.speed_mps) > self._max_speed_mps + SPEED_MARGIN_MPS:
            found.append(Verdict(STOP, f"{self._odometry.speed_mps:.1f} m/s is faster than the {self._max_speed_mps} m/s that it may be driven"))
        if odd.geofence_m and pose is not None and not is_inside(pose[:2], odd.geofence_m):
            found.append(Verdict(STOP, f"({pose[0]:.1f}, {pose[1]:.1f}) m is outside of the geofence"))
        light = float(np.mean([value for _, value in self._brightness])) if self._brightness else 255.0
        if light < odd.min_brightness:
            found.append(Verdict(DEGRADED, f"the pictures' brightness is {light:.0f}, must be at least {odd.min_brightness:.0f}"))
        return found


def is_inside(point_m: NDArray[np.float64], corners_m: tuple[tuple[float, float], ...]) -> bool:
    """Whether a point (2,) is inside of a polygon, or on its edge."""
    polygon = np.asarray(corners_m, np.float64)
    x_m, y_m = point_m - polygon[0]  # OpenCV reckons in single precision
    return bool(cv2.pointPolygonTest((polygon - polygon[0]).astype(np.float32), (float(x_m), float(y_m)), False) >= 0.0)
