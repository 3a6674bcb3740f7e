"""Configuration files become checked dataclasses; what is wrong is named with its file and key."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mimic_contracts.config import build, config_dir, load_yaml, models_dir, resolve_config
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.parameters import parameter, parameters_from, parameters_from_file
from mimic_contracts.rig import CameraSpec, Mounting, Rig, load_rig
from mimic_contracts.vehicle import ActuationLimits, load_vehicle

MONO, QUAD = load_rig("mono"), load_rig("quad")
ANGLES = st.floats(-3.0, 3.0)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    rate_hz: float = parameter(10.0, "A rate.", low=1.0, high=100.0)
    count: int = parameter(3, "A number.", low=0)
    mode: str = parameter("slow", "A choice.", choices=("slow", "fast"))
    topics: tuple[str, ...] = parameter(("/a",), "Topics.")
    is_on: bool = parameter(False, "A switch.")


def written(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def vehicle_file(tmp_path: Path, **changes: object) -> Path:
    content = load_yaml(config_dir() / "vehicles" / "simulator.yaml")
    return written(tmp_path / "vehicle.yaml", {**content, **changes})


# YAML, and where it is found


def test_configuration_is_found_by_name_by_file_name_and_by_path(tmp_path, monkeypatch):
    expected = config_dir() / "rigs" / "mono.yaml"
    assert resolve_config("rigs", "mono") == resolve_config("rigs", "mono.yaml") == resolve_config("rigs", expected) == expected
    own = written(tmp_path / "own.yaml", {})
    assert resolve_config("rigs", own) == own


def test_models_lie_beside_the_configuration():
    assert models_dir().parent == config_dir().parent and models_dir().name == "models"


def test_unknown_configuration_lists_the_known():
    with pytest.raises(MimicError, match="rigs: 'stereo' is neither a YAML file nor one of: mono, quad"):
        resolve_config("rigs", "stereo")


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2", "", "a: 1\n\tb: 2"])
def test_what_is_no_mapping_is_refused_by_name(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MimicError, match=r"bad.yaml: (is not valid YAML|holds a)"):
        load_yaml(path)


def test_unreadable_files_are_refused_by_name(tmp_path):
    with pytest.raises(MimicError, match=r"absent.yaml: cannot be read"):
        load_yaml(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(MimicError, match=r"binary.yaml: is not valid YAML"):
        load_yaml(tmp_path / "binary.yaml")


def test_unknown_and_missing_keys_are_named():
    values = {"name": "front", "height_px": 128, "width_px": 256, "horizontal_fov_rad": 1.0}
    with pytest.raises(ContractError, match="here: unknown key fov; allowed: name, height_px"):
        build(CameraSpec, {**values, "fov": 1}, "here")
    with pytest.raises(ContractError, match="here: missing key mounting"):
        build(CameraSpec, values, "here")


# Rigs


def test_rigs_are_those_of_the_design():
    assert [(c.name, c.shape[:2], round(np.degrees(c.horizontal_fov_rad))) for c in QUAD.cameras] == [
        ("front", (128, 256), 60),
        ("tele", (64, 128), 24),
        ("left", (64, 160), 80),
        ("right", (64, 160), 80),
    ]
    assert np.degrees(QUAD.camera("left").mounting.yaw_rad) == pytest.approx(70.0)
    assert np.degrees(QUAD.camera("right").mounting.yaw_rad) == pytest.approx(-70.0)
    assert np.degrees(QUAD.camera("tele").mounting.pitch_rad) == pytest.approx(-3.0)  # up: positive looks down
    assert MONO.cameras == QUAD.cameras[:1]


@pytest.mark.parametrize("rig", [MONO, QUAD], ids=lambda rig: rig.name)
def test_packed_pictures_come_back_unchanged(rig):
    rng = np.random.default_rng(1)
    images = {camera.name: rng.integers(0, 256, camera.shape, np.uint8) for camera in rig.cameras}
    packed = rig.pack(images)
    assert packed.shape == rig.packed_shape
    for name, image in rig.unpack(packed).items():
        np.testing.assert_array_equal(image, images[name])


def test_packing_names_the_camera_that_is_wrong():
    images = {camera.name: np.zeros(camera.shape, np.uint8) for camera in QUAD.cameras}
    with pytest.raises(ContractError, match="frames: camera 'tele' of rig 'quad' is missing"):
        QUAD.pack({name: image for name, image in images.items() if name != "tele"})
    with pytest.raises(ContractError, match=r"frames\[left\]: shape is \(1, 1, 3\)"):
        QUAD.pack({**images, "left": np.zeros((1, 1, 3), np.uint8)})
    with pytest.raises(ContractError, match="packed frame: shape"):
        QUAD.unpack(images["front"])
    with pytest.raises(ContractError, match="camera: 'rear' is not in rig 'quad', which has front, tele, left, right"):
        QUAD.camera("rear")


@given(ANGLES, ANGLES, ANGLES)
def test_mounting_is_a_rotation(roll, pitch, yaw):
    rotation = Mounting(x_m=0.0, y_m=0.0, z_m=1.0, roll_rad=roll, pitch_rad=pitch, yaw_rad=yaw).rotation()
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_positive_yaw_looks_left_and_positive_pitch_looks_down():
    left = Mounting(x_m=0.0, y_m=0.0, z_m=0.0, yaw_rad=np.pi / 2).rotation()[:, 0]
    down = Mounting(x_m=0.0, y_m=0.0, z_m=0.0, pitch_rad=np.pi / 2).rotation()[:, 0]
    np.testing.assert_allclose(left, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(down, [0, 0, -1], atol=1e-12)


def test_intrinsics_see_the_field_of_view_from_edge_to_edge():
    camera = MONO.camera("front")
    k = camera.intrinsics()
    edge_u = camera.width_px - 0.5
    assert np.arctan((edge_u - k[0, 2]) / k[0, 0]) == pytest.approx(camera.horizontal_fov_rad / 2)
    assert k[0, 0] == k[1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cameras": [1]}, "keys are"),
        ({"name": "x"}, "must be name and cameras"),
        ({"name": "x", "cameras": {}}, "at least one"),
        ({"name": "x", "cameras": {"front": {"height_px": 128}}}, "cameras.front: missing key"),
        ({"name": "x", "cameras": {"front": 3}}, "cameras.front: is 3, must be a mapping"),
        ({"name": "x", "cameras": {"front": {"roll_deg": "no"}}}, "cameras.front.roll_deg: is 'no', must be a number"),
    ],
)
def test_impossible_rig_files_are_refused(tmp_path, change, message):
    with pytest.raises(ContractError, match=message):
        load_rig(written(tmp_path / "rig.yaml", change))


def test_cameras_of_a_rig_have_different_names():
    with pytest.raises(ContractError, match="all different"):
        Rig("twice", (MONO.cameras[0], MONO.cameras[0]))


# Vehicles


@pytest.mark.parametrize("path", sorted((config_dir() / "vehicles").glob("*.yaml")), ids=lambda p: p.stem)
def test_vehicle_files_are_valid_and_their_rig_exists(path):
    vehicle = load_vehicle(path)
    assert vehicle.name == path.stem
    load_rig(vehicle.rig)


@pytest.mark.parametrize("limit", [f for f in fields(ActuationLimits) if isinstance(f.default, float)], ids=lambda f: f.name)
def test_a_vehicle_can_tighten_a_limit_but_never_loosen_it(limit):
    hard = {"max_speed_mps": 20.0, "max_curvature_1pm": 0.2}
    assert getattr(ActuationLimits(**hard, **{limit.name: 0.9 * limit.default}), limit.name) == 0.9 * limit.default
    for value in (limit.default * 1.001, -limit.default, 0.0, np.nan):
        with pytest.raises(ContractError, match=f"limits.{limit.name}"):
            ActuationLimits(**hard, **{limit.name: value})


@pytest.mark.parametrize("weak", [{"min_emergency_acceleration_mps2": -3.0}, {"max_emergency_jerk_mps3": 4.9}])
def test_an_emergency_brakes_no_less_than_usual(weak):
    with pytest.raises(ContractError, match=f"limits.{next(iter(weak))}: is .*, must not be less than m.*: an emergency brakes harder"):
        ActuationLimits(max_speed_mps=10.0, max_curvature_1pm=0.2, **weak)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wheelbase_m": 0.0}, "wheelbase_m: is 0.0"),
        ({"adapter": "telepathy"}, "adapter: is 'telepathy', must be one of"),
        ({"limits": {"max_speed_mps": 25.0}}, "limits: missing key max_curvature_1pm"),
        ({"limits": {"max_speed_mps": 1e9, "max_curvature_1pm": 0.1}}, "max_speed_mps: is 1000000000.0"),
        ({"cameras": {"front": {"x_m": 0.0}}}, "cameras.front: missing key y_m, z_m"),
        ({"colour": "red"}, "unknown key colour"),
        ({"command_timeout_s": 10.0}, "command_timeout_s"),
        ({"driver_override_required": "yes"}, "driver_override_required: is 'yes', must be true or false"),
        ({"topics": {"odometry": "odom"}}, "topics.odometry: is 'odom', must begin with /"),
        ({"topics": {"fault": "dbw"}}, "topics.fault: is 'dbw', must begin with /"),
        ({"topics": {"enable": 7}}, "topics.enable: "),
        ({"topics": {"images": {"front": "camera"}}}, "topics.images.front: is 'camera', must begin with /"),
        ({"topics": {"camera_infos": ["/camera"]}}, "topics.camera_infos: is .*, must be a mapping of cameras to topics"),
        ({"topics": {"transport": "smoke"}}, "topics.transport: is 'smoke', must be one of raw, compressed"),
        ({"steering_offset_rad": 2.0}, "steering_offset_rad: is 2.0"),
        ({"adapter": "throttle_brake"}, "longitudinal: is missing, adapter 'throttle_brake' needs it; `mimic vehicle identify`"),
        ({"longitudinal": {"throttle_gain_mps2": 4.0}}, "longitudinal: missing key brake_gain_mps2"),
        ({"longitudinal": {"throttle_gain_mps2": 0.0, "brake_gain_mps2": 9.0}}, "longitudinal: longitudinal.throttle_gain_mps2: is 0.0"),
        ({"longitudinal": {"throttle_gain_mps2": 4.0, "brake_gain_mps2": 9.0, "brake_dead_band": 0.4}}, "longitudinal.standstill_brake: is 0.3"),
    ],
)
def test_impossible_vehicle_files_are_refused(tmp_path, changes, message):
    with pytest.raises(ContractError, match=message):
        load_vehicle(vehicle_file(tmp_path, **changes))


# Parameters


def test_parameters_come_from_a_ros_parameter_file(tmp_path):
    content = {"my_node": {"ros__parameters": {"rate_hz": 20.0, "topics": ["/b", "/c"], "mode": "fast"}}}
    loaded = parameters_from_file(Parameters, str(written(tmp_path / "p.yaml", content)), "my_node")
    assert loaded == Parameters(rate_hz=20.0, topics=("/b", "/c"), mode="fast")
    everyone = written(tmp_path / "all.yaml", {"/**": {"ros__parameters": {"count": 7}}})
    assert parameters_from_file(Parameters, str(everyone), "my_node").count == 7


@pytest.mark.parametrize("content", [{}, {"other": {"ros__parameters": {}}}, {"my_node": {"rate_hz": 1.0}}, {"my_node": None}])
def test_a_file_without_the_nodes_section_is_refused(tmp_path, content):
    with pytest.raises(ContractError, match="has no section 'my_node'"):
        parameters_from_file(Parameters, str(written(tmp_path / "p.yaml", content)), "my_node")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate_hz": 0.9}, r"n: rate_hz: is 0.9, must be finite and within \[1.0, 100.0\]"),
        ({"rate_hz": 100.1}, "rate_hz"),
        ({"rate_hz": "fast"}, "rate_hz: is 'fast', must be a number"),
        ({"rate_hz": True}, "rate_hz"),
        ({"count": -1}, "count"),
        ({"count": 1.0}, "count: is 1.0, must be an integer"),
        ({"mode": "warp"}, "mode: is 'warp', must be one of slow, fast"),
        ({"mode": 1}, "mode: is 1, must be a str"),
        ({"topics": "/a"}, "topics: is '/a', must be a tuple"),
        ({"topics": [1]}, "topics: is .* must be a list of texts"),
        ({"is_on": 1}, "is_on: is 1, must be a bool"),
        ({"speed": 1}, "n: unknown key speed"),
    ],
)
def test_impossible_parameters_are_refused(values, message):
    with pytest.raises(ContractError, match=message):
        parameters_from(Parameters, values, "n")


@given(st.floats(1.0, 100.0), st.integers(0, 10**6), st.sampled_from(["slow", "fast"]), st.lists(st.text()), st.booleans())
def test_possible_parameters_are_kept_as_they_are(rate_hz, count, mode, topics, is_on):
    loaded = parameters_from(Parameters, {"rate_hz": rate_hz, "count": count, "mode": mode, "topics": topics, "is_on": is_on}, "n")
    assert loaded == Parameters(rate_hz=rate_hz, count=count, mode=mode, topics=tuple(topics), is_on=is_on)


def test_a_parameter_without_description_is_refused():
    @dataclass(frozen=True)
    class Undescribed:
        rate_hz: float = 1.0

    with pytest.raises(ContractError, match="rate_hz: is not declared with parameter"):
        parameters_from(Undescribed, {}, "n")


def test_where_a_vehicle_may_be_driven_is_read_from_its_file(tmp_path):
    content = load_yaml(config_dir() / "vehicles" / "twist_car.yaml")
    content["odd"] = {"max_speed_mps": 8.0, "geofence_m": [[0, 0], [10, 0], [10, 5]]}
    odd = load_vehicle(written(tmp_path / "fenced.yaml", content)).odd
    assert (odd.max_speed_mps, odd.min_brightness, odd.geofence_m) == (8.0, 0.0, ((0.0, 0.0), (10.0, 0.0), (10.0, 5.0)))
    assert load_vehicle("twist_car").odd.min_brightness == 20.0
    content["odd"] = {"weather": "dry"}
    with pytest.raises(ContractError, match=r"fenced.yaml: odd: unknown key weather; allowed: max_speed_mps, min_brightness, geofence_m"):
        load_vehicle(written(tmp_path / "fenced.yaml", content))
