"""A policy drives in Gazebo. Our nodes are in config/bringup/gazebo.yaml; Gazebo and its bridge are those of ros_gz."""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from mimic.launch_table import describe


def generate_launch_description():
    description = describe("gazebo")
    window = "Arguments of `gz sim`: -r runs at once; '-r -s --headless-rendering' does so without a window"
    description.add_action(DeclareLaunchArgument("world", description="Directory that `mimic sim gazebo` wrote"))
    description.add_action(DeclareLaunchArgument("gz_args", default_value="-r", description=window))
    description.add_action(OpaqueFunction(function=gazebo))
    return description


def gazebo(context):
    folder = Path(LaunchConfiguration("world").perform(context)).resolve()
    arguments = {"gz_args": [LaunchConfiguration("gz_args"), f' "{folder / "world.sdf"}"'], "on_exit_shutdown": "true"}
    source = PythonLaunchDescriptionSource([FindPackageShare("ros_gz_sim"), "/launch/gz_sim.launch.py"])
    bridge = {"config_file": str(folder / "bridge.yaml")}
    return [
        IncludeLaunchDescription(source, launch_arguments=arguments.items()),
        Node(package="ros_gz_bridge", executable="parameter_bridge", name="gazebo_bridge", parameters=[bridge], output="screen"),
    ]
