"""What must hold whatever happens: commands inside the vehicle file's limits, reckoned anew from the messages alone, and the car in its lane."""

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.motion import from_frame
from mimic_contracts.vehicle import VehicleSpec
from mimic_sim.world import World

LONGEST_STEP_S = 0.2  # what the vehicle interface takes longer gaps as
SLACK_S = 0.0005  # by which a stamp may be beside the time that the envelope reckons with
UNKNOWN_S = 0.06
ROUNDING = 1e-6
SLOW_MPS, MOVING_MPS = 5.0, 0.5  # below the one steering is limited by its rate, below the other a twist tells no curvature
AHEAD_MPS = 2.0  # by how much the speed that the envelope reckons with may be above the commanded one


def envelope_findings(commands: NDArray[np.float64], vehicle: VehicleSpec, *, is_emergency: bool = False, is_exact: bool = True) -> list[str]:
    """What is outside of the limits in one stretch of commands, the first of each kind.

    commands: (N, 5): its number (some may have got lost on their way), when each was made and when it was published, s, its speed, m/s, and
    yaw rate, rad/s. A stretch ends where the vehicle
    interface falls silent. The time that the envelope reckons with is read just before the stamp: where the process had to wait meanwhile, as a
    late publication shows, the stamp tells less than rates need; rates are then taken from the command before to the one after.
    is_exact: false where stamps are only times of publication: then rates are bounded with UNKNOWN_S to spare, and jerk is not judged.
    """
    limits = vehicle.limits
    found: list[str] = []

    def demand(is_inside: NDArray[np.bool_], what: str, values: NDArray[np.float64], times_s: NDArray[np.float64]) -> None:
        if not is_inside.all():
            first = int(np.argmin(is_inside))
            since_s = times_s[-len(values) :][first] - commands[0, 1]
            found.append(f"{what} is {values[first]:.4g} in {int((~is_inside).sum())} of {len(commands)} commands, first after {since_s:.2f} s")

    finite = np.isfinite(commands).all(axis=1)
    demand(finite, "the command", commands[:, 3], commands[:, 1])
    if not finite.all() or len(commands) == 0:
        return found
    numbers, made_s, published_s, v, w = commands.T
    demand((v >= 0.0) & (v <= limits.max_speed_mps + ROUNDING), "the speed", v, made_s)
    demand(np.abs(v * w) <= limits.max_lateral_acceleration_mps2 + ROUNDING, "the lateral acceleration", v * w, made_s)
    kappa = np.where(v > MOVING_MPS, w / np.maximum(v, MOVING_MPS), 0.0)
    demand(np.abs(kappa) <= limits.max_curvature_1pm + ROUNDING, "the curvature", kappa, made_s)

    way_s = published_s - made_s
    told = way_s - way_s.min() < SLACK_S
    made_s, v, kappa = made_s[told], v[told], kappa[told]
    if len(v) < 3:
        return found
    merged = np.diff(numbers[told]) > 1
    dt = np.diff(made_s)
    demand(dt > 0.0, "the time between two commands", dt, made_s)
    dt = np.maximum(dt, 1e-6)
    allowed_s = np.minimum(dt, np.where(merged, np.inf, LONGEST_STEP_S)) + (0.0 if is_exact else UNKNOWN_S)
    lowest = limits.min_emergency_acceleration_mps2 if is_emergency else limits.min_acceleration_mps2
    change = np.diff(v)
    slack = SLACK_S * (limits.max_acceleration_mps2 - lowest) + ROUNDING
    demand((change >= lowest * allowed_s - slack) & (change <= limits.max_acceleration_mps2 * allowed_s + slack), "the acceleration", change / dt, made_s)
    if is_exact:
        a, jerk = change / allowed_s, limits.max_emergency_jerk_mps3 if is_emergency else limits.max_jerk_mps3
        over_s = np.where(merged[1:] | merged[:-1], dt[1:] + dt[:-1], allowed_s[1:])
        inexact = SLACK_S * (np.abs(a[1:]) / dt[1:] + np.abs(a[:-1]) / dt[:-1]) + ROUNDING
        is_at_end = (v[2:] <= 0.0) | (v[2:] >= limits.max_speed_mps)  # where the speed ends, the acceleration ends at once
        is_known = ~((merged & (dt > LONGEST_STEP_S))[1:] | (merged & (dt > LONGEST_STEP_S))[:-1])
        demand(is_at_end | ~is_known | (np.abs(np.diff(a)) <= jerk * over_s + inexact), "the jerk", np.diff(a) / over_s, made_s)
    by_jerk = limits.max_lateral_jerk_mps3 / np.maximum(v[1:], SLOW_MPS) ** 2
    by_rate = limits.max_steering_rate_radps * (1.0 + (limits.max_curvature_1pm * vehicle.wheelbase_m) ** 2) / vehicle.wheelbase_m
    bound = np.where(v[1:] >= SLOW_MPS, by_jerk, np.maximum(by_jerk, by_rate)) * (allowed_s + SLACK_S) + ROUNDING
    # The lateral acceleration ranks above: what it takes off may go faster.
    is_taken_off = (np.abs(kappa[1:]) < np.abs(kappa[:-1])) & (np.abs(kappa[:-1]) * (v[1:] + AHEAD_MPS) ** 2 >= limits.max_lateral_acceleration_mps2)
    is_moving = (v[1:] > MOVING_MPS) & (v[:-1] > MOVING_MPS)
    demand(~is_moving | is_taken_off | (np.abs(np.diff(kappa)) <= bound), "the curvature's rate", np.diff(kappa) / dt, made_s)
    return found


class LaneWatch:
    """How far the car's outline is from the edge of its lane, pose by pose."""

    def __init__(self, world: World) -> None:
        self._world = world
        car = world.vehicle
        front, rear, half = car.length_m - car.rear_overhang_m, -car.rear_overhang_m, car.width_m / 2.0
        self._corners = np.array([(x, y, 0.0) for x in (front, rear) for y in (-half, half)])
        self.station_m = world.route.start_m
        self.least_margin_m = np.inf

    def look(self, pose: NDArray[np.float64]) -> None:
        """Note a pose (3,) of the rear axle's middle."""
        way = self._world.way
        self.station_m = way.project_near(float(pose[0]), float(pose[1]), station_m=self.station_m)[0]
        half_m = way.lane_at(self.station_m).width_m / 2.0
        for x, y, _ in from_frame(self._corners, pose):
            self.least_margin_m = min(self.least_margin_m, half_m - abs(way.project_near(float(x), float(y), station_m=self.station_m)[1]))
