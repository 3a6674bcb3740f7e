"""Parameters of the vehicle interface node and its core."""

from dataclasses import dataclass

from mimic_contracts.parameters import parameter
from mimic_contracts.vehicle import ADAPTERS


@dataclass(frozen=True, kw_only=True)
class VehicleInterfaceParameters:
    """See config/nodes/vehicle_interface_node.yaml."""

    vehicle: str = parameter("simulator", "Vehicle file: a path, or a name in config/vehicles.")
    adapter: str = parameter("", "Type of the actuation, instead of the vehicle file's: what a simulator or a replay hears.", choices=("", *ADAPTERS))
    lockstep: bool = parameter(False, "Step once per tick, on its messages, and answer each; otherwise on a steady timer and on plans.")
    actuation_rate_hz: float = parameter(50.0, "Real time: rate of actuation; plans add steps of their own.", low=5.0, high=200.0)
    plan_timeout_s: float = parameter(0.5, "Age of the plan, by its stamp or by its arrival, beyond which the vehicle is stopped.", low=0.05, high=2.0)
    operator_timeout_s: float = parameter(0.15, "The same for an operator's plans, which cease when he lets go of the joystick.", low=0.05, high=2.0)
    odometry_timeout_s: float = parameter(0.3, "The same for odometry.", low=0.05, high=2.0)
    override_timeout_s: float = parameter(0.5, "The same for the heartbeat of the driver override.", low=0.05, high=2.0)
    override_required: bool = parameter(False, "Refuse to engage without a heartbeat of the driver override. Set it on every real vehicle.")
    fault_timeout_s: float = parameter(0.5, "The same for the word of the vehicle's drive-by-wire, where it has a fault_topic.", low=0.05, high=2.0)
    supervisor_timeout_s: float = parameter(0.15, "The same for the verdict of the supervisor.", low=0.05, high=5.0)
    supervisor_required: bool = parameter(False, "Refuse to engage without a supervisor. Set it on every real vehicle.")
    odometry_topic: str = parameter("localization/kinematic_state", "nav_msgs/Odometry in.")
    trajectory_topic: str = parameter("planning/trajectory", "trajectory_msgs/JointTrajectory in.")
    override_topic: str = parameter("vehicle/driver_override", "std_msgs/Bool in: true while the driver acts; also its heartbeat.")
    fault_topic: str = parameter("", "std_msgs/Bool in: true while the vehicle's drive-by-wire has a fault; also its heartbeat. Empty: it tells none.")
    enable_topic: str = parameter("", "std_msgs/Bool out, latched: true while the drive-by-wire is to obey. Empty: it asks for none.")
    command_topic: str = parameter("vehicle/command", "Actuation out: the adapter says of which type.")
    trace: str = parameter("", "Directory for a trace of when each frame passed each stage, as NAME.json; empty: none.")
