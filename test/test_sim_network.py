"""A SUMO network as roads: lanes that a car can follow, and lines, signals and signs where they belong.

street.net.xml.gz: a main road with two lanes a direction along y = 100 m that meets side roads at signals ("lights",
x = 150 m), stop signs ("stop", 270 m) and give-way signs ("yield", 390 m).
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimic_contracts.config import config_dir
from mimic_contracts.errors import MimicError

pytest.importorskip("sumolib")
from mimic_sim.sumo_network import MAX_CURVATURE_1PM, load_network, town_path

STREET = Path(__file__).parent / "street.net.xml.gz"
NETWORK = load_network(STREET)


@given(st.integers(0, len(NETWORK.lanes) - 1), st.lists(st.integers(0, 9), max_size=12))
def test_every_chain_of_lanes_is_a_line_that_a_car_can_follow(start: int, choices: list[int]) -> None:
    chain = [NETWORK.lanes[start].lane_id]
    for choice in choices:
        successors = NETWORK.lane(chain[-1]).successors
        if not successors or successors[choice % len(successors)] in chain:
            break
        chain.append(successors[choice % len(successors)])
    line = NETWORK.line(chain)
    assert np.abs(line.curvature_1pm).max() < 0.2
    steps = np.hypot(np.diff(line.x_m), np.diff(line.y_m))
    assert steps.min() > 0.3 and steps.max() < 0.7
    lengths = [np.hypot(*np.diff(NETWORK.lane(lane_id).centre_m, axis=0).T).sum() for lane_id in chain]
    assert line.length_m == pytest.approx(sum(lengths), rel=0.01, abs=0.3)


def test_lanes_lead_on_through_the_junction() -> None:
    for lane in NETWORK.lanes:
        for after in lane.successors:
            assert np.hypot(*(NETWORK.lane(after).centre_m[0] - lane.centre_m[-1])) < 0.05
    assert {NETWORK.lane(s).is_internal for s in NETWORK.lane("west-lights_1").successors} == {True}
    west_to_east = ["west-lights_1", ":lights_11_0", "lights-stop_1"]
    assert NETWORK.line(west_to_east).yaw_rad == pytest.approx(0.0, abs=1e-6)
    assert MAX_CURVATURE_1PM < 0.2


def test_markings_follow_from_the_neighbours() -> None:
    def markings(lane_id: str) -> tuple[str, str]:
        lane = NETWORK.lane(lane_id)
        return lane.left_marking, lane.right_marking

    assert markings("west-lights_1") == ("dashed", "solid")
    assert markings("west-lights_2") == ("solid", "none"), "a wide road has a solid line on either side of its middle"
    assert {markings("n1-lights_1"), markings("lights-n1_1")} == {("none", "solid"), ("dashed", "solid")}, "a narrow road has one dashed line"
    assert all(markings(lane.lane_id) == ("none", "none") for lane in NETWORK.lanes if lane.is_internal)
    assert NETWORK.lane("west-lights_1").arrows == ("right", "straight")
    assert NETWORK.lane("west-lights_2").arrows == ("left", "straight")
    assert NETWORK.lane("n1-lights_1").arrows == (), "a single lane needs no arrow"


def test_stop_lines_and_signs_stand_where_one_waits() -> None:
    rules = {line.lane_id: line.rule for line in NETWORK.stop_lines}
    assert rules["west-lights_1"] == rules["n1-lights_1"] == rules["n2-stop_1"] == "stop"
    assert rules["n3-yield_1"] == "give_way"
    assert "lights-stop_2" not in rules, "the main road has priority, though its left turns yield"
    assert sorted(sign.kind for sign in NETWORK.signs) == ["give_way", "stop", "stop"]
    for line in NETWORK.stop_lines:
        lane_line = NETWORK.line([line.lane_id])
        (_, left), (station, right) = lane_line.project(*line.left_m), lane_line.project(*line.right_m)
        assert left > 1.0 and right < -1.0 and lane_line.length_m - station < 1.0


@pytest.mark.parametrize(
    ("lane_id", "others"),
    [
        (":lights_11_0", set()),  # straight on at green
        (
            ":lights_13_0",
            {":lights_3_0", ":lights_16_0", ":lights_4_0", ":lights_4_1"},
        ),  # a left turn at green: those who come towards it, not the cross traffic
        (":lights_21_0", {":lights_3_0", ":lights_16_0", ":lights_4_0", ":lights_4_1"}),  # the rest of that turn
        (":stop_13_0", {":stop_3_0", ":stop_4_0", ":stop_4_1"}),  # a left turn from the main road
        (":yield_0_0", {":yield_3_0", ":yield_3_1"}),  # a right turn into the main road
    ],
)
def test_right_of_way_is_known_inside_junctions(lane_id: str, others: set[str]) -> None:
    assert set(NETWORK.lane(lane_id).yields_to) == others


def test_signals_face_those_who_wait_and_agree_on_their_links() -> None:
    assert {signal.signal_id for signal in NETWORK.signals} == {"lights"}
    held = [signal for signal in NETWORK.signals if "west-lights_1" in signal.lane_ids]
    near, far = sorted((signal for signal in held if not signal.arm_m), key=lambda signal: signal.position_m[0])
    line = NETWORK.line(["west-lights_1"])
    station, left = line.project(*near.position_m[:2])
    assert left < -1.6 - 0.4 and line.length_m - station < 1.0, "the near one stands to the right, on the corner"
    assert near.position_m[0] - line.x_m[-1] == pytest.approx(2.5)
    (hung,) = (signal for signal in held if signal.arm_m)
    assert hung.position_m[1] == pytest.approx(NETWORK.lane("west-lights_2").centre_m[-1, 1]) and hung.position_m[2] > 4.5, (
        "over the leftmost lane, where no bus hides it"
    )
    np.testing.assert_allclose(hung.post_m, far.position_m[:2], atol=1e-6)
    assert far.position_m[0] > near.position_m[0] + 10.0
    assert abs(abs(near.yaw_rad) - np.pi) < 1e-6 and near.link_indices == far.link_indices
    links = {signal.link_indices for signal in NETWORK.signals}
    assert sorted(i for indices in links for i in indices) == list(range(14)), "every link has its signal"


def test_a_town_is_found_by_name_or_path(tmp_path: Path) -> None:
    assert town_path(STREET) == STREET
    for path in (config_dir() / "towns").glob("*.net.xml.gz"):
        assert town_path(path.name.removesuffix(".net.xml.gz")) == path
    with pytest.raises(MimicError, match="'atlantis' is neither a SUMO network"):
        town_path("atlantis")


@pytest.mark.parametrize(("text", "message"), [("no XML", "cannot be read as a SUMO network"), ('<net version="1.20"></net>', "no lane that a car may use")])
def test_what_is_no_network_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.net.xml"
    path.write_text(text)
    with pytest.raises(MimicError, match=message):
        load_network(path)
