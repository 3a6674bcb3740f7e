"""Scenes as text: what comes back is what went in, and what is no Scene is refused with its place."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mimic_contracts.errors import ContractError
from mimic_contracts.scene import AGENT_KINDS, INDICATORS, LIGHT_STATES, STOP_RULES, Agent, Scene, SceneLane, StopLine, TrafficLight
from mimic_contracts.scene_json import scene_from_text, scene_text

numbers = st.floats(-1e6, 1e6)
names = st.text(min_size=1, max_size=8).filter(str.strip)


def points(rows: int | None, columns: int = 2) -> st.SearchStrategy[np.ndarray]:
    shape = st.integers(2, 5).map(lambda n: (n, columns)) if rows is None else (rows, columns)
    return hnp.arrays(np.float64, shape, elements=numbers)


agents = st.builds(
    Agent,
    track_id=st.integers(0, 999),
    kind=st.sampled_from(AGENT_KINDS),
    x_m=numbers,
    y_m=numbers,
    yaw_rad=numbers,
    speed_mps=numbers,
    length_m=st.floats(0.1, 40.0),
    width_m=st.floats(0.1, 6.0),
    brake=st.booleans(),
    indicator=st.sampled_from(INDICATORS),
)
lanes = st.builds(
    SceneLane,
    lane_id=names,
    centre_m=points(None),
    width_m=st.floats(1.0, 10.0),
    speed_limit_mps=st.none() | st.floats(1.0, 60.0),
    on_route=st.booleans(),
    successors=st.lists(names, max_size=2).map(tuple),
    yields_to=st.lists(names, max_size=2).map(tuple),
)
lights = st.builds(TrafficLight, state=st.sampled_from(LIGHT_STATES), position_m=hnp.arrays(np.float64, 3, elements=numbers), lane_id=names)
stop_lines = st.builds(StopLine, lane_id=names, rule=st.sampled_from(STOP_RULES), ends_m=points(2))
several = lambda of: st.lists(of, max_size=3).map(tuple)  # noqa: E731
scenes = st.builds(
    Scene,
    lanes=several(lanes),
    drivable_area=several(points(None)),
    crossings=several(points(None)),
    agents=several(agents),
    lights=several(lights),
    stop_lines=several(stop_lines),
)


@given(scene=scenes, stamp_ns=st.integers(0, 2**62))
def test_every_number_comes_back_to_the_last_bit(scene: Scene, stamp_ns: int) -> None:
    text = scene_text(scene, stamp_ns=stamp_ns)
    stamp_back_ns, back = scene_from_text(text)
    assert stamp_back_ns == stamp_ns and scene_text(back, stamp_ns=stamp_ns) == text
    assert back.agents == scene.agents and all(a.dtype == np.float64 and np.array_equal(a, b) for a, b in zip(back.crossings, scene.crossings, strict=True))
    for ours, theirs in zip(back.lanes, scene.lanes, strict=True):
        assert np.array_equal(ours.centre_m, theirs.centre_m) and ours.successors == theirs.successors and ours.yields_to == theirs.yields_to


AGENT = {"track_id": 1, "kind": "car", "x_m": 1.0, "y_m": 0.0, "yaw_rad": 0.0, "speed_mps": 1.0, "length_m": 4.0, "width_m": 2.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "scene: is not valid JSON"),
        ("[]", "a JSON object with an integer stamp_ns"),
        ({"agents": []}, "a JSON object with an integer stamp_ns"),
        ({"agents": {}}, r"scene\.agents: is a dict, must be a list"),
        ({"agents": [3]}, r"scene\.agents\[0\]: is a int, must be an object"),
        ({"agents": [AGENT, {**AGENT, "kind": "horse"}]}, r"scene\.agents\[1\]: agent\.kind: is 'horse'"),
        ({"agents": [{**AGENT, "wings": 2}]}, r"scene\.agents\[0\]: unknown key wings"),
        ({"crossings": [[[0.0, 1.0], [2.0]]]}, r"scene\.crossings\[0\]: holds something that is no number, or rows of unequal length"),
        ({"stop_lines": [{"lane_id": "a", "rule": "stop", "ends_m": [[0, 1]]}]}, r"scene\.stop_lines\[0\]: stop_line\.ends_m"),
        ({"clouds": []}, "scene: unknown key clouds"),
    ],
)
def test_what_is_no_scene_is_refused_with_its_place(content: object, message: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content if content == {"agents": []} else {"stamp_ns": 1, **content})  # type: ignore[dict-item]
    with pytest.raises(ContractError, match=message):
        scene_from_text(text)
