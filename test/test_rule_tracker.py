"""Findings of single pictures become road users that keep their number, with a speed; what is found once never does."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from e2e_planner.rule_tracker import Tracker, TrackerParameters
from mimic_contracts.labels import AGENT_COLUMNS
from mimic_contracts.motion import to_frame
from mimic_contracts.observation import EgoState
from mimic_contracts.scene import AGENT_KINDS, INDICATORS
from perception.agent_boxes import COLUMN, Found
from vehicle_interface.kinematics import advance_pose

STEP_S = 0.1
PRECISE = TrackerParameters(ray_share=0.06, side_share=0.012, speed_mps=1.0)  # heads as `seen` has them
NOTHING = Found(rows=np.zeros((0, len(AGENT_COLUMNS))), scores=np.zeros(0))
STANDING = EgoState(speed_mps=0.0, yaw_rate_radps=0.0)


@dataclass
class Mover:
    """One that drives straight on from a place, in the fixed frame."""

    x: float
    y: float
    yaw: float
    speed: float
    kind: str = "car"

    def pose(self, time_s):
        way = self.speed * time_s
        return np.array([self.x + way * np.cos(self.yaw), self.y + way * np.sin(self.yaw), self.yaw])


def row(x, y, yaw, speed, *, kind="car", brake=False, indicator="none"):
    """A finding in the vehicle frame."""
    length, width = (0.5, 0.6) if kind == "pedestrian" else (4.5, 1.8)
    values = {"kind": AGENT_KINDS.index(kind), "x_m": x, "y_m": y, "yaw_rad": yaw, "speed_mps": speed, "length_m": length, "width_m": width}
    values |= {"brake": brake, "indicator": INDICATORS.index(indicator)}
    result = np.full(len(AGENT_COLUMNS), np.nan)
    for name, value in values.items():
        result[COLUMN[name]] = value
    return result


def found(*rows, scores=None):
    return Found(rows=np.stack(rows), scores=np.array(scores or [0.9] * len(rows))) if rows else NOTHING


def seen(mover, time_s, ego_pose, rng=None):
    """A mover as one picture tells of it: its distance is doubtful by 6 %, its bearing by half a degree."""
    x, y, yaw = to_frame(mover.pose(time_s)[None], ego_pose)[0]
    speed = mover.speed
    if rng is not None:
        away, bearing = np.hypot(x, y), np.arctan2(y, x)
        doubt = np.clip(rng.normal(size=4), -2.5, 2.5)  # a wilder one is another mover to the tracker, as it should be
        away, bearing = away * (1.0 + 0.06 * doubt[0]), bearing + 0.01 * doubt[1]
        x, y, yaw, speed = away * np.cos(bearing), away * np.sin(bearing), yaw + 0.1 * doubt[2], max(speed + doubt[3], 0.0)
    return row(x, y, yaw, speed, kind=mover.kind)


def follow(movers, *, duration, ego_speed=0.0, yaw_rate=0.0, rng=None):
    """(time, agents) after every look from an ego that drives an arc."""
    tracker, pose, result = Tracker(PRECISE), np.zeros(3), []
    for k in range(round(duration / STEP_S)):
        ego = EgoState(speed_mps=ego_speed, yaw_rate_radps=yaw_rate)
        if k:
            pose = advance_pose(pose, distance_m=ego_speed * STEP_S, curvature_1pm=yaw_rate / ego_speed if ego_speed else 0.0)
        looks = [seen(mover, k * STEP_S, pose, rng) for mover in movers]
        result.append((k * STEP_S, pose, tracker.update(found(*looks), ego, stamp_ns=k * 10**8)))
    return result


@settings(max_examples=40, deadline=None)
@given(
    bearing=st.floats(-1.2, 1.2),
    away=st.floats(12.0, 35.0),
    yaw=st.floats(-3.1, 3.1),
    speed=st.floats(3.0, 14.0),
    ego_speed=st.sampled_from([0.0, 5.0, 10.0]),
    yaw_rate=st.sampled_from([-0.2, 0.0, 0.2]),
    seed=st.integers(0, 10**6),
)
def test_one_that_drives_straight_keeps_its_number_and_its_speed_is_known(bearing, away, yaw, speed, ego_speed, yaw_rate, seed):
    middle = 1.5  # s, when it is where it was asked for
    mover = Mover(x=away * np.cos(bearing) - middle * speed * np.cos(yaw), y=away * np.sin(bearing) - middle * speed * np.sin(yaw), yaw=yaw, speed=speed)
    log = follow([mover], duration=3.0, ego_speed=ego_speed, yaw_rate=yaw_rate if ego_speed else 0.0, rng=np.random.default_rng(seed))
    assume(max(np.hypot(*to_frame(mover.pose(time_s)[None], pose)[0, :2]) for time_s, pose, _ in log) < 40.0)
    agents = [agents for _, _, agents in log]
    assert all(len(seen) == 1 for seen in agents[2:])  # the first two looks of one far away may be too far apart
    assert len({one.track_id for seen in agents[2:] for one in seen}) == 1
    errors = [abs(seen[0].speed_mps - speed) for seen in agents[20:]]
    assert np.mean(errors) < 1.0


@settings(max_examples=25, deadline=None)
@given(away=st.floats(15.0, 40.0), apart=st.floats(3.0, 5.0), speeds=st.tuples(st.floats(4.0, 12.0), st.floats(4.0, 12.0)), seed=st.integers(0, 10**6))
def test_two_that_pass_each_other_keep_their_numbers(away, apart, speeds, seed):
    """From left to right and from right to left before a standing ego."""
    movers = [Mover(away, -speeds[0] * 2.0, np.pi / 2, speeds[0]), Mover(away + apart, speeds[1] * 2.0, -np.pi / 2, speeds[1])]
    log = follow(movers, duration=4.0, rng=np.random.default_rng(seed))
    first = {np.sign(np.sin(one.yaw_rad)): one.track_id for one in log[5][2]}
    last = {np.sign(np.sin(one.yaw_rad)): one.track_id for one in log[-1][2]}
    assert len(first) == 2 and first == last


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-40.0, 60.0), st.floats(-30.0, 30.0), st.sampled_from(AGENT_KINDS)), min_size=1, max_size=15))
def test_what_is_found_once_never_comes_out(places):
    """One false finding a moment, each far from those of the two moments before."""
    tracker, last = Tracker(), [np.full(2, 1e3)] * 2
    for k, (x, y, kind) in enumerate(places):
        is_far = all(np.hypot(*(np.array([x, y]) - other)) > 25.0 for other in last)
        last = [last[1], np.array([x, y]) if is_far else np.full(2, 1e3)]
        looks = found(row(x, y, 0.0, 5.0, kind=kind)) if is_far else NOTHING
        assert tracker.update(looks, STANDING, stamp_ns=k * 10**8) == ()


def test_two_hits_in_three_looks_confirm():
    for hits, is_there in (([1, 1], True), ([1, 0, 1], True), ([1, 0, 0, 1], False)):
        tracker = Tracker()
        for k, hit in enumerate(hits):
            agents = tracker.update(found(row(20.0, 1.0, 0.0, 0.0)) if hit else NOTHING, STANDING, stamp_ns=k * 10**8)
        assert bool(agents) == is_there


def test_one_that_is_not_found_any_more_goes_on_for_a_while_and_gets_its_number_again():
    tracker, p = Tracker(PRECISE), PRECISE
    for k in range(10):
        seen = tracker.update(found(row(20.0 + 0.5 * k, 1.0, 0.0, 5.0)), STANDING, stamp_ns=k * 10**8)
    shown = 0
    for k in range(10, 22):
        agents = tracker.update(NOTHING, STANDING, stamp_ns=k * 10**8)
        shown += len(agents)
        if agents:
            assert agents[0].x_m == pytest.approx(20.0 + 0.5 * k, abs=0.5)
    assert shown == round(p.shown_s / STEP_S)
    (again,) = tracker.update(found(row(31.0, 1.0, 0.0, 5.0)), STANDING, stamp_ns=22 * 10**8)
    assert again.track_id == seen[0].track_id


def test_lights_and_kind_are_those_of_the_majority():
    tracker = Tracker()
    for k in range(12):
        odd = k % 4 == 3
        kind, indicator = ("van", "none") if odd else ("car", "left")
        agents = tracker.update(found(row(15.0, 0.0, 0.0, 3.0, kind=kind, brake=not odd, indicator=indicator)), STANDING, stamp_ns=k * 10**8)
    assert (agents[0].kind, agents[0].brake, agents[0].indicator) == ("car", True, "left")


def test_slow_ones_stand():
    for speed, shown in ((0.3, 0.0), (1.5, 1.5)):
        tracker = Tracker(PRECISE)
        for k in range(15):
            agents = tracker.update(found(row(15.0 + speed * k * STEP_S, 0.0, 0.0, speed)), STANDING, stamp_ns=k * 10**8)
        assert agents[0].speed_mps == pytest.approx(shown, abs=0.2)


def test_a_speed_that_is_told_from_elsewhere_counts():
    tracker = Tracker()
    for k in range(10):
        tracker.update(found(row(20.0, 1.0, 0.0, 5.0)), EgoState(speed_mps=5.0, yaw_rate_radps=0.0), stamp_ns=k * 10**8)
        if k:
            tracker.tell_speed(0, 9.0)
    (agent,) = tracker.agents()
    assert 6.0 < agent.speed_mps < 9.0


def test_what_was_measured_of_heads_is_taken_over():
    p = TrackerParameters.of_heads({"agent_range_error_share": 0.05, "score_pedestrian": 0.2, "ap_vehicle": 0.9})
    assert (p.ray_share, p.pedestrian_score, p.vehicle_score) == (0.05, 0.2, TrackerParameters().vehicle_score)


def test_kinds_are_not_mixed_up():
    tracker = Tracker()
    for k in range(5):
        agents = tracker.update(found(row(15.0, 2.0, 0.0, 0.0), row(15.2, 2.5, 0.0, 1.0, kind="pedestrian")), STANDING, stamp_ns=k * 10**8)
    assert sorted(agent.kind for agent in agents) == ["car", "pedestrian"]


def test_one_that_two_cameras_find_at_different_distances_is_one():
    tracker = Tracker()
    for k in range(8):
        looks = found(row(40.0, 2.0, 0.0, 8.0), row(43.5, 2.2, 0.0, 8.0), scores=[0.9, 0.6]) if k > 1 else found(row(40.0, 2.0, 0.0, 8.0))
        agents = tracker.update(looks, EgoState(speed_mps=8.0, yaw_rate_radps=0.0), stamp_ns=k * 10**8)
    assert len(agents) == 1 and agents[0].x_m == pytest.approx(40.0, abs=1.0)


def test_unlikely_findings_do_not_count():
    tracker = Tracker(TrackerParameters(pedestrian_score=0.5))
    for k in range(4):
        looks = found(row(15.0, 2.0, 0.0, 0.0), row(12.0, -3.0, 0.0, 1.0, kind="pedestrian"), scores=[0.4, 0.4])
        agents = tracker.update(looks, STANDING, stamp_ns=k * 10**8)
    assert [agent.kind for agent in agents] == ["car"]


def test_after_a_long_pause_nothing_is_known():
    tracker = Tracker()
    for k in (0, 1, 2):
        tracker.update(found(row(15.0, 0.0, 0.0, 0.0)), STANDING, stamp_ns=k * 10**8)
    assert tracker.update(NOTHING, STANDING, stamp_ns=30 * 10**8) == ()
    assert tracker.update(NOTHING, STANDING, stamp_ns=0) == ()
