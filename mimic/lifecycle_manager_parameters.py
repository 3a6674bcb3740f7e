"""Parameters of the lifecycle manager."""

from dataclasses import dataclass

from mimic_contracts.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class LifecycleManagerParameters:
    """See config/nodes/lifecycle_manager_node.yaml."""

    node_names: tuple[str, ...] = parameter(("camera_node", "planner_node", "vehicle_interface_node"), "Nodes to configure, then to activate, in this order.")
    respawned_names: tuple[str, ...] = parameter(("",), "Those that may be started again: they are then configured and activated again; empty: none.")
    service_timeout_s: float = parameter(30.0, "How long a node may take to appear, or to answer a transition.", low=1.0, high=600.0)
