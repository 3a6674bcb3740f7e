"""Real nodes in processes of their own, over DDS, for tests.

with Harness() as ros:
    camera = ros.start("perception.camera_node", "camera_node", {"lockstep": True})
    ros.configure("camera_node"); ros.activate("camera_node")
    frames = ros.collect(Image, "/perception/frame")
    ros.wait_until(lambda: frames, "a frame")
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.subscription import RCLError

from mimic.domain import child_environment, own_domain_id
from mimic.lifecycle_manager_node import GOALS
from mimic_contracts.ros_lifecycle import RELIABLE_QOS

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 60.0
ANSWER_S = 5.0  # after which a service is asked again
ASKED_TIMES = 6


class Harness:
    """A node of the test's own and the processes that it started; everything ends with the `with` block."""

    def __init__(self) -> None:
        os.environ["ROS_DOMAIN_ID"] = str(own_domain_id())  # xdist workers are processes of their own
        environment = child_environment(loopback=True)
        os.environ.update({key: environment[key] for key in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_DEFAULT_PROFILES_FILE")})
        self._environment = environment
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._forgotten: list[subprocess.Popen[bytes]] = []
        self._clients: dict[str, Any] = {}
        self._logs = tempfile.TemporaryDirectory(prefix="mimic_test_")  # files: a pipe that nobody reads would block the node

    def __enter__(self) -> "Harness":
        self._context = Context()
        rclpy.init(context=self._context, domain_id=own_domain_id())
        self.node = rclpy.create_node("test_harness", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._processes):
            self.stop(name)
        for process in self._forgotten:
            process.kill()
            process.wait(timeout=5.0)
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)
        self._logs.cleanup()

    def start(self, module: str, name: str, parameters: Mapping[str, Any] | None = None) -> "subprocess.Popen[bytes]":
        """Start `python -m MODULE` as a node of this name."""
        arguments = ["--ros-args", "-r", f"__node:={name}"]
        for key, value in (parameters or {}).items():
            arguments += ["-p", f"{key}:={json.dumps(value)}"]
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[name] = process
        return process

    def stop(self, name: str) -> tuple[int, str]:
        """End a process with SIGINT, then harder; returns its exit code and output."""
        process = self._processes.pop(name)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5.0)
                return process.returncode, self.output(name)
        raise AssertionError(f"{name} survived SIGKILL")

    def forget(self, name: str) -> "subprocess.Popen[bytes]":
        """A process that may end from here on, for a test to end as it likes."""
        process = self._processes.pop(name)
        self._forgotten.append(process)
        return process

    def output(self, name: str) -> str:
        """What a process has written so far."""
        return self._log(name).read_text(encoding="utf-8", errors="replace")

    def _log(self, name: str) -> Path:
        return Path(self._logs.name) / f"{name}.log"

    def configure(self, name: str) -> bool:
        """Lifecycle: whether the node could."""
        return self._change(name, Transition.TRANSITION_CONFIGURE)

    def activate(self, name: str) -> bool:
        """Lifecycle: whether the node could."""
        return self._change(name, Transition.TRANSITION_ACTIVATE)

    def deactivate(self, name: str) -> bool:
        """Lifecycle: whether the node could."""
        return self._change(name, Transition.TRANSITION_DEACTIVATE)

    def call(self, service_type: Any, name: str, request: Any) -> Any:
        """The response of a service that can be asked twice: a first answer can get lost, when the service has matched our
        request but not yet our reader."""
        answers = (self._ask(service_type, name, request) for _ in range(ASKED_TIMES))
        response = next((answer for answer in answers if answer is not None), None)
        assert response is not None, f"no answer of {name}, asked {ASKED_TIMES} times"
        return response

    def collect(self, message_type: Any, topic: str, qos: Any = RELIABLE_QOS) -> list[Any]:
        """A list that fills with the messages of a topic while the harness waits."""
        messages: list[Any] = []
        self.node.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def publisher(self, message_type: Any, topic: str, qos: Any = RELIABLE_QOS, *, matched: bool = True) -> Any:
        """A publisher, once somebody subscribes to it."""
        publisher = self.node.create_publisher(message_type, topic, qos)
        if matched:
            self.wait_until(lambda: publisher.get_subscription_count() > 0, f"a subscription of {topic}")
        return publisher

    def wait_until(self, condition: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> None:
        """Spin until the condition holds; fails naming what did not come, with the output of processes that died."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            self._executor.spin_once(timeout_sec=0.05)
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise AssertionError(f"{name} ended with {process.returncode} while waiting for {what}:\n{self.output(name)}")
            if time.monotonic() > deadline_s:
                raise AssertionError(f"no {what} within {timeout_s} s")

    def spin_for(self, seconds: float) -> None:
        """Spin for a while: only to show that something does NOT happen."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            self._executor.spin_once(timeout_sec=0.02)

    def _change(self, name: str, transition: int) -> bool:
        """As the lifecycle manager does it: who is silent is asked where it stands, and asked again only if it has not moved."""
        for _ in range(ASKED_TIMES):
            answer = self._ask(ChangeState, f"/{name}/change_state", ChangeState.Request(transition=Transition(id=transition)))
            if answer is not None:
                return bool(answer.success)
            if self.call(GetState, f"/{name}/get_state", GetState.Request()).current_state.id == GOALS[transition]:
                return True
        raise AssertionError(f"no answer of /{name}/change_state, asked {ASKED_TIMES} times")

    def _ask(self, service_type: Any, name: str, request: Any) -> Any:
        """The response of a service, or None when none came within ANSWER_S, or a starved machine did not even take the question."""
        client = self._clients.get(name) or self.node.create_client(service_type, name)
        self._clients[name] = client
        self.wait_until(client.service_is_ready, f"service {name}")
        try:
            future, deadline_s = client.call_async(request), time.monotonic() + ANSWER_S
        except RCLError:
            return None
        self.wait_until(lambda: future.done() or time.monotonic() > deadline_s, f"the answer of {name}")
        return future.result() if future.done() else None
