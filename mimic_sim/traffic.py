"""Other road users around our own car: SUMO moves them in a town, and they see the car and react to it.

    with Traffic(town_path("train_1"), TrafficSpec(vehicles=80, pedestrians=30), tick_s=0.05, ego=vehicle, ego_pose=pose) as traffic:
        traffic.step(pose)      # the others move on by one tick, knowing that the car is there
        traffic.actors()        # and so they stand now

Vehicles that come near the end of their way get the next one, to a random place: nobody vanishes before the camera.
Whoever leaves all the same, at a dead end, is replaced out of the ego's sight.

SUMO never teleports anybody here, neither out of a jam nor out of a contact: a jam lasts until it clears. Contacts that
SUMO sees are counted in `contacts`. SUMO draws from its own random numbers, seeded by the spec: the same spec, town and
ego poses give the same actors, bit by bit.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError, require_package
from mimic_contracts.validation import check_integer, check_number
from mimic_contracts.vehicle import VehicleSpec
from mimic_sim.actors import Actor, moved

WARM_UP_S = 60.0
FACING_ROOM_M = 14.0
EGO_WAITS_S = 5.0  # the last part of it: the ego stands at its start and those around have seen it
# Who is nearer than this to the ego's start when the ego appears goes elsewhere; a car at 17 m/s stops within 40 m.
CLEAR_RADIUS_M, PEDESTRIAN_CLEAR_RADIUS_M, SCRIPTED_CLEAR_RADIUS_M = 40.0, 5.0, 15.0
NEW_BEYOND_M = 100.0  # replacements appear no nearer to the ego than this
UPKEEP_S = 0.5  # how often ways are prolonged and numbers made up
EDGES_AHEAD = 3  # a way with fewer edges left is prolonged
TRIES = 20
EGO = "ego"
INDICATOR_BITS, HAZARD_BIT, BRAKE_BIT = 3, 4, 8  # of SUMO's vehicle signals: 1 is right, 2 left


@dataclass(frozen=True)
class RoadUserType:
    """How one kind looks and drives, with SUMO's vehicle class and parameters of car following.

    share: of all vehicles; size_m: length, width, height; speed_factor: mean and standard deviation, over drivers, of
    the share of the speed limit that they like; imperfection: SUMO's sigma, 0 (perfect) to 1. Sizes and accelerations
    are about SUMO's own for each class.
    """

    kind: str
    share: float
    vehicle_class: str
    size_m: tuple[float, float, float]
    max_speed_mps: float
    acceleration_mps2: float
    deceleration_mps2: float
    speed_factor: tuple[float, float]
    imperfection: float


VEHICLE_TYPES = (
    RoadUserType("car", 0.68, "passenger", (4.5, 1.8, 1.5), 50.0, 2.4, 4.5, (1.00, 0.10), 0.5),
    RoadUserType("van", 0.10, "delivery", (5.8, 2.0, 2.4), 40.0, 2.0, 4.5, (1.00, 0.08), 0.5),
    RoadUserType("truck", 0.06, "truck", (8.5, 2.5, 3.4), 25.0, 1.2, 4.0, (0.95, 0.05), 0.4),
    RoadUserType("bus", 0.04, "bus", (12.0, 2.5, 3.2), 22.0, 1.2, 4.0, (0.95, 0.05), 0.3),
    RoadUserType("bicycle", 0.12, "bicycle", (1.7, 0.65, 1.75), 5.5, 1.2, 3.0, (1.00, 0.15), 0.5),
)
PEDESTRIAN_TYPE = RoadUserType("pedestrian", 0.0, "pedestrian", (0.4, 0.5, 1.72), 1.6, 1.5, 2.0, (1.00, 0.12), 0.0)
SUMO_BASES = {"pedestrian": "DEFAULT_PEDTYPE", "bicycle": "DEFAULT_BIKETYPE"}  # whose other values a kind takes over
# Linear RGB, from white over grey and black to the few in colour: about what stands in a street.
PAINTS = (
    (0.85, 0.85, 0.85),
    (0.02, 0.02, 0.02),
    (0.12, 0.12, 0.13),
    (0.45, 0.46, 0.48),
    (0.03, 0.09, 0.30),
    (0.42, 0.02, 0.02),
    (0.03, 0.16, 0.08),
    (0.60, 0.40, 0.05),
)
PAINT_SHARES = (0.26, 0.20, 0.18, 0.14, 0.09, 0.07, 0.03, 0.03)


@dataclass(frozen=True, kw_only=True)
class TrafficSpec:
    """How many others there are, and the seed of everything that they are and do."""

    vehicles: int
    pedestrians: int
    seed: int

    def __post_init__(self) -> None:
        check_integer("traffic.vehicles", self.vehicles, low=0, high=1000)
        check_integer("traffic.pedestrians", self.pedestrians, low=0, high=1000)
        check_integer("traffic.seed", self.seed, low=0, high=2**31 - 1)


@dataclass(eq=False)
class _RoadUser:
    """What we keep of one: its looks, and of a vehicle how many edges its way has and where its rear axle is."""

    looks: Actor
    way_length: int = 0
    rear_m: tuple[float, float] | None = None  # None before it is seen


class Traffic:
    """Road users in a town, moved tick by tick; a context manager. One at a time in a process: SUMO is global.

    Parameters: a SUMO network with sidewalks, the tick, the ego's vehicle, and its pose at tick 0, (3,) float64
    [x_m, y_m, yaw_rad] of its rear axle in the network's frame; reach_m: who is farther than this from the ego along an axis
    is not among actors().

    `contacts` counts the contacts between two road users (the ego too) that SUMO has seen since tick 0.

    Raises MimicError without libsumo, when this process already has one, and when SUMO fails ("SUMO: ..."): after
    that this object is of no use, but a new one can begin the route again.
    """

    def __init__(self, net: Path, spec: TrafficSpec, *, tick_s: float, ego: VehicleSpec, ego_pose: NDArray[np.float64], reach_m: float = math.inf) -> None:
        require_package("libsumo", extra="sim", purpose="traffic")
        import libsumo

        check_number("traffic.tick_s", tick_s, low=0.01, high=1.0)
        self.net, self.spec, self.tick_s, self.ego = net, spec, tick_s, ego
        self.contacts = 0
        self._sumo: Any = libsumo
        self._ego_pose, self._reach_m = ego_pose, reach_m
        self._rng = np.random.default_rng([spec.seed, 1])
        self._count = 0  # of road users so far: names and looks
        self._users: dict[str, _RoadUser] = {}  # everyone but the ego, by id, also who waits to be let in
        self._scripted: dict[str, str] = {}  # kind by id
        self._actors: tuple[Actor, ...] = ()
        self._ticks = 0

    def __enter__(self) -> "Traffic":
        self.start()
        return self

    def start(self, scripted: Sequence[Actor] = ()) -> None:
        """Start SUMO and fill the town: afterwards it is tick 0 with the ego, and a scenario's actors, at their start."""
        if self._sumo.simulation.isLoaded():
            raise MimicError("traffic: this process already runs a SUMO simulation; close that one first, or use one process per simulation")
        try:
            with self._saying("cannot start"):
                self._start(scripted)
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End SUMO's simulation; another may begin."""
        self._sumo.simulation.close()

    def step(self, ego_pose: NDArray[np.float64], scripted: Sequence[Actor] = ()) -> None:
        """Move everybody on by one tick, at whose end the ego stands at ego_pose, (3,) float64 as at the start, and the
        actors of a scenario where they are: the others see those as they see the ego."""
        self._ego_pose = ego_pose
        with self._saying(f"died at {self._ticks * self.tick_s:.2f} s"):
            self._place_ego()
            self._place_scripted(scripted)
            self._advance()
            self.contacts += len(self._sumo.simulation.getCollisions())
            self._actors = tuple(self._read(reach_m=self._reach_m))

    def actors(self) -> tuple[Actor, ...]:
        """Everyone within reach but the ego, now."""
        return self._actors

    def signal_states(self) -> dict[str, str]:
        """SUMO's state string (one character a link) of every signal, by its id, now."""
        lights = self._sumo.trafficlight
        with self._saying("cannot read the signals"):
            return {signal: lights.getRedYellowGreenState(signal) for signal in lights.getIDList()}

    def wish(self, signal_id: str, index: int, shows: str, left_s: float) -> None:
        """Let a signal show r, y or G (any green) on one of its links for left_s more, and then go on with its program.

        Raises MimicError when its program never shows that.
        """
        lights = self._sumo.trafficlight
        program = lights.getProgram(signal_id)
        phases = next(logic.phases for logic in lights.getAllProgramLogics(signal_id) if logic.programID == program)
        shown = ["G" if phase.state[index] in "gG" else phase.state[index].lower() for phase in phases]
        last = [i for i, state in enumerate(shown) if state == shows and shown[(i + 1) % len(shown)] != shows]
        if not last:
            raise MimicError(f"traffic: signal '{signal_id}' never shows '{shows}' on link {index}, only {''.join(shown)}")
        lights.setPhase(signal_id, last[0])
        lights.setPhaseDuration(signal_id, left_s)

    @contextmanager
    def _saying(self, what: str) -> Iterator[None]:
        try:
            yield
        except (self._sumo.TraCIException, self._sumo.FatalTraCIError) as error:
            raise MimicError(f"SUMO: {what} in {self.net}: {error}") from error

    # Filling the town

    def _start(self, scripted: Sequence[Actor]) -> None:
        options = {
            "net-file": self.net,
            "step-length": self.tick_s,
            "seed": self.spec.seed,
            "time-to-teleport": -1,
            "ignore-route-errors": "true",  # some walks that it finds it then cannot walk: they go on at the other side
            "collision.action": "warn",
            "collision.check-junctions": "true",
            "lanechange.duration": 3,
            "no-step-log": "true",
            "no-warnings": "true",
            "duration-log.disable": "true",
        }
        self._sumo.start(["sumo", *(text for name, value in options.items() for text in (f"--{name}", str(value)))])
        for road_user in (*VEHICLE_TYPES, PEDESTRIAN_TYPE):
            self._declare(road_user)
        car = VEHICLE_TYPES[0]
        self._declare(replace(car, kind=EGO, size_m=(self.ego.length_m, self.ego.width_m, car.size_m[2])))
        self._edges = self._edges_by_class()
        self._ends = {edge: (self._sumo.edge.getFromJunction(edge), self._sumo.edge.getToJunction(edge)) for edge in self._sumo.edge.getIDList()}
        self._make_up_numbers(beyond_m=0.0)
        for _ in range(round((WARM_UP_S - EGO_WAITS_S) / self.tick_s)):
            self._advance()
        self._actors = tuple(self._read(reach_m=math.inf))
        self._clear_start(scripted)
        self._sumo.route.add("ego_start", [self._edges["passenger"][0]])
        self._sumo.vehicle.add(EGO, "ego_start", EGO)
        for _ in range(round(EGO_WAITS_S / self.tick_s)):
            self._place_ego()
            self._place_scripted(scripted)
            self._advance()
        self._actors = tuple(self._read(reach_m=self._reach_m))
        self._ticks = 0

    def _declare(self, road_user: RoadUserType) -> None:
        """Make a SUMO type named after the kind."""
        types, name = self._sumo.vehicletype, road_user.kind
        types.copy(SUMO_BASES.get(name, "DEFAULT_VEHTYPE"), name)
        types.setVehicleClass(name, road_user.vehicle_class)
        for set_size, size_m in zip((types.setLength, types.setWidth, types.setHeight), road_user.size_m, strict=True):
            set_size(name, size_m)
        types.setMaxSpeed(name, road_user.max_speed_mps)
        types.setAccel(name, road_user.acceleration_mps2)
        types.setDecel(name, road_user.deceleration_mps2)
        types.setSpeedFactor(name, road_user.speed_factor[0])
        types.setSpeedDeviation(name, road_user.speed_factor[1])
        types.setImperfection(name, road_user.imperfection)

    def _edges_by_class(self) -> dict[str, list[str]]:
        """Where each vehicle class may be: edges in SUMO's order, without those inside junctions."""
        lanes = self._sumo.lane
        classes: dict[str, dict[str, None]] = {t.vehicle_class: {} for t in (*VEHICLE_TYPES, PEDESTRIAN_TYPE)}
        for lane in lanes.getIDList():
            allowed, edge = lanes.getAllowed(lane), lanes.getEdgeID(lane)
            if not edge.startswith(":"):
                for vehicle_class, edges in classes.items():
                    if not allowed or vehicle_class in allowed:
                        edges[edge] = None
        for vehicle_class, edges in classes.items():
            if not edges:
                raise MimicError(f"traffic: no edge of {self.net} lets a '{vehicle_class}' in; make the town with sidewalks and lanes for all")
        return {vehicle_class: list(edges) for vehicle_class, edges in classes.items()}

    def _clear_start(self, scripted: Sequence[Actor]) -> None:
        """Who is too near to where the ego or a scenario's actor will appear goes elsewhere."""
        for actor in self._actors:
            is_pedestrian = actor.kind == "pedestrian"
            place = actor.x_m, actor.y_m
            is_near_ego = math.dist(place, self._ego_pose[:2]) < (PEDESTRIAN_CLEAR_RADIUS_M if is_pedestrian else CLEAR_RADIUS_M)
            if is_near_ego or any(math.dist(place, (other.x_m, other.y_m)) < SCRIPTED_CLEAR_RADIUS_M for other in scripted):
                (self._sumo.person if is_pedestrian else self._sumo.vehicle).remove(actor.actor_id)
                del self._users[actor.actor_id]
        self._make_up_numbers(beyond_m=NEW_BEYOND_M)

    # One tick

    def _place_ego(self) -> None:
        """Tell SUMO the middle of the ego's front bumper.

        SUMO's vehicles block the one lane that their front is in. So on an edge the ego is told as lying along the
        lane that its middle is in, however it really stands: else, standing across, nobody behind would see it. And
        where it faces those who come along that lane it stands, and ahead of where it is: they would take it for one who
        drives on before them, and then leave it no room to get back.
        """
        x, y, yaw = self._ego_pose
        middle_m = self.ego.length_m / 2.0 - self.ego.rear_overhang_m
        x, y = x + middle_m * math.cos(yaw), y + middle_m * math.sin(yaw)
        edge, position_m, index = self._sumo.simulation.convertRoad(x, y, False, "passenger")
        if not edge.startswith(":"):
            lane_yaw = _yaw(self._sumo.lane.getAngle(f"{edge}_{index}", position_m))
            if math.cos(yaw - lane_yaw) < 0.0:
                self._sumo.vehicle.setPreviousSpeed(EGO, 0.0)
                x, y = x - FACING_ROOM_M * math.cos(lane_yaw), y - FACING_ROOM_M * math.sin(lane_yaw)
            yaw = lane_yaw
        half_m = self.ego.length_m / 2.0
        angle_deg = 90.0 - math.degrees(yaw)  # SUMO's are from north, clockwise
        self._sumo.vehicle.moveToXY(EGO, "", -1, x + half_m * math.cos(yaw), y + half_m * math.sin(yaw), angle_deg, keepRoute=2)

    def _place_scripted(self, scripted: Sequence[Actor]) -> None:
        vehicle, person = self._sumo.vehicle, self._sumo.person
        for name, kind in self._scripted.items() - {(actor.actor_id, actor.kind) for actor in scripted}:
            (person if kind == "pedestrian" else vehicle).remove(name)
        for actor in scripted:
            if actor.actor_id not in self._scripted:
                self._add_scripted(actor)
            angle_deg = 90.0 - math.degrees(actor.yaw_rad)
            if actor.kind == "pedestrian":
                person.moveToXY(actor.actor_id, "", actor.x_m, actor.y_m, angle_deg, keepRoute=2)
            else:
                x_m, y_m = (at + actor.length_m / 2.0 * f(actor.yaw_rad) for at, f in ((actor.x_m, math.cos), (actor.y_m, math.sin)))
                vehicle.moveToXY(actor.actor_id, "", -1, x_m, y_m, angle_deg, keepRoute=2)
        self._scripted = {actor.actor_id: actor.kind for actor in scripted}

    def _add_scripted(self, actor: Actor) -> None:
        if actor.kind == "pedestrian":
            edge = self._edges["pedestrian"][0]
            self._sumo.person.add(actor.actor_id, edge, 0.0, typeID="pedestrian")
            self._sumo.person.appendWalkingStage(actor.actor_id, [edge], -1.0)
        else:
            vehicle_class = next(t.vehicle_class for t in VEHICLE_TYPES if t.kind == actor.kind)
            self._sumo.route.add(actor.actor_id, [self._edges[vehicle_class][0]])
            self._sumo.vehicle.add(actor.actor_id, actor.actor_id, actor.kind)
            if vehicle_class != "bicycle":  # trucks are staged where none may drive, too
                self._sumo.vehicle.setVehicleClass(actor.actor_id, "passenger")

    def _advance(self) -> None:
        self._sumo.simulation.step()
        self._ticks += 1
        simulation = self._sumo.simulation
        for gone in (*simulation.getArrivedIDList(), *simulation.getArrivedPersonIDList()):
            self._users.pop(gone, None)
        if self._ticks % round(UPKEEP_S / self.tick_s) == 0:
            self._prolong_ways()
            self._make_up_numbers(beyond_m=NEW_BEYOND_M)

    def _read(self, *, reach_m: float) -> Iterator[Actor]:
        vehicle, person = self._sumo.vehicle, self._sumo.person
        for name in vehicle.getIDList():
            if name not in self._users:  # the ego, and the actors of a scenario
                continue
            user = self._users[name]
            x, y, yaw = _middle(user, vehicle.getPosition(name), vehicle.getAngle(name))
            if self._is_within(reach_m, x, y):
                signals = vehicle.getSignals(name)
                lights = {"brake": bool(signals & BRAKE_BIT), "indicator": _indicator(signals)}
                yield moved(user.looks, **_motion(x, y, yaw, vehicle.getSpeed(name)), **lights)
        for name in person.getIDList():
            if name not in self._users:
                continue
            x, y = person.getPosition(name)
            if self._is_within(reach_m, x, y):
                yaw = _yaw(person.getAngle(name))
                yield moved(self._users[name].looks, **_motion(x, y, yaw, person.getSpeed(name)))

    def _is_within(self, reach_m: float, x_m: float, y_m: float) -> bool:
        return abs(x_m - self._ego_pose[0]) < reach_m and abs(y_m - self._ego_pose[1]) < reach_m

    # Ways and numbers

    def _prolong_ways(self) -> None:
        vehicle, person = self._sumo.vehicle, self._sumo.person
        for name in vehicle.getIDList():
            if name in self._users and self._users[name].way_length - vehicle.getRouteIndex(name) <= EDGES_AHEAD:
                ahead = vehicle.getRoute(name)[vehicle.getRouteIndex(name) :]
                way = (*ahead, *self._way(self._users[name].looks.kind, ahead[-1])[1:])
                vehicle.setRoute(name, way)
                self._users[name].way_length = len(way)
        for name in person.getIDList():
            if name in self._users and person.getRemainingStages(name) == 1:
                walk = self._walk(person.getEdges(name)[-1])
                if walk:
                    person.appendWalkingStage(name, walk, -1.0)

    def _make_up_numbers(self, *, beyond_m: float) -> None:
        """Let in as many as are missing; they appear farther than beyond_m from the ego."""
        pedestrians = sum(user.looks.kind == "pedestrian" for user in self._users.values())
        for _ in range(self.spec.vehicles - (len(self._users) - pedestrians)):
            self._add_vehicle(beyond_m)
        for _ in range(self.spec.pedestrians - pedestrians):
            self._add_pedestrian(beyond_m)

    def _add_vehicle(self, beyond_m: float) -> None:
        name, rng = self._new_name()
        road_user = VEHICLE_TYPES[rng.choice(len(VEHICLE_TYPES), p=[t.share for t in VEHICLE_TYPES])]
        edge, position_m = self._place(road_user.vehicle_class, beyond_m)
        way = self._way(road_user.kind, edge)
        self._sumo.route.add(name, way)
        lane = "first" if road_user.kind == "bicycle" else "best"
        self._sumo.vehicle.add(name, name, road_user.kind, departLane=lane, departPos=f"{position_m:.2f}", departSpeed="desired")
        self._users[name] = _RoadUser(_looks(name, road_user, rng), way_length=len(way))

    def _add_pedestrian(self, beyond_m: float) -> None:
        name, rng = self._new_name()
        for _ in range(TRIES):
            edge, position_m = self._place("pedestrian", beyond_m)
            walk = self._walk(edge)
            if walk:
                self._sumo.person.add(name, edge, position_m, typeID="pedestrian")
                self._sumo.person.appendWalkingStage(name, walk, -1.0)
                self._users[name] = _RoadUser(_looks(name, PEDESTRIAN_TYPE, rng))
                return

    def _new_name(self) -> tuple[str, np.random.Generator]:
        self._count += 1
        return str(self._count), np.random.default_rng([self.spec.seed, 2, self._count])

    def _place(self, vehicle_class: str, beyond_m: float) -> tuple[str, float]:
        """A random edge and a position on it, by tries farther than beyond_m from the ego."""
        for _ in range(TRIES):
            edge = self._any_edge(vehicle_class)
            position_m = float(self._rng.uniform()) * self._sumo.lane.getLength(f"{edge}_0")
            if math.dist(self._sumo.simulation.convert2D(edge, position_m), self._ego_pose[:2]) > beyond_m:
                break
        return edge, position_m

    def _any_edge(self, vehicle_class: str) -> str:
        edges = self._edges[vehicle_class]
        return edges[self._rng.integers(len(edges))]

    def _way(self, kind: str, start: str) -> tuple[str, ...]:
        """Edges from start to a random one, by tries without a U-turn; only (start,) where no way leads on."""
        vehicle_class = next(t.vehicle_class for t in VEHICLE_TYPES if t.kind == kind)
        best: tuple[str, ...] = (start,)
        for _ in range(TRIES):
            way = tuple(self._sumo.simulation.findRoute(start, self._any_edge(vehicle_class), kind).edges)
            if len(way) > 1:
                best = way
                if not any(self._ends[here] == self._ends[after][::-1] for here, after in pairwise(way)):
                    break
        return best

    def _walk(self, start: str) -> tuple[str, ...]:
        """Edges to walk along from start to a random one; empty where none was found."""
        for _ in range(TRIES):
            end = self._any_edge("pedestrian")
            stages = self._sumo.simulation.findIntermodalRoute(start, end, pType="pedestrian")
            if stages and len(stages[0].edges) > 1:
                return tuple(stages[0].edges)
        return ()


def _looks(name: str, road_user: RoadUserType, rng: np.random.Generator) -> Actor:
    """The actor at no particular place."""
    size = dict(zip(("length_m", "width_m", "height_m"), road_user.size_m, strict=True))
    place = dict.fromkeys(("x_m", "y_m", "yaw_rad", "speed_mps"), 0.0)
    colour = PAINTS[rng.choice(len(PAINTS), p=PAINT_SHARES)]
    return Actor(actor_id=name, kind=road_user.kind, **place, **size, brake=False, indicator="none", colour=colour)


def _middle(user: _RoadUser, front_m: tuple[float, float], angle_deg: float) -> tuple[float, float, float]:
    """(x_m, y_m, yaw_rad) of the middle of the box behind a front bumper.

    SUMO's angles jump where lanes join (2000 °/s were seen). Here the front draws the rear axle after it, as a
    trailer's: smooth wherever the front's path is (130 °/s), at the price of corners cut a little.
    """
    base_m = 0.8 * user.looks.length_m
    yaw = _yaw(angle_deg) if user.rear_m is None else math.atan2(front_m[1] - user.rear_m[1], front_m[0] - user.rear_m[0])
    c, s = math.cos(yaw), math.sin(yaw)
    user.rear_m = (front_m[0] - base_m * c, front_m[1] - base_m * s)
    half_m = user.looks.length_m / 2.0
    return front_m[0] - half_m * c, front_m[1] - half_m * s, yaw


def _motion(x_m: float, y_m: float, yaw_rad: float, speed_mps: float) -> dict[str, float]:
    """An actor's fields, in the steps that a trace keeps."""
    return {"x_m": round(x_m, 3), "y_m": round(y_m, 3), "yaw_rad": round(yaw_rad, 4), "speed_mps": round(speed_mps, 2)}


def _yaw(angle_deg: float) -> float:
    return math.remainder(math.radians(90.0 - angle_deg), 2.0 * math.pi)


def _indicator(signals: int) -> str:
    return "both" if signals & HAZARD_BIT else ("none", "right", "left", "both")[signals & INDICATOR_BITS]
