"""Contracts survive the way through messages, serialisation included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo as CameraInfoMsg
from sensor_msgs.msg import CompressedImage as CompressedImageMsg
from sensor_msgs.msg import Image
from trajectory_msgs.msg import JointTrajectory

from mimic_contracts.action_spec import ACTION_SPECS, CAR
from mimic_contracts.canonical import canonical_bytes
from mimic_contracts.errors import ContractError
from mimic_contracts.observation import EgoState
from mimic_contracts.plan import Plan
from mimic_contracts.ros_conversions import (
    camera_info,
    compressed_image,
    ego_state,
    ns_to_stamp,
    odometry_message,
    odometry_pose,
    plan_from_message,
    plan_message,
    raw_image,
    rgb_array,
    rgb_message,
    stamp_to_ns,
    twist_stamped_message,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
MESSAGE_STAMPS = st.integers(0, 2**31 * 10**9 - 1)


def over_the_wire(message):
    return deserialize_message(serialize_message(message), type(message))


def plan(spec=CAR, stamp_ns=7, seed=0, is_emergency=False) -> Plan:
    shape = (len(spec.times_s), len(spec.channels))
    values = np.random.default_rng(seed).normal(size=shape)
    none = np.zeros((0, *shape))
    return Plan(stamp_ns=stamp_ns, spec=spec, values=values, alternatives=none, probabilities=np.zeros(0), model_id="m@1", is_emergency=is_emergency)


@given(MESSAGE_STAMPS)
def test_stamps_round_trip_to_the_nanosecond(stamp_ns):
    assert stamp_to_ns(over_the_wire(ns_to_stamp(stamp_ns))) == stamp_ns


@pytest.mark.parametrize("stamp_ns", [-1, 2**31 * 10**9])
def test_stamps_beyond_32_bit_seconds_are_refused(stamp_ns):
    with pytest.raises(ContractError, match=f"stamp_ns: is {stamp_ns}"):
        ns_to_stamp(stamp_ns)


@settings(deadline=None)
@given(st.sampled_from(list(ACTION_SPECS.values())), MESSAGE_STAMPS, st.integers(0, 99), st.booleans())
def test_plans_round_trip_to_the_same_canonical_bytes(spec, stamp_ns, seed, is_emergency):
    sent = plan(spec, stamp_ns, seed, is_emergency)
    got = plan_from_message(over_the_wire(plan_message(sent)))
    assert canonical_bytes(got) == canonical_bytes(sent)
    assert (got.spec, got.model_id) == (spec, "m@1")


def broken(change) -> JointTrajectory:
    message = plan_message(plan())
    change(message)
    return message


def rename(message):
    message.joint_names = list(reversed(message.joint_names))


def lose_a_point(message):
    message.points = list(message.points)[:-1]


def lose_a_channel(message):
    message.points[3].positions = list(message.points[3].positions)[:-1]


def not_finite(message):
    message.points[3].positions[0] = float("nan")


def shift_times(message):
    message.points[1].time_from_start.nanosec += 1_000_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rename, "trajectory.joint_names"),
        (lose_a_point, "trajectory.points: times"),
        (lose_a_channel, "trajectory.points: rows"),
        (not_finite, r"plan.values\[3, 0\]: is nan"),
        (shift_times, "trajectory.points: times"),
    ],
)
def test_foreign_trajectories_are_refused_with_the_reason(change, words):
    with pytest.raises(ContractError, match=words):
        plan_from_message(broken(change))


@pytest.mark.parametrize("frame_id", ["", "base_link", "map;car;m", "base_link;boat;m", "base_link;car;m;panic", "base_link;car;m;emergency;x"])
def test_foreign_frames_are_refused(frame_id):
    message = plan_message(plan())
    message.header.frame_id = frame_id
    with pytest.raises(ContractError, match=r"trajectory.header.frame_id: is"):
        plan_from_message(message)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_pictures_round_trip(height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    message = over_the_wire(rgb_message(image[:, ::-1], stamp_ns=5, frame_id="mono"))
    np.testing.assert_array_equal(rgb_array(message), image[:, ::-1])
    raw = raw_image(message)
    assert (raw.stamp_ns, raw.height_px, raw.width_px, raw.encoding, raw.step_bytes) == (5, height, width, "rgb8", 3 * width)
    assert raw.data.tobytes() == image[:, ::-1].tobytes()


@pytest.mark.parametrize("changes", [{"encoding": "bgr8"}, {"step": 7}, {"height": 3}])
def test_other_pictures_are_no_packed_frame(changes):
    message = rgb_message(np.zeros((2, 2, 3), np.uint8), stamp_ns=0, frame_id="")
    for key, value in changes.items():
        setattr(message, key, value)
    with pytest.raises(ContractError, match="packed frame: "):
        rgb_array(message)


def test_an_empty_image_is_no_packed_frame():
    with pytest.raises(ContractError, match="packed frame"):
        rgb_array(Image())


def test_compressed_pictures_keep_their_bytes():
    message = CompressedImageMsg(format="jpeg", data=[1, 2, 3])
    message.header.stamp = ns_to_stamp(9)
    got = compressed_image(over_the_wire(message))
    assert (got.stamp_ns, got.format, got.data.tolist()) == (9, "jpeg", [1, 2, 3])


def test_camera_info_of_an_uncalibrated_camera_is_refused():
    with pytest.raises(ContractError, match="camera_info"):
        camera_info(CameraInfoMsg(height=10, width=10, distortion_model="plumb_bob"))


def test_camera_info_keeps_intrinsics_and_distortion():
    k = [100.0, 0.0, 4.5, 0.0, 101.0, 5.5, 0.0, 0.0, 1.0]
    got = camera_info(over_the_wire(CameraInfoMsg(height=12, width=10, distortion_model="plumb_bob", k=k, d=[0.1, 0.2, 0.0, 0.0, 0.3])))
    assert (got.height_px, got.width_px, got.k.ravel().tolist(), got.d.tolist()) == (12, 10, k, [0.1, 0.2, 0.0, 0.0, 0.3])


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-3.14, 3.14), st.floats(-50.0, 50.0), st.floats(-5.0, 5.0))
def test_odometry_round_trips(x, y, yaw, speed, yaw_rate):
    message = over_the_wire(odometry_message(stamp_ns=3, pose=np.array([x, y, yaw]), speed_mps=speed, yaw_rate_radps=yaw_rate))
    np.testing.assert_allclose(odometry_pose(message), [x, y, yaw], atol=1e-9)
    ego = ego_state(message)
    assert (ego.speed_mps, ego.yaw_rate_radps, stamp_to_ns(message.header.stamp)) == (speed, yaw_rate, 3)
    assert (message.header.frame_id, message.child_frame_id) == ("odom", "base_link")


def test_a_curvature_that_no_vehicle_drives_is_unknown():
    assert EgoState.from_motion(speed_mps=2.0, yaw_rate_radps=5.0).curvature_1pm is None
    assert EgoState.from_motion(speed_mps=2.0, yaw_rate_radps=1.0).curvature_1pm == 0.5


@given(FINITE, FINITE)
def test_twists_round_trip(speed, yaw_rate):
    message = over_the_wire(twist_stamped_message(stamp_ns=11, speed_mps=speed, yaw_rate_radps=yaw_rate))
    assert (message.twist.linear.x, message.twist.angular.z, stamp_to_ns(message.header.stamp)) == (speed, yaw_rate, 11)
