"""A joystick as a planner: what its sticks ask for becomes a plan, which the safety envelope bounds like any other.

While the dead-man's button is held there are plans; without it there are none, and the vehicle interface stops the vehicle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import ContractError
from mimic_contracts.parameters import parameter
from mimic_contracts.plan import Plan
from mimic_contracts.validation import check_stamp_ns
from mimic_contracts.vehicle import VehicleSpec
from vehicle_interface.kinematics import advance_pose

ACCELERATION_MPS2, BRAKING_MPS2 = 1.0, 2.5
LATERAL_SHARE = 0.5  # of the lateral acceleration that the envelope allows: a stick at its end is no wish to slide
MODEL_ID, OPERATOR_TOPIC = "joystick", "teleop/trajectory"


@dataclass(frozen=True, kw_only=True)
class TeleopParameters:
    """See config/nodes/teleop_node.yaml. Axes and buttons count from 0, as sensor_msgs/Joy has them."""

    vehicle: str = parameter("simulator", "Vehicle file: a path, or a name in config/vehicles.")
    max_speed_mps: float = parameter(3.0, "Speed of the stick's end; more than the vehicle file's limit is bounded by it.", low=0.1, high=30.0)
    speed_axis: int = parameter(1, "Axis of the speed, forward positive.", low=0, high=31)
    steering_axis: int = parameter(0, "Axis of the steering, left positive.", low=0, high=31)
    deadman_button: int = parameter(4, "Button that must be held.", low=0, high=31)
    engage_button: int = parameter(0, "Button that engages.", low=0, high=31)
    emergency_button: int = parameter(1, "Button of the emergency stop.", low=0, high=31)
    rate_hz: float = parameter(20.0, "Rate of plans.", low=5.0, high=100.0)
    joy_timeout_s: float = parameter(0.3, "A joystick that is silent for longer is not held by anybody.", low=0.05, high=2.0)
    joy_topic: str = parameter("joy", "sensor_msgs/Joy in.")
    odometry_topic: str = parameter("localization/kinematic_state", "nav_msgs/Odometry in.")

    def __post_init__(self) -> None:
        buttons = {name: getattr(self, name) for name in ("deadman_button", "engage_button", "emergency_button")}
        if len(set(buttons.values())) < len(buttons) or self.speed_axis == self.steering_axis:
            raise ContractError(f"buttons: are {buttons}, axes {self.speed_axis} and {self.steering_axis}: must all be different")


@dataclass(frozen=True)
class Sticks:
    """What a joystick says: speed and steering within -1 and 1, and which buttons are pressed."""

    speed: float
    steering: float
    is_held: bool
    engages: bool
    is_emergency: bool


def sticks_of(axes: Sequence[float], buttons: Sequence[int], parameters: TeleopParameters) -> Sticks:
    """Of a joystick's axes and buttons; raises ContractError when it has too few of them, or an axis is not finite."""
    p = parameters
    for name, values in (("axis", axes), ("button", buttons)):
        needed = max(getattr(p, f.name) for f in p.__dataclass_fields__.values() if f.name.endswith(f"_{name}"))
        if len(values) <= needed:
            raise ContractError(f"joy: has {len(values)} {name} values, {name} {needed} is needed: see the parameters of teleop_node")
    speed, steering = (float(axes[i]) for i in (p.speed_axis, p.steering_axis))
    if not np.isfinite([speed, steering]).all():
        raise ContractError(f"joy: axes are {list(axes)}, must be finite")
    pressed = [bool(buttons[i]) for i in (p.deadman_button, p.engage_button, p.emergency_button)]
    return Sticks(float(np.clip(speed, -1.0, 1.0)), float(np.clip(steering, -1.0, 1.0)), *pressed)


def plan_of(sticks: Sticks, *, vehicle: VehicleSpec, max_speed_mps: float, speed_mps: float, stamp_ns: int) -> Plan:
    """A plan of `car` along an arc: from the present speed to what the stick asks for; backwards is no way to go.

    The curvature of a stick at its end is the vehicle's largest, or what the lateral acceleration leaves of it at this speed.
    """
    target_mps = max(sticks.speed, 0.0) * min(max_speed_mps, vehicle.limits.max_speed_mps)
    speed_mps = max(speed_mps, 0.0)
    curvature = sticks.steering * min(vehicle.limits.max_curvature_1pm, LATERAL_SHARE * vehicle.limits.max_lateral_acceleration_mps2 / max(speed_mps, 0.1) ** 2)
    change = ACCELERATION_MPS2 if target_mps > speed_mps else -BRAKING_MPS2
    change_s = (target_mps - speed_mps) / change
    speeds = speed_mps + change * np.minimum(CAR.times_s, change_s)
    accelerations = np.where(CAR.times_s < change_s, change, 0.0)
    ways_m = np.concatenate([[0.0], np.cumsum((speeds[1:] + speeds[:-1]) / 2.0 * np.diff(CAR.times_s))])
    poses = np.array([advance_pose(np.zeros(3), distance_m=float(way_m), curvature_1pm=curvature) for way_m in ways_m])
    values = np.column_stack([poses, speeds, accelerations, np.full(len(speeds), curvature)])
    return Plan.single(stamp_ns=check_stamp_ns("plan.stamp_ns", stamp_ns), spec=CAR, values=values, model_id=MODEL_ID)
