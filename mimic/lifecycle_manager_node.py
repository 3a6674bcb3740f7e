"""Brings the nodes of a bring-up to life in order: configures all, then activates all; undoes it when one can't. Later it brings
those back that were started again."""

import signal
import sys
import time
from dataclasses import fields
from typing import Any

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import ExternalShutdownException
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.subscription import RCLError

from mimic.lifecycle_manager_parameters import LifecycleManagerParameters
from mimic_contracts.errors import MimicError
from mimic_contracts.parameters import parameters_from

VERBS = {Transition.TRANSITION_CONFIGURE: "configure", Transition.TRANSITION_ACTIVATE: "activate", Transition.TRANSITION_DEACTIVATE: "deactivate"}
GOALS = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
}
ANSWER_S = 5.0
WATCH_S = 1.0  # how often it looks for nodes that were started again


class LifecycleManagerNode(Node):
    """Needs no lifecycle itself: it does its work, then watches until the end."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        declared = {f.name: list(f.default) if isinstance(f.default, tuple) else f.default for f in fields(LifecycleManagerParameters)}
        values = {name: self.declare_parameter(name, default).value for name, default in declared.items()}
        self.parameters = parameters_from(LifecycleManagerParameters, values, name)

    def bring_up(self) -> None:
        """Configure all nodes, then activate all; raises MimicError naming the node that did not follow."""
        active: list[str] = []
        try:
            for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
                for node_name in self.parameters.node_names:
                    self._change(node_name, transition)
                    if transition == Transition.TRANSITION_ACTIVATE:
                        active.append(node_name)
        except MimicError:
            for node_name in reversed(active):
                self._change(node_name, Transition.TRANSITION_DEACTIVATE)
            raise
        self.get_logger().info(f"active: {', '.join(self.parameters.node_names)}")

    def watch(self) -> None:
        """Until the end: configure and activate what was started again."""
        names = [name for name in self.parameters.respawned_names if name]
        while names and rclpy.ok():
            rclpy.spin_once(self, timeout_sec=WATCH_S)
            for name in names:
                try:
                    self.bring_back(name)
                except MimicError as error:
                    self.get_logger().warning(f"{error}; trying again", throttle_duration_sec=5.0)
        rclpy.spin(self)

    def bring_back(self, node_name: str) -> None:
        """Configure and activate a node that has just been started; raises MimicError when it does not follow."""
        state = self._call(GetState, f"{node_name}/get_state", GetState.Request(), time.monotonic() + WATCH_S)
        if state is not None and state.current_state.id == State.PRIMARY_STATE_UNCONFIGURED:
            self._change(node_name, Transition.TRANSITION_CONFIGURE)
            self._change(node_name, Transition.TRANSITION_ACTIVATE)
            self.get_logger().info(f"active again: {node_name}")

    def _change(self, node_name: str, transition: int) -> None:
        """One transition of one node.

        A first answer can get lost, when the service has matched our request but not yet our reader. So a node that is
        silent is asked where it stands, and asked again only if it has not moved.
        """
        deadline_s = time.monotonic() + self.parameters.service_timeout_s
        request = ChangeState.Request(transition=Transition(id=transition))
        answer = self._call(ChangeState, f"{node_name}/change_state", request, deadline_s)
        while answer is None:
            if time.monotonic() > deadline_s:
                raise MimicError(f"{node_name}: did not {VERBS[transition]} within {self.parameters.service_timeout_s} s; see its log")
            state = self._call(GetState, f"{node_name}/get_state", GetState.Request(), deadline_s)
            if state is not None and state.current_state.id == GOALS[transition]:
                return
            if state is not None:
                answer = self._call(ChangeState, f"{node_name}/change_state", request, deadline_s)
        if not answer.success:
            raise MimicError(f"{node_name}: could not {VERBS[transition]}; its log and /diagnostics say why")

    def _call(self, service_type: Any, name: str, request: Any, deadline_s: float) -> Any:
        """The answer of a service, or None when none came within ANSWER_S, or DDS did not take the question in time; raises MimicError
        when it does not appear."""
        client = self.create_client(service_type, name)
        try:
            if not client.wait_for_service(timeout_sec=max(deadline_s - time.monotonic(), 0.1)):
                raise MimicError(f"{name.partition('/')[0]}: did not appear within {self.parameters.service_timeout_s} s; see its log")
            future = client.call_async(request)
            rclpy.spin_until_future_complete(self, future, timeout_sec=min(ANSWER_S, max(deadline_s - time.monotonic(), 0.1)))
            return future.result() if future.done() else None
        except RCLError:
            return None
        finally:
            self.destroy_client(client)


def main() -> int:
    """Bring up, then wait for the end; exit code 1 when a node did not follow."""
    rclpy.init()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    node: LifecycleManagerNode | None = None
    try:
        node = LifecycleManagerNode("lifecycle_manager_node")
        node.bring_up()
        node.watch()
    except MimicError as error:
        get_logger("lifecycle_manager_node").error(str(error))
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C comes twice under `ros2 launch`: from the terminal and from launch
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
