"""A town of the built-in simulator with a car in it, for gz-sim (Harmonic and newer), and what carries its topics to ROS.

The town is the built-in simulator's own mesh, in the same coordinates. Nothing in it moves or changes: no traffic, signals are
switched off, it is always day; only the ground, flat, is solid. Sources of names and types: gz-sim (branch gz-sim8), src/systems and
examples/worlds; ros_gz (branch jazzy), ros_gz_bridge/README.md; sdformat (sdf12), sdf/1.9/*.sdf.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

import numpy as np
import yaml

from mimic_contracts.rig import Rig, load_rig
from mimic_contracts.vehicle import VehicleSpec
from mimic_sim.course import EGO_LANE
from mimic_sim.gazebo_car import COMMAND_TOPIC, ODOMETRY_TOPIC, add_car
from mimic_sim.gazebo_mesh import write_obj
from mimic_sim.looks import DAY
from mimic_sim.mesh import VERTEX_FLOATS, Mesh, MeshBuilder
from mimic_sim.road_network import RoadNetwork
from mimic_sim.routing import random_way
from mimic_sim.scene_meshes import scene_mesh
from mimic_sim.signal_meshes import Lamps

WORLD_FILE, MESH_FILE, BRIDGE_FILE = "world.sdf", "meshes/town.obj", "bridge.yaml"
SDF_VERSION = "1.9"
STEP_S = 0.001
START_M, WAY_M = 5.0, 300.0  # of a lane that a way of this length begins with
WORLD_SYSTEMS = (
    ("gz-sim-physics-system", "gz::sim::systems::Physics"),
    ("gz-sim-user-commands-system", "gz::sim::systems::UserCommands"),
    ("gz-sim-scene-broadcaster-system", "gz::sim::systems::SceneBroadcaster"),
    ("gz-sim-sensors-system", "gz::sim::systems::Sensors"),
)
RENDER_ENGINE = "ogre2"
SWITCHED_OFF = "O"  # SUMO's character for it
ROS_COMMAND_TOPIC, CLOCK_TOPIC = "/vehicle/cmd_vel", "/clock"


def write_world(network: RoadNetwork, vehicle: VehicleSpec, folder: Path, *, seed: int) -> tuple[float, float, float]:
    """Write world, mesh and bridge into a folder, the same bytes every time; gives the car's (x_m, y_m, yaw_rad).

    seed: what stands beside the roads, as in the built-in simulator, and where the car starts. Raises ContractError for a
    vehicle that cannot be built, MimicError for a town without a way.
    """
    pose, rig = start_pose(network, seed=seed), load_rig(vehicle.rig)
    root = Element("sdf", version=SDF_VERSION)
    world = SubElement(root, "world", name=network.name)
    _surroundings(world, network.name)
    add_car(world, vehicle, rig, pose=pose)
    folder.mkdir(parents=True, exist_ok=True)
    write_obj(town_mesh(network, seed=seed), folder / MESH_FILE)
    indent(root)
    ElementTree(root).write(folder / WORLD_FILE, encoding="utf-8", xml_declaration=True)
    (folder / BRIDGE_FILE).write_text(yaml.safe_dump(bridge_entries(vehicle, rig), sort_keys=False), encoding="utf-8")
    return pose


def start_pose(network: RoadNetwork, *, seed: int) -> tuple[float, float, float]:
    """(x_m, y_m, yaw_rad) in the middle of a lane, by lot."""
    lane_id = EGO_LANE if network.sumo_file is None else random_way(network, np.random.default_rng(seed), length_m=WAY_M)[0]
    x, y, yaw = network.line([lane_id]).poses(np.array([START_M]))[0]
    return float(x), float(y), float(yaw)


def town_mesh(network: RoadNetwork, *, seed: int) -> Mesh:
    """Everything that the built-in simulator shows of a town, with its signals switched off: nobody is there to switch them."""
    links = 1 + max((index for signal in network.signals for index in signal.link_indices), default=0)
    off = {signal.signal_id: links * SWITCHED_OFF for signal in network.signals}
    parts = scene_mesh(network, seed=seed).vertices, Lamps(network.signals).quads(off)
    return MeshBuilder(quads=[vertices.reshape(-1, 4, VERTEX_FLOATS) for vertices in parts]).build()


def bridge_entries(vehicle: VehicleSpec, rig: Rig) -> list[dict[str, str]]:
    """What ros_gz_bridge's parameter_bridge reads as its config_file."""
    entries = [
        _entry(CLOCK_TOPIC, CLOCK_TOPIC, "rosgraph_msgs/msg/Clock", "gz.msgs.Clock"),
        _entry(vehicle.topics.odometry, ODOMETRY_TOPIC, "nav_msgs/msg/Odometry", "gz.msgs.Odometry"),
        _entry(ROS_COMMAND_TOPIC, COMMAND_TOPIC, "geometry_msgs/msg/Twist", "gz.msgs.Twist", direction="ROS_TO_GZ"),
    ]
    for camera in rig.cameras:
        for topic, kind in ((vehicle.topics.image(camera.name), "Image"), (vehicle.topics.camera_info(camera.name), "CameraInfo")):
            entries.append(_entry(topic, topic, f"sensor_msgs/msg/{kind}", f"gz.msgs.{kind}"))
    return entries


def _entry(ros_topic: str, gz_topic: str, ros_type: str, gz_type: str, *, direction: str = "GZ_TO_ROS") -> dict[str, str]:
    return {"ros_topic_name": ros_topic, "gz_topic_name": gz_topic, "ros_type_name": ros_type, "gz_type_name": gz_type, "direction": direction}


def _surroundings(world: Element, town: str) -> None:
    """Systems, light and the town."""
    physics = SubElement(world, "physics", name="steps", type="ignored")
    for name, value in (("max_step_size", f"{STEP_S}"), ("real_time_factor", "1.0"), ("real_time_update_rate", f"{1.0 / STEP_S:g}")):
        SubElement(physics, name).text = value
    for filename, name in WORLD_SYSTEMS:
        plugin = SubElement(world, "plugin", filename=filename, name=name)
        if name.endswith("Sensors"):
            SubElement(plugin, "render_engine").text = RENDER_ENGINE
    scene = SubElement(world, "scene")
    for name, colour in (("ambient", [DAY.ambient] * 3), ("background", DAY.horizon_colour)):
        SubElement(scene, name).text = _colour(colour)
    SubElement(scene, "shadows").text = "true"
    sun = SubElement(world, "light", name="sun", type="directional")
    flat = math.cos(DAY.sun_elevation_rad)
    to_sun = (flat * math.cos(DAY.sun_azimuth_rad), flat * math.sin(DAY.sun_azimuth_rad), math.sin(DAY.sun_elevation_rad))
    brightest = max(DAY.sun_colour)
    for name, text in (
        ("pose", "0 0 100 0 0 0"),
        ("cast_shadows", "true"),
        ("diffuse", _colour([share / brightest for share in DAY.sun_colour])),
        ("specular", _colour([0.2] * 3)),
        ("direction", " ".join(f"{-share:.4f}" for share in to_sun)),
    ):
        SubElement(sun, name).text = text
    model = SubElement(world, "model", name=f"town_{town}")
    SubElement(model, "static").text = "true"
    link = SubElement(model, "link", name="town")
    plane = SubElement(SubElement(SubElement(link, "collision", name="ground"), "geometry"), "plane")
    for name, text in (("normal", "0 0 1"), ("size", "1 1")):  # solid without end, whatever its size
        SubElement(plane, name).text = text
    mesh = SubElement(SubElement(SubElement(link, "visual", name="town"), "geometry"), "mesh")
    SubElement(mesh, "uri").text = MESH_FILE  # beside the world (gz-sim, src/Util.cc, asFullPath)


def _colour(shares: Sequence[float]) -> str:
    return " ".join(f"{share:.4f}" for share in (*shares, 1.0))
