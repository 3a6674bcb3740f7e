"""A small world for the tests of the rule-based planner: lanes, agents and lights in a fixed frame, and a real car in it."""

from dataclasses import dataclass, field, replace

import numpy as np

from e2e_planner.rule_based import RuleBasedOracle
from mimic_contracts.motion import to_frame
from mimic_contracts.observation import EgoState, Observation
from mimic_contracts.scene import Agent, Scene, SceneLane, StopLine, TrafficLight
from mimic_contracts.vehicle import load_vehicle
from mimic_sim.ego import Control, EgoMotion, step
from vehicle_interface.adapters import twist_from_command
from vehicle_interface.core import VehicleInterfaceCore
from vehicle_interface.vehicle_interface_parameters import VehicleInterfaceParameters

VEHICLE = load_vehicle("simulator")
FRONT_M = VEHICLE.length_m - VEHICLE.rear_overhang_m
STEP_S = 0.1
VIEW_M = 100.0


def lane(lane_id, points, *, on_route=False, width=3.2, limit=50 / 3.6, successors=(), yields_to=()):
    """A lane through points (N, 2), in the fixed frame."""
    centre = np.asarray(points, np.float64)
    return SceneLane(
        lane_id=lane_id, centre_m=centre, width_m=width, speed_limit_mps=limit, on_route=on_route, successors=tuple(successors), yields_to=tuple(yields_to)
    )


def straight(start, end):
    """(N, 2) every 2 m."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    count = max(round(float(np.hypot(*(end - start))) / 2.0), 1) + 1
    return np.linspace(start, end, count)


def bend(start, end, corner):
    """(N, 2) a smooth turn from start to end that would meet at the corner."""
    t = np.linspace(0.0, 1.0, 13)[:, None]
    start, end, corner = (np.asarray(p, float) for p in (start, end, corner))
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end


def agent(track_id, x, y, yaw=0.0, speed=0.0, *, kind="car", **more):
    """A road user in the fixed frame."""
    length, width = (0.5, 0.6) if kind == "pedestrian" else (4.5, 1.8)
    size = {"length_m": length, "width_m": width} | more
    return Agent(track_id=track_id, kind=kind, x_m=float(x), y_m=float(y), yaw_rad=float(yaw), speed_mps=float(speed), **size)


def stop_line(lane_id, rule, middle, *, yaw=0.0):
    """A stop line across a lane that goes in direction yaw."""
    left = 1.5 * np.array([-np.sin(yaw), np.cos(yaw)])
    return StopLine(lane_id=lane_id, rule=rule, ends_m=np.stack([np.asarray(middle) + left, np.asarray(middle) - left]).astype(np.float64))


def light(lane_id, state, at=(30.0, 3.0)):
    """A signal that holds a lane."""
    return TrafficLight(state=state, position_m=np.array([*at, 4.0]), lane_id=lane_id)


def seen_from(scene, pose):
    """The scene in the frame of a car at pose (3,), as far as VIEW_M."""

    def points(array):
        return to_frame(np.column_stack([array, np.zeros(len(array))]), pose)[:, :2]

    def cut(one):
        centre = points(one.centre_m)
        near = np.flatnonzero(np.hypot(*centre.T) < VIEW_M)
        return None if len(near) < 2 else replace(one, centre_m=np.ascontiguousarray(centre[near[0] : near[-1] + 1]))

    agents = []
    for one in scene.agents:
        x, y, yaw = to_frame(np.array([[one.x_m, one.y_m, one.yaw_rad]]), pose)[0]
        if np.hypot(x, y) < VIEW_M:
            agents.append(replace(one, x_m=float(x), y_m=float(y), yaw_rad=float(yaw)))
    return Scene(
        lanes=tuple(c for one in scene.lanes if (c := cut(one)) is not None),
        drivable_area=tuple(points(area) for area in scene.drivable_area),
        crossings=tuple(points(area) for area in scene.crossings),
        agents=tuple(agents),
        lights=tuple(replace(one, position_m=np.append(points(one.position_m[None, :2])[0], one.position_m[2])) for one in scene.lights),
        stop_lines=tuple(replace(one, ends_m=points(one.ends_m)) for one in scene.stop_lines),
    )


@dataclass
class Drive:
    """What happened: per step the time, the ego, its plan and the agents in the fixed frame."""

    times: list = field(default_factory=list)
    egos: list = field(default_factory=list)
    plans: list = field(default_factory=list)
    agents: list = field(default_factory=list)

    @property
    def t(self):
        return np.array(self.times)

    @property
    def x(self):
        return np.array([ego.x_m for ego in self.egos])

    @property
    def y(self):
        return np.array([ego.y_m for ego in self.egos])

    @property
    def front(self):
        """(T, 2) the middle of the front bumper."""
        return np.array([[e.x_m + FRONT_M * np.cos(e.yaw_rad), e.y_m + FRONT_M * np.sin(e.yaw_rad)] for e in self.egos])

    @property
    def speed(self):
        return np.array([ego.speed_mps for ego in self.egos])

    @property
    def curvature(self):
        return np.array([ego.curvature_1pm for ego in self.egos])

    def when(self, condition):
        """The first time at which a condition (T,) holds; infinity when never."""
        return float(self.t[np.argmax(condition)]) if np.any(condition) else np.inf

    def clearance(self):
        """(T,) the smallest distance between the ego's box and an agent's, by points on their outlines."""
        result = []
        for ego, agents in zip(self.egos, self.agents, strict=True):
            mine = outline(ego.x_m, ego.y_m, ego.yaw_rad, -VEHICLE.rear_overhang_m, FRONT_M, VEHICLE.width_m)
            near = [np.inf]
            for one in agents:
                other = outline(one.x_m, one.y_m, one.yaw_rad, -one.length_m / 2, one.length_m / 2, one.width_m)
                near.append(np.hypot(*(mine[:, None] - other).transpose(2, 0, 1)).min())
            result.append(min(near))
        return np.array(result)


def outline(x, y, yaw, rear, front, width):
    """(N, 2) points around a box."""
    along, across = np.linspace(rear, front, 15), np.linspace(-width / 2, width / 2, 7)
    local = np.concatenate([[(a, side * width / 2) for a in along for side in (-1, 1)], [(end, b) for b in across for end in (rear, front)]])
    c, s = np.cos(yaw), np.sin(yaw)
    return local @ np.array([[c, s], [-s, c]]) + [x, y]


def drive(scene_at, *, duration, speed=0.0, pose=(0.0, 0.0, 0.0), policy=None, until=None):
    """Drive in scene_at(t, ego) (a Scene in the fixed frame), through the vehicle interface, with the simulator's car."""
    policy = policy or RuleBasedOracle()
    policy.reset()
    core = VehicleInterfaceCore(VEHICLE, VehicleInterfaceParameters(lockstep=True))
    ego, log, engaged = EgoMotion(x_m=pose[0], y_m=pose[1], yaw_rad=pose[2], speed_mps=speed), Drive(), False
    for k in range(round(duration / STEP_S)):
        stamp_ns, t = round(k * STEP_S * 1e9), k * STEP_S
        scene = scene_at(t, ego)
        motion = EgoState.from_motion(speed_mps=ego.speed_mps, yaw_rate_radps=ego.yaw_rate_radps)
        plan = policy.plan(Observation(stamp_ns=stamp_ns, frames={}, ego=motion, scene=seen_from(scene, ego.pose)))
        core.set_odometry(stamp_ns=stamp_ns, pose=ego.pose, speed_mps=ego.speed_mps, yaw_rate_radps=ego.yaw_rate_radps, steady_ns=stamp_ns)
        core.set_plan(plan, steady_ns=stamp_ns)
        command = core.step(now_ns=stamp_ns, steady_ns=stamp_ns).command
        if not engaged:
            engaged, reason = core.request_engage(True, now_ns=stamp_ns, steady_ns=stamp_ns)
            assert engaged, reason
        log.times.append(t)
        log.egos.append(ego)
        log.plans.append(plan)
        log.agents.append(scene.agents)
        if until is not None and until(ego):
            break
        control = Control(speed_mps=ego.speed_mps, curvature_1pm=ego.curvature_1pm)
        if command is not None:
            twist = twist_from_command(command)
            control = Control.from_twist(speed_mps=twist.speed_mps, yaw_rate_radps=twist.yaw_rate_radps)
        ego = step(ego, VEHICLE, control, duration_s=STEP_S)
    return log
