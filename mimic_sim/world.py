"""What is simulated: the fixed world of one route, and the drive through it, tick by tick.

The same `Simulation` is stepped in process (engine.py) and by the ROS node (sim_node.py), which is why both give the
same numbers. Tick k has stamp 1 s + k·tick_s. A tick is: observe, plan, command, `advance`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.motion import quaternion_yaw, yaw_quaternion
from mimic_contracts.plan import Plan
from mimic_contracts.scene import Scene
from mimic_contracts.vehicle import VehicleSpec, load_vehicle
from mimic_sim import expert
from mimic_sim.actors import Actor
from mimic_sim.course import COURSES, EGO_LANE, build_course
from mimic_sim.disturbance import NONE, Disturbance
from mimic_sim.drive_result import DriveResult, Row
from mimic_sim.driver import Driver
from mimic_sim.ego import Control, EgoMotion, step
from mimic_sim.events import COLLISIONS, Event
from mimic_sim.judge import NO_BOXES, Judge
from mimic_sim.looks import Look, look_of
from mimic_sim.moment import Moment
from mimic_sim.navigation import Navigation
from mimic_sim.parked import parked_cars
from mimic_sim.right_of_way import Conflict, Link, conflicts, waiting_lines
from mimic_sim.road_network import Line, RoadNetwork
from mimic_sim.route_spec import RouteSpec
from mimic_sim.routing import Way, closed_way, open_way, shortest_way
from mimic_sim.scenarios import CAST, load_scenario
from mimic_sim.scene_meshes import building_walls
from mimic_sim.scene_truth import SceneTruth
from mimic_sim.scenery import scenery_of
from mimic_sim.sight import Seen, Sight
from mimic_sim.staging import Cast, Empty
from mimic_sim.sumo_network import load_network, town_path
from mimic_sim.trace import NEAR_M, Trace, is_near
from mimic_sim.traffic import Traffic, TrafficSpec
from vehicle_interface.adapters import Twist2D

START_STAMP_NS = 1_000_000_000
MIN_WAY_M = 5.0
# How a drive ends (METRICS): 30 m off its route; after 60 s without getting on, which is longer than any signal is red
# and counts in a jam too; at the route's time limit; or else completed, or failed with the reason.
OFF_ROAD_M = 30.0
BLOCKED_S = 60.0
BLOCKED_PROGRESS_M = 2.0
SPARE_S, TOWN_SPARE_S = 20.0, 110.0  # beyond twice the time on an empty road; in a town there are lights and others
COMPLETED, OFF_ROAD, BLOCKED, TIME_LIMIT = "completed", "off_road", "blocked", "time_limit"
# Where a learner is corrected it ends sooner, too: at the first collision that the ego is to blame for, and farther
# beside its way than a lane's middle and a half, from where the expert would cut across whatever is there.
COLLISION, OFF_WAY = "collision", "off_way"
OFF_WAY_M = 5.0


@dataclass(frozen=True, eq=False)
class World:
    """What does not change during a drive: the road, the way along it, the expert's line, the car, the look.

    length_m: from the start to the end of the drive; an open way's line goes on beyond, so that nobody brakes there.
    parked: cars that stand at the kerb all day. static_boxes: (N, 5) float64 [x_m, y_m, yaw_rad, length_m, width_m] of what a car can run into beside the road.
    """

    route: RouteSpec
    network: RoadNetwork
    way: Way
    length_m: float
    driving: expert.DrivingLine
    vehicle: VehicleSpec
    look: Look
    static_boxes: NDArray[np.float64] = field(default_factory=lambda: NO_BOXES)
    parked: tuple[Actor, ...] = ()

    @property
    def lane_line(self) -> Line:
        """The middle of the lanes."""
        return self.way.line

    @property
    def nominal_duration_s(self) -> float:
        """How long the expert's speed profile takes for the route, without the start from standstill."""
        line = self.driving.line
        steps_s = np.diff(line.s_m) / self.driving.speed_mps[:-1]
        if line.closed:
            return float(steps_s.sum()) * self.route.laps
        ends = self.lane_line.poses(self.route.start_m + np.array([0.0, self.length_m]))
        first, last = np.searchsorted(line.s_m, [line.project(x, y)[0] for x, y, _ in ends])
        return float(steps_s[first:last].sum())

    @property
    def time_limit_s(self) -> float:
        """After how long a drive ends in any case."""
        return self.route.time_limit_s or 2.0 * self.nominal_duration_s + (TOWN_SPARE_S if self.network.sumo_file else SPARE_S)

    def lane_margin_m(self, *, station_m: float, progress_m: float) -> float:
        """How far the middle of an axle may be from the lane's with the car's whole width inside; infinite on the
        stretches where leaving the lane is necessary."""
        if any(start <= progress_m <= end for start, end in self.route.passes_m):
            return np.inf
        return (self.way.lane_at(station_m).width_m - self.vehicle.width_m) / 2.0

    def conflicts(self) -> tuple[Conflict, ...]:
        """The lanes that the way meets in its junctions."""
        return conflicts(self.network, self.way, width_m=self.vehicle.width_m)

    def signal_link(self) -> Link:
        """The link of the first signal on the way; raises MimicError without one."""
        links = [line.link for line in waiting_lines(self.network, self.way) if line.link is not None]
        if not links:
            raise MimicError(f"route '{self.route.route_id}': there is no signal on its way")
        return links[0]

    def start(self) -> EgoMotion:
        """The car at the start: in the middle of its lane, standing."""
        x, y, yaw = self.lane_line.poses(np.array([self.route.start_m]))[0]
        return EgoMotion(x_m=float(x), y_m=float(y), yaw_rad=float(yaw))


@lru_cache(maxsize=16)  # reading a town takes seconds
def load_road(course: str) -> RoadNetwork:
    """The road network of a built-in course or a town; raises ContractError or MimicError that lists the known ones."""
    if course in COURSES:
        return build_course(course)
    return load_network(town_path(course))


def build_world(route: RouteSpec) -> World:
    """Everything about a route that the route's text decides; raises ContractError or MimicError."""
    return world_on(load_road(route.course), route)


def world_on(network: RoadNetwork, route: RouteSpec) -> World:
    """The world of a route on a road network that is already there; raises ContractError or MimicError."""
    if route.start_lane:
        way = open_way(network, shortest_way(network, route.start_lane, route.end_lane))
        length_m = way.end_m - route.start_m
        if length_m < MIN_WAY_M:
            raise ContractError(f"route.start_m: is {route.start_m}, must be at most {way.end_m - MIN_WAY_M:.1f}, {MIN_WAY_M} m before the end")
        if route.length_m > length_m:
            raise ContractError(f"route.length_m: is {route.length_m}, must be at most {length_m:.1f}, to the end of '{route.end_lane}'")
        length_m = route.length_m or length_m
    else:
        way = closed_way(network, EGO_LANE)
        length_m = way.end_m * route.laps
    walls = building_walls(network, seed=route.seed, scenery=scenery_of(route.scenery, seed=route.seed)) if network.sumo_file is not None else NO_BOXES
    driving = expert.driving_line(way.line, speed_limits_mps=way.speed_limits_mps(), style=expert.STYLES[route.driver or expert.CALM])
    return World(
        route,
        network,
        way,
        length_m,
        driving,
        load_vehicle(route.vehicle),
        look_of(route.look, seed=route.seed),
        walls,
        parked_cars(network, way, seed=route.seed, free_m=[(route.start_m + start, route.start_m + end) for start, end in route.passes_m]),
    )


@dataclass(frozen=True, kw_only=True)
class Odometry:
    """What the car tells about its motion: pose (3,) float64 [x_m, y_m, yaw_rad] and speeds."""

    pose: NDArray[np.float64]
    speed_mps: float
    yaw_rate_radps: float


class Simulation:
    """One drive through a world; a context manager, since SUMO runs the others in a town (one such drive at a time).

    `ended` is empty while it goes on, then how it ended; `actors` and `signals` are as in Moment, now.
    ends_at_faults: it ends with COLLISION or OFF_WAY, too.
    Raises MimicError when SUMO fails.
    """

    def __init__(self, world: World, *, ends_at_faults: bool = False) -> None:
        self.world, self._ends_at_faults = world, ends_at_faults
        self.ego = world.start()
        self.signals: Mapping[str, str] = {}
        self.tick = 0
        self.ended = ""
        self._cast: Cast = Empty()
        if world.route.scenario:
            self._cast = load_scenario(world.route.scenario).cast(world, np.random.default_rng([world.route.seed, CAST]))
        self._scripted = self._cast.enter()
        self._traffic = self._open_traffic()
        self.actors = self._all_actors()
        self._sight, self._driver, self._navigation = Sight.of(world), Driver(world), Navigation(world.way, seed=world.route.seed)
        self._looked_at = -1
        self._truth: SceneTruth | None = None
        self._judge = Judge(world.network, world.way, world.vehicle, static_boxes=world.static_boxes)
        self._events: list[Event] = []
        self._moments: list[Moment] = []
        self._rows: list[Row] = []
        self._plans: list[Plan | None] = []
        self._station_m = world.lane_line.project(self.ego.x_m, self.ego.y_m)[0]
        self._progress_m = self._last_progress_m = 0.0
        self._last_progress_s = 0.0
        self._control: Control | None = None
        self._commanded_s = -np.inf
        self._time_limit_s = world.time_limit_s
        self._disturbance = Disturbance(seed=world.route.seed, duration_s=self._time_limit_s) if world.route.is_disturbed else None

    def __enter__(self) -> "Simulation":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End SUMO's part; the result stays."""
        if self._traffic is not None:
            self._traffic.close()

    @property
    def time_s(self) -> float:
        """Since the first tick."""
        return self.tick * self.world.route.tick_s

    @property
    def stamp_ns(self) -> int:
        """Stamp of the current tick."""
        return START_STAMP_NS + self.tick * round(self.world.route.tick_s * 1e9)

    @property
    def progress_share(self) -> float:
        """How much of the route is done, 0 to 1."""
        return min(max(self._progress_m / self.world.length_m, 0.0), 1.0)

    @property
    def route_command(self) -> str:
        """What a navigation map says here, of ROUTE_COMMANDS."""
        return self.world.way.command_at(self._station_m)

    def route_ahead_m(self) -> NDArray[np.float64]:
        """(N, 2) what a navigation map says is ahead, in the network's frame (Route.points_m)."""
        return self._navigation.ahead_m(self._station_m)

    def moment(self) -> Moment:
        """This tick, for cameras, labels and judges."""
        return Moment(stamp_ns=self.stamp_ns, ego=self.ego, actors=self.actors, signals=self.signals)

    def odometry(self) -> Odometry:
        """The motion as a ROS node reads it from a message, whose yaw went through a quaternion: the same bytes."""
        z, w = yaw_quaternion(self.ego.yaw_rad)
        pose = np.array([self.ego.x_m, self.ego.y_m, quaternion_yaw(x=0.0, y=0.0, z=z, w=w)])
        return Odometry(pose=pose, speed_mps=self.ego.speed_mps, yaw_rate_radps=self.ego.yaw_rate_radps)

    def seen(self) -> Seen:
        """What the car's cameras show of this tick; to be asked at every tick or never, since it takes time to see."""
        if self._looked_at != self.tick:
            self._looked_at, self._seen = self.tick, self._sight.look(self.moment())
        return self._seen

    def scene(self) -> Scene:
        """What the car's cameras show of this tick, for rule-based planners; to be asked at every tick or never."""
        if self._truth is None:
            self._truth = SceneTruth(self.world)
        return self._truth.scene(self.seen(), station_lane=self.world.way.lane_at(self._station_m).lane_id)

    def expert_plan(self) -> Plan:
        """What the expert would do from here, given what it has seen; to be asked at every tick or never."""
        if self._looked_at != self.tick:
            self._driver.look(self.seen())
        return self._driver.plan(self.ego, stamp_ns=self.stamp_ns)

    def advance(self, twist: Twist2D | None, *, mode: str, plan: Plan | None = None, skipped: str = "") -> None:
        """Note this tick and move the car to the next: twist is the command of this tick, None where there is none.

        plan: what was planned at this tick; skipped: why this tick was not served.
        """
        route, vehicle = self.world.route, self.world.vehicle
        self._note(twist, mode=mode, plan=plan, skipped=skipped)
        if twist is not None:
            self._control = Control.from_twist(speed_mps=twist.speed_mps, yaw_rate_radps=twist.yaw_rate_radps)
            self._commanded_s = self.time_s
        is_commanded = self.time_s - self._commanded_s <= vehicle.command_timeout_s
        control = self._control if is_commanded else None
        deviation = NONE if self._disturbance is None else self._disturbance.at(self.time_s, speed_mps=self.ego.speed_mps)
        if control is not None and deviation is not NONE:
            curvature = None if control.curvature_1pm is None else control.curvature_1pm + deviation.curvature_1pm
            control = Control(speed_mps=max(control.speed_mps + deviation.speed_mps, 0.0), curvature_1pm=curvature)
        self._scripted = self._cast.step(self.moment(), route.tick_s)
        self.ego = step(self.ego, vehicle, control, duration_s=route.tick_s, drift=deviation.drift)
        self.tick += 1
        if self._traffic is not None:
            self._traffic.step(self.ego.pose, self._scripted)
            self.signals = self._traffic.signal_states()
        self.actors = self._all_actors()
        offset_m = self._move_along()
        self._ask_the_judge()
        self._look_for_the_end(offset_m)

    def fail(self, reason: str) -> None:
        """End the drive for a reason that lies outside the road: the policy or a node failed."""
        self.ended = f"failed: {reason}"

    def result(self) -> DriveResult:
        """The rows so far."""
        return DriveResult.from_rows(
            self.world.route,
            self._rows,
            self._plans,
            length_m=self.world.length_m,
            ended=self.ended or "running",
            events=self._events,
            trace=Trace.of(self._moments),
        )

    def _note(self, twist: Twist2D | None, *, mode: str, plan: Plan | None, skipped: str) -> None:
        ego, way, station_m = self.ego, self.world.way, self._station_m
        front = ego.pose[:2] + self.world.vehicle.wheelbase_m * np.array([np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)])
        self._plans.append(plan)
        self._moments.append(self.moment())
        self._rows.append(
            Row(
                stamp_ns=self.stamp_ns,
                x_m=ego.x_m,
                y_m=ego.y_m,
                yaw_rad=ego.yaw_rad,
                speed_mps=ego.speed_mps,
                acceleration_mps2=ego.acceleration_mps2,
                yaw_rate_radps=ego.yaw_rate_radps,
                curvature_1pm=ego.curvature_1pm,
                rear_offset_m=way.project_near(ego.x_m, ego.y_m, station_m=station_m)[1],
                front_offset_m=way.project_near(*front, station_m=station_m)[1],
                lane_margin_m=self.world.lane_margin_m(station_m=station_m, progress_m=self._progress_m),
                progress_m=self._progress_m,
                command_speed_mps=np.nan if twist is None else twist.speed_mps,
                command_yaw_rate_radps=np.nan if twist is None else twist.yaw_rate_radps,
                mode=mode,
                skipped=skipped,
            )
        )

    def _open_traffic(self) -> Traffic | None:
        route, world = self.world.route, self.world
        if world.network.sumo_file is None:
            return None
        spec = TrafficSpec(vehicles=route.vehicles, pedestrians=route.pedestrians, seed=route.seed)
        traffic = Traffic(world.network.sumo_file, spec, tick_s=route.tick_s, ego=world.vehicle, ego_pose=self.ego.pose, reach_m=NEAR_M)
        traffic.start(self._scripted)
        for wish in self._cast.signals:
            traffic.wish(wish.link.signal_id, wish.link.index, wish.shows, wish.left_s)
        self.signals = traffic.signal_states()
        return traffic

    def _all_actors(self) -> tuple[Actor, ...]:
        others = (*self._scripted, *(() if self._traffic is None else self._traffic.actors()), *self.world.parked)
        return tuple(actor for actor in others if is_near(actor, self.ego))

    def _move_along(self) -> float:
        """Follow the ego along the way; returns how far beside it the ego is, left positive."""
        station_m, offset_m = self.world.way.project_near(self.ego.x_m, self.ego.y_m, station_m=self._station_m)
        if self.world.lane_line.closed:
            lap_m = self.world.lane_line.length_m
            self._progress_m += (station_m - self._station_m + lap_m / 2.0) % lap_m - lap_m / 2.0
        else:
            self._progress_m = station_m - self.world.route.start_m
        self._station_m = station_m
        if self._progress_m > self._last_progress_m + BLOCKED_PROGRESS_M:
            self._last_progress_m, self._last_progress_s = self._progress_m, self.time_s
        return offset_m

    def _ask_the_judge(self) -> None:
        station_m, progress_m = self._station_m, self._progress_m
        margin_m = self.world.lane_margin_m(station_m=station_m, progress_m=progress_m)
        self._events += self._judge.look(self.moment(), time_s=self.time_s, station_m=station_m, progress_m=progress_m, lane_margin_m=margin_m)

    def _look_for_the_end(self, offset_m: float) -> None:
        if self._progress_m >= self.world.length_m:
            self.ended = COMPLETED
        elif self._ends_at_faults and any(event.at_fault and event.kind in COLLISIONS for event in self._events):
            self.ended = COLLISION
        elif self._ends_at_faults and abs(offset_m) > OFF_WAY_M:
            self.ended = OFF_WAY
        elif abs(offset_m) > OFF_ROAD_M:
            self.ended = OFF_ROAD
        elif self.time_s - self._last_progress_s > BLOCKED_S:
            self.ended = BLOCKED
        elif self.time_s >= self._time_limit_s:
            self.ended = TIME_LIMIT
