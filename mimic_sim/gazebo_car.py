"""The car of a vehicle file as an SDF 1.9 model for gz-sim (Harmonic and newer), with the cameras of a rig.

Its frame, and so its pose, is our ego's: the middle of the rear axle, on the ground, x forward, y left, z up (REP-103).
What a vehicle file does not say (track, wheels, height, mass) follows from what it says, so that small cars work, too.
Sources of names, elements and behaviour, in gz-sim (branch gz-sim8): src/systems/ackermann_steering, src/systems/odometry_publisher;
in gz-sensors (gz-sensors8): src/CameraSensor.cc; in sdformat (sdf12): sdf/1.9/*.sdf.
"""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement

from mimic_contracts.errors import ContractError
from mimic_contracts.rig import CameraSpec, Rig
from mimic_contracts.vehicle import VehicleSpec
from mimic_sim.ego import MAX_STEERING_RATE_RADPS, STEERING_LAG_S

MODEL = "ego"
BODY = "base_link"
ODOMETRY_FRAME = "odom"
COMMAND_TOPIC, ODOMETRY_TOPIC = f"/model/{MODEL}/cmd_vel", f"/model/{MODEL}/odometry"
WHEEL_ODOMETRY_TOPIC = f"/model/{MODEL}/wheel_odometry"  # what AckermannSteering adds up from its wheels; nobody listens
PICTURE_HZ, ODOMETRY_HZ = 20.0, 50.0
TRACK_SHARE, TYRE_SHARE, HEIGHT_SHARE = 0.85, 0.12, 0.78  # of the width, as passenger cars have it
WHEEL_RADIUS_SHARE = 0.118  # of the wheelbase
DENSITY_KGPM3, WHEEL_MASS_SHARE = 120.0, 0.015  # about 1.5 t for a mid-size car
GROUND_CLEARANCE_SHARE, CABIN_SHARE = 0.2, 0.6  # of the height; of the length
STOP_MARGIN_RAD = 0.02  # between the tightest turn and the end stops of the steering
GRIP = 1.0
FAR_M = 1000.0
# Cameras do not see their own car, as in the built-in simulator: the lowest bits are taken (gz-rendering, RenderTypes.hh).
CAR_FLAG, ALL_FLAGS = 0x4, 0xFFFFFFFF


def add_car(world: Element, vehicle: VehicleSpec, rig: Rig, *, pose: Sequence[float]) -> None:
    """Add the model at a pose (x_m, y_m, yaw_rad); raises ContractError for a vehicle that cannot be built or lacks a camera."""
    _check(vehicle, rig)
    model = SubElement(world, "model", name=MODEL)
    _text(model, "pose", _numbers(pose[0], pose[1], 0.0, 0.0, 0.0, pose[2]))
    body = SubElement(model, "link", name=BODY)  # the first link is the canonical one
    _body(body, vehicle)
    for camera in rig.cameras:
        _camera(body, camera, vehicle)
    for end, x_m in (("rear", 0.0), ("front", vehicle.wheelbase_m)):
        for side, sign in (("left", 1.0), ("right", -1.0)):
            _wheel(model, vehicle, f"{end}_{side}", x_m=x_m, y_m=sign * track_m(vehicle) / 2.0, is_steered=end == "front")
    _steering(model, vehicle)
    _odometry(model)


def track_m(vehicle: VehicleSpec) -> float:
    """Between the middles of the left and right wheels, whose steering axes go through them."""
    return TRACK_SHARE * vehicle.width_m


def wheel_radius_m(vehicle: VehicleSpec) -> float:
    """All four are alike."""
    return WHEEL_RADIUS_SHARE * vehicle.wheelbase_m


def _check(vehicle: VehicleSpec, rig: Rig) -> None:
    if vehicle.adapter != "twist":
        raise ContractError(f"vehicle '{vehicle.name}': adapter is {vehicle.adapter}, must be twist, which Gazebo's car takes")
    if vehicle.topics.transport != "raw":
        raise ContractError(f"vehicle '{vehicle.name}': topics.transport is {vehicle.topics.transport}, must be raw, which the bridge carries")
    sine = vehicle.wheelbase_m * vehicle.limits.max_curvature_1pm
    if sine >= 1.0:
        raise ContractError(
            f"vehicle '{vehicle.name}': limits.max_curvature_1pm is {vehicle.limits.max_curvature_1pm}, "
            f"must be below 1 / wheelbase_m, {1.0 / vehicle.wheelbase_m:.3f}, for Gazebo's steering"
        )
    missing = [camera.name for camera in rig.cameras if camera.name not in vehicle.cameras]
    if missing:
        raise ContractError(f"vehicle '{vehicle.name}': says no mounting of camera {', '.join(missing)} of rig '{rig.name}': add it under cameras")


def _body(link: Element, vehicle: VehicleSpec) -> None:
    """A box with a cabin, solid above the wheels' middle; its mass is low and between the axles."""
    height = HEIGHT_SHARE * vehicle.width_m
    clearance = GROUND_CLEARANCE_SHARE * height
    middle_x = vehicle.length_m / 2.0 - vehicle.rear_overhang_m
    mass = (1.0 - 6.0 * WHEEL_MASS_SHARE) * _mass_kg(vehicle)
    size = (vehicle.length_m, vehicle.width_m, height - clearance)
    moments = [mass / 12.0 * (size[i - 2] ** 2 + size[i - 1] ** 2) for i in range(3)]
    _inertial(link, mass, moments, at=(vehicle.wheelbase_m / 2.0, 0.0, 0.35 * height))
    middle = (clearance + height) / 2.0
    _box(SubElement(link, "collision", name="body_solid"), (size[0], size[1], size[2]), at=(middle_x, 0.0, middle))
    lower = (size[0], size[1], size[2] / 2.0)
    for name, box, x, z in (
        ("body", lower, middle_x, clearance + lower[2] / 2.0),
        ("cabin", (CABIN_SHARE * size[0], 0.9 * size[1], lower[2]), middle_x - 0.05 * size[0], height - lower[2] / 2.0),
    ):
        visual = SubElement(link, "visual", name=name)
        _box(visual, box, at=(x, 0.0, z))
        _paint(visual, (0.1, 0.2, 0.5))


def _wheel(model: Element, vehicle: VehicleSpec, name: str, *, x_m: float, y_m: float, is_steered: bool) -> None:
    """A wheel that turns about y; a steered one sits on a link that turns about z, in the same place."""
    radius, width, mass = wheel_radius_m(vehicle), TYRE_SHARE * vehicle.width_m, WHEEL_MASS_SHARE * _mass_kg(vehicle)
    parent = BODY
    across = mass * (3.0 * radius**2 + width**2) / 12.0
    if is_steered:
        parent = f"{name}_knuckle"
        knuckle = SubElement(model, "link", name=parent)
        _text(knuckle, "pose", _numbers(x_m, y_m, radius, 0.0, 0.0, 0.0))
        _inertial(knuckle, mass, [across] * 3, at=(0.0, 0.0, 0.0))
        axis = _joint(model, f"{name}_steering", parent=BODY, child=parent, axis=(0.0, 0.0, 1.0))
        limit = SubElement(axis, "limit")
        _text(limit, "lower", _numbers(-_end_stop_rad(vehicle)))
        _text(limit, "upper", _numbers(_end_stop_rad(vehicle)))
        _text(limit, "velocity", _numbers(MAX_STEERING_RATE_RADPS))
    link = SubElement(model, "link", name=f"{name}_wheel")
    _text(link, "pose", _numbers(x_m, y_m, radius, -math.pi / 2.0, 0.0, 0.0))  # a cylinder stands along z: laid to y
    _inertial(link, mass, [across, across, mass * radius**2 / 2.0], at=(0.0, 0.0, 0.0))
    for kind, part in (("collision", "tyre_solid"), ("visual", "tyre")):
        element = SubElement(link, kind, name=part)
        cylinder = SubElement(SubElement(element, "geometry"), "cylinder")
        _text(cylinder, "radius", _numbers(radius))
        _text(cylinder, "length", _numbers(width))
        if kind == "visual":
            _paint(element, (0.05, 0.05, 0.05))
        else:
            friction = SubElement(SubElement(SubElement(element, "surface"), "friction"), "ode")
            _text(friction, "mu", _numbers(GRIP))
            _text(friction, "mu2", _numbers(GRIP))
    _joint(model, f"{name}_axle", parent=parent, child=f"{name}_wheel", axis=(0.0, 1.0, 0.0))


def _steering(model: Element, vehicle: VehicleSpec) -> None:
    """gz-sim's drive: rear wheels turn, front wheels steer by Ackermann's geometry about the middle of the rear axle.

    Its limit is the arc sine of wheelbase over radius; its gain, 1/s, is one over the lag. Its limits of acceleration hold
    for m/s² and rad/s² alike, so they are the same in both directions; a lowest speed of 0 would forbid right turns.
    """
    plugin = _plugin(model, "gz-sim-ackermann-steering-system", "gz::sim::systems::AckermannSteering")
    for side in ("left", "right"):
        _text(plugin, f"{side}_joint", f"rear_{side}_axle")
        _text(plugin, f"{side}_steering_joint", f"front_{side}_steering")
    hardest = abs(vehicle.limits.min_emergency_acceleration_mps2)
    for name, number in (
        ("wheel_base", vehicle.wheelbase_m),
        ("wheel_separation", track_m(vehicle)),
        ("kingpin_width", track_m(vehicle)),
        ("wheel_radius", wheel_radius_m(vehicle)),
        ("steering_limit", math.asin(vehicle.wheelbase_m * vehicle.limits.max_curvature_1pm)),
        ("steer_p_gain", 1.0 / STEERING_LAG_S),
        ("min_acceleration", -hardest),
        ("max_acceleration", hardest),
    ):
        _text(plugin, name, _numbers(number))
    _text(plugin, "topic", COMMAND_TOPIC)
    _text(plugin, "odom_topic", WHEEL_ODOMETRY_TOPIC)
    _text(plugin, "tf_topic", f"{WHEEL_ODOMETRY_TOPIC}_tf")


def _odometry(model: Element) -> None:
    """The model's true pose in the world, which is the town's frame, as the built-in simulator tells it; speeds in the car's frame.

    Its speeds are means of ten steps, of which the very first is wrong: publish later than that.
    """
    plugin = _plugin(model, "gz-sim-odometry-publisher-system", "gz::sim::systems::OdometryPublisher")
    _text(plugin, "odom_frame", ODOMETRY_FRAME)
    _text(plugin, "robot_base_frame", BODY)
    _text(plugin, "odom_topic", ODOMETRY_TOPIC)
    _text(plugin, "odom_publish_frequency", _numbers(ODOMETRY_HZ))
    _text(plugin, "dimensions", "2")


def _camera(link: Element, camera: CameraSpec, vehicle: VehicleSpec) -> None:
    """A sensor that looks along x of its pose, whose angles turn as those of a Mounting do.

    gz-sensors counts pixels from their corners, so its principal point would be half a pixel off ours. `intrinsics` is what
    it tells in camera_info's K, `projection` what it draws with: thus the picture stays centred, and K is the rig's.
    """
    sensor = SubElement(link, "sensor", name=camera.name, type="camera")
    m = vehicle.cameras[camera.name]
    _text(sensor, "pose", _numbers(m.x_m, m.y_m, m.z_m, m.roll_rad, m.pitch_rad, m.yaw_rad))
    _text(sensor, "update_rate", _numbers(PICTURE_HZ))
    _text(sensor, "topic", vehicle.topics.image(camera.name))
    element = SubElement(sensor, "camera")
    _text(element, "camera_info_topic", vehicle.topics.camera_info(camera.name))
    _text(element, "horizontal_fov", _numbers(camera.horizontal_fov_rad))
    image = SubElement(element, "image")
    for name, value in (("width", camera.width_px), ("height", camera.height_px), ("format", "R8G8B8")):
        _text(image, name, str(value))
    clip = SubElement(element, "clip")
    _text(clip, "near", "0.1")
    _text(clip, "far", _numbers(FAR_M))
    lens = SubElement(element, "lens")
    _text(lens, "type", "gnomonical")
    _text(lens, "scale_to_hfov", "true")
    k = camera.intrinsics()
    focal_px = float(k[0, 0])
    intrinsics, projection = SubElement(lens, "intrinsics"), SubElement(lens, "projection")
    for name, told, drawn in (("fx", focal_px, focal_px), ("fy", focal_px, focal_px), ("cx", k[0, 2], k[0, 2] + 0.5), ("cy", k[1, 2], k[1, 2] + 0.5)):
        _text(intrinsics, name, _numbers(told))
        _text(projection, f"p_{name}", _numbers(drawn))
    _text(intrinsics, "s", "0")
    _text(element, "visibility_mask", str(ALL_FLAGS ^ CAR_FLAG))
    _text(element, "optical_frame_id", f"{camera.name}_optical_frame")


def _mass_kg(vehicle: VehicleSpec) -> float:
    return DENSITY_KGPM3 * vehicle.length_m * vehicle.width_m * HEIGHT_SHARE * vehicle.width_m


def _end_stop_rad(vehicle: VehicleSpec) -> float:
    """A little beyond the inner wheel's angle in the tightest turn."""
    inner_m = 1.0 / vehicle.limits.max_curvature_1pm - track_m(vehicle) / 2.0
    return math.atan2(vehicle.wheelbase_m, inner_m) + STOP_MARGIN_RAD


def _joint(model: Element, name: str, *, parent: str, child: str, axis: Sequence[float]) -> Element:
    """A revolute joint in the child's middle; gives its axis element."""
    joint = SubElement(model, "joint", name=name, type="revolute")
    _text(joint, "parent", parent)
    _text(joint, "child", child)
    element = SubElement(joint, "axis")
    SubElement(element, "xyz", expressed_in="__model__").text = _numbers(*axis)
    return element


def _inertial(link: Element, mass_kg: float, moments: Sequence[float], *, at: Sequence[float]) -> None:
    inertial = SubElement(link, "inertial")
    _text(inertial, "pose", _numbers(*at, 0.0, 0.0, 0.0))
    _text(inertial, "mass", _numbers(mass_kg))
    inertia = SubElement(inertial, "inertia")
    for name, moment in zip(("ixx", "iyy", "izz"), moments, strict=True):
        _text(inertia, name, _numbers(moment))


def _box(element: Element, size_m: Sequence[float], *, at: Sequence[float]) -> None:
    _text(element, "pose", _numbers(*at, 0.0, 0.0, 0.0))
    _text(SubElement(SubElement(element, "geometry"), "box"), "size", _numbers(*size_m))


def _paint(visual: Element, colour: Sequence[float]) -> None:
    material = SubElement(visual, "material")
    for name in ("ambient", "diffuse"):
        _text(material, name, _numbers(*colour, 1.0))
    _text(visual, "visibility_flags", str(CAR_FLAG))


def _plugin(parent: Element, filename: str, name: str) -> Element:
    return SubElement(parent, "plugin", filename=filename, name=name)


def _text(parent: Element, tag: str, text: str) -> None:
    SubElement(parent, tag).text = text


def _numbers(*values: float) -> str:
    return " ".join(f"{float(value):.9g}" for value in values)
