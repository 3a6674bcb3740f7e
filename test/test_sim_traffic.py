"""Traffic in a real town: the same by seed, complete, sighted, and well-behaved around the ego."""

import hashlib
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.vehicle import load_vehicle
from mimic_sim.actors import Actor
from mimic_sim.collisions import ContactWatch, actor_boxes, touching
from mimic_sim.traffic import Traffic, TrafficSpec

libsumo = pytest.importorskip("libsumo", reason="libsumo is not installed: pip install 'mimic_drive[sim]'")
TOWN = Path(__file__).parents[1] / "config" / "towns" / "train_1.net.xml.gz"
pytestmark = pytest.mark.skipif(not TOWN.is_file(), reason=f"{TOWN.name} is not made yet: mimic sim town")

EGO = load_vehicle("twist_car")
TICK_S = 0.05
Ticks = list[tuple[tuple[Actor, ...], dict[str, str]]]  # everybody, and the signals' states
FAR = np.array([-1000.0, -1000.0, 0.0])  # an ego that is not in the town


def traffic(*, vehicles: int = 60, pedestrians: int = 20, seed: int = 1) -> Traffic:
    return Traffic(TOWN, TrafficSpec(vehicles=vehicles, pedestrians=pedestrians, seed=seed), tick_s=TICK_S, ego=EGO, ego_pose=FAR)


@pytest.fixture(scope="module")
def minute() -> Ticks:
    """Everybody and all signals at every tick of 60 s."""
    with traffic() as town:
        return run(town, 60.0)


def run(town: Traffic, duration_s: float) -> Ticks:
    ticks = []
    for _ in range(round(duration_s / TICK_S)):
        town.step(FAR)
        ticks.append((town.actors(), town.signal_states()))
    return ticks


def digest(ticks: Ticks) -> str:
    return hashlib.sha256(repr(ticks).encode()).hexdigest()


def vehicles_of(actors: tuple[Actor, ...]) -> list[Actor]:
    return [actor for actor in actors if actor.kind != "pedestrian"]


def test_the_same_seed_gives_the_same_minute_and_another_does_not(minute: Ticks) -> None:
    with traffic() as again:
        assert digest(run(again, 60.0)) == digest(minute)
    with traffic(seed=2) as other:
        assert digest(run(other, 1.0)) != digest(minute[:20])


def test_numbers_stay_and_they_drive_and_walk(minute: Ticks) -> None:
    for actors, _ in minute:
        vehicles = len(vehicles_of(actors))
        assert 58 <= vehicles <= 60
        assert 19 <= len(actors) - vehicles <= 20
    first, last = ({a.actor_id: a for a in actors} for actors, _ in (minute[0], minute[-1]))
    moved = [math.dist((last[i].x_m, last[i].y_m), (first[i].x_m, first[i].y_m)) > 5.0 for i in first.keys() & last.keys()]
    assert np.mean(moved) > 0.7
    assert {actor.kind for actor in minute[0][0]} >= {"car", "bicycle", "pedestrian"}
    assert any(actor.brake for actor in minute[0][0])
    assert any(actor.indicator == side for actors, _ in minute for actor in actors for side in ("left", "right"))


def test_nobody_jumps(minute: Ticks) -> None:
    for (before, _), (after, _) in pairwise(minute):
        at = {actor.actor_id: actor for actor in before}
        for actor in after:
            if actor.actor_id in at:
                was = at[actor.actor_id]
                # SUMO's pedestrians hop a little where a crossing begins.
                slack_m = 2.0 if actor.kind == "pedestrian" else 0.3
                assert math.dist((actor.x_m, actor.y_m), (was.x_m, was.y_m)) < max(actor.speed_mps, was.speed_mps) * TICK_S + slack_m


def test_few_boxes_overlap(minute: Ticks) -> None:
    pairs = set()
    for actors, _ in minute[::10]:
        vehicles = vehicles_of(actors)
        boxes = actor_boxes(vehicles) - np.array([0.0, 0.0, 0.0, 0.5, 0.3])
        for i, box in enumerate(boxes):
            pairs |= {frozenset((vehicles[i].actor_id, vehicles[j].actor_id)) for j in np.flatnonzero(touching(box, boxes)) if j != i}
    assert len(pairs) <= 6  # SUMO lets turning vehicles pass very near to each other


def test_signals_cycle(minute: Ticks) -> None:
    seen = {signal: {states[signal] for _, states in minute} for signal in minute[0][1]}
    assert seen
    assert all(len(states) > 1 for states in seen.values())
    assert set("".join(state for states in seen.values() for state in states)) <= set("rygGsuoO")


@pytest.mark.parametrize("turned_deg", [0, 90, -90, 45])
def test_cars_see_an_ego_that_stands_in_their_lane(turned_deg: int) -> None:
    with traffic(vehicles=12, pedestrians=0) as town:  # few: the ego appears suddenly, which others might not survive
        lane, car, pose = _place_ahead_of_a_car(town, turned_deg)
        watch, speeds = ContactWatch(EGO), []
        for tick in range(round(15.0 / TICK_S)):
            town.step(pose)
            for contact in watch.look(tick * TICK_S, pose, town.actors(), ego_speed_mps=0.0, in_lane=False):
                # Standing across, the ego's ends reach into the next lane, where SUMO does not see it.
                assert turned_deg != 0 and libsumo.vehicle.getLaneID(contact.actor_id) != lane
            if libsumo.vehicle.getLaneID(car.actor_id) == lane:
                speeds.append(libsumo.vehicle.getSpeed(car.actor_id))
    assert car.speed_mps > 7.0
    assert min(speeds) < 0.7 * car.speed_mps  # stops behind it, or slows down to change lanes


def _place_ahead_of_a_car(town: Traffic, turned_deg: int) -> tuple[str, Actor, np.ndarray]:
    """A lane, the first car that drives freely with 45 m of that lane ahead, and an ego's pose in it, 35 m ahead."""
    for _ in range(2000):
        town.step(FAR)
        for actor in town.actors():
            if actor.kind == "car" and 7.0 < actor.speed_mps < 14.0 and libsumo.vehicle.getLeader(actor.actor_id, 50.0) is None:
                lane, at_m = libsumo.vehicle.getLaneID(actor.actor_id), libsumo.vehicle.getLanePosition(actor.actor_id)
                if not lane.startswith(":") and libsumo.lane.getLength(lane) - at_m > 45.0:
                    edge, index = lane.rsplit("_", 1)
                    x, y = libsumo.simulation.convert2D(edge, at_m + 35.0, int(index))
                    yaw = math.radians(90.0 - libsumo.lane.getAngle(lane, at_m + 35.0) + turned_deg)
                    middle_m = EGO.length_m / 2.0 - EGO.rear_overhang_m
                    return lane, actor, np.array([x - middle_m * math.cos(yaw), y - middle_m * math.sin(yaw), yaw])
    raise AssertionError("no car drove freely")


def test_the_start_is_clear_and_the_ego_is_seen_from_tick_0() -> None:
    with traffic(vehicles=30, pedestrians=0) as town:
        x, y = vehicles_of(town.actors())[0].x_m, vehicles_of(town.actors())[0].y_m
        yaw = vehicles_of(town.actors())[0].yaw_rad
    start = np.array([x, y, yaw])
    spec = TrafficSpec(vehicles=60, pedestrians=20, seed=3)
    with Traffic(TOWN, spec, tick_s=TICK_S, ego=EGO, ego_pose=start) as town:
        assert ContactWatch(EGO).look(0.0, start, town.actors(), ego_speed_mps=0.0, in_lane=True) == ()
        assert libsumo.vehicle.getSpeed("ego") == pytest.approx(0.0, abs=1e-6)


def test_a_second_simulation_in_the_process_is_refused_and_the_first_goes_on() -> None:
    with traffic(vehicles=5, pedestrians=0) as town:
        with pytest.raises(MimicError, match="one process per simulation"), traffic():
            pass
        town.step(FAR)
        assert len(town.actors()) == 5
    with traffic(vehicles=3, pedestrians=0) as after:
        assert len(after.actors()) == 3


def test_sumos_errors_say_what_died_and_where(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MimicError, match=r"SUMO: cannot start in nowhere\.net\.xml"):
        Traffic(Path("nowhere.net.xml"), TrafficSpec(vehicles=1, pedestrians=0, seed=1), tick_s=TICK_S, ego=EGO, ego_pose=FAR).__enter__()
    with traffic(vehicles=5, pedestrians=0) as town:
        libsumo.vehicle.remove("ego")
        with pytest.raises(MimicError, match=r"SUMO: died at 0\.00 s in .*train_1"):
            town.step(FAR)
            town.step(FAR)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(("name", "value"), [("vehicles", -1), ("pedestrians", 1001), ("seed", -1), ("vehicles", 2.5)])
def test_a_spec_out_of_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ContractError, match=f"traffic.{name}: is {value}"):
        TrafficSpec(**{"vehicles": 1, "pedestrians": 1, "seed": 1, name: value})


def test_an_actor_out_of_range_is_refused() -> None:
    good = {"x_m": 0.0, "y_m": 0.0, "yaw_rad": 0.0, "speed_mps": 0.0, "length_m": 4.5, "width_m": 1.8, "height_m": 1.5}
    good |= {"actor_id": "1", "kind": "car", "brake": False, "indicator": "none", "colour": (0.5, 0.5, 0.5)}
    for name, value in {"kind": "tank", "x_m": math.nan, "length_m": 99.0, "indicator": "up", "colour": (1.0, 2.0, 0.0), "actor_id": ""}.items():
        with pytest.raises(ContractError, match=f"actor.{name}"):
            Actor(**{**good, name: value})
    with pytest.raises(ContractError, match="three numbers"):
        Actor(**{**good, "colour": (1.0, 0.0)})
