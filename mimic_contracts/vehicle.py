"""The vehicle file (config/vehicles/NAME.yaml): what differs between a real car, the simulator and a replayed bag."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from mimic_contracts.config import build, load_yaml, resolve_config
from mimic_contracts.errors import ContractError
from mimic_contracts.rig import Mounting, mounting_from_dict
from mimic_contracts.validation import check_array, check_choice, check_number, check_text

ADAPTERS = ("twist", "twist_stamped", "ackermann", "throttle_brake", "autoware")
TRANSPORTS = ("raw", "compressed")


@dataclass(frozen=True, kw_only=True)
class ActuationLimits:
    """What the safety envelope never exceeds, in order of rank: hard limits, lateral acceleration, curvature rate,
    longitudinal. A vehicle file can tighten the defaults, never loosen them.

    Source: METRICS, 'Actuation limits'; lateral: ISO 11270 (3 m/s², 5 m/s³), as openpilot uses it.
    """

    max_speed_mps: float
    max_curvature_1pm: float
    max_lateral_acceleration_mps2: float = 3.0
    max_lateral_jerk_mps3: float = 5.0
    max_steering_rate_radps: float = 0.5  # of the road wheels, below 5 m/s in place of the lateral jerk
    min_acceleration_mps2: float = -3.5
    max_acceleration_mps2: float = 2.0
    max_jerk_mps3: float = 5.0
    min_emergency_acceleration_mps2: float = -6.0
    max_emergency_jerk_mps3: float = 15.0

    def __post_init__(self) -> None:
        check_number("limits.max_speed_mps", self.max_speed_mps, low=0.1, high=70.0)
        check_number("limits.max_curvature_1pm", self.max_curvature_1pm, low=1e-3, high=5.0)
        for f in fields(self):
            if isinstance(f.default, float):
                low, high = sorted((0.0, f.default))
                value = check_number(f"limits.{f.name}", getattr(self, f.name), low=low, high=high)
                if value == 0.0:
                    raise ContractError(f"limits.{f.name}: is 0, which would stop the vehicle from ever moving or stopping")
        for hard, usual in (("min_emergency_acceleration_mps2", "min_acceleration_mps2"), ("max_emergency_jerk_mps3", "max_jerk_mps3")):
            if abs(getattr(self, hard)) < abs(getattr(self, usual)):
                raise ContractError(
                    f"limits.{hard}: is {getattr(self, hard)}, must not be less than {usual}, {getattr(self, usual)}: an emergency brakes harder"
                )


@dataclass(frozen=True, kw_only=True)
class OperationalDesignDomain:
    """Where and when the vehicle may be driven; outside of it the supervisor stops it, or, by bad light, slows it down.

    max_speed_mps: by default the limits'. min_brightness: of the pictures' green, 0 to 255, on average. geofence_m: corners
    (x, y) of a polygon in the frame of the odometry, which must not drift then; none: everywhere. Weather is not judged: nothing
    measures it.
    """

    max_speed_mps: float | None = None
    min_brightness: float = 0.0
    geofence_m: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.max_speed_mps is not None:
            check_number("odd.max_speed_mps", self.max_speed_mps, low=0.1, high=70.0)
        check_number("odd.min_brightness", self.min_brightness, low=0.0, high=255.0)
        if not isinstance(self.geofence_m, (list, tuple)) or len(self.geofence_m) in (1, 2):
            raise ContractError(f"odd.geofence_m: is {self.geofence_m!r}, must be at least three corners [x, y], or none")
        corners = [check_array("odd.geofence_m", np.array(corner, np.float64), shape=(2,), dtype=np.float64) for corner in self.geofence_m]
        object.__setattr__(self, "geofence_m", tuple((float(x), float(y)) for x, y in corners))


@dataclass(frozen=True, kw_only=True)
class VehicleTopics:
    """Names of the vehicle's own topics. fault, enable: of its drive-by-wire (std_msgs/Bool), where it has them: true while it has a
    fault, which is its heartbeat, too; true while it is to obey. images, camera_infos: by the rig's camera, where they are not as `image` and
    `camera_info` say; transport: of all images."""

    odometry: str = "/localization/kinematic_state"
    steering: str = "/vehicle/steering"
    driver_override: str = "/vehicle/driver_override"
    command: str = "/vehicle/command"
    fault: str = ""
    enable: str = ""
    transport: str = "raw"
    images: Mapping[str, str] = field(default_factory=dict)
    camera_infos: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("topics.transport", self.transport, TRANSPORTS)
        names = {key: getattr(self, key) for key in ("odometry", "steering", "driver_override", "command")}
        names |= {key: getattr(self, key) for key in ("fault", "enable") if getattr(self, key) != ""}
        for kind in ("images", "camera_infos"):
            if not isinstance(getattr(self, kind), Mapping):
                raise ContractError(f"topics.{kind}: is {getattr(self, kind)!r}, must be a mapping of cameras to topics")
            names |= {f"{kind}.{camera}": topic for camera, topic in getattr(self, kind).items()}
        for key, topic in names.items():
            if not check_text(f"topics.{key}", topic).startswith("/"):
                raise ContractError(f"topics.{key}: is '{topic}', must begin with /")

    def image(self, camera: str) -> str:
        """Of a camera of the rig."""
        return self.images.get(camera, f"/camera/{camera}/image_raw{'/compressed' if self.transport == 'compressed' else ''}")

    def camera_info(self, camera: str) -> str:
        """Of a camera of the rig."""
        return self.camera_infos.get(camera, f"/camera/{camera}/camera_info")


@dataclass(frozen=True, kw_only=True)
class LongitudinalSpec:
    """How a vehicle answers its pedals (shares of their travel, 0 to 1), and how its speed is controlled by them.

    acceleration = throttle_gain·max(throttle - throttle_dead_band, 0) - brake_gain·max(brake - brake_dead_band, 0)
    - rolling - linear_drag·v - quadratic_drag·v², as long as it rolls forward. `mimic vehicle identify` finds these in a recording.

    speed_gain_1ps, integral_gain_1ps2: acceleration for a speed error of 1 m/s, and how fast it grows while the error lasts; above
    1/(4·lag of the pedals) the speed swings. max_correction_mps2: the most that the integral makes up for: slopes, load, a wrong
    model. pedal_hysteresis_mps2: how far on the other pedal's side the wanted acceleration must be before the foot moves over.
    standstill_brake: what holds the vehicle on the steepest slope where it stops.
    """

    throttle_gain_mps2: float
    brake_gain_mps2: float
    throttle_dead_band: float = 0.0
    brake_dead_band: float = 0.0
    rolling_mps2: float = 0.0
    linear_drag_1ps: float = 0.0
    quadratic_drag_1pm: float = 0.0
    speed_gain_1ps: float = 0.8
    integral_gain_1ps2: float = 0.1
    max_correction_mps2: float = 1.5
    pedal_hysteresis_mps2: float = 0.15
    standstill_brake: float = 0.3

    def __post_init__(self) -> None:
        for name, low, high in (
            ("throttle_gain_mps2", 0.1, 100.0),
            ("brake_gain_mps2", 0.1, 100.0),
            ("throttle_dead_band", 0.0, 0.5),
            ("brake_dead_band", 0.0, 0.5),
            ("rolling_mps2", 0.0, 2.0),
            ("linear_drag_1ps", 0.0, 2.0),
            ("quadratic_drag_1pm", 0.0, 0.2),
            ("speed_gain_1ps", 0.0, 5.0),
            ("integral_gain_1ps2", 0.0, 2.0),
            ("max_correction_mps2", 0.0, 3.0),
            ("pedal_hysteresis_mps2", 0.0, 1.0),
            ("standstill_brake", self.brake_dead_band + 0.01, 1.0),
        ):
            check_number(f"longitudinal.{name}", getattr(self, name), low=low, high=high)

    def drag_mps2(self, speed_mps: float) -> float:
        """What slows the vehicle down without pedals at this speed, forward."""
        return self.rolling_mps2 + (self.linear_drag_1ps + self.quadratic_drag_1pm * speed_mps) * speed_mps


@dataclass(frozen=True, kw_only=True)
class VehicleSpec:
    """Geometry, limits, latencies, mounting, topics. command_timeout_s: after how long without a command the vehicle
    itself brakes (required: nothing of ours survives our own death); driver_override_required: it is not engaged without a
    heartbeat of the driver override. steering_offset_rad: angle of the steering wheel at which the vehicle goes straight.
    calibration_required: it is not engaged before driving has confirmed how its camera is mounted (docs/calibration.md).
    longitudinal: needed by the adapter that takes pedals."""

    name: str
    rig: str
    wheelbase_m: float
    length_m: float
    width_m: float
    rear_overhang_m: float
    steering_ratio: float
    actuation_latency_s: float
    command_timeout_s: float
    adapter: str
    limits: ActuationLimits
    driver_override_required: bool = True
    calibration_required: bool = True
    topics: VehicleTopics = field(default_factory=VehicleTopics)
    cameras: Mapping[str, Mounting] = field(default_factory=dict)
    odd: OperationalDesignDomain = field(default_factory=OperationalDesignDomain)
    steering_offset_rad: float = 0.0
    longitudinal: LongitudinalSpec | None = None

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_text("rig", self.rig)
        check_number("wheelbase_m", self.wheelbase_m, low=0.05, high=12.0)
        check_number("length_m", self.length_m, low=0.1, high=25.0)
        check_number("width_m", self.width_m, low=0.05, high=4.0)
        check_number("rear_overhang_m", self.rear_overhang_m, low=0.0, high=8.0)
        check_number("steering_ratio", self.steering_ratio, low=0.5, high=40.0)
        check_number("actuation_latency_s", self.actuation_latency_s, low=0.0, high=1.0)
        check_number("command_timeout_s", self.command_timeout_s, low=0.05, high=2.0)
        check_choice("adapter", self.adapter, ADAPTERS)
        for name in ("driver_override_required", "calibration_required"):
            if not isinstance(getattr(self, name), bool):
                raise ContractError(f"{name}: is {getattr(self, name)!r}, must be true or false")
        check_number("steering_offset_rad", self.steering_offset_rad, low=-1.0, high=1.0)
        if self.adapter == "throttle_brake" and self.longitudinal is None:
            raise ContractError("longitudinal: is missing, adapter 'throttle_brake' needs it; `mimic vehicle identify` finds its values in a recording")


def load_vehicle(name_or_path: str | Path) -> VehicleSpec:
    """Read config/vehicles/NAME.yaml or a path to such a file; raises MimicError or ContractError naming the key."""
    path = resolve_config("vehicles", name_or_path)
    content = load_yaml(path)
    limits = build(ActuationLimits, content.get("limits", {}), f"{path}: limits")
    cameras = {name: mounting_from_dict(values, f"{path}: cameras.{name}") for name, values in (content.get("cameras") or {}).items()}
    topics = build(VehicleTopics, content.get("topics") or {}, f"{path}: topics")
    odd = build(OperationalDesignDomain, content.get("odd") or {}, f"{path}: odd")
    pedals = content.get("longitudinal")
    longitudinal = None if pedals is None else build(LongitudinalSpec, pedals, f"{path}: longitudinal")
    parts = {"limits": limits, "cameras": cameras, "topics": topics, "odd": odd, "longitudinal": longitudinal}
    return build(VehicleSpec, {**content, **parts}, str(path))
