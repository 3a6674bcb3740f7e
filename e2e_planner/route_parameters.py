"""Parameters of the route node."""

from dataclasses import dataclass

from mimic_contracts.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class RouteParameters:
    """See config/nodes/route_node.yaml."""

    route: str = parameter("route.yaml", "Route file, as `mimic bag route` writes it.")
    max_offset_m: float = parameter(15.0, "Farther beside the route, the vehicle has left it and is stopped.", low=1.0, high=100.0)
    end_m: float = parameter(5.0, "So near to the end of the route it is over, and the vehicle is stopped.", low=1.0, high=100.0)
    warning_m: float = parameter(60.0, "So near to the end a driver is asked for.", low=1.0, high=500.0)
    rate_hz: float = parameter(10.0, "How often the planner is told at most.", low=1.0, high=50.0)
    odometry_topic: str = parameter("localization/kinematic_state", "nav_msgs/Odometry in, of the route's frame.")
    route_topic: str = parameter("planning/route", "nav_msgs/Path out: the next points, in the odometry's frame.")
    route_command_topic: str = parameter("planning/route_command", "std_msgs/String out: follow, left, right, straight or u_turn.")
