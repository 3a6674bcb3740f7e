"""The rule-based planner at lights, signs, crossings, and where others have the right of way."""

from dataclasses import replace

import numpy as np
import pytest
from rule_helpers import agent, bend, drive, lane, light, stop_line, straight

from mimic_contracts.scene import Scene

LINE_X = 49.0
IN, OUT = straight((-20, 0), (50, 0)), straight((64, 0), (250, 0))
NORTH = straight((58.6, 8.6), (58.6, 150))
GREEN = (light("in", "green"),)


def junction(turn="ahead", *, yields_to=(), rule="signal", **more):
    """A crossing of two roads, two lanes each: the ego comes from the west; lanes of the others are named by where they come from."""
    inner = {"ahead": straight((50, 0), (64, 0)), "left": bend((50, 0), (58.6, 8.6), (58.6, 0))}[turn]
    exit_lane = lane("out", OUT, on_route=True) if turn == "ahead" else lane("out", NORTH, on_route=True)
    lanes = (
        lane("in", IN, on_route=True, successors=(turn,)),
        lane(turn, inner, on_route=True, successors=("out",), yields_to=yields_to, limit=50 / 3.6),
        exit_lane,
        lane("east_in", straight((200, 3.2), (64, 3.2)), successors=("east_through",)),
        lane("east_through", straight((64, 3.2), (50, 3.2)), successors=("east_out",)),
        lane("east_out", straight((50, 3.2), (-60, 3.2))),
        lane("south_in", straight((58.6, -100), (58.6, -5.4)), successors=("south_through",)),
        lane("south_through", straight((58.6, -5.4), (58.6, 8.6)), successors=("south_out",)),
        lane("south_out", NORTH),
    )
    return Scene(lanes=lanes, stop_lines=(stop_line("in", rule, (LINE_X, 0)),), **more)


def northbound(track_id, y, speed):
    return agent(track_id, 58.6, y, np.pi / 2, speed)


def westbound(track_id, x, speed):
    return agent(track_id, x, 3.2, np.pi, speed)


def test_red_stops_before_the_line_and_green_lets_go():
    log = drive(lambda t, ego: junction(lights=(light("in", "red" if t < 14 else "green"),)), speed=13, duration=18)
    before = log.t < 14
    assert LINE_X - 2.0 < log.front[before][-1, 0] < LINE_X
    assert log.speed[before][-1] < 0.1
    assert log.front[-1, 0] > LINE_X + 3
    acceleration = np.array([ego.acceleration_mps2 for ego in log.egos])
    assert acceleration.min() > -2.5


@pytest.mark.parametrize(("front_before_line_m", "goes"), [(15.0, True), (40.0, False)])
def test_yellow_is_stopped_for_when_that_is_comfortable(front_before_line_m, goes):
    def scene(t, ego):
        nearest["m"] = min(nearest["m"], LINE_X - ego.x_m - 3.7)
        return junction(lights=(light("in", "green" if nearest["m"] > front_before_line_m else "yellow" if t < 20 else "red"),))

    nearest = {"m": np.inf}
    log = drive(scene, speed=12, duration=12)
    if goes:
        assert log.front[-1, 0] > 70
        assert log.speed.min() > 10
    else:
        assert LINE_X - 2.0 < log.front[-1, 0] < LINE_X


def test_a_signal_without_a_light_in_view_is_not_run():
    log = drive(lambda t, ego: junction(), speed=10, duration=10)
    assert log.front[-1, 0] < LINE_X


def test_stop_sign_stops_then_goes():
    log = drive(lambda t, ego: junction(rule="stop", yields_to=("south_through",)), speed=10, duration=25)
    stands = (log.speed < 0.15) & (log.front[:, 0] > LINE_X - 2.5) & (log.front[:, 0] < LINE_X)
    assert 0.5 < stands.sum() * 0.1 < 4.0
    assert log.front[-1, 0] > 70


@pytest.mark.parametrize(("rule", "start_y"), [("stop", -95), ("give_way", -50)])
def test_waits_for_one_with_the_right_of_way(rule, start_y):
    def scene(t, ego):
        return junction(rule=rule, yields_to=("south_through",), agents=(northbound(7, start_y + 10 * t, 10.0),))

    log = drive(scene, speed=10, duration=20)
    passed = -start_y / 10  # when it is on the ego's lane
    assert log.when(log.front[:, 0] > 56.0) > passed - 0.5
    assert log.clearance().min() > 2.0
    assert log.front[-1, 0] > 70


def test_give_way_does_not_stop_for_nobody():
    log = drive(lambda t, ego: junction(rule="give_way", yields_to=("south_through",)), speed=10, duration=12)
    assert log.speed.min() > 4.0
    assert log.front[-1, 0] > 70


def test_one_who_must_give_way_and_can_is_not_braked_for():
    def scene(t, ego):
        y = -50 + 10 * t if t < 2 else max(-50 + 20 + 10 * (t - 2) - 1.25 * (t - 2) ** 2, -30) if t < 6 else -10
        return Scene(lanes=junction().lanes, agents=(northbound(7, y, 10.0 if t < 2 else max(10 - 2.5 * (t - 2), 0.0)),))

    log = drive(scene, speed=13, duration=6)
    assert log.speed.min() > 12


def test_all_way_stop_goes_in_the_order_of_arrival():
    def scene(t, ego):
        moved = max(t - 10, 0.0)
        return junction(rule="all_way_stop", yields_to=("south_through",), agents=(northbound(7, -8.5 + moved**2, 2 * moved),))

    def later(t, ego):
        y = min(-60 + 8 * t, -8.5) if t < 30 else -8.5
        return junction(rule="all_way_stop", yields_to=("south_through",), agents=(northbound(7, y, 8.0 if y < -8.5 else 0.0),))

    first = drive(scene, speed=10, duration=22)  # it waits there before the ego comes, and starts late
    assert first.when(first.front[:, 0] > 56.0) > 9.5
    assert first.clearance().min() > 1.5
    second = drive(later, pose=(35.0, 0.0, 0.0), speed=6, duration=15)  # it comes when the ego stands already
    assert second.when(second.front[:, 0] > 56.0) < 9.5


def test_unprotected_left_waits_for_oncoming_and_goes_in_a_gap():
    def scene(t, ego):
        return junction(
            "left", yields_to=("east_through",), lights=GREEN, agents=tuple(westbound(i, 110 + gap - 10 * t, 10.0) for i, gap in enumerate((0, 25, 50)))
        )

    log = drive(scene, speed=10, duration=25)
    assert log.clearance().min() > 1.0
    last_through = (110 + 50 - 50) / 10
    assert log.when(log.egos and log.y > 4.0) > last_through - 1.0
    assert log.y[-1] > 15


def test_unprotected_left_goes_before_one_who_is_far():
    log = drive(lambda t, ego: junction("left", yields_to=("east_through",), lights=GREEN, agents=(westbound(7, 190 - 8 * t, 8.0),)), speed=8, duration=15)
    assert log.when(log.y > 6.0) < 12.0
    assert log.clearance().min() > 3.0


def test_does_not_block_the_box():
    queue = tuple(agent(i, 64 + 3 + 2.3 + 7 * i, 0, brake=True) for i in range(3))

    def scene(t, ego):
        return junction(lights=GREEN, agents=tuple(replace(one, x_m=one.x_m + max(t - 15, 0.0) ** 2, speed_mps=2 * max(t - 15, 0.0)) for one in queue))

    log = drive(scene, speed=10, duration=20)
    assert log.front[log.t < 15, 0].max() < LINE_X + 0.5
    assert log.front[-1, 0] > LINE_X + 3


def test_enters_where_the_queue_leaves_room():
    queue = (agent(1, 64 + 12 + 2.3, 0, brake=True),)
    log = drive(lambda t, ego: junction(lights=GREEN, agents=queue), speed=10, duration=20)
    assert 64 + 4.6 < log.front[-1, 0] < 76


CROSSING = np.array([[60.0, -6], [64.0, -6], [64.0, 6], [60.0, 6]])
ROAD = (lane("a", straight((-20, 0), (250, 0)), on_route=True),)


@pytest.mark.parametrize("start_y", [-6.0, 6.0])
def test_stops_for_a_person_on_a_crossing(start_y):
    def scene(t, ego):
        y = start_y - np.sign(start_y) * 1.3 * max(t - 1.0, 0.0)
        return Scene(lanes=ROAD, crossings=(CROSSING,), agents=(agent(1, 62, y, -np.sign(start_y) * np.pi / 2, 1.3 if t > 1 else 0.0, kind="pedestrian"),))

    log = drive(scene, speed=11, duration=16)
    assert log.clearance().min() > 1.0
    assert log.front[-1, 0] > 64


def test_does_not_stop_for_people_on_the_pavement():
    def scene(t, ego):
        return Scene(lanes=ROAD, agents=tuple(agent(i, 30 + 15 * i + 1.2 * t, -3.2, 0.0, 1.2, kind="pedestrian") for i in range(4)))

    log = drive(scene, speed=11, duration=8)
    assert log.speed.min() > 8.0


def test_brakes_hard_for_a_person_between_parked_cars():
    def scene(t, ego):
        start = 1.2
        person = agent(9, 34, -3.4 + 1.4 * (t - start), np.pi / 2, 1.4, kind="pedestrian") if t > start else None
        parked = tuple(agent(i, 30 + 7.5 * i - 3.5, -2.9) for i in range(2))
        return Scene(lanes=ROAD, agents=parked if person is None else (*parked, person))

    log = drive(scene, speed=8, duration=12)
    assert log.clearance().min() > 0.3
    assert log.front[-1, 0] > 40


def test_one_who_is_hidden_for_a_second_is_remembered():
    def scene(t, ego):
        hidden = 3.0 < t < 4.5
        return junction(rule="give_way", yields_to=("south_through",), agents=() if hidden else (northbound(7, -50 + 9 * t, 9.0),))

    log = drive(scene, speed=9, duration=15)
    assert log.clearance().min() > 2.0


def test_creeps_where_it_sees_too_little():
    def scene(t, ego):
        view = junction(rule="give_way", yields_to=("south_through",))
        return Scene(lanes=tuple(one for one in view.lanes if one.lane_id != "south_in"), stop_lines=view.stop_lines)

    log = drive(scene, speed=9, duration=25)
    assert log.speed[(log.front[:, 0] > 55) & (log.front[:, 0] < 56.5)].min() < 2.2
    assert log.front[-1, 0] > 70
