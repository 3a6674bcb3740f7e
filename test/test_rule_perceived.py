"""`rule_based_perceived`: road users and signals come from the pictures alone, the map from the scene."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rule_helpers import agent, lane, light, stop_line, straight

from e2e_planner import policies, rule_perceived
from e2e_planner.network import perception_outputs
from e2e_planner.policies import load_policy
from e2e_planner.recipe import Recipe, route_inputs
from e2e_planner.rule_lights import HEAD_CLASSES
from e2e_planner.rule_perceived import RuleBasedPerceived, along_lanes
from e2e_planner.rule_tracker import TrackerParameters
from mimic.drive_folder import policy_hash
from mimic_contracts.canonical import canonical_hash
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.images import Frame
from mimic_contracts.labels import AGENT_COLUMNS, LABEL_STRIDE
from mimic_contracts.observation import EgoState, Observation, Route
from mimic_contracts.policy import Policy
from mimic_contracts.scene import AGENT_KINDS, INDICATORS, Scene
from perception.agent_boxes import BOX_VALUES, COLUMN, encode

RECIPE = Recipe.load("town")
RIG = RECIPE.load_rig()
FRONT = RIG.cameras[0]
SPEED_MPS = 8.0
SCORES = {"agent_range_error_share": 0.06, "agent_speed_error_mps": 1.2, "score_vehicle": 0.35}
MAP = Scene(
    lanes=(lane("a", straight((-20, 0), (31, 0)), on_route=True, successors=("b",)), lane("b", straight((31, 0), (200, 0)), on_route=True)),
    stop_lines=(stop_line("a", "signal", (30.0, 0.0)),),
)
ROAD = replace(MAP, stop_lines=())


def shapes(camera):
    h, w = camera.height_px // LABEL_STRIDE, camera.width_px // LABEL_STRIDE
    return {f"heat_{camera.name}": (1, len(AGENT_KINDS), h, w), f"boxes_{camera.name}": (1, BOX_VALUES, h, w)}


def outputs_of(agents=(), state="none", probability=0.95, lead=(0.0, 0.0, 0.0)):
    """What the heads say of these road users, seen by the front camera, of the signal, and of the lead."""
    outputs = {name: np.zeros(shape, np.float32) for camera in RIG.cameras for name, shape in shapes(camera).items()}
    outputs["light"] = np.where(np.array(HEAD_CLASSES) == state, probability, (1.0 - probability) / (len(HEAD_CLASSES) - 1))[None].astype(np.float32)
    outputs["lead"] = np.array([lead], np.float32)
    k, mounting = FRONT.intrinsics(), FRONT.mounting
    rows = np.zeros((len(agents), len(AGENT_COLUMNS)), np.float32)
    for row, one in zip(rows, agents, strict=True):
        away = one.x_m - mounting.x_m
        u, v, half = k[0, 2] - k[0, 0] * (one.y_m - mounting.y_m) / away, k[1, 2] + k[1, 1] * (mounting.z_m - 0.8) / away, k[0, 0] / away
        values = {"kind": AGENT_KINDS.index(one.kind), "left_px": u - half, "right_px": u + half, "top_px": v - half, "bottom_px": v + half, "visible": 1.0}
        values |= {name: getattr(one, name) for name in ("x_m", "y_m", "yaw_rad", "length_m", "width_m", "speed_mps", "brake")}
        values |= {"height_m": 1.6, "indicator": INDICATORS.index(one.indicator)}
        for name, value in values.items():
            row[COLUMN[name]] = value
    targets = encode(rows, FRONT)
    outputs["heat_front"][0] = np.where(targets.heat == 1.0, 0.9, 0.0)
    boxes = outputs["boxes_front"][0].reshape(BOX_VALUES, -1)
    for place, values in zip(targets.place, targets.values, strict=True):
        boxes[:, place] = values
        boxes[12:, place] = np.where(values[12:] > 0.5, 5.0, -5.0)
    return outputs


class StubSession:
    """An ONNX session whose pictures are numbers of moments: `at` says what is seen at each. feeds: those of every call."""

    def __init__(self, at):
        self.at, self.feeds = at, []

    def get_inputs(self):
        return [SimpleNamespace(name=name) for name in (*(f"picture_{camera.name}" for camera in RIG.cameras), "ego", "route")]

    def get_outputs(self):
        return [SimpleNamespace(name=name) for name in perception_outputs([camera.name for camera in RIG.cameras])]

    def run(self, wanted, feeds):
        self.feeds.append(feeds)
        outputs = self.at(int(feeds["picture_front"][0, 0, 0, 0]))
        return [outputs[name] for name in wanted]


def write_run(folder: Path) -> Path:
    """A run directory whose perception is an ONNX file that sees nothing."""
    (folder / "perception").mkdir(parents=True)
    inputs = [helper.make_tensor_value_info(f"picture_{c.name}", TensorProto.UINT8, [1, 6, c.height_px, c.width_px]) for c in RIG.cameras]
    inputs += [helper.make_tensor_value_info("ego", TensorProto.FLOAT, [1, 2 * len(RECIPE.ego_inputs)])]
    inputs += [helper.make_tensor_value_info("route", TensorProto.FLOAT, [1, route_inputs(RECIPE.has_route_points)])]
    constants = outputs_of()
    nodes = [helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value)) for name, value in constants.items()]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in constants.items()]
    model = helper.make_model(helper.make_graph(nodes, "blind", inputs, outputs), opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "perception" / "perception.onnx")
    (folder / "perception" / "card.json").write_text(json.dumps({"recipe": json.loads(json.dumps(RECIPE.as_dict())), "rig": RIG.name, "scores": SCORES}))
    return folder


@pytest.fixture
def run(tmp_path) -> Path:
    return write_run(tmp_path / "run")


@pytest.fixture
def seeing(run, monkeypatch):
    """Makes a policy that sees what `at` says of each moment."""

    def make(at, **parameters):
        session = StubSession(at)
        monkeypatch.setattr(rule_perceived, "open_session", lambda content, **_: session)
        policy = RuleBasedPerceived(run, **parameters)
        policy.session = session
        return policy

    return make


def moment(k, scene, *, speed=SPEED_MPS):
    """Observation number k of a drive; its pictures tell the number. The map does not move."""
    frames = {c.name: Frame(image=np.full(c.shape, k, np.uint8), stamp_ns=10**9 + k * 10**8) for c in RIG.cameras}
    ego = EgoState(speed_mps=speed, yaw_rate_radps=0.0)
    return Observation(stamp_ns=10**9 + k * 10**8, frames=frames, ego=ego, route=Route(command="left", points_m=np.array([[30.0, 1.0]])), scene=scene)


def last_plan(policy, scene, *, count=6, speed=0.0):
    return [policy.plan(moment(k, scene, speed=speed)) for k in range(count)][-1]


def test_it_is_a_policy_that_needs_pictures_and_a_map(run):
    policy = load_policy(f"rule_based_perceived:{run}")
    assert isinstance(policy, Policy) and isinstance(policy, RuleBasedPerceived)
    assert policy.needs_scene and policy.rig_name == "quad" and policy.model_id.startswith("rule_based_perceived-")
    assert policy.plan(moment(0, ROAD)).model_id == policy.model_id


def test_without_a_run_it_sees_with_the_model_that_comes_along(run, tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "models_dir", lambda: tmp_path)
    with pytest.raises(MimicError, match=r"tiny has no perception/: train one with `mimic train town …`, or name it: rule_based_perceived:RUN"):
        load_policy("rule_based_perceived")
    run.rename(tmp_path / "tiny")
    assert load_policy("rule_based_perceived").rig_name == "quad"


@pytest.mark.parametrize(("name", "message"), [("card.json", "is the training finished"), ("perception.onnx", "perception.onnx: cannot be read")])
def test_a_run_without_its_files_says_so(run, name, message):
    (run / "perception" / name).unlink()
    with pytest.raises(MimicError, match=message):
        load_policy(f"rule_based_perceived:{run}")


def test_a_card_and_outputs_of_something_else_are_refused(tmp_path, seeing, monkeypatch):
    other = write_run(tmp_path / "other")
    (other / "perception" / "card.json").write_text("{}")
    with pytest.raises(MimicError, match="lacks recipe, rig, scores"):
        load_policy(f"rule_based_perceived:{other}")
    monkeypatch.setattr(StubSession, "get_outputs", lambda self: [SimpleNamespace(name="plans")])
    with pytest.raises(MimicError, match="lacks the outputs boxes_front"):
        seeing(lambda k: outputs_of())


def test_pictures_of_another_rig_and_a_missing_map_are_refused(run):
    policy = load_policy(f"rule_based_perceived:{run}")
    with pytest.raises(ContractError, match="rig 'quad'"):
        policy.plan(replace(moment(0, ROAD), frames={}))
    with pytest.raises(MimicError, match="needs a map"):
        policy.plan(moment(0, None))


def test_the_network_gets_what_it_was_trained_with(seeing):
    policy, before = seeing(lambda k: outputs_of()), round(RECIPE.history_s / 0.1)
    last_plan(policy, ROAD, count=6, speed=SPEED_MPS)
    feeds = policy.session.feeds[5]
    for camera in RIG.cameras:
        picture = feeds[f"picture_{camera.name}"]
        assert picture.shape == (1, 6, camera.height_px, camera.width_px) and picture.dtype == np.uint8
        assert (picture[0, :3] == 5).all() and (picture[0, 3:] == 5 - before).all()
    assert feeds["ego"].shape == (1, 2 * len(RECIPE.ego_inputs)) and feeds["ego"][0, 0] == pytest.approx(SPEED_MPS / 10.0)
    assert feeds["route"].shape == (1, route_inputs(True)) and feeds["route"][0, 1] == 1.0


def test_of_the_scene_only_the_map_is_read(seeing):
    def at(k):
        return outputs_of([agent(0, 25.0 - 0.8 * k, 0.0, speed=4.0)], "yellow")

    truths = [MAP, replace(MAP, agents=(agent(3, 8.0, 0.0),), lights=(light("a", "red"),)), replace(MAP, lights=(light("a", "green"),))]
    plans = []
    for truth in truths:
        policy = seeing(at)
        plans.append(canonical_hash(policy.plan(moment(k, truth)) for k in range(8)))
    assert len(set(plans)) == 1


def test_the_same_observations_give_the_same_bytes_after_reset(seeing):
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(12, 2))

    def at(k):
        return outputs_of([agent(0, 20.0 + noise[k, 0], noise[k, 1], speed=3.0), agent(1, 40.0, 3.2, np.pi, 8.0)], "green" if k % 5 else "red")

    policy, hashes = seeing(at), []
    for _ in range(2):
        policy.reset()
        hashes.append(canonical_hash(policy.plan(moment(k, MAP)) for k in range(12)))
    assert hashes[0] == hashes[1]


def test_it_waits_behind_whom_it_sees_and_goes_on_when_nobody_is_there(seeing):
    waiting = last_plan(seeing(lambda k: outputs_of([agent(0, 12.0, 0.0)])), ROAD)
    assert waiting.channel("x_m")[-1] < 12.0 - 4.5 / 2
    free = last_plan(seeing(lambda k: outputs_of()), ROAD)
    assert free.channel("x_m")[-1] > 10.0


def test_the_tracker_is_told_how_precise_the_heads_are(seeing):
    p = seeing(lambda k: outputs_of())._tracker_parameters
    assert (p.ray_share, p.speed_mps, p.vehicle_score) == (0.06, 1.2, 0.35)
    assert p.pedestrian_score == TrackerParameters().pedestrian_score


@pytest.mark.parametrize(("lead", "is_believed"), [((0.9, 13.0, 9.0), True), ((0.2, 13.0, 9.0), False), ((0.9, 40.0, 9.0), False)])
def test_the_lead_head_tells_the_speed_of_whom_it_means(seeing, lead, is_believed):
    """The boxes say that it drives at 5 m/s. One who comes from ahead is nobody's lead."""
    policy = seeing(lambda k: outputs_of([agent(0, 20.0, 0.0, speed=5.0), agent(1, 18.0 - k, 1.6, np.pi, speed=5.0)], lead=lead), tracker=TrackerParameters())
    first, oncoming = [policy._perceived(moment(k, ROAD, speed=5.0), ROAD).agents for k in range(6)][-1]
    assert abs(np.sin(oncoming.yaw_rad)) < 0.1 and np.cos(oncoming.yaw_rad) < 0.0
    assert (first.speed_mps > oncoming.speed_mps + 0.5) == is_believed


def test_a_doubtful_heading_is_the_lanes():
    agents = [agent(0, 20.0, 0.3, 0.1, 5.0), agent(1, 30.0, 0.0, 0.3, 5.0), agent(2, 40.0, 0.0, 0.5), agent(3, 50.0, 9.0, 0.1), agent(4, 60.0, 0.0, 0.2)]
    agents.append(agent(5, 70.0, 0.0, 0.1, kind="pedestrian"))
    assert [one.yaw_rad for one in along_lanes(agents, ROAD.lanes)] == [0.0, 0.3, 0.5, 0.1, 0.0, 0.1]
    assert along_lanes(agents, ()) == tuple(agents) and along_lanes((), ROAD.lanes) == ()


def test_one_false_finding_changes_nothing(seeing):
    clean = last_plan(seeing(lambda k: outputs_of()), ROAD)
    fooled = last_plan(seeing(lambda k: outputs_of([agent(0, 8.0, 0.0)] if k == 4 else [])), ROAD)
    np.testing.assert_array_equal(clean.values, fooled.values)


@pytest.mark.parametrize(("state", "stops"), [("red", True), ("yellow", True), ("red_yellow", True), ("green", False), ("none", True)])
def test_it_stops_at_a_signal_until_it_sees_green(seeing, state, stops):
    """A signal of which nothing is seen holds it, too: the map says that there is one."""
    here = Scene(
        lanes=(lane("a", straight((-20, 0), (9, 0)), on_route=True, successors=("b",)), lane("b", straight((9, 0), (200, 0)), on_route=True)),
        stop_lines=(stop_line("a", "signal", (8.0, 0.0)),),
    )
    plan = last_plan(seeing(lambda k: outputs_of(state=state)), here)
    assert (plan.channel("x_m")[-1] < 8.0) == stops


def test_the_head_speaks_of_the_next_line_on_the_route(seeing):
    """Of a signal behind a stop sign, beyond its reach, or beside the route nothing is known."""
    scenes = {
        "next": replace(MAP, stop_lines=(stop_line("a", "signal", (30.0, 0.0)), stop_line("x", "signal", (10.0, 4.0)))),
        "behind a stop sign": replace(MAP, stop_lines=(stop_line("a", "stop", (30.0, 0.0)), stop_line("b", "signal", (45.0, 0.0)))),
        "too far": replace(MAP, lanes=(lane("a", straight((-20, 0), (90, 0)), on_route=True),), stop_lines=(stop_line("a", "signal", (80.0, 0.0)),)),
        "passed": replace(MAP, stop_lines=(stop_line("a", "signal", (1.0, 0.0)),)),
    }
    for name, scene in scenes.items():
        policy = seeing(lambda k: outputs_of(state="red"))
        lights = [policy._perceived(moment(k, scene), scene).lights for k in range(3)][-1]
        assert [(one.lane_id, one.state) for one in lights] == ([("a", "red")] if name == "next" else []), name
    np.testing.assert_allclose(policy._perceived(moment(9, scenes["next"]), scenes["next"]).lights[0].position_m, [30.0, 0.0, 5.0])


def test_its_hash_is_of_its_perception_too(run):
    before = policy_hash(f"rule_based_perceived:{run}")
    assert before == policy_hash(f"rule_based_perceived:{run}")
    model = run / "perception" / "perception.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    assert policy_hash(f"rule_based_perceived:{run}") != before
