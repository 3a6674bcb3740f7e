"""Plans and a vehicle for the tests of the vehicle interface."""

import numpy as np

from mimic_contracts.action_spec import CAR
from mimic_contracts.plan import Plan
from mimic_contracts.vehicle import load_vehicle
from vehicle_interface.core import VehicleInterfaceCore
from vehicle_interface.kinematics import advance_pose
from vehicle_interface.vehicle_interface_parameters import VehicleInterfaceParameters

VEHICLE = load_vehicle("simulator")
TICK_NS = 50_000_000
S = 1_000_000_000


def arc_plan(*, stamp_ns=0, speed=8.0, curvature=0.0, acceleration=0.0, start=(0.0, 0.0, 0.0), emergency=False, spec=CAR):
    """The plan to drive an arc from a pose (3,) of the vehicle frame, with constant acceleration to standstill at most."""
    pose, v, rows = np.array(start, np.float64), speed, []
    step_s = spec.times_s[1]
    for _ in spec.times_s:
        rows.append([*pose, v, acceleration if v > 0.0 or acceleration > 0.0 else 0.0, curvature])
        after = max(v + acceleration * step_s, 0.0)
        pose = advance_pose(pose, distance_m=(v + after) / 2.0 * step_s, curvature_1pm=curvature)
        v = after
    none = np.zeros((0, len(spec.times_s), len(spec.channels)))
    return Plan(stamp_ns=stamp_ns, spec=spec, values=np.array(rows), alternatives=none, probabilities=np.zeros(0), model_id="test", is_emergency=emergency)


def bent_plan(*, speeds, curvatures, stamp_ns=0):
    """The plan from the origin on at speeds (21,) along curvatures (21,) that hold from each row to the next."""
    poses, speeds = [np.zeros(3)], np.array(speeds, np.float64)
    for before, after, curvature in zip(speeds, speeds[1:], curvatures, strict=False):
        poses.append(advance_pose(poses[-1], distance_m=(before + after) / 2.0 * CAR.times_s[1], curvature_1pm=float(curvature)))
    values = np.column_stack([np.array(poses), speeds, np.zeros(len(speeds)), curvatures])
    return Plan.single(stamp_ns=stamp_ns, spec=CAR, values=values, model_id="test")


def changed(plan, channel, values):
    """The plan with one channel replaced; values may be NaN only where the contract lets them."""
    rows = plan.values.copy()
    rows[:, plan.spec.index(channel)] = values
    return Plan.single(stamp_ns=plan.stamp_ns, spec=plan.spec, values=rows, model_id="test")


class Car:
    """A core, and a vehicle that does exactly as commanded, one tick later."""

    def __init__(self, *, speed=8.0, pose=(0.0, 0.0, 0.0), curvature=0.0, vehicle=VEHICLE, **parameters):
        self.core = VehicleInterfaceCore(vehicle, VehicleInterfaceParameters(**parameters))
        self.pose, self.speed, self.curvature = np.array(pose, np.float64), speed, curvature
        self.now_ns = 10 * S
        self.steady_ns = 3 * S
        self.outputs = []
        self._sensed_ns = -1

    def sense(self, **change):
        if not change and self.now_ns == self._sensed_ns:
            return  # as the next tick's, not twice
        self._sensed_ns = self.now_ns
        odometry = {"stamp_ns": self.now_ns, "pose": self.pose, "speed_mps": self.speed, "yaw_rate_radps": self.speed * self.curvature}
        self.core.set_odometry(**{**odometry, **change}, steady_ns=self.steady_ns)

    def plan(self, **options):
        self.core.set_plan(arc_plan(stamp_ns=self.now_ns, **options), steady_ns=self.steady_ns)

    def engage(self, engage=True):
        return self.core.request_engage(engage, now_ns=self.now_ns, steady_ns=self.steady_ns)

    def emergency(self, stop=True):
        return self.core.emergency_stop(stop, now_ns=self.now_ns, steady_ns=self.steady_ns)

    def override(self, active):
        self.core.set_override(active, steady_ns=self.steady_ns)

    def step(self, *, ros_time_runs=True):
        """Step the core, then the vehicle and the clocks."""
        out = self.core.step(now_ns=self.now_ns, steady_ns=self.steady_ns)
        self.outputs.append(out)
        if out.command is not None:
            after = out.command.target_speed_mps
            self.curvature = out.command.curvature_1pm
            self.pose = advance_pose(self.pose, distance_m=(self.speed + after) / 2.0 * TICK_NS / S, curvature_1pm=self.curvature)
            self.speed = after
        self.now_ns += TICK_NS * ros_time_runs
        self.steady_ns += TICK_NS
        return out

    def drive(self, ticks, *, sensing=True, planning=True, overriding=None, **options):
        """Ticks with odometry and a plan from where the vehicle is, or without either; the last output."""
        for _ in range(ticks):
            if sensing:
                self.sense()
            if planning:
                self.plan(**{"speed": self.speed, **options})
            if overriding is not None:
                self.override(overriding)
            out = self.step()
        return out

    def engaged(self, **options):
        """The same, engaged."""
        self.sense()
        self.plan(**{"speed": self.speed, **options})
        assert self.engage() == (True, "engaged")
        return self
