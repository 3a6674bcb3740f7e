"""The contracts refuse what is wrong, and name the field and the value."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimic_contracts.action_spec import ACTION_SPECS, CAR, STEERING_ONLY, ActionSpec, action_spec
from mimic_contracts.canonical import canonical_bytes, canonical_hash
from mimic_contracts.clip import Clip
from mimic_contracts.errors import ContractError, MimicError, require_package
from mimic_contracts.images import CameraInfo, Frame
from mimic_contracts.motion import from_frame, quaternion_yaw, to_frame, wrap_angle, yaw_quaternion
from mimic_contracts.observation import ROUTE_COMMANDS, EgoState, Observation, Route
from mimic_contracts.plan import Command, Plan
from mimic_contracts.rig import load_rig
from mimic_contracts.scene import Agent, Scene, SceneLane, StopLine, TrafficLight
from mimic_contracts.validation import check_array, check_increasing, check_integer, check_number, check_stamp_ns, check_text

SHAPE = (len(CAR.times_s), len(CAR.channels))
FINITE = st.floats(-1e6, 1e6)
NO_NUMBERS = st.one_of(st.none(), st.booleans(), st.text(), st.just([1.0]), st.sampled_from([np.nan, np.inf, -np.inf]))
POSES = st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(-10.0, 10.0)), min_size=1, max_size=5).map(np.array)


def plan(**changes: object) -> Plan:
    values = {"stamp_ns": 5, "spec": CAR, "values": np.zeros(SHAPE), "alternatives": np.zeros((0, *SHAPE)), "probabilities": np.zeros(0), "model_id": "test"}
    return Plan(**{**values, **changes})


def clip(**changes: object) -> Clip:
    values = {"clip_id": "c", "drive_id": "d", "vehicle_id": "v", "driver_id": "p", "region": "r", "split": "train", "start_ns": 1, "end_ns": 2}
    return Clip(**{**values, **changes})


# The checks themselves


@given(NO_NUMBERS)
def test_number_refuses_everything_else(value):
    with pytest.raises(ContractError, match=r"speed_mps: is .*must be"):
        check_number("speed_mps", value)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_number_is_returned_exactly_when_within_bounds(value, a, b):
    low, high = sorted((a, b))
    if low <= value <= high:
        assert check_number("x", value, low=low, high=high) == value
    else:
        with pytest.raises(ContractError, match="within"):
            check_number("x", value, low=low, high=high)


@pytest.mark.parametrize("value", [1.0, True, "1", None, np.float32(1)])
def test_integer_refuses_everything_else(value):
    with pytest.raises(ContractError, match=r"height_px: is .* must be an integer"):
        check_integer("height_px", value)


def test_integer_bounds_are_inclusive():
    assert check_integer("n", np.int32(3), low=3, high=3) == 3
    for value in (2, 4):
        with pytest.raises(ContractError, match=re.escape(f"n: is {value}, must be within [3, 3]")):
            check_integer("n", value, low=3, high=3)


@pytest.mark.parametrize("value", [-1, 2**63, 1.5, None])
def test_stamps_fit_int64_and_are_not_negative(value):
    with pytest.raises(ContractError, match="stamp"):
        check_stamp_ns("stamp_ns", value)


def test_largest_stamp_is_allowed():
    assert check_stamp_ns("stamp_ns", 2**63 - 1) == 2**63 - 1


@pytest.mark.parametrize("value", ["", "  ", None, 3])
def test_text_is_not_empty(value):
    with pytest.raises(ContractError, match=r"name: is .* must be a non-empty text"):
        check_text("name", value)


def test_array_names_what_differs():
    with pytest.raises(ContractError, match="a: dtype is float32, must be float64"):
        check_array("a", np.zeros(2, np.float32), shape=(2,), dtype=np.float64)
    with pytest.raises(ContractError, match=r"a: shape is \(2,\), must be \('any', 3\)"):
        check_array("a", np.zeros(2), shape=(None, 3), dtype=np.float64)
    with pytest.raises(ContractError, match=r"a\[1, 0\]: is nan, must be finite"):
        check_array("a", np.array([[0.0], [np.nan]]), shape=(None, 1), dtype=np.float64)


def test_array_may_be_told_to_hold_nan_and_becomes_read_only():
    checked = check_array("a", np.array([np.nan]), shape=(1,), dtype=np.float64, finite=False)
    with pytest.raises(ValueError, match="read-only"):
        checked[0] = 1.0


@given(st.lists(st.integers(-1000, 1000), max_size=8))
def test_increasing_is_strict(numbers):
    is_increasing = all(a < b for a, b in pairwise(numbers))
    if is_increasing:
        check_increasing("t", np.array(numbers))
    else:
        with pytest.raises(ContractError, match=r"t\[\d+\]: is .* after .*, must increase strictly"):
            check_increasing("t", np.array(numbers))


# Action specs


def test_car_looks_four_seconds_ahead_in_steps_of_a_fifth():
    assert CAR.times_s[0] == 0.0 and CAR.times_s[-1] == 4.0
    np.testing.assert_allclose(np.diff(CAR.times_s), 0.2)


@pytest.mark.parametrize("spec", ACTION_SPECS.values(), ids=lambda spec: spec.name)
def test_specs_are_found_by_name_and_channels_by_theirs(spec):
    assert action_spec(spec.name) is spec
    assert [spec.index(channel) for channel in spec.channels] == list(range(len(spec.channels)))
    with pytest.raises(ContractError, match="channel: 'torque' is not in action spec"):
        spec.index("torque")


def test_unknown_spec_lists_the_known():
    with pytest.raises(ContractError, match="'boat', must be one of car, steering_only"):
        action_spec("boat")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": ()}, "channels"),
        ({"channels": ("a", "a")}, "all different"),
        ({"times_s": np.array([0.0, 0.0])}, "increase"),
        ({"integrator": "magic"}, "integrator"),
        ({"name": ""}, "name"),
    ],
)
def test_impossible_specs_are_refused(changes, message):
    with pytest.raises(ContractError, match=message):
        ActionSpec(**{"name": "x", "channels": ("a",), "times_s": np.zeros(1), "integrator": "none", **changes})


# Plans and commands


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stamp_ns": -1}, "plan.stamp_ns"),
        ({"values": np.zeros((3, 6))}, r"plan.values: shape is \(3, 6\)"),
        ({"values": np.full(SHAPE, np.inf)}, r"plan.values\[0, 0\]: is inf"),
        ({"values": np.zeros(SHAPE, np.float32)}, "plan.values: dtype is float32"),
        ({"alternatives": np.zeros((2, *SHAPE))}, "plan.probabilities: shape"),
        ({"alternatives": np.zeros((2, *SHAPE)), "probabilities": np.array([0.4, 0.4])}, "sum to 1"),
        ({"alternatives": np.zeros((2, *SHAPE)), "probabilities": np.array([1.5, -0.5])}, "at least 0"),
        ({"model_id": ""}, "plan.model_id"),
        ({"spec": STEERING_ONLY}, "plan.values: shape"),
    ],
)
def test_impossible_plans_are_refused(changes, message):
    with pytest.raises(ContractError, match=message):
        plan(**changes)


@given(st.floats(-10.0, 10.0))
def test_plan_is_interpolated_and_held_beyond_its_ends(time_s):
    values = np.arange(np.prod(SHAPE), dtype=np.float64).reshape(SHAPE)
    expected = values[0] + np.clip(time_s, 0.0, 4.0) / 0.2 * SHAPE[1]
    np.testing.assert_allclose(plan(values=values).at(time_s), expected, atol=1e-9)


def test_channels_of_a_plan_have_names():
    values = np.arange(np.prod(SHAPE), dtype=np.float64).reshape(SHAPE)
    np.testing.assert_array_equal(plan(values=values).channel("speed_mps"), values[:, 3])


@pytest.mark.parametrize("name", ["acceleration_mps2", "curvature_1pm", "target_speed_mps"])
@pytest.mark.parametrize("value", [np.nan, np.inf, None])
def test_commands_are_finite(name, value):
    with pytest.raises(ContractError, match=f"command.{name}"):
        replace(Command(stamp_ns=0, acceleration_mps2=0.0, curvature_1pm=0.0, target_speed_mps=0.0), **{name: value})


@given(st.integers(0, 2**62), FINITE, FINITE, FINITE)
def test_canonical_bytes_are_little_endian_in_declared_order(stamp_ns, acceleration, curvature, speed):
    command = Command(stamp_ns=stamp_ns, acceleration_mps2=acceleration, curvature_1pm=curvature, target_speed_mps=speed)
    data = canonical_bytes(command)
    assert data[:8] == stamp_ns.to_bytes(8, "little")
    assert np.frombuffer(data[8:], "<f8").tolist() == [acceleration, curvature, speed]


def test_canonical_bytes_ignore_memory_layout_but_no_field():
    values = np.random.default_rng(0).normal(size=SHAPE)
    reference = canonical_bytes(plan(values=values))
    assert canonical_bytes(plan(values=np.asfortranarray(values))) == reference
    different = [plan(values=values, stamp_ns=6), plan(values=values + 1e-12), plan(values=values, is_emergency=True)]
    different.append(plan(values=values, alternatives=values[None], probabilities=np.ones(1)))
    assert len({reference, *map(canonical_bytes, different)}) == 5


def test_canonical_hash_depends_on_order():
    a, b = plan(stamp_ns=1), plan(stamp_ns=2)
    assert canonical_hash([a, b]) == canonical_hash(iter([a, b])) != canonical_hash([b, a])


# Observations


@given(st.lists(st.one_of(st.none(), st.floats(-1.9, 1.9)), min_size=5, max_size=5))
def test_missing_ego_values_are_masked_and_zero(values):
    ego = EgoState(*[], **dict(zip(EgoState.__dataclass_fields__, values, strict=True)))
    numbers, valid = ego.as_arrays()
    assert valid.tolist() == [v is not None for v in values]
    assert numbers.tolist() == [0.0 if v is None else v for v in values]


@pytest.mark.parametrize("name", EgoState.__dataclass_fields__)
@pytest.mark.parametrize("value", [np.nan, 1e6, "fast"])
def test_impossible_ego_values_are_refused(name, value):
    with pytest.raises(ContractError, match=f"ego.{name}"):
        EgoState(**{name: value})


def test_curvature_follows_from_motion_only_where_it_is_defined():
    assert EgoState.from_motion(speed_mps=10.0, yaw_rate_radps=0.5).curvature_1pm == pytest.approx(0.05)
    assert EgoState.from_motion(speed_mps=1.0, yaw_rate_radps=0.5).curvature_1pm is None


def test_routes_have_a_known_command_and_points_in_the_plane():
    assert [Route(command=command).command for command in ROUTE_COMMANDS] == list(ROUTE_COMMANDS)
    with pytest.raises(ContractError, match=r"route.command: is 'fly'"):
        Route(command="fly")
    with pytest.raises(ContractError, match=r"route.points_m: shape"):
        Route(points_m=np.zeros((2, 3)))


def test_observation_is_checked_against_a_rig():
    rig = load_rig("mono")
    shape = rig.cameras[0].shape
    good = Observation(stamp_ns=1, frames={"front": Frame(image=np.zeros(shape, np.uint8), stamp_ns=1)})
    good.check_rig(rig)
    with pytest.raises(ContractError, match=r"cameras are \['front'\], rig 'quad' needs"):
        good.check_rig(load_rig("quad"))
    small = Observation(stamp_ns=1, frames={"front": Frame(image=np.zeros((2, 2, 3), np.uint8), stamp_ns=1)})
    with pytest.raises(ContractError, match=r"frames\[front\].image: shape is \(2, 2, 3\)"):
        small.check_rig(rig)


@pytest.mark.parametrize("image", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3)), np.zeros((2, 2, 4), np.uint8)])
def test_frames_are_rgb_bytes(image):
    with pytest.raises(ContractError, match=r"frame.image"):
        Frame(image=image, stamp_ns=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height_px": 0}, "height"),
        ({"distortion_model": "bent"}, "distortion_model: is 'bent'"),
        ({"k": np.zeros((3, 3))}, "focal lengths are 0.0, 0.0"),
        ({"d": np.zeros(3)}, "3 coefficients for plumb_bob"),
        ({"d": np.full(5, np.nan)}, r"camera_info.d\[0\]: is nan"),
    ],
)
def test_uncalibrated_cameras_are_refused(changes, message):
    with pytest.raises(ContractError, match=message):
        CameraInfo(**{"height_px": 10, "width_px": 10, "distortion_model": "plumb_bob", "k": np.eye(3), "d": np.zeros(5), **changes})


# Clips and scenes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip_id": ""}, "clip.clip_id"),
        ({"split": "holdout"}, "clip.split: is 'holdout', must be one of train, val, test"),
        ({"end_ns": 0}, "must not be before start_ns 1"),
        ({"weight": -1.0}, "clip.weight"),
        ({"start_ns": 1.0}, "clip.start_ns"),
    ],
)
def test_impossible_clips_are_refused(changes, message):
    with pytest.raises(ContractError, match=message):
        clip(**changes)


def test_a_clip_may_be_one_frame():
    assert clip(end_ns=1).end_ns == 1


AGENT = {"track_id": 1, "kind": "car", "x_m": 1.0, "y_m": 0.0, "yaw_rad": 0.0, "speed_mps": 0.0, "length_m": 4.0, "width_m": 1.8}


@pytest.mark.parametrize("changes", [{"kind": "dragon"}, {"x_m": np.nan}, {"length_m": 0.0}, {"width_m": 100.0}])
def test_impossible_agents_are_refused(changes):
    with pytest.raises(ContractError, match=f"agent.{next(iter(changes))}"):
        Agent(**{**AGENT, **changes})


SCENE_LANE = {"lane_id": "a_0", "centre_m": np.zeros((2, 2)), "width_m": 3.2, "speed_limit_mps": 13.9}
STOP_LINE = {"lane_id": "a_0", "rule": "signal", "ends_m": np.zeros((2, 2))}
LIGHT = {"state": "red", "position_m": np.zeros(3), "lane_id": "a_0"}


def test_a_scene_holds_what_is_seen():
    scene = Scene(lanes=(SceneLane(**SCENE_LANE),), agents=(Agent(**AGENT),), lights=(TrafficLight(**LIGHT),), stop_lines=(StopLine(**STOP_LINE),))
    assert not scene.lanes[0].on_route
    with pytest.raises(ContractError, match=r"scene.crossings\[1\]: shape"):
        Scene(crossings=(np.zeros((4, 2)), np.zeros((4, 3))))


@pytest.mark.parametrize(
    ("kind", "values", "changes"),
    [
        (SceneLane, SCENE_LANE, {"centre_m": np.zeros((2, 3))}),
        (SceneLane, SCENE_LANE, {"lane_id": ""}),
        (SceneLane, SCENE_LANE, {"width_m": 0.0}),
        (SceneLane, SCENE_LANE, {"speed_limit_mps": np.inf}),
        (TrafficLight, LIGHT, {"state": "blue"}),
        (TrafficLight, LIGHT, {"position_m": np.zeros(2)}),
        (StopLine, STOP_LINE, {"rule": "hurry"}),
        (StopLine, STOP_LINE, {"ends_m": np.full((2, 2), np.nan)}),
        (Agent, AGENT, {"indicator": "up"}),
    ],
)
def test_impossible_parts_of_a_scene_are_refused(kind, values, changes):
    with pytest.raises(ContractError, match=next(iter(changes))):
        kind(**{**values, **changes})


# Motion in the plane


@given(st.floats(-1e3, 1e3))
def test_wrapped_angles_are_the_same_direction(angle):
    wrapped = float(wrap_angle(np.array(angle)))
    assert -np.pi < wrapped <= np.pi
    assert np.exp(1j * wrapped) == pytest.approx(np.exp(1j * angle), abs=1e-9)


@given(POSES, st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(-10.0, 10.0)).map(np.array))
def test_frames_of_reference_round_trip(poses, origin):
    back = from_frame(to_frame(poses, origin), origin)
    np.testing.assert_allclose(back[:, :2], poses[:, :2], atol=1e-6)
    np.testing.assert_allclose(np.exp(1j * back[:, 2]), np.exp(1j * poses[:, 2]), atol=1e-9)


def test_what_lies_ahead_has_positive_x_and_what_lies_left_positive_y():
    origin = np.array([10.0, 5.0, np.pi / 2])
    np.testing.assert_allclose(to_frame(np.array([[10.0, 7.0, np.pi / 2], [9.0, 5.0, np.pi]]), origin), [[2, 0, 0], [0, 1, np.pi / 2]], atol=1e-12)


@given(st.floats(-3.14, 3.14))
def test_yaw_survives_a_quaternion(yaw):
    z, w = yaw_quaternion(yaw)
    assert quaternion_yaw(x=0.0, y=0.0, z=z, w=w) == pytest.approx(yaw, abs=1e-12)


def test_a_missing_package_is_told_with_the_command_that_installs_it():
    require_package("numpy", extra="train", purpose="this test")
    with pytest.raises(MimicError, match=re.escape("pip install 'mimic_drive[sim]'")):
        require_package("no_such_package", extra="sim", purpose="this test")
