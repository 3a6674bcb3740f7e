"""The rule-based planner: the stack that a learned planner has to beat. It reads the Scene, never a picture.

Order of decisions: remember who was seen; the line through the route's lanes, moved over for what stands in the way;
the path on which the car steers to it; who is on that path or will be; where to wait; how fast.
"""

import math
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from e2e_planner.rule_conflicts import claims, clearance_speeds, leads_now, leads_to_come, on_path
from e2e_planner.rule_forecast import LaneMap, forecast
from e2e_planner.rule_gates import Gates, Situation
from e2e_planner.rule_junctions import crossings_along
from e2e_planner.rule_parameters import Body, RuleParameters
from e2e_planner.rule_passing import Passing
from e2e_planner.rule_path import STEP_M, Path, RouteLine, route_line, steer
from e2e_planner.rule_speed import STEP_S, Lead, Motion, roll_out, speed_envelope
from e2e_planner.rule_tracks import MAX_STEP_S, Tracks
from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import MimicError
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan
from mimic_contracts.scene import Scene
from mimic_contracts.vehicle import VehicleSpec, load_vehicle

VEHICLE = "simulator"  # whose size and limits are planned for, unless another is given
CURVATURE_SHARE = 0.9  # of the vehicle's limit: the rest is for the tracker
EMERGENCY_AHEAD_S = 1.0  # a plan that brakes as hard later may still become calm
NEAREST_LEADS = 2  # whom the speed depends on: the others follow each other
MAX_STEERING_LAG_1PM = 0.01
WHIM_S, WHIMS = 4.0, (0.0, 0.0, 0.2, 0.5, 1.0)  # for how long, and shares of the speed that the road allows
Values = NDArray[np.float64]


class RoutePursuit:
    """`route_pursuit`: follows the route's lanes at the speed limit, blind to everybody and everything else."""

    spec = CAR
    rig_name: str | None = None
    needs_scene = True
    model_id = "route_pursuit"
    scene_source = "the simulator fills it in for policies that say needs_scene"

    def __init__(self, *, vehicle: VehicleSpec | None = None, parameters: RuleParameters | None = None) -> None:
        vehicle = vehicle or load_vehicle(VEHICLE)
        self.parameters = parameters or RuleParameters()
        self.body = Body(
            front_m=vehicle.length_m - vehicle.rear_overhang_m,
            rear_m=vehicle.rear_overhang_m,
            half_width_m=vehicle.width_m / 2.0,
            wheelbase_m=vehicle.wheelbase_m,
            max_curvature_1pm=CURVATURE_SHARE * vehicle.limits.max_curvature_1pm,
            max_speed_mps=vehicle.limits.max_speed_mps,
        )
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self._last: Plan | None = None

    def plan(self, observation: Observation) -> Plan:
        """The plan from this observation on; raises MimicError without a scene, a route in it, or a speed."""
        scene, speed = self._scene(observation), observation.ego.speed_mps
        if speed is None:
            raise MimicError(f"{self.model_id}: the observation has no speed: map odometry in the topic map")
        plan = self._plan(observation, scene, max(speed, 0.0))
        self._last = plan
        return plan

    def _scene(self, observation: Observation) -> Scene:
        if observation.scene is None:
            raise MimicError(f"{self.model_id}: the observation has no scene: {self.scene_source}")
        return observation.scene

    def _plan(self, observation: Observation, scene: Scene, speed_mps: float) -> Plan:
        route = route_line(scene.lanes)
        path = self._steer(observation, route, np.zeros(len(route.line.s_m)), speed_mps)
        motion = self._roll(observation, speed_mps, self._limits(route, path), duration_s=CAR.times_s[-1])
        return self._as_plan(observation, path, motion)

    def _steer(self, observation: Observation, route: RouteLine, offset_m: Values, speed_mps: float) -> Path:
        line = route.line.shifted(offset_m) if offset_m.any() else route.line
        ego_m = float(line.project(np.zeros((1, 2)))[0][0])
        curvature = float(np.clip(self._curvature(observation), -self.body.max_curvature_1pm, self.body.max_curvature_1pm))
        path = steer(line, ego_m=ego_m, curvature_1pm=curvature, speed_mps=speed_mps, body=self.body, parameters=self.parameters)
        if line is route.line:
            return path
        stations = np.interp(path.station_m, line.s_m, route.line.s_m)  # the shifted line has the route's points, moved aside
        return Path(path.points_m, path.s_m, path.yaw_rad, path.curvature_1pm, stations)

    def _curvature(self, observation: Observation) -> float:
        """Of the wheels now: as last planned, for the steering lags behind what it is told, but near what is measured."""
        measured = observation.ego.curvature_1pm
        if self._last is None:
            return measured or 0.0
        planned = self._from_last(observation, "curvature_1pm")
        return planned if measured is None else min(max(planned, measured - MAX_STEERING_LAG_1PM), measured + MAX_STEERING_LAG_1PM)

    def _from_last(self, observation: Observation, channel: str) -> float:
        """What the last plan says of now; zero without one."""
        if self._last is None:
            return 0.0
        since_s = (observation.stamp_ns - self._last.stamp_ns) / 1e9
        return float(self._last.at(since_s)[CAR.index(channel)]) if 0.0 <= since_s <= MAX_STEP_S else 0.0

    def _limits(self, route: RouteLine, path: Path) -> Values:
        """(N,) speed limits and curve speeds along the path; slow enough at the end of what is seen to stop soon."""
        p = self.parameters
        limit = np.minimum(route.limits_mps(path.station_m, unknown_mps=p.unknown_limit_mps), self.body.max_speed_mps)
        limit = np.minimum(limit, np.sqrt(p.lateral_acceleration_mps2 / np.maximum(np.abs(path.curvature_1pm), 1e-4)))
        limit[path.station_m > route.seen_m] = np.minimum(limit[path.station_m > route.seen_m], p.end_of_view_mps)
        return limit

    def _roll(
        self, observation: Observation, speed_mps: float, limit_mps: Values, *, leads: Sequence[Lead] = (), stop_m: float = math.inf, duration_s: float
    ) -> Motion:
        acceleration = self._from_last(observation, "acceleration_mps2") if speed_mps > self.parameters.standstill_mps else 0.0
        return roll_out(
            speed_mps=speed_mps,
            acceleration_mps2=acceleration,
            envelope_mps=speed_envelope(limit_mps, step_m=STEP_M, parameters=self.parameters),
            step_m=STEP_M,
            stop_m=stop_m,
            leads=leads,
            duration_s=duration_s,
            parameters=self.parameters,
        )

    def _as_plan(self, observation: Observation, path: Path, motion: Motion) -> Plan:
        every = round((CAR.times_s[1] - CAR.times_s[0]) / STEP_S)
        s, speed, acceleration = (column[::every] for column in (motion.s_m, motion.speed_mps, motion.acceleration_mps2))
        columns = {
            "x_m": np.interp(s, path.s_m, path.points_m[:, 0]),
            "y_m": np.interp(s, path.s_m, path.points_m[:, 1]),
            "yaw_rad": np.interp(s, path.s_m, path.yaw_rad),
            "speed_mps": speed,
            "acceleration_mps2": acceleration,
            "curvature_1pm": np.interp(s, path.s_m, path.curvature_1pm),
        }
        values = np.stack([columns[channel] for channel in CAR.channels], axis=1)
        none = np.zeros((0, *values.shape))
        soon = motion.acceleration_mps2[: round(EMERGENCY_AHEAD_S / STEP_S) + 1]
        is_emergency = bool(soon.min() < -self.parameters.firm_braking_mps2 - 0.1)
        return Plan(
            stamp_ns=observation.stamp_ns,
            spec=CAR,
            values=values,
            alternatives=none,
            probabilities=np.zeros(0),
            model_id=self.model_id,
            is_emergency=is_emergency,
        )


class ErraticPursuit(RoutePursuit):
    """`erratic_pursuit`: as `route_pursuit`, but every few seconds it thinks better of its speed, by lot, and stands, say, in the middle
    of a junction, or short of a line. For recordings in which the expert says what it would do from there (`mimic sim record`)."""

    model_id = "erratic_pursuit"

    def reset(self) -> None:
        """Forget everything seen."""
        super().reset()
        self._start: tuple[int, int] | None = None  # when the drive began, and what its lots depend on

    def _limits(self, route: RouteLine, path: Path) -> Values:
        return self._share * super()._limits(route, path)

    def _plan(self, observation: Observation, scene: Scene, speed_mps: float) -> Plan:
        if self._start is None:
            self._start = observation.stamp_ns, zlib.crc32(route_line(scene.lanes).line.points_m.tobytes())
        since_ns, seed = self._start
        self._share = float(np.random.default_rng([seed, int((observation.stamp_ns - since_ns) / 1e9 / WHIM_S)]).choice(WHIMS))
        return super()._plan(observation, scene, speed_mps)


class RuleBasedOracle(RoutePursuit):
    """`rule_based_oracle`: the scene is the simulator's truth about what the rig can see."""

    model_id = "rule_based_oracle"

    def reset(self) -> None:
        """Forget everything seen and decided."""
        super().reset()
        self._waited_s = 0.0
        self._tracks = Tracks(self.parameters)
        self._gates = Gates(self.body, self.parameters)
        self._passing = Passing(self.body, self.parameters)

    def _plan(self, observation: Observation, scene: Scene, speed_mps: float) -> Plan:
        p, body = self.parameters, self.body
        step_s = 0.0 if self._last is None else min(max((observation.stamp_ns - self._last.stamp_ns) / 1e9, 0.0), MAX_STEP_S)
        self._waited_s = self._waited_s + step_s if speed_mps < p.waiting_mps else 0.0
        tracks = self._tracks.update(scene.agents, observation.ego, stamp_ns=observation.stamp_ns)
        route, lane_map = route_line(scene.lanes), LaneMap(scene.lanes)
        straight = self._steer(observation, route, np.zeros(len(route.line.s_m)), speed_mps)
        junctions = self._gates.look(scene, route, straight, lane_map, observation.ego, step_s=step_s)
        crossings = crossings_along(scene, straight, half_width_m=body.half_width_m)
        queue_ends_m = [straight.station_m[0] + at for at in (*(j.line_m for j in junctions), *(start for start, _ in crossings))]
        shift = self._passing.shift(route, scene, tracks, speed_mps=speed_mps, waited_s=self._waited_s, queue_ends_m=queue_ends_m)
        path = self._steer(observation, route, shift.offset_m, speed_mps) if shift.offset_m.any() else straight

        priority = frozenset(lane_id for junction in junctions for lane_id in junction.yields_to)
        projected = on_path(forecast(tracks, lane_map, priority=priority, waited_s=self._waited_s, parameters=p), path, body)
        limit = np.minimum(self._limits(route, path), clearance_speeds(projected, path, body, p))
        leads = leads_now(projected, body, p, waited_for=shift.waited_for)
        going = self._roll(observation, speed_mps, limit, leads=leads[:NEAREST_LEADS], duration_s=p.horizon_s)
        coming = leads_to_come(projected, going, body, p, priority=priority)
        situation = Situation(
            speed_mps=speed_mps,
            junctions=junctions,
            crossings=crossings,
            claims=claims(projected, p),
            projected=projected,
            leads=leads,
            going=going,
        )
        verdict = self._gates.decide(situation, step_s=step_s)
        if verdict.creep_m is not None:
            creeping = (path.s_m >= verdict.creep_m[0]) & (path.s_m <= verdict.creep_m[1])
            limit[creeping] = np.minimum(limit[creeping], p.creep_mps)
        stop_m = min(verdict.stop_m, max(path.way(shift.lane_end_m) - body.front_m, 0.0))
        if stop_m < math.inf:
            limit[path.s_m >= stop_m] = 0.0
        return self._as_plan(
            observation,
            path,
            self._roll(observation, speed_mps, limit, leads=(*leads[:NEAREST_LEADS], *coming[:NEAREST_LEADS]), stop_m=stop_m, duration_s=CAR.times_s[-1]),
        )
