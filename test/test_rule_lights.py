"""What a head says of a signal picture by picture becomes a state that one odd picture does not change."""

import numpy as np
import pytest

from e2e_planner.rule_lights import HEAD_CLASSES, LightFilter, LightParameters
from perception.situation import LIGHTS

STEP_S = 0.1


def says(state, probability=0.95):
    """What the head gives: the rest is spread over the other classes."""
    rest = (1.0 - probability) / (len(HEAD_CLASSES) - 1)
    return np.where(np.array(HEAD_CLASSES) == state, probability, rest)


def states(*looks, lane="a", light=None):
    """The filter's states; a look is a state, or a state and how probable it is."""
    light = light or LightFilter()
    return [light.update(lane, says(*((look,) if isinstance(look, str) else look)), step_s=STEP_S) for look in looks]


def test_the_classes_are_the_heads():
    assert HEAD_CLASSES == LIGHTS


@pytest.mark.parametrize("state", ["red", "yellow"])
def test_what_asks_to_stop_is_taken_at_once(state):
    assert states("green", "green", state)[-1] == state


@pytest.mark.parametrize("state", ["green", "red_yellow", "off"])
def test_what_does_not_has_to_be_seen_twice_in_three_looks(state):
    assert states("red", state)[-1] == "red"
    assert states("red", state, state)[-1] == state
    assert states("red", state, "red", state)[-1] == state
    assert states(state)[-1] is None


def test_a_single_odd_look_that_is_not_certain_changes_nothing():
    assert states("green", "green", ("red", 0.7), "green") == [None, "green", "green", "green"]
    assert states("green", "green", ("red", 0.7), ("red", 0.7))[-1] == "red"


@pytest.mark.parametrize("nothing", ["none", "unknown", ("green", 0.6)])
def test_the_last_state_holds_for_a_while(nothing):
    held = states("red", *[nothing] * 15)
    hold = round(LightParameters().hold_s / STEP_S)
    assert held[: hold + 1] == ["red"] * (hold + 1) and held[hold + 1 :] == [None] * (15 - hold)


def test_the_map_knows_that_there_is_a_signal():
    """What is not 'none' is divided among the states, unless there is hardly any."""
    for none, known in ((0.7, "green"), (0.95, None)):
        probabilities = np.where(np.array(HEAD_CLASSES) == "none", none, 0.0) + (1.0 - none) * says("green", 0.9)
        light = LightFilter()
        assert [light.update("a", probabilities, step_s=STEP_S) for _ in range(3)] == [None, known, known]


def test_another_stop_line_begins_anew():
    light = LightFilter()
    states("green", "green", light=light)
    assert states("none", lane="b", light=light) == [None]
    assert light.update(None, says("green"), step_s=STEP_S) is None
    assert states("green", lane="b", light=light) == [None]
