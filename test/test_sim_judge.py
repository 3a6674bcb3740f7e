"""The judge: each infraction by a drive that commits it, and a near miss that does not.

The ego drives east along y = 0 through the junction J (|x|, |y| < 10 m); a lane from the north crosses it southwards and
another one joins it to the east; a zebra lies at x = 30 m.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path as FilePath

import numpy as np
import pytest
from way_helpers import lane

from mimic_contracts.vehicle import load_vehicle
from mimic_sim import events
from mimic_sim.actors import Actor
from mimic_sim.ego import EgoMotion
from mimic_sim.events import Event
from mimic_sim.judge import NO_BOXES, Judge
from mimic_sim.moment import Moment
from mimic_sim.right_of_way import Link, conflicts, waiting_lines, zebras
from mimic_sim.road_network import Lane, Path, RoadNetwork, Signal, StopLine
from mimic_sim.routing import open_way

EGO = load_vehicle("simulator")
FRONT_M = EGO.length_m - EGO.rear_overhang_m
TICK_S = 0.1
LINE_X_M = -10.5
WAY = ("west", ":J_0_0", "east")


def yielding(one: Lane, *others: str) -> Lane:
    object.__setattr__(one, "yields_to", others)
    return one


def crossroads(*, rule: str = "", has_signal: bool = False, zebra_from_m: float = -6.0) -> RoadNetwork:
    """rule: of the line before the junction on the ego's way, if any."""
    quarter = np.linspace(0.0, np.pi / 2.0, 9)
    joining = np.stack([10.0 - 10.0 * np.cos(quarter), 10.0 - 10.0 * np.sin(quarter)], axis=1)
    inside = [
        lane(":J_0_0", [[-10, 0], [0, 0], [10, 0]], ("east",)),
        lane(":J_1_0", [[0, 10], [0, 0], [0, -10]], ("south",)),
        lane(":J_2_0", joining, ("east",)),
    ]
    inside = [replace(one, is_internal=True) for one in inside]
    middle, left = np.array([LINE_X_M, 0.0]), np.array([0.0, 1.4])
    return RoadNetwork(
        name="crossroads",
        lanes=(
            lane("west", [[-100, 0], [-50, 0], [-10, 0]], (":J_0_0",)),
            lane("east", [[10, 0], [50, 0], [100, 0]]),
            lane("north", [[0, 100], [0, 50], [0, 10]], (":J_1_0", ":J_2_0")),
            lane("south", [[0, -10], [0, -50], [0, -100]]),
            yielding(inside[0], ":J_1_0", ":J_2_0"), *inside[1:],
        ),
        crossings=(Path(centre_m=np.array([[30.0, zebra_from_m], [30.0, 6.0]]), width_m=4.0),),
        stop_lines=(StopLine(lane_id="west", rule=rule, left_m=middle + left, right_m=middle - left),) if rule else (),
        signals=tuple(
            Signal(signal_id="J", position_m=np.zeros(3), yaw_rad=0.0, lane_ids=(name,), link_indices=links)
            for name, links in (("west", (0,)), ("north", (1, 2)))
        ) if has_signal else (),
    )  # fmt: skip


def actor(x: float, y: float, *, towards_deg: float = 0.0, kind: str = "car", **changes: object) -> Actor:
    size = {"length_m": 0.5, "width_m": 0.5} if kind == "pedestrian" else {"length_m": 4.5, "width_m": 1.8}
    base = {"actor_id": "1", "speed_mps": 10.0, "height_m": 1.5, "brake": False, "indicator": "none", "colour": (0.5, 0.5, 0.5)}
    return Actor(**{**base, **size, "kind": kind, "x_m": x, "y_m": y, "yaw_rad": np.radians(towards_deg), **changes})


def judged(
    network: RoadNetwork,
    fronts_m: Sequence[float],
    *,
    actors: Callable[[float], Sequence[Actor]] = lambda time_s: (),
    signal: Callable[[float], str] = lambda time_s: "GGG",
    y_m: float = 0.0,
    margin_m: float = 0.675,
    boxes: np.ndarray = NO_BOXES,
) -> list[Event]:
    """What the judge notes while the ego's front bumper is at these x, one a tick."""
    way = open_way(network, WAY)
    judge = Judge(network, way, EGO, static_boxes=boxes)
    speeds = np.append(0.0, np.diff(fronts_m)) / TICK_S
    noted: list[Event] = []
    for i, (front_m, speed_mps) in enumerate(zip(fronts_m, speeds, strict=True)):
        ego = EgoMotion(x_m=front_m - FRONT_M, y_m=y_m, yaw_rad=0.0, speed_mps=float(speed_mps))
        moment = Moment(stamp_ns=i, ego=ego, actors=tuple(actors(i * TICK_S)), signals={"J": signal(i * TICK_S)})
        station_m = way.line.project(ego.x_m, ego.y_m)[0]
        noted += judge.look(moment, time_s=i * TICK_S, station_m=station_m, progress_m=station_m, lane_margin_m=margin_m)
    return noted


def kinds(noted: Sequence[Event]) -> list[str]:
    return [event.kind for event in noted]


def through(start_m: float = -30.0, *, speed_mps: float = 5.0, end_m: float = 50.0) -> np.ndarray:
    return np.arange(start_m, end_m, speed_mps * TICK_S)


def standing(x_m: float, seconds: float) -> np.ndarray:
    return np.full(round(seconds / TICK_S), x_m)


# --- lines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shown", "is_run"), [("r", True), ("u", True), ("y", False), ("g", False), ("G", False), ("o", False)])
def test_only_red_may_not_be_crossed(shown: str, is_run: bool) -> None:
    noted = judged(crossroads(rule="stop", has_signal=True), through(), signal=lambda _: shown + "rr")
    assert kinds(noted) == [events.RED_LIGHT] * is_run
    for event in noted:
        assert event.with_what == "west" and event.at_fault and event.ego_speed_mps == pytest.approx(5.0)
        assert event.time_s == pytest.approx((LINE_X_M + 30.0) / 5.0, abs=TICK_S + 1e-6)


def test_red_counts_where_the_bumper_crosses_the_line_and_when() -> None:
    network = crossroads(rule="stop", has_signal=True)
    assert judged(network, through(end_m=LINE_X_M - 0.01), signal=lambda _: "rrr") == []
    crossed_s = (LINE_X_M + 30.0) / 5.0
    assert judged(network, through(), signal=lambda t: "Grr" if t < crossed_s else "rrr") == [], "it turned red behind the bumper"
    assert kinds(judged(network, through(), signal=lambda t: "rrr" if t < crossed_s + 2 * TICK_S else "Grr")) == [events.RED_LIGHT], "too early"
    waited = np.concatenate([through(end_m=LINE_X_M - 1.0), standing(LINE_X_M - 1.0, 10.0), through(LINE_X_M - 1.0)])
    assert judged(network, waited, signal=lambda t: "rrr" if t < 12.0 else "Grr") == []


@pytest.mark.parametrize("rule", ["stop", "give_way"])
@pytest.mark.parametrize(
    ("waited_at_m", "seconds", "stopped"),
    [(-1.0, 0.5, True), (0.9, 0.5, True), (1.2, 0.5, False), (-2.9, 0.5, True), (-3.2, 0.5, False), (-8.0, 5.0, False), (None, 0.0, False)],
)
def test_a_stop_sign_wants_a_stop_near_the_line(rule: str, waited_at_m: float | None, seconds: float, stopped: bool) -> None:
    at_m = LINE_X_M + (waited_at_m or 0.0)
    way = through() if waited_at_m is None else np.concatenate([through(end_m=at_m), standing(at_m, seconds), through(at_m)])
    assert kinds(judged(crossroads(rule=rule), way)) == [events.STOP_SIGN] * (rule == "stop" and not stopped)


def test_rolling_is_no_stop() -> None:
    rolled = np.concatenate([through(end_m=-14.0), through(-14.0, speed_mps=0.4, end_m=-9.0), through(-9.0)])
    assert kinds(judged(crossroads(rule="stop"), rolled)) == [events.STOP_SIGN]


# --- yielding -----------------------------------------------------------------------------------------------------


def from_north(gap_m: float, *, speed_mps: float = 10.0, stops: bool = False, at_s: float = 7.0, **changes: object) -> Callable[[float], list[Actor]]:
    """A car whose bumper is gap_m before the crossing when the ego's is in the middle of it (at_s, at 5 m/s from -35)."""
    crossing_y_m = (EGO.width_m + 2.0) / 2.0

    def at(time_s: float) -> list[Actor]:
        y_m = crossing_y_m + 2.25 + gap_m + (0.0 if stops else speed_mps * (at_s - time_s))
        return [actor(0.0, y_m, towards_deg=-90.0, speed_mps=speed_mps, **changes)] if y_m > -95.0 else []

    return at


def crossing_s(noted: Sequence[Event]) -> list[str]:
    return [event.kind for event in noted if event.kind == events.FAILING_TO_YIELD]


BEFORE_THE_CAR, JUST_IN_TIME = from_north(10.0), from_north(15.0)


def test_pulling_out_before_a_car_with_priority_is_a_failure_to_yield() -> None:
    network = crossroads()
    noted = judged(network, through(-35.0, end_m=0.5), actors=BEFORE_THE_CAR)
    assert kinds(noted) == [events.FAILING_TO_YIELD] and noted[0].with_what == "1" and noted[0].other_speed_mps == 10.0
    assert judged(network, through(-35.0), actors=JUST_IN_TIME) == [], "the car would pass behind it without braking"
    assert judged(network, through(-35.0, end_m=-4.0), actors=BEFORE_THE_CAR) == [], "it waited"
    waited = np.concatenate([through(-35.0, end_m=-4.0), standing(-4.0, 4.0), through(-4.0)])
    assert judged(network, waited, actors=BEFORE_THE_CAR) == [], "it waited, and went on behind the car"


def test_those_who_need_not_brake_hard_are_not_hindered() -> None:
    network = crossroads()
    assert judged(network, through(-35.0), actors=from_north(3.0, speed_mps=4.0, stops=True, at_s=0.0)) == [], "it slows down by itself"
    assert judged(network, through(-35.0), actors=from_north(3.0, speed_mps=0.0)) == [], "it stands"
    assert judged(network, through(-35.0, end_m=0.5), actors=from_north(10.0, indicator="right")) == [], "it will turn off"


def test_priority_is_what_the_network_says() -> None:
    free, both = crossroads(), crossroads()
    for network, lane_id, others in ((free, ":J_0_0", ()), (both, ":J_1_0", (":J_0_0",))):
        yielding(network.lane(lane_id), *others)
    for network in (free, both):  # nobody yields, or each to the other: first come, first served
        assert judged(network, through(-35.0, end_m=0.5), actors=BEFORE_THE_CAR) == []


@pytest.mark.parametrize(
    ("shown", "expected"),
    [("gG", [events.FAILING_TO_YIELD]), ("yg", [events.FAILING_TO_YIELD]), ("GG", []), ("gr", []), ("gy", []), ("rG", [events.RED_LIGHT])],
)
def test_signals_decide_who_has_priority(shown: str, expected: list[str]) -> None:
    network = crossroads(rule="stop", has_signal=True)
    assert kinds(judged(network, through(-35.0, end_m=0.5), actors=BEFORE_THE_CAR, signal=lambda _: shown + "r")) == expected


def test_who_is_inside_the_junction_no_longer_asks_its_signal() -> None:
    network = crossroads(rule="stop", has_signal=True)
    slow = from_north(3.0, speed_mps=8.0)
    assert kinds(judged(network, through(-35.0, end_m=1.0), actors=slow, signal=lambda _: "grr")) == [events.FAILING_TO_YIELD]


def test_joining_before_a_faster_car_makes_it_brake() -> None:
    """The one who joins has priority here: the ego, straight on, must let it in or be as fast."""
    network = crossroads()

    def follower(speed_mps: float, gap_m: float) -> Callable[[float], list[Actor]]:
        # the ego's rear bumper is at x = 8 m after 9.5 s; the car is on the joining lane's last metres then
        return lambda t: [actor(8.0 - gap_m - 2.25, 0.2, towards_deg=-10.0, speed_mps=speed_mps, indicator="left")] if abs(t - 9.5) < 0.05 else []

    assert crossing_s(judged(network, through(-35.0), actors=follower(11.0, 1.5))) == [events.FAILING_TO_YIELD]
    assert crossing_s(judged(network, through(-35.0), actors=follower(7.0, 1.5))) == [], "hardly faster"


# --- people on zebras ---------------------------------------------------------------------------------------------


def person(y_m: float, *, walks_mps: float = 0.0) -> Callable[[float], list[Actor]]:
    return lambda _: [actor(30.0, y_m, kind="pedestrian", towards_deg=90.0 if walks_mps >= 0.0 else -90.0, speed_mps=abs(walks_mps))]


@pytest.mark.parametrize(
    ("y_m", "walks_mps", "is_hindered"),
    [
        (1.8, 0.0, True),  # 0.9 m from the car's side
        (1.8, -1.4, True),  # and coming
        (1.8, 1.4, False),  # and going away
        (-1.8, -1.4, False),  # on the other side too
        (2.0, -1.4, False),  # still 1.1 m away
        (6.5, -1.4, False),  # not on it yet
    ],
)
def test_people_on_a_zebra_go_first(y_m: float, walks_mps: float, is_hindered: bool) -> None:
    assert kinds(judged(crossroads(), through(0.0), actors=person(y_m, walks_mps=walks_mps))) == [events.FAILING_TO_YIELD] * is_hindered


def test_waiting_on_foot_for_a_standing_car_is_nobodys_fault() -> None:
    stopped = np.concatenate([through(0.0, end_m=27.5), standing(27.5, 3.0)])
    assert judged(crossroads(), stopped, actors=person(0.0)) == []
    passed = np.concatenate([stopped, through(27.5)])
    assert judged(crossroads(), passed, actors=lambda t: person(0.0 + 1.4 * t)(t) if t < 4.0 else []) == []
    assert judged(crossroads(zebra_from_m=-1.7), through(0.0), actors=person(-1.8)) == [], "still at the kerb"
    off_the_zebra = lambda _: [actor(20.0, 1.8, kind="pedestrian", speed_mps=0.0)]  # noqa: E731
    assert judged(crossroads(), through(0.0), actors=off_the_zebra) == []


def test_beside_the_way_nobody_is_in_the_way() -> None:
    assert kinds(judged(crossroads(), through(-35.0, end_m=0.5), actors=BEFORE_THE_CAR, y_m=-3.2)) == [events.OUTSIDE_LANE]
    assert kinds(judged(crossroads(), through(0.0), actors=person(0.0), y_m=-3.2)) == [events.OUTSIDE_LANE]
    assert kinds(judged(crossroads(), through(0.0), actors=person(-3.0), y_m=-3.2)) == [
        events.OUTSIDE_LANE,
        events.FAILING_TO_YIELD,
        events.PEDESTRIAN_COLLISION,
    ]


# --- boxes, lanes, contacts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("front_m", "seconds", "shown", "queue_y_m", "expected"),
    [
        (2.0, 4.0, "rG", 6.0, [events.BLOCKED_BOX]),
        (2.0, 2.5, "rG", 6.0, []),  # not for long
        (2.0, 4.0, "rr", 6.0, []),  # nobody may go
        (2.0, 4.0, "rG", 60.0, []),  # nobody wants to
        (-6.0, 4.0, "rG", 6.0, []),  # in the junction, but in nobody's way
    ],
)
def test_standing_where_others_could_go_blocks_the_box(front_m: float, seconds: float, shown: str, queue_y_m: float, expected: list[str]) -> None:
    network = crossroads(rule="stop", has_signal=True)
    driven = np.concatenate([through(end_m=front_m), standing(front_m, seconds)])
    waiting = actor(0.0, queue_y_m, towards_deg=-90.0, speed_mps=0.0)
    turned_s = (LINE_X_M + 35.0) / 5.0
    signal = lambda t: ("Gr" if t < turned_s else shown) + "r"  # noqa: E731
    assert kinds(judged(network, driven, actors=lambda _: [waiting], signal=signal)) == expected


def test_half_the_car_beside_the_lane_is_outside_unless_it_has_to_pass() -> None:
    network = crossroads()
    assert kinds(judged(network, through(20.0), y_m=1.61)) == [events.OUTSIDE_LANE]
    assert judged(network, through(20.0), y_m=1.59) == []
    assert judged(network, through(20.0), y_m=2.5, margin_m=np.inf) == []


def test_what_is_hit_decides_the_kind_of_a_collision() -> None:
    network, way = crossroads(), through(40.0, end_m=60.0)
    ahead = {"x": 58.0, "y": 0.5, "speed_mps": 0.0}
    assert kinds(judged(network, way, actors=lambda _: [actor(**ahead)])) == [events.VEHICLE_COLLISION]
    assert kinds(judged(network, way, actors=lambda _: [actor(**ahead, kind="bicycle")])) == [events.VEHICLE_COLLISION]
    assert kinds(judged(network, way, actors=lambda _: [actor(**ahead, kind="pedestrian")])) == [events.PEDESTRIAN_COLLISION]
    noted = judged(network, way, boxes=np.array([[58.0, 0.5, 0.3, 2.0, 1.0], [58.0, 9.0, 0.3, 2.0, 1.0]]))
    assert kinds(noted) == [events.STATIC_COLLISION] and noted[0].with_what == "box_0"
    assert noted[0].progress_m == pytest.approx(100.0 + 57.0 - FRONT_M, abs=1.0)


def test_who_drives_into_a_standing_ego_is_to_blame() -> None:
    hit = judged(crossroads(), standing(50.0, 4.0), actors=lambda t: [actor(40.0 + t, 0.0, speed_mps=1.0)])
    assert kinds(hit) == [events.VEHICLE_COLLISION] and not hit[0].at_fault
    assert judged(crossroads(), standing(50.0, 4.0), actors=lambda t: [actor(38.0 + t, 0.0, speed_mps=1.0)]) == []


def test_who_comes_first_in_the_list_makes_no_difference() -> None:
    everybody = lambda t: [*BEFORE_THE_CAR(t), *(replace(who, actor_id="2") for who in person(0.0)(t)), actor(50.0, 0.0, actor_id="3", speed_mps=0.0)]  # noqa: E731
    one = judged(crossroads(rule="stop"), through(-35.0), actors=everybody)
    other = judged(crossroads(rule="stop"), through(-35.0), actors=lambda t: everybody(t)[::-1])
    assert set(one) == set(other) and len(one) == len(other) >= 4


# --- what a network says ------------------------------------------------------------------------------------------


def test_a_real_network_has_its_rules_along_the_way() -> None:
    pytest.importorskip("sumolib")
    from mimic_sim.sumo_network import load_network

    network = load_network(FilePath(__file__).parent / "street.net.xml.gz")

    def first_line(*way: str) -> tuple[str, Link | None]:
        line = waiting_lines(network, open_way(network, way))[0]
        assert line.lane_id == way[0] and abs(line.station_m - np.hypot(*np.diff(network.lane(way[0]).centre_m, axis=0).T).sum()) < 1.5
        return line.rule, line.link

    assert first_line("west-lights_1", ":lights_11_0", "lights-stop_1") == ("signal", Link(signal_id="lights", index=11))
    for name, rule in (("n2-stop_1", "stop"), ("n3-yield_1", "give_way")):
        inner = network.lane(name).successors[0]
        assert first_line(name, inner, network.lane(inner).successors[0]) == (rule, None)

    way = open_way(network, ["west-lights_1", ":lights_11_0", "lights-stop_1"])
    met = {conflict.crossing_id: conflict for conflict in conflicts(network, way, width_m=EGO.width_m)}
    assert met and all(conflict.own_link == Link(signal_id="lights", index=11) for conflict in met.values() if conflict.lane_id == ":lights_11_0")
    assert all(conflict.start_m <= conflict.end_m and 0.0 < conflict.path_start_m <= conflict.path.length_m for conflict in met.values())
    assert any(conflict.is_merge for conflict in met.values()) and any(not conflict.is_merge for conflict in met.values())
    assert {conflict.indicator for conflict in met.values()} == {"none", "left", "right"}
    assert [zebra.start_m < zebra.end_m for zebra in zebras(network, way)] == [True] * len(zebras(network, way))
