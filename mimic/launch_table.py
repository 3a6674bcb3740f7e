"""A launch description from a process table: the same processes and parameters as `mimic up`."""

import tempfile
from functools import partial
from typing import Any

import yaml
from launch.actions import DeclareLaunchArgument, EmitEvent, LogInfo, OpaqueFunction, RegisterEventHandler, SetEnvironmentVariable
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from mimic.bringup import RESPAWN_S
from mimic.process_table import ProcessSpec, Table


def describe(name: str) -> LaunchDescription:
    """The launch description of config/bringup/NAME.yaml."""
    table = Table.load(name)
    declared = []
    for key, argument in table.arguments.items():
        options: dict[str, Any] = {"choices": list(argument.choices)} if argument.choices else {}
        if not argument.required:
            options["default_value"] = argument.default
        declared.append(DeclareLaunchArgument(key, description=argument.description, **options))
    return LaunchDescription([*declared, OpaqueFunction(function=lambda context: actions(table, context))])


def actions(table: Table, context: LaunchContext) -> list[Any]:
    """The nodes for the arguments of this launch."""
    given = {key: LaunchConfiguration(key).perform(context) for key in table.arguments}
    environment = table.environment(given)
    keys = ["ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_DEFAULT_PROFILES_FILE"] * table.loopback + ["ROS_DOMAIN_ID"] * bool(given["domain_id"])
    isolation = [SetEnvironmentVariable(key, environment[key]) for key in keys]
    nodes = []
    for spec in table.process_specs(given):
        node = node_of(spec)
        nodes.append(node)
        if spec.ends_all or table.loopback:
            nodes.append(RegisterEventHandler(OnProcessExit(target_action=node, on_exit=partial(_at_exit, spec))))
    return [*isolation, *nodes]


def _at_exit(spec: ProcessSpec, event: ProcessExited, _: LaunchContext) -> list[Any]:
    """As Bringup.wait: the end of everything, unless a process that may end did so without fault."""
    if event.returncode == 0 and not spec.ends_all:
        return []
    reason = f"{spec.name} ended with exit code {event.returncode}"
    return [LogInfo(msg=reason), EmitEvent(event=Shutdown(reason=reason))]


def node_of(spec: ProcessSpec) -> Node:
    """One process of the table as a launch action; parameters go by file, so that their types survive."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", prefix=f"{spec.name}_", delete=False) as file:
        yaml.safe_dump({"/**": {"ros__parameters": dict(spec.parameters)}}, file)
    return Node(
        package="mimic_drive",
        executable=spec.executable,
        name=spec.name,
        namespace=spec.namespace,
        parameters=[path for path in (spec.parameters_file, file.name) if path],
        remappings=list(spec.remaps.items()),
        ros_arguments=["--enclave", spec.enclave],
        respawn=spec.respawns,
        respawn_delay=RESPAWN_S,
        output="screen",
    )
