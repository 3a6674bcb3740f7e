"""Worlds for Gazebo: names, types and topics as gz-sim and ros_gz document them, geometry as vehicle file, rig and town say.

No Gazebo can run here. What is documented was read in gz-sim and gz-sensors (gz-sim8, gz-sensors8: Harmonic) and ros_gz (jazzy).
"""

import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from mimic.cli import main
from mimic.process_table import Table
from mimic_contracts.config import config_dir
from mimic_contracts.errors import ContractError
from mimic_contracts.image_geometry import remap_table
from mimic_contracts.images import CameraInfo
from mimic_contracts.parameters import parameters_from
from mimic_contracts.rig import Rig, load_rig
from mimic_contracts.vehicle import VehicleSpec, VehicleTopics, load_vehicle
from mimic_contracts.vehicle_check import mistakes
from mimic_sim.gazebo_car import track_m, wheel_radius_m
from mimic_sim.gazebo_mesh import TINT_STEPS, write_obj
from mimic_sim.gazebo_world import ODOMETRY_TOPIC, STEP_S, town_mesh, write_world
from mimic_sim.mesh import MeshBuilder
from mimic_sim.road_network import RoadNetwork
from mimic_sim.scene_meshes import ROAD_Z_M
from mimic_sim.textures import LAYER, texture_layers
from mimic_sim.world import load_road
from perception.camera_parameters import CameraParameters, by_camera
from vehicle_interface.command_timeout_parameters import CommandTimeoutParameters
from vehicle_interface.vehicle_interface_parameters import VehicleInterfaceParameters

STREET = str(Path(__file__).with_name("street.net.xml.gz"))
VEHICLE = load_vehicle("gazebo")
# File and class of each system: the files are named in src/systems/CMakeLists.txt and */CMakeLists.txt, the classes in the aliases
# at the end of */*.cc; children as their headers describe them.
SYSTEMS = {
    "gz-sim-physics-system": ("gz::sim::systems::Physics", set()),
    "gz-sim-user-commands-system": ("gz::sim::systems::UserCommands", set()),
    "gz-sim-scene-broadcaster-system": ("gz::sim::systems::SceneBroadcaster", set()),
    "gz-sim-sensors-system": ("gz::sim::systems::Sensors", {"render_engine"}),
    "gz-sim-ackermann-steering-system": (
        "gz::sim::systems::AckermannSteering",
        {"left_joint", "right_joint", "left_steering_joint", "right_steering_joint", "wheel_base", "wheel_separation", "kingpin_width"}
        | {"wheel_radius", "steering_limit", "steer_p_gain", "min_acceleration", "max_acceleration", "topic", "odom_topic", "tf_topic"},
    ),
    "gz-sim-odometry-publisher-system": (
        "gz::sim::systems::OdometryPublisher",
        {"odom_frame", "robot_base_frame", "odom_topic", "odom_publish_frequency", "dimensions"},
    ),
}
PAIRS = {  # of ros_gz_bridge/README.md
    ("rosgraph_msgs/msg/Clock", "gz.msgs.Clock"),
    ("nav_msgs/msg/Odometry", "gz.msgs.Odometry"),
    ("geometry_msgs/msg/Twist", "gz.msgs.Twist"),
    ("sensor_msgs/msg/Image", "gz.msgs.Image"),
    ("sensor_msgs/msg/CameraInfo", "gz.msgs.CameraInfo"),
}


@pytest.fixture(scope="module")
def street() -> RoadNetwork:
    return load_road(STREET)


@pytest.fixture(scope="module", params=["gazebo", "gazebo_mono"])
def made(request: pytest.FixtureRequest, street: RoadNetwork, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rig]:
    folder, vehicle = tmp_path_factory.mktemp(request.param), load_vehicle(request.param)
    write_world(street, vehicle, folder, seed=3)
    return folder, load_rig(vehicle.rig)


def world_of(folder: Path) -> ElementTree.Element:
    root = ElementTree.parse(folder / "world.sdf").getroot()
    assert (root.tag, root.get("version")) == ("sdf", "1.9")
    return root.find("world")


def numbers(element: ElementTree.Element, path: str) -> list[float]:
    return [float(word) for word in element.findtext(path).split()]


def car_of(folder: Path) -> ElementTree.Element:
    return world_of(folder).find("model[@name='ego']")


def plugin_of(element: ElementTree.Element, filename: str) -> ElementTree.Element:
    return element.find(f"plugin[@filename='{filename}']")


def obj_of(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Points (P, 3), texture coordinates (T, 2), corners of triangles (F, 3, 3) [point, uv, normal], and the material of each."""
    points, uv, faces, materials, material = [], [], [], [], ""
    for line in (folder / "meshes" / "town.obj").read_text(encoding="utf-8").splitlines():
        tag, *words = line.split()
        if tag == "v":
            points.append([float(word) for word in words])
        elif tag == "vt":
            uv.append([float(word) for word in words])
        elif tag == "usemtl":
            material = words[0]
        elif tag == "f":
            faces.append([[int(index) - 1 for index in word.split("/")] for word in words])
            materials.append(material)
    return np.array(points), np.array(uv), np.array(faces), materials


# Names, topics, types


def test_systems_are_those_that_gz_sim_documents(made: tuple[Path, Rig]) -> None:
    world = world_of(made[0])
    plugins = list(world.iter("plugin"))
    assert {plugin.get("filename") for plugin in plugins} == SYSTEMS.keys() and len(plugins) == len(SYSTEMS)
    for plugin in plugins:
        name, children = SYSTEMS[plugin.get("filename")]
        assert plugin.get("name") == name
        assert {child.tag for child in plugin} == children
    of_car = {plugin.get("filename") for plugin in car_of(made[0]).findall("plugin")}
    assert of_car == {"gz-sim-ackermann-steering-system", "gz-sim-odometry-publisher-system"}
    assert plugin_of(world, "gz-sim-sensors-system").findtext("render_engine") == "ogre2"


def test_the_bridge_joins_the_worlds_topics_to_those_that_our_nodes_use(made: tuple[Path, Rig]) -> None:
    folder, rig = made
    entries = yaml.safe_load((folder / "bridge.yaml").read_text(encoding="utf-8"))
    assert all(set(entry) == {"ros_topic_name", "gz_topic_name", "ros_type_name", "gz_type_name", "direction"} for entry in entries)
    assert {(entry["ros_type_name"], entry["gz_type_name"]) for entry in entries} == PAIRS
    car = car_of(folder)
    steering, odometry = plugin_of(car, "gz-sim-ackermann-steering-system"), plugin_of(car, "gz-sim-odometry-publisher-system")
    sensors = list(car.iter("sensor"))
    vehicle = "gazebo" if rig.name == "quad" else "gazebo_mono"
    specs = {spec.name: spec.parameters for spec in Table.load("gazebo").process_specs({"policy": "p", "vehicle": vehicle})}
    camera = parameters_from(CameraParameters, {key: value for key, value in specs["camera_node"].items() if key != "use_sim_time"}, "camera_node")
    interface, timeout = VehicleInterfaceParameters(), CommandTimeoutParameters()
    out_of_gazebo = {
        "/clock": "/clock",  # gz-sim, src/SimulationRunner.cc
        odometry.findtext("odom_topic"): f"/{interface.odometry_topic}",  # our nodes' names are relative, the bridge's are not
        **{sensor.findtext("topic"): f"/{by_camera('topics', camera.topics)[sensor.get('name')]}" for sensor in sensors},
        **{sensor.findtext("camera/camera_info_topic"): f"/{by_camera('info_topics', camera.info_topics)[sensor.get('name')]}" for sensor in sensors},
    }
    found = {entry["gz_topic_name"]: entry["ros_topic_name"] for entry in entries if entry["direction"] == "GZ_TO_ROS"}
    assert found == out_of_gazebo and len(found) == 2 + 2 * len(rig.cameras)
    into_gazebo = [(entry["ros_topic_name"], entry["gz_topic_name"]) for entry in entries if entry["direction"] == "ROS_TO_GZ"]
    assert into_gazebo == [(f"/{timeout.vehicle_topic}", steering.findtext("topic"))]
    assert timeout.command_topic == interface.command_topic and VEHICLE.adapter == "twist"


def test_two_systems_do_not_share_a_topic(made: tuple[Path, Rig]) -> None:
    topics = [element.text for element in world_of(made[0]).iter() if element.tag.endswith("topic")]
    assert len(topics) == len(set(topics)) and all(topic.startswith("/") for topic in topics)


def test_nothing_but_the_command_timeout_reaches_gazebos_car() -> None:
    specs = {spec.name: spec for spec in Table.load("gazebo").process_specs({"policy": "p"})}
    assert specs["vehicle_interface_node"].parameters["supervisor_required"] is True
    assert list(specs)[-3:] == ["command_timeout_node", "vehicle_interface_node", "lifecycle_manager_node"], "who brakes is there first"
    clocks = {name: spec.parameters.get("use_sim_time") for name, spec in specs.items()}
    assert [name for name, is_simulated in clocks.items() if not is_simulated] == ["command_timeout_node", "lifecycle_manager_node"]
    launch = (config_dir().parent / "launch" / "gazebo.launch.py").read_text(encoding="utf-8")
    assert '"ros_gz_sim"' in launch and "/launch/gz_sim.launch.py" in launch
    assert 'package="ros_gz_bridge", executable="parameter_bridge"' in launch and '"config_file"' in launch


# Geometry


@pytest.mark.parametrize("name", ["gazebo", "twist_car"])
def test_the_car_is_the_vehicle_files(name: str, street: RoadNetwork, tmp_path: Path) -> None:
    vehicle = load_vehicle(name)
    x_m, y_m, yaw_rad = write_world(street, vehicle, tmp_path, seed=3)
    car = car_of(tmp_path)
    assert numbers(car, "pose") == pytest.approx([x_m, y_m, 0.0, 0.0, 0.0, yaw_rad])
    assert car.find("link").get("name") == "base_link" and car.find("link").find("pose") is None, "its frame is the model's"
    steering = plugin_of(car, "gz-sim-ackermann-steering-system")
    values = {element.tag: float(element.text) for element in steering if re.fullmatch(r"[-.\de]+", element.text)}
    assert values["wheel_base"] == vehicle.wheelbase_m
    assert values["wheel_separation"] == values["kingpin_width"] == pytest.approx(track_m(vehicle)) and track_m(vehicle) < vehicle.width_m
    # The tightest turn, by the formula that it is made from: asin(wheel_base / turning_radius).
    assert vehicle.wheelbase_m / math.sin(values["steering_limit"]) == pytest.approx(1.0 / vehicle.limits.max_curvature_1pm)
    assert values["max_acceleration"] == -values["min_acceleration"] == -vehicle.limits.min_emergency_acceleration_mps2
    assert not {"min_velocity", "max_velocity"} & values.keys(), "gz-sim would hold them for the yaw rate, too"
    radius = wheel_radius_m(vehicle)
    for end, x in (("rear", 0.0), ("front", vehicle.wheelbase_m)):
        for side, sign in (("left", 1.0), ("right", -1.0)):
            wheel = car.find(f"link[@name='{end}_{side}_wheel']")
            assert numbers(wheel, "pose") == pytest.approx([x, sign * track_m(vehicle) / 2.0, radius, -math.pi / 2.0, 0.0, 0.0])
            assert [*numbers(wheel, "collision/geometry/cylinder/radius"), values["wheel_radius"]] == pytest.approx([radius, radius])
    body = car.find("link/collision")
    middle, size = numbers(body, "pose"), numbers(body, "geometry/box/size")
    assert size[:2] == pytest.approx([vehicle.length_m, vehicle.width_m])
    assert middle[0] - size[0] / 2.0 == pytest.approx(-vehicle.rear_overhang_m) and middle[2] - size[2] / 2.0 > 0.1


def test_joints_turn_forward_and_to_the_left(made: tuple[Path, Rig]) -> None:
    car = car_of(made[0])
    joints = {joint.get("name"): joint for joint in car.findall("joint")}
    links = {link.get("name") for link in car.findall("link")}
    assert len(joints) == 6
    for name, joint in joints.items():
        assert {joint.findtext("parent"), joint.findtext("child")} <= links
        assert joint.find("axis/xyz").get("expressed_in") == "__model__"
        assert numbers(joint, "axis/xyz") == ([0.0, 0.0, 1.0] if name.endswith("steering") else [0.0, 1.0, 0.0])
    steering = plugin_of(car, "gz-sim-ackermann-steering-system")
    driven = [steering.findtext(f"{side}_joint") for side in ("left", "right")]
    steered = [steering.findtext(f"{side}_steering_joint") for side in ("left", "right")]
    assert driven == ["rear_left_axle", "rear_right_axle"] and steered == ["front_left_steering", "front_right_steering"]
    # What gz-sim asks of the inner wheel in the tightest turn is within the end stops.
    radius_m = 1.0 / VEHICLE.limits.max_curvature_1pm
    inner_rad = math.atan(VEHICLE.wheelbase_m / (radius_m - track_m(VEHICLE) / 2.0))
    for name in steered:
        low, high = (numbers(joints[name], f"axis/limit/{end}")[0] for end in ("lower", "upper"))
        assert inner_rad < high == -low < inner_rad + 0.05


def test_masses_are_those_of_bodies(made: tuple[Path, Rig]) -> None:
    for inertial in car_of(made[0]).iter("inertial"):
        a, b, c = sorted(numbers(inertial, f"inertia/{name}")[0] for name in ("ixx", "iyy", "izz"))
        assert a > 0.0 and a + b >= c - 1e-6
    masses = [numbers(inertial, "mass")[0] for inertial in car_of(made[0]).iter("inertial")]
    assert 1300.0 < sum(masses) < 1700.0


def test_cameras_are_the_rigs_where_the_vehicle_has_them(made: tuple[Path, Rig]) -> None:
    folder, rig = made
    sensors = list(car_of(folder).iter("sensor"))
    assert [(sensor.get("name"), sensor.get("type")) for sensor in sensors] == [(camera.name, "camera") for camera in rig.cameras]
    for sensor, camera in zip(sensors, rig.cameras, strict=True):
        mounting = VEHICLE.cameras[camera.name]
        angles = [mounting.roll_rad, mounting.pitch_rad, mounting.yaw_rad]
        assert numbers(sensor, "pose") == pytest.approx([mounting.x_m, mounting.y_m, mounting.z_m, *angles])
        assert numbers(sensor, "camera/horizontal_fov") == pytest.approx([camera.horizontal_fov_rad])
        size = [int(sensor.findtext(f"camera/image/{name}")) for name in ("height", "width")]
        assert size == [camera.height_px, camera.width_px] and sensor.findtext("camera/image/format") == "R8G8B8"
        lens = sensor.find("camera/lens")
        fx, fy, cx, cy = (numbers(lens, f"intrinsics/{name}")[0] for name in ("fx", "fy", "cx", "cy"))
        # What gz-sensors tells as K warps to the very same pixels.
        info = CameraInfo(height_px=size[0], width_px=size[1], distortion_model="plumb_bob", k=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), d=np.zeros(5))
        v, u = np.mgrid[0 : size[0], 0 : size[1]]
        assert np.allclose(remap_table(camera, info, mounting), np.stack([u, v], axis=2), atol=1e-4)
        # What it draws with is centred, counted from the corner of the picture.
        assert [numbers(lens, f"projection/p_{name}")[0] for name in ("cx", "cy")] == [size[1] / 2.0, size[0] / 2.0]
        assert [numbers(lens, f"projection/p_{name}")[0] for name in ("fx", "fy")] == pytest.approx([fx, fy])
        assert sensor.findtext("camera/optical_frame_id") == f"{camera.name}_optical_frame"


def test_cameras_do_not_see_their_own_car(made: tuple[Path, Rig]) -> None:
    car = car_of(made[0])
    flags = {int(visual.findtext("visibility_flags")) for visual in car.iter("visual")}
    masks = {int(sensor.findtext("camera/visibility_mask")) for sensor in car.iter("sensor")}
    assert all(flag & mask == 0 for flag in flags for mask in masks)
    assert all(flag & 0x0FFFFFFF & ~3 for flag in flags), "the window's camera does; the two lowest bits are gz-rendering's own"
    assert all(visual.find("visibility_flags") is None for visual in world_of(made[0]).find("model").iter("visual"))


def test_odometry_is_the_egos_and_comes_after_its_wrong_first_step(made: tuple[Path, Rig]) -> None:
    odometry = plugin_of(car_of(made[0]), "gz-sim-odometry-publisher-system")
    assert (odometry.findtext("odom_frame"), odometry.findtext("robot_base_frame"), odometry.findtext("dimensions")) == ("odom", "base_link", "2")
    assert odometry.findtext("odom_topic") == ODOMETRY_TOPIC
    steps = 1.0 / float(odometry.findtext("odom_publish_frequency")) / STEP_S
    assert numbers(world_of(made[0]), "physics/max_step_size") == [STEP_S] and steps > 11, "its speeds are means of ten steps, wrong at the second"


def test_the_car_starts_in_a_lane(street: RoadNetwork, tmp_path: Path) -> None:
    x, y, yaw = write_world(street, VEHICLE, tmp_path, seed=3)
    places = np.concatenate([line.poses(line.s_m) for line in (street.line([lane.lane_id]) for lane in street.lanes)])
    away = np.hypot(places[:, 0] - x, places[:, 1] - y)
    assert away.min() < 0.3 and math.cos(places[away.argmin(), 2] - yaw) > 0.99


# The town


def test_there_is_asphalt_under_every_lane(made: tuple[Path, Rig], street: RoadNetwork) -> None:
    points, _, faces, materials = obj_of(made[0])
    triangles = points[faces[:, :, 0]]
    is_road = np.array([name.startswith("asphalt") for name in materials])
    a, b, c = np.moveaxis(triangles[is_road], 1, 0)
    assert (triangles[is_road][..., 2] == ROAD_Z_M).all(), "where the ground is solid"
    for lane in street.lanes:
        for place in lane.centre_m[2:-2:10]:
            sides = np.stack([(q - p)[:, 0] * (place[1] - p[:, 1]) - (q - p)[:, 1] * (place[0] - p[:, 0]) for p, q in ((a, b), (b, c), (c, a))])
            assert (sides >= -1e-6).all(axis=0).any(), f"{lane.lane_id} at {place}"
    mesh = town_mesh(street, seed=3)
    assert len(mesh.vertices) // 4 <= len(faces) <= len(mesh.vertices) // 2
    assert np.allclose(points.min(axis=0), mesh.vertices[:, :3].min(axis=0), atol=1e-3)
    assert np.allclose(points.max(axis=0), mesh.vertices[:, :3].max(axis=0), atol=1e-3)


def test_materials_have_a_surface_a_tint_and_no_gloss(made: tuple[Path, Rig]) -> None:
    folder = made[0] / "meshes"
    text = (folder / "town.mtl").read_text(encoding="utf-8")
    blocks = {block.split()[0]: block for block in text.split("newmtl ")[1:]}
    assert set(obj_of(made[0])[3]) == set(blocks)
    for name, block in blocks.items():
        assert (folder / re.search(r"map_Kd (\S+)", block).group(1)).is_file() and block.count("Pr 0.9") == block.count("Pm 0") == 1, name
        assert all(0.0 <= float(word) <= 1.0 for word in re.search(r"Kd (.*)", block).group(1).split()), "gz-math divides more by 255"
    assert (folder / "town.obj").read_text(encoding="utf-8").startswith("mtllib town.mtl\n")


def test_a_quad_and_a_triangle_are_written_as_they_lie(tmp_path: Path) -> None:
    import cv2

    builder = MeshBuilder("road")
    square = np.array([[(0, 0, 0), (4, 0, 0), (4, 2, 0), (0, 2, 0)], [(0, 0, 1), (4, 0, 1), (4, 2, 1), (4, 2, 1)]], np.float64)
    builder.add(square, "plaster", uv=square[..., :2] / 4.0, tint=(0.5, 3.0, 0.26))
    write_obj(builder.build(), tmp_path / "meshes" / "town.obj")
    points, uv, faces, materials = obj_of(tmp_path)
    assert set(materials) == {f"plaster_4_{TINT_STEPS}_2"} and faces.shape == (3, 3, 3)
    corners = points[faces[:, :, 0]]
    assert (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0.0).all(), "seen from above"
    assert np.allclose(uv[faces[:, :, 1]], corners[..., :2] / 4.0)
    assert "Kd 0.2500 1.0000 0.0625" in (tmp_path / "meshes" / "town.mtl").read_text(encoding="utf-8")
    picture = cv2.cvtColor(cv2.imread(str(tmp_path / "meshes" / "plaster.png"), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGR2RGB)
    assert np.array_equal(picture[::-1], texture_layers()[LAYER["plaster"], ..., :3]), "a picture begins at its top"


def test_the_same_inputs_give_the_same_bytes(street: RoadNetwork, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_world(load_road(STREET) if name == "one" else street, VEHICLE, tmp_path / name, seed=3)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert {"world.sdf", "bridge.yaml", "meshes/town.obj", "meshes/town.mtl"} <= set(map(str, files))
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)
    write_world(street, VEHICLE, tmp_path / "other", seed=4)
    assert (tmp_path / "other" / "meshes" / "town.obj").read_bytes() != (tmp_path / "one" / "meshes" / "town.obj").read_bytes()


def run_sdf(checker: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([checker, "sdf", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("vehicle", ["gazebo", "gazebo_mono"])
def test_libsdformat_finds_the_world_valid(vehicle: str, street: RoadNetwork, tmp_path: Path) -> None:
    checker = next((name for name in ("gz", "ign") if shutil.which(name) and run_sdf(name, "--versions").returncode == 0), None)
    if checker is None:
        pytest.skip("neither gz nor ign is installed: they come with Gazebo, or apt install ignition-tools libsdformat-dev")
    write_world(street, load_vehicle(vehicle), tmp_path, seed=3)
    checked = run_sdf(checker, "--check", str(tmp_path / "world.sdf"))
    assert checked.returncode == 0 and checked.stdout.strip() == "Valid.", checked.stdout + checked.stderr
    assert "Warning" not in checked.stderr, checked.stderr  # of elements that SDF does not know


# What cannot be made


@pytest.mark.parametrize(
    ("vehicle", "words"),
    [
        (load_vehicle("simulator"), "adapter is twist_stamped, must be twist, which Gazebo's car takes"),
        (replace(VEHICLE, cameras={}), "says no mounting of camera front, tele, left, right of rig 'quad': add it under cameras"),
        (replace(VEHICLE, topics=VehicleTopics(transport="compressed")), "topics.transport is compressed, must be raw, which the bridge carries"),
        (replace(VEHICLE, limits=replace(VEHICLE.limits, max_curvature_1pm=0.4)), "limits.max_curvature_1pm is 0.4, must be below 1 / wheelbase_m, 0.357"),
    ],
)
def test_an_impossible_vehicle_is_refused_before_anything_is_written(vehicle: VehicleSpec, words: str, street: RoadNetwork, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=re.escape(words)):
        write_world(street, vehicle, tmp_path / "out", seed=3)
    assert not (tmp_path / "out").exists()


def test_the_vehicle_file_has_no_mistakes_and_is_the_simulators_car() -> None:
    assert mistakes(VEHICLE, load_rig(VEHICLE.rig)) == []
    assert replace(VEHICLE, name="simulator_quad", adapter="twist_stamped") == load_vehicle("simulator_quad")


# The command


def test_the_command_writes_a_world_and_never_over_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "world"
    arguments = ["sim", "gazebo", "--town", "course", "--out", str(out)]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.keys() == {"town", "vehicle", "start_x_m", "start_y_m", "start_yaw_rad", "out"}
    assert sorted(path.name for path in out.iterdir()) == ["bridge.yaml", "meshes", "world.sdf"]
    assert world_of(out).get("name") == "course"
    assert main(arguments) == 2 and "exists: choose another or add --overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--seed", "-1"]) == 2 and "--seed: is -1" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--vehicle", "simulator"]) == 1 and "adapter is twist_stamped" in capsys.readouterr().err
    assert (out / "world.sdf").is_file(), "what could not be made replaces nothing"
    assert main([*arguments, "--overwrite"]) == 0 and [path.name for path in tmp_path.iterdir()] == ["world"]
