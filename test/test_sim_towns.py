"""Towns: what layouts promise for any seed, and what the SUMO networks in config/towns are."""

import gzip
import math
from collections import defaultdict
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimic.cli import main
from mimic_contracts.config import config_dir, load_yaml
from mimic_contracts.errors import ContractError, MimicError
from mimic_sim import town
from mimic_sim.sumo_network import TOWN_SUFFIX
from mimic_sim.town_layout import MAX_SEED, STYLES, town_layout
from mimic_sim.town_streets import GIVE_WAY, JOINT, OUTSIDE, SIGNALS, SIGNALS_IN_TURN, STOP, STOP_ALL, ZEBRA, TownLayout

FOLDER = config_dir() / "towns"
TOWNS = load_yaml(FOLDER / "towns.yaml")
needs_sumolib = pytest.mark.skipif(find_spec("sumolib") is None, reason="sumolib is not installed: pip install 'mimic_drive[sim]'")
needs_netconvert = pytest.mark.skipif(find_spec("sumo") is None, reason="netconvert is not installed: pip install 'mimic_drive[towns]'")
PARKING = "custom1"


def is_strongly_connected(after: dict[str, set[str]], names: set[str]) -> bool:
    """Whether every name can be reached from every other."""
    before = defaultdict(set)
    for name, followers in after.items():
        for follower in followers:
            before[follower].add(name)
    start = min(names)
    for ways in (after, before):
        seen, todo = {start}, [start]
        while todo:
            new = ways.get(todo.pop(), set()) & names - seen
            seen |= new
            todo += new
        if seen != names:
            return False
    return True


def headings_deg(points) -> np.ndarray:
    """Of the segments of a polyline, without jumps."""
    return np.degrees(np.unwrap(np.arctan2(*np.diff(np.array(points)[:, :2], axis=0).T[::-1])))


def turns_deg(points) -> np.ndarray:
    """The angles at the inner points of a polyline."""
    return np.abs(np.diff(headings_deg(points)))


# Layouts

layouts = st.builds(town_layout, st.sampled_from(list(STYLES)), st.integers(0, MAX_SEED))


def arms_of(layout: TownLayout) -> dict[str, set[str]]:
    neighbours = defaultdict(list)
    for edge in layout.edges:
        neighbours[edge.start].append(edge.edge_id)
    return {node.node_id: set(neighbours[node.node_id]) for node in layout.nodes}


@settings(max_examples=25, deadline=None)
@given(layouts)
def test_any_town_has_all_that_a_town_must_have(layout):
    controls = {node.node_id: node.control for node in layout.nodes}
    assert {SIGNALS, STOP, STOP_ALL, GIVE_WAY, ZEBRA, JOINT} <= set(controls.values())
    assert 20 <= sum(control not in (ZEBRA, JOINT) for control in controls.values()) <= 40
    places = np.array([point for edge in layout.edges for point in edge.line_m])
    assert 550.0 < np.ptp(places, axis=0).max() < 1000.0
    narrow = [edge for edge in layout.edges if edge.kind.lane_width_m == 2.75 and edge.has_parking]
    assert narrow and all(edge.kind.speed_limit_mps < 9.0 for edge in narrow)
    assert any(edge.kind == OUTSIDE for edge in layout.edges)
    signals = {name for name, control in controls.items() if control in (SIGNALS, SIGNALS_IN_TURN)}
    assert all(30.0 / 3.6 <= edge.kind.speed_limit_mps <= 50.0 / 3.6 for edge in layout.edges if {edge.start, edge.end} & signals)
    arms = arms_of(layout)
    assert all((len(arms[name]) >= 3) == (control not in (ZEBRA, JOINT)) for name, control in controls.items())


@settings(max_examples=25, deadline=None)
@given(layouts)
def test_in_any_town_traffic_goes_round_for_ever(layout):
    edges = {edge.edge_id: edge for edge in layout.edges}
    after, lanes_on, lanes_reached = defaultdict(set), defaultdict(set), defaultdict(set)
    for c in layout.connections():
        after[c.start.edge_id].add(c.end.edge_id)
        lanes_on[c.start.edge_id].add(c.start_lane)
        lanes_reached[c.end.edge_id].add(c.end_lane)
        assert c.start.end == c.end.start and c.start_lane < c.start.lanes and c.end_lane < c.end.lanes
    assert all(lanes_on[name] == set(range(edge.lanes)) for name, edge in edges.items())
    assert all(lanes_reached[name] for name in edges)
    for vehicle_class in ("passenger", "bus", "bicycle"):
        assert is_strongly_connected(after, {name for name, edge in edges.items() if vehicle_class not in edge.kind.shut_out})


@settings(max_examples=25, deadline=None)
@given(layouts)
def test_at_a_sign_all_wait_but_two_and_people_cross_before_those_who_wait(layout):
    waiting = layout.waiting()
    for node in layout.nodes:
        arriving = {edge.edge_id for edge in layout.edges if edge.end == node.node_id}
        assert len(arriving - waiting) == (2 if node.control in (STOP, GIVE_WAY) else len(arriving))
    for node, edges in layout.crossings():
        assert len(edges) == 2 and all(edge.kind.has_sidewalk for edge in edges)
        assert node.control not in (STOP, GIVE_WAY) or waiting & {edge.edge_id for edge in edges}


@settings(max_examples=25, deadline=None)
@given(layouts)
def test_streets_of_any_town_bend_gently(layout):
    for edge in layout.edges:
        assert turns_deg(edge.line_m).max(initial=0.0) < 8.0
        length_m = sum(math.dist(a, b) for a, b in pairwise(edge.line_m))
        assert length_m > 15.0, f"{edge.edge_id} is {length_m:.1f} m long"


@pytest.mark.parametrize("style", STYLES)
def test_a_layout_is_its_seeds(style):
    assert town_layout(style, 5) == town_layout(style, 5) != town_layout(style, 6)


@pytest.mark.parametrize(("style", "seed", "words"), [("roman", 1, "grid, suburb"), ("grid", -1, "within"), ("grid", MAX_SEED + 1, "within")])
def test_an_unknown_style_or_seed_is_refused(style, seed, words):
    with pytest.raises(ContractError, match=words):
        town_layout(style, seed)


# Networks


@cache
def network(name: str):
    import sumolib

    path = FOLDER / f"{name}{TOWN_SUFFIX}"
    return sumolib.net.readNet(str(path), withInternal=True, withPedestrianConnections=True, withPrograms=True)


def roads(net) -> list:
    return [edge for edge in net.getEdges() if edge.getFunction() == ""]


def car_lanes(net) -> list:
    return [lane for edge in roads(net) for lane in edge.getLanes() if lane.allows("passenger")]


def junctions(net) -> list:
    """Where at least three streets meet."""
    return [node for node in net.getNodes() if len([edge for edge in node.getOutgoing() if edge.getFunction() == ""]) >= 3]


def test_the_towns_are_those_in_the_list_and_one_style_is_for_testing_only():
    assert {path.name.removesuffix(TOWN_SUFFIX) for path in FOLDER.glob("*.gz")} == set(TOWNS)
    assert {name: made["split"] for name, made in TOWNS.items()} == {name: name.rsplit("_", 1)[0] for name in TOWNS}
    assert len({(made["style"], made["seed"]) for made in TOWNS.values()}) == len(TOWNS) == 32
    assert {name for name, made in TOWNS.items() if made["style"] == "organic"} == {"test_1", "test_2"}
    assert all((FOLDER / f"{name}{TOWN_SUFFIX}").stat().st_size < 250_000 for name in TOWNS)


@needs_sumolib
@pytest.mark.parametrize("name", TOWNS)
def test_a_town_lets_everybody_go_everywhere(name):
    net = network(name)
    for vehicle_class in ("passenger", "bus", "truck", "bicycle"):
        after = {edge.getID(): {lane.getEdge().getID() for lane in followers(edge, vehicle_class)} for edge in roads(net) if edge.allows(vehicle_class)}
        assert len(after) > 20 and is_strongly_connected(after, set(after)), vehicle_class
    on_foot = {lane.getID(): lane for edge in net.getEdges() for lane in edge.getLanes() if lane.allows("pedestrian")}
    beside = defaultdict(set)
    for lane in on_foot.values():  # people walk both ways
        for connection in lane.getOutgoing():
            if connection.getToLane().getID() in on_foot:
                beside[lane.getID()].add(connection.getToLane().getID())
                beside[connection.getToLane().getID()].add(lane.getID())
    sidewalks = {name for name, lane in on_foot.items() if lane.getEdge().getFunction() == ""}
    assert len(sidewalks) > 20 and is_strongly_connected(beside, set(on_foot))


def followers(edge, vehicle_class: str) -> list:
    lanes = [lane for lane in edge.getLanes() if lane.allows(vehicle_class)]
    after = [connection.getToLane() for lane in lanes for connection in lane.getOutgoing()]
    return [lane for lane in after if lane.allows(vehicle_class)]


@needs_sumolib
@pytest.mark.parametrize("name", TOWNS)
def test_a_town_has_junctions_of_every_kind_and_crossings(name):
    net = network(name)
    kinds = {node.getType() for node in junctions(net)}
    assert {"traffic_light", "priority", "priority_stop", "allway_stop"} <= kinds
    assert 20 <= len(junctions(net)) <= 40
    crossed = {edge.getID()[1:].rsplit("_", 1)[0] for edge in net.getEdges() if edge.getFunction() == "crossing"}
    between_junctions = crossed - {node.getID() for node in junctions(net)}
    assert len(crossed) > 15 and len(between_junctions) >= 2
    for node in junctions(net):
        if node.getType() in ("priority", "priority_stop"):
            first = {edge.getID() for edge in node.getIncoming() for c in connections(edge) if c.getState() == "M"}
            rules = {c.getState() for edge in node.getIncoming() if edge.getID() not in first for c in connections(edge)}
            assert len(first) == 2, f"at {node.getID()} {first} have priority"
            assert rules == {"s" if node.getType() == "priority_stop" else "m"}


def connections(edge) -> list:
    """The connections of an edge for cars."""
    return [c for lane in edge.getLanes() if lane.allows("passenger") for c in lane.getOutgoing()] if edge.getFunction() == "" else []


@needs_sumolib
@pytest.mark.parametrize("name", TOWNS)
def test_the_lanes_of_a_town_are_smooth_and_lead_on(name):
    net = network(name)
    for lane in car_lanes(net):
        assert lane.getOutgoing(), f"{lane.getID()} leads nowhere"
        assert turns_deg(lane.getShape()).max(initial=0.0) < 8.0, lane.getID()
        assert lane.getLength() > 15.0
    limits = {round(lane.getSpeed() * 3.6) for lane in car_lanes(net)}
    assert limits == {30, 50, 80}
    for edge in roads(net):
        has_signal = edge.getToNode().getType() == "traffic_light"
        assert not has_signal or edge.getSpeed() < 14.0
        first = edge.getLanes()[0]  # people and bicycles are kept off the road outside
        assert (first.allows("pedestrian") and first.getWidth() == 2.2) == edge.allows("bicycle")
    most = max(sum(lane.allows("passenger") for lane in edge.getLanes()) for edge in roads(net))
    assert most == {"grid": 2, "arterial": 3, "suburb": 1, "organic": 1}[TOWNS[name]["style"].split("_")[-1]]


@needs_sumolib
@pytest.mark.parametrize("name", [name for name, made in TOWNS.items() if "winding" in made["style"]])
def test_most_streets_of_a_winding_town_bend(name):
    bends_deg = [np.ptp(headings_deg(lane.getShape())) for lane in car_lanes(network(name)) if lane.getLength() > 60.0]
    assert np.mean(np.array(bends_deg) > 10.0) > 0.55


@needs_sumolib
@pytest.mark.parametrize("name", TOWNS)
def test_parking_lies_between_the_sidewalk_and_the_road(name):
    net = network(name)
    kerbs = [lane for edge in roads(net) for lane in edge.getLanes() if lane.allows(PARKING) and not lane.allows("passenger")]
    assert len(kerbs) >= 8
    for lane in kerbs:
        right, left = (lane.getEdge().getLanes()[lane.getIndex() + step] for step in (-1, 1))
        assert right.allows("pedestrian") and left.allows("passenger") and not lane.allows("pedestrian")
        assert lane.getWidth() == 2.2 and not lane.getOutgoing()
    assert any(lane.getEdge().getLanes()[-1].getWidth() == 2.75 and lane.getSpeed() < 9.0 for lane in kerbs)


@needs_sumolib
@pytest.mark.parametrize("name", TOWNS)
def test_signals_go_by_yellow_and_all_red_and_left_turns_are_as_the_style_says(name):
    net = network(name)
    protected = permissive = 0
    for signal in net.getTrafficLights():
        phases = next(iter(signal.getPrograms().values())).getPhases()
        links = {index for start, _, index in signal.getConnections() if start.allows("passenger")}
        assert 60 <= sum(phase.duration for phase in phases) <= 90
        assert all(phase.duration >= 3 for phase in phases if "y" in phase.state)
        assert any(set(phase.state) == {"r"} for phase in phases)
        for phase, then in pairwise([*phases, phases[0]]):
            changes = {phase.state[k] + then.state[k] for k in links}
            assert not changes & {"gr", "Gr", "yg", "yG"}  # yellow follows green, red follows yellow
            assert not changes & {"rg", "rG"} or set(phase.state) == {"r"}  # and before green all have red
        for start, _, index in signal.getConnections():
            if any(c.getTLLinkIndex() == index and c.getDirection() == "l" for c in start.getOutgoing()):
                greens = {phase.state[index] for phase in phases} & {"g", "G"}
                permissive += "g" in greens
                protected += greens == {"G"}
    assert permissive > 0
    assert (protected > 3) == TOWNS[name]["style"].endswith("arterial")


# Making


@needs_netconvert
@pytest.mark.parametrize("name", ["train_2", "test_1"])
def test_a_committed_town_is_what_its_style_and_seed_make(name, tmp_path):
    made = TOWNS[name]
    paths = [tmp_path / f"{k}{TOWN_SUFFIX}" for k in range(2)]
    for path in paths:
        town.make_town(made["style"], made["seed"], path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    # The network's bytes: how well they are packed depends on the machine's zlib.
    assert gzip.decompress(paths[0].read_bytes()) == gzip.decompress((FOLDER / f"{name}{TOWN_SUFFIX}").read_bytes()), "refresh: config/towns/towns.yaml"


def test_without_netconvert_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MimicError, match=r"pip install 'mimic_drive\[towns\]'"):
        town.network_xml(town_layout("grid", 1))


def test_a_failure_of_netconvert_is_told(monkeypatch, tmp_path):
    program = tmp_path / "netconvert"
    program.write_text("#!/bin/sh\necho Error: no space left >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(town, "_netconvert", lambda: program)
    with pytest.raises(MimicError, match=r"netconvert ended with 3: Error: no space left"):
        town.network_xml(town_layout("grid", 1))


@needs_netconvert
def test_the_command_makes_a_town_and_does_not_overwrite_it(tmp_path, capsys):
    out = tmp_path / "new" / f"a{TOWN_SUFFIX}"
    arguments = ["sim", "town", "--style", "grid", "--seed", "3", "--out", str(out)]
    assert main(arguments) == 0
    assert f'"bytes": {out.stat().st_size}' in capsys.readouterr().out
    assert main(arguments) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--style", "roman", "--seed", "1"], "--style: 'roman' is unknown, must be one of: grid, suburb, arterial, organic, slanted_grid"),
        (["--style", "grid", "--seed", "-1"], "--seed: is -1, must be 0 to 2147483647"),
        (["--style", "grid", "--seed", "2147483648"], "--seed: is 2147483648"),
        (["--style", "grid", "--seed", "1", "--out", "town.xml"], "--out: 'town.xml' must end in .net.xml.gz"),
    ],
)
def test_wrong_arguments_are_named(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sim", "town", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert list(Path(tmp_path).iterdir()) == []
