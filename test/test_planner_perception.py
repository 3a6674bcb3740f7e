"""Perception first, then imitation on what it sees: labels in, cards, gates and ONNX files out."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from planner_helpers import CAR_SIGNALS, TINY, car_recipe, make_store, quiet

from bag_tools.clip_store import ClipStore
from bag_tools.label_writer import write_labels
from e2e_planner.checkpoint import CARD_FILE, PERCEPTION_ONNX_FILE, WEIGHTS_FILE, load_card, load_tensors, save_tensors
from e2e_planner.dataset import Batch, FrameSet, mirrored_route, open_stores
from e2e_planner.export import export_module, exported_weights
from e2e_planner.network import PlannerNetwork, perception_outputs
from e2e_planner.policies import load_policy
from e2e_planner.recipe import ROUTE_SCALE_M, Augmentation, Dagger, Perception, Recipe, route_inputs, route_values
from e2e_planner.run import ADDED, STORE_DIRECTORY, new_network, train_run
from e2e_planner.tasks import PerceptionTask, measure, remember
from e2e_planner.teacher import labels_of as taught_labels
from e2e_planner.team import Team
from e2e_planner.train import Schedule, Trainer, suited_precision
from e2e_planner.views import RoadView
from mimic.cli import main
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.images import Frame
from mimic_contracts.labels import AGENT_COLUMNS, CLASS_INDEX, LANE_STATIONS_M, NOT_LABELLED, FrameLabels
from mimic_contracts.observation import ROUTE_COMMANDS, ROUTE_POINTS, EgoState, Observation, Route
from mimic_contracts.rig import load_rig
from perception.agent_boxes import BOX_VALUES
from perception.points import GROUPS, point_values, road_users
from perception.road_users import PLACE, ROAD_USER_VALUES, ROAD_USERS, SCORE, TYPICAL_PLACE_M
from perception.situation import LIGHTS, ROAD, UNKNOWN, metres, scaled

SEEING = dataclasses.replace(TINY, widths=(8, 8, 16, 16, 16), tokens=8, correlation_cells=2)


def seeing_recipe(**changes: object) -> Recipe:
    settings = {"network": SEEING, "perception": Perception(steps=3, batch_size=4), "has_route_points": True, "recall_s": 0.4, "twin": True}
    return car_recipe(**{**settings, **changes})


def skip_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on: the export takes longer than these networks."""

    def export(network: object, example: object, path: Path) -> float:
        path.write_bytes(b"onnx")
        return 0.0

    for name in ("export_onnx", "export_perception"):
        monkeypatch.setattr(f"e2e_planner.run.{name}", export)


@pytest.fixture
def without_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """See skip_export."""
    skip_export(monkeypatch)


def labels_of(k: int) -> FrameLabels:
    """The lower half is road 10 m away; a car or nobody; the light changes."""
    semantic = np.full((32, 64), CLASS_INDEX["sky"], np.uint8)
    semantic[16:] = CLASS_INDEX["road"]
    depth_mm = np.where(semantic == CLASS_INDEX["road"], 10_000, 0).astype(np.uint16)
    car = {"kind": 0, "left_px": 100, "top_px": 60, "right_px": 130, "bottom_px": 80, "visible": 1, "x_m": 15, "length_m": 4, "width_m": 2, "height_m": 1.5}
    agents = np.array([[car.get(name, 0.0) for name in AGENT_COLUMNS]] * (k % 2), np.float32).reshape(-1, len(AGENT_COLUMNS))
    lane_m = np.stack([np.array(LANE_STATIONS_M), np.zeros(len(LANE_STATIONS_M))], axis=1).astype(np.float32)
    has_light = k % 3 > 0
    return FrameLabels(
        source="simulator",
        confidence=1.0,
        semantic={"front": semantic},
        depth_mm={"front": depth_mm},
        agents={"front": agents},
        light=("red", "green")[k % 2] if has_light else None,
        light_visible=k % 3 == 2,
        stop_line_m=20.0 if has_light else float("nan"),
        stop_rule="signal" if has_light else None,
        junction_start_m=20.5 if has_light else float("nan"),
        junction_end_m=35.0 if has_light else float("nan"),
        zebra_m=30.0,
        lead_gap_m=8.0 if k % 2 else float("nan"),
        lead_speed_mps=3.0 if k % 2 else float("nan"),
        speed_limit_mps=13.9,
        lane_m=lane_m,
    )


def labelled_store(path: Path, **what: object) -> Path:
    make_store(path, signals=CAR_SIGNALS, **what)  # type: ignore[arg-type]
    write_labels(path, (labels_of(k) for k in range(ClipStore.open(path).meta.frame_count)), overwrite=False)
    return path


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_store(tmp_path_factory.mktemp("labelled") / "store", count=60)


def test_labels_become_what_the_heads_learn(labelled: Path) -> None:
    frames = FrameSet(open_stores([labelled], seeing_recipe()), "train", seeing_recipe())
    assert frames.labels is not None
    which = np.array([0, 1, 2, 5])
    (front,) = frames.labels.pictures(which)
    assert front.semantic.shape == (4, 32, 64) and set(front.semantic.unique().tolist()) == {CLASS_INDEX["sky"], CLASS_INDEX["road"]}
    assert torch.isfinite(front.log_depth[:, 0, 16:]).all() and torch.isnan(front.log_depth[:, 0, :16]).all()
    assert front.log_depth[0, 0, 20, 3].exp() == pytest.approx(10.0, abs=1e-3)
    assert front.picture.tolist() == [1, 3] and front.heat.amax((1, 2, 3)).tolist() == [0.0, 1.0, 0.0, 1.0]
    situation = frames.labels.situation(which)
    assert situation.light.tolist() == [LIGHTS.index("none"), UNKNOWN, LIGHTS.index("red"), LIGHTS.index("green")]  # 1: no camera sees it
    assert situation.has_lead.tolist() == [0.0, 1.0, 0.0, 1.0] and torch.isnan(situation.line_m).tolist() == [True, False, False, False]


def test_any_number_of_processes_remembers_the_same(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("e2e_planner.tasks.VAL_BATCH", 4)
    steps: dict[int, list[int]] = {1: [], 3: []}
    for processes, told in steps.items():
        recipe = seeing_recipe(processes=processes)
        frames = FrameSet(open_stores([labelled], recipe), "train", recipe)
        remember(new_network(recipe, frames), frames, tmp_path / str(processes), report=lambda step, total, figures, told=told: told.append(step))
    alone, shared = (sorted((tmp_path / str(processes)).iterdir()) for processes in steps)
    assert [p.name for p in alone] == [p.name for p in shared] and [p.read_bytes() for p in alone] == [p.read_bytes() for p in shared]
    assert 1 < len(steps[3]) < len(steps[1]) == -(-len(frames.usable) // 4)


@pytest.mark.slow
def test_it_learns_to_perceive_before_it_learns_to_drive(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, stages = tmp_path / "run", []
    out.mkdir()
    card = train_run(seeing_recipe(), [labelled], out, report=lambda stage, step, total, figures: stages.append(stage))
    assert list(dict.fromkeys(stages)) == ["twin", "perception", "memory of train", "memory of val", "planner"]
    seen = json.loads((out / "perception" / CARD_FILE).read_text())
    assert {"semantic_miou", "depth_abs_rel", "ap_vehicle", "light_accuracy_0_40_m", "line_accuracy_0_40_m", "gate_share"} <= seen["scores"].keys()
    assert seen["data"]["stores"][0]["labels_hash"] == ClipStore.open(labelled).labels_hash
    outputs = [o.name for o in onnxruntime.InferenceSession(str(out / "perception" / PERCEPTION_ONNX_FILE)).get_outputs()]
    assert tuple(outputs) == perception_outputs(("front",))

    policy, rig = load_policy(str(out)), load_rig("mono")
    look = {"front": Frame(image=np.zeros(rig.cameras[0].shape, np.uint8), stamp_ns=0)}
    near, far = (Route(command="left", points_m=np.array([[x, 5.0]])) for x in (10.0, 60.0))
    plans = []
    for route in (near, far):
        policy.reset()
        plans.append(policy.plan(Observation(stamp_ns=0, frames=look, ego=EgoState(speed_mps=5.0), route=route)).values)
    assert np.isfinite(plans).all() and not np.array_equal(*plans)  # it hears where the route goes

    skip_export(monkeypatch)
    other = tmp_path / "other"
    other.mkdir()
    second = train_run(seeing_recipe(seed=1), [labelled], other, report=quiet, encoder=out)
    assert (other / "perception" / WEIGHTS_FILE).read_bytes() == (out / "perception" / WEIGHTS_FILE).read_bytes()
    assert second["weights_hash"] != card["weights_hash"] and not (other / "perception" / "memory").exists()

    released = tmp_path / "released"
    shutil.copytree(out, released, ignore=shutil.ignore_patterns(WEIGHTS_FILE, "memory"))
    ended = []
    for source in (out, released):
        going_on = tmp_path / f"after_{source.name}"
        going_on.mkdir()
        train_run(seeing_recipe(steps=1, learning_rate=1e-7, twin=False), [labelled], going_on, report=quiet, encoder=source, begin=source)
        ended.append(load_tensors(going_on / WEIGHTS_FILE))
    assert all(torch.allclose(ended[0][name], ended[1][name], atol=1e-5) for name in ended[0] if not name.startswith("lead."))
    assert (going_on / "perception" / "memory").exists() and not (released / "perception" / "memory").exists()

    unlabelled = make_store(tmp_path / "unlabelled", signals=CAR_SIGNALS, count=50).path
    assert main(["label", str(unlabelled), "--teacher", str(out)]) == 0
    store = ClipStore.open(unlabelled)
    taught = store.labels(np.arange(store.meta.frame_count))
    assert all(source.startswith("teacher:") for source in taught.source) and np.isfinite(taught.lane_m).all()
    FrameSet(open_stores([unlabelled], seeing_recipe()), "val", seeing_recipe())  # and it can be learned from


@pytest.mark.usefixtures("without_export")
def test_perception_goes_on_where_another_run_ended(labelled: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for out in (first, second):
        out.mkdir()
    recipe = seeing_recipe(twin=False)
    train_run(recipe, [labelled], first, report=quiet)
    train_run(recipe, [labelled], second, report=quiet, begin=first)
    cards = [json.loads((out / "perception" / CARD_FILE).read_text()) for out in (first, second)]
    assert cards[1]["begun_with"] == cards[0]["weights_hash"] != cards[1]["weights_hash"] and cards[0]["begun_with"] == ""
    assert cards[1]["scores"]["val_loss"] < cards[0]["scores"]["val_loss"]

    third, last = tmp_path / "third", seeing_recipe(twin=False, steps=1, learning_rate=1e-7)
    third.mkdir()
    card = train_run(last, [labelled], third, report=quiet, encoder=second, begin=first)  # imitation goes on, on what another run's perception sees
    learned, seen, ended = (load_tensors(path / WEIGHTS_FILE) for path in (first, second / "perception", third))
    frozen = [name for name in ended if name.startswith(("encoder.", "neck.", "picture_heads."))]
    assert len(frozen) > 20 and all(torch.equal(ended[name], seen[name]) for name in frozen)
    counted = [name for name in ended if name.endswith((".mean", ".variance"))]  # by batch normalisation, whatever the rate
    assert all(torch.allclose(ended[name], learned[name], atol=1e-3) for name in ended if name not in (*frozen, *counted))
    assert not torch.equal(ended["view.see.weight"], seen["view.see.weight"]) and card["begun_with"] == load_card(first / CARD_FILE)["weights_hash"]

    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(MimicError, match="is of another network than the recipe's"):
        train_run(seeing_recipe(has_route_points=False, twin=False), [labelled], other, report=quiet, begin=first)
    with pytest.raises(MimicError, match=r"nowhere.*cannot be read"):
        train_run(recipe, [labelled], other, report=quiet, encoder=tmp_path / "nowhere")


@pytest.mark.usefixtures("without_export")
def test_what_a_network_has_gained_is_learned_while_the_rest_stays_as_it_is(labelled: Path, tmp_path: Path) -> None:
    before, after, nothing = tmp_path / "before", tmp_path / "after", tmp_path / "nothing"
    for out in (before, after, nothing):
        out.mkdir()
    train_run(seeing_recipe(twin=False), [labelled], before, report=quiet)
    had = {name: tensor for name, tensor in load_tensors(before / WEIGHTS_FILE).items() if not name.startswith(ADDED)}
    save_tensors(before / WEIGHTS_FILE, had)  # as a run was before paths were corrected
    staying = seeing_recipe(twin=False, begun_stays=True)
    train_run(staying, [labelled], after, report=quiet, encoder=before, begin=before)
    has = load_tensors(after / WEIGHTS_FILE)
    assert all(torch.equal(has[name], tensor) for name, tensor in had.items())
    assert {name for name in has if name not in had} == {name for name in has if name.startswith(ADDED)}
    assert has[f"{ADDED}correct.weight"].any()
    with pytest.raises(MimicError, match=r"begun_stays: is true, but .*after has learned all"):
        train_run(staying, [labelled], nothing, report=quiet, encoder=after, begin=after)
    with pytest.raises(MimicError, match="begun_stays is true, but there is nothing to begin with"):
        train_run(staying, [labelled], nothing, report=quiet)


def test_weights_are_taken_from_nothing_but_a_planner(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(MimicError, match=r"model\.onnx: cannot be read"):
        exported_weights(path)
    export_module(torch.nn.Linear(2, 1), {"values": torch.zeros(1, 2)}, ["sum"], path)
    with pytest.raises(MimicError, match=r"model\.onnx: holds no weights of a planner"):
        exported_weights(path)


def test_a_teacher_says_only_what_it_is_sure_of() -> None:
    rig = load_rig("mono")
    semantic = np.full((16, 32, 64), 0.01, np.float32)
    semantic[1, :16], semantic[1, 16:] = 0.85, 0.6
    said = {"semantic_front": semantic, "depth_front": np.full((32, 64), 12.0, np.float32), "heat_front": np.zeros((6, 32, 64), np.float32)}
    said |= {"boxes_front": np.zeros((BOX_VALUES, 32, 64), np.float32), "line_m": np.array(11.0, np.float32), "lane_m": np.zeros((10, 2), np.float32)}
    sure = {"light": np.eye(7, dtype=np.float32)[1], "rule": np.eye(5, dtype=np.float32)[1], "lead": np.array([0.9, 8.0, 3.0], np.float32)}
    sure |= {"junction": np.array([0.9, 12.0, 30.0], np.float32), "zebra": np.array([0.9, 11.0], np.float32)}
    labels = taught_labels({**said, **sure}, rig, source="teacher:x")
    assert (labels.semantic["front"][:16] == 1).all() and (labels.semantic["front"][16:] == NOT_LABELLED).all()
    assert (labels.light, labels.light_visible, labels.stop_rule, labels.stop_line_m) == ("red", True, "signal", 11.0)
    assert (labels.junction_start_m, labels.junction_end_m, labels.zebra_m) == (12.0, 30.0, 11.0)
    assert labels.lead_gap_m == 8.0 and labels.confidence == pytest.approx(0.85) and labels.agents["front"].shape == (0, len(AGENT_COLUMNS))
    absent = {"light": np.eye(7, dtype=np.float32)[0], "rule": np.eye(5, dtype=np.float32)[0], "lead": np.zeros(3, np.float32)}
    absent |= {"junction": np.zeros(3, np.float32), "zebra": np.zeros(2, np.float32)}
    none = taught_labels({**said, **absent}, rig, source="teacher:x")
    assert (none.light, none.light_visible, none.stop_rule) == (None, False, None) and np.isnan(
        [none.stop_line_m, none.junction_end_m, none.zebra_m, none.lead_gap_m]
    ).all()
    unsure = {"light": np.full(7, 0.14, np.float32), "rule": np.full(5, 0.2, np.float32), "lead": np.array([0.5, 8.0, 3.0], np.float32)}
    unsure |= {"junction": np.array([0.5, 12.0, 30.0], np.float32), "zebra": np.array([0.5, 11.0], np.float32)}
    nothing = taught_labels({**said, **unsure}, rig, source="teacher:x")
    assert nothing.light_visible is None and nothing.stop_line_m is None and nothing.junction_end_m is None and nothing.lead_gap_m is None


@pytest.mark.usefixtures("without_export")
def test_the_same_seed_sees_the_same_and_an_interruption_changes_nothing(labelled: Path, tmp_path: Path) -> None:
    recipe = seeing_recipe(twin=False, perception=Perception(steps=6, batch_size=4))

    def interrupt(stage: str, step: int, _total: int, _figures: object) -> None:
        if (stage, step) == ("perception", 3):
            raise KeyboardInterrupt

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for out in (whole, broken):
        out.mkdir()
    train_run(recipe, [labelled], whole, report=quiet)
    with pytest.raises(KeyboardInterrupt):
        train_run(recipe, [labelled], broken, report=interrupt)
    train_run(recipe, [labelled], broken, report=quiet)
    for name in (f"perception/{WEIGHTS_FILE}", WEIGHTS_FILE):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.usefixtures("without_export")
def test_below_the_gate_there_is_no_imitation(labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with pytest.raises(MimicError, match=r"the gate is 1\.0: more data or perception.steps"):
        train_run(seeing_recipe(twin=False, perception=Perception(steps=1, batch_size=2, gate=1.0)), [labelled], out, report=quiet)
    assert (out / "perception" / CARD_FILE).exists() and not (out / CARD_FILE).exists()


@pytest.mark.usefixtures("without_export")
def test_in_rounds_the_learner_drives_and_is_corrected(labelled: Path, tmp_path: Path) -> None:
    recipe = seeing_recipe(twin=False, dagger=Dagger(rounds=2, steps=2, seed=40))
    asked = []

    def rollout(settings: Dagger, run: Path, number: int) -> Path:
        asked.append((settings.seed + number, run.name, (run / CARD_FILE).exists()))
        return labelled_store(run / STORE_DIRECTORY, count=50 + number)

    out = tmp_path / "run"
    out.mkdir()
    card = train_run(recipe, [labelled], out, report=quiet, rollout=rollout)
    assert asked == [(40, "round_0", True), (41, "round_1", True)]
    cards = [json.loads((out / name / CARD_FILE).read_text()) for name in ("round_0", "round_1")]
    frames = [c["data"]["train_frames"] for c in (*cards, card)]
    assert frames == sorted(set(frames)) and card["data"]["val_frames"] == cards[0]["data"]["val_frames"]
    assert len(list((out / "perception" / "memory" / "train").glob("*.npy"))) == 3
    assert len({c["weights_hash"] for c in (*cards, card)}) == 3
    with pytest.raises(MimicError, match=r"has dagger\.rounds, for which somebody must drive"):
        train_run(recipe, [labelled], out, report=quiet)
    (again := tmp_path / "again").mkdir()
    other = train_run(dataclasses.replace(recipe, seed=1), [labelled], again, report=quiet, encoder=out)
    assert other["data"] == card["data"] and not (again / "round_0").exists()
    shutil.rmtree(out / "round_1" / STORE_DIRECTORY)
    with pytest.raises(MimicError, match="round_1/store"):
        train_run(recipe, [labelled], again, report=quiet, encoder=out)


def test_a_store_without_labels_is_refused(tmp_path: Path) -> None:
    path = make_store(tmp_path / "store", signals=CAR_SIGNALS, count=10).path
    with pytest.raises(MimicError, match="has no labels; add them with `mimic label"):
        FrameSet(open_stores([path], seeing_recipe()), "train", seeing_recipe())


def test_perception_learns(labelled: Path) -> None:
    recipe = seeing_recipe(batch_size=8)
    stores = open_stores([labelled], recipe)
    train, val = FrameSet(stores, "train", recipe), FrameSet(stores, "val", recipe)
    network = new_network(recipe, train)
    task = PerceptionTask(recipe, network, train=train, val=val)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    network.train()
    for step in range(100):
        loss, _ = task.loss(network, task.batch(step, Team()), lambda what: what)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    figures = measure(network, val)
    assert figures["semantic_miou"] > 0.4 and figures["depth_abs_rel"] < 0.2 and figures["line_accuracy_0_40_m"] > 0.9


def test_distances_survive_their_scale() -> None:
    distances = torch.tensor([-1.0, 0.0, 0.5, 7.0, 40.0, 100.0])
    torch.testing.assert_close(metres(scaled(distances)), distances, rtol=1e-4, atol=1e-4)


def test_what_is_told_of_the_route() -> None:
    told = route_values("left", np.array([[25.0, -5.0], [np.nan, np.nan]]), has_points=True)
    assert len(told) == route_inputs(True) == 6 + 12 and told[1] == 1.0 and told[:6].sum() == 1.0
    assert told[6:8].tolist() == [0.5, -0.1] and told[8:14].tolist() == [0.0] * 6 and told[14:].tolist() == [1.0, 0.0, 0.0, 0.0]
    mirrored = mirrored_route(told)
    assert mirrored[1] == 0.0 and mirrored[2] == 1.0 and mirrored[6:8].tolist() == [0.5, 0.1] and mirrored[14:].tolist() == told[14:].tolist()
    assert len(route_values("follow", np.zeros((0, 2)), has_points=False)) == route_inputs(False) == 6


def test_from_another_pose_everything_lies_elsewhere_alike(labelled: Path) -> None:
    recipe = seeing_recipe(augmentation=Augmentation(perturbed_share=1.0, yaw_rad=0.2, lateral_m=0.8))
    stores = open_stores([labelled], recipe)
    frames = FrameSet(stores, "train", recipe)
    network = new_network(recipe, frames)
    with torch.no_grad():
        seen = network.encode(frames.batch(np.arange(8), None).pictures)
    assert seen is not None
    road_users(seen, 1)[:, 0, :] = torch.linspace(0.1, 0.9, ROAD_USER_VALUES)
    frames.memory = [np.zeros((len(frames.usable), seen.shape[1]), np.float16)]
    frames.memory[0][:8] = seen
    before, after = (frames.batch(np.arange(8), rng, looking="memory") for rng in (None, np.random.default_rng(3)))
    assert not before.poses.any() and (after.poses[:, 1:] != 0.0).all()
    assert (after.targets[:, 0, :3].abs() < 1e-6).all()  # it begins where the vehicle is, and leads to the driver's line
    turn = torch.stack([torch.stack([p.cos(), -p.sin(), p.sin(), p.cos()]).reshape(2, 2) for p in after.poses[:, 2]])

    def from_there(points_m: torch.Tensor) -> torch.Tensor:
        return (points_m - after.poses[:, None, :2]) @ turn

    end = before.targets[:, -1:, :2]  # after the return
    torch.testing.assert_close(from_there(end), after.targets[:, -1:, :2], atol=0.02, rtol=0.0)
    places = [TYPICAL_PLACE_M * road_users(batch.seen, 1)[:, :1, PLACE] for batch in (before, after) if batch.seen is not None]
    torch.testing.assert_close(from_there(places[0]), places[1], atol=1e-3, rtol=0.0)
    routes = [ROUTE_SCALE_M * batch.route[:, len(ROUTE_COMMANDS) : len(ROUTE_COMMANDS) + 2][:, None] for batch in (before, after)]
    is_told = after.route[:, len(ROUTE_COMMANDS) + 2 * ROUTE_POINTS] > 0.0
    torch.testing.assert_close(from_there(routes[0])[is_told], routes[1][is_told], atol=1e-4, rtol=0.0)
    assert frames.labels is not None and after.seen is not None
    labels = frames.labels.situation(frames.usable[:8])
    torch.testing.assert_close(labels.seen_from(after.poses).lane_m, from_there(labels.lane_m))
    assert isinstance(network.view, RoadView)
    hidden, ground, _ = network.view.split
    assert not after.seen[:, :hidden].any() and after.seen[:, hidden : hidden + ground].any()
    network.eval().view.train()
    with torch.no_grad():
        assert network.view(after.seen, after.route)["lane"].isfinite().all()


def test_tokens_and_perception_belong_together() -> None:
    with pytest.raises(ContractError, match="give both, or none"):
        seeing_recipe(perception=Perception())
    with pytest.raises(ContractError, match="need five stages"):
        dataclasses.replace(SEEING, widths=(8, 8, 16))


def test_bfloat16_is_used_where_a_recipe_asks_for_it(labelled: Path, tmp_path: Path) -> None:
    recipe = seeing_recipe(precision="bf16-mixed")
    stores = open_stores([labelled], recipe)
    train, val = FrameSet(stores, "train", recipe), FrameSet(stores, "val", recipe)
    network = new_network(recipe, train)
    task, kinds = PerceptionTask(recipe, network, train=train, val=val), set()
    for part in (network.encoder.stem.conv, network.road.light):
        part.register_forward_hook(lambda _part, _inputs, output: kinds.add(output.dtype))
    Trainer(task, dataclasses.replace(Schedule.of(recipe), steps=1), tmp_path, recipe={}).run(lambda *_: None)
    assert torch.bfloat16 in kinds


@pytest.mark.parametrize(("names", "precision"), [({"avx2": True, "avx512_bf16": False}, "32-true"), ({"avx512_bf16": True}, "bf16-mixed"), ({}, "32-true")])
def test_auto_is_bfloat16_where_the_processor_has_instructions_for_it(names: dict[str, bool], precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: names)
    assert suited_precision("auto", torch.device("cpu")) == precision
    assert [suited_precision(same, torch.device("cpu")) for same in ("32-true", "bf16-mixed")] == ["32-true", "bf16-mixed"]


def looked(labelled: Path) -> tuple[PlannerNetwork, Batch, torch.Tensor]:
    """An untrained network that is told its speed, some frames, and what it sees in them."""
    recipe = seeing_recipe(ego_inputs=("speed_mps",))
    frames = FrameSet(open_stores([labelled], recipe), "train", recipe)
    network, batch = new_network(recipe, frames).eval(), frames.batch(np.arange(4), None)
    with torch.no_grad():
        seen = network.encode(batch.pictures)
    assert seen is not None
    return network, batch, seen


def test_what_is_seen_of_a_light_does_not_depend_on_how_the_ego_moves(labelled: Path) -> None:
    network, batch, seen = looked(labelled)
    with torch.no_grad():
        slow, fast = (network.decide(seen, torch.tensor([[v, 1.0]]).expand(4, -1), batch.route) for v in (0.1, 1.5))
    for name in ("light", "rule", "line", "lane_m"):
        torch.testing.assert_close(slow[name], fast[name], rtol=0.0, atol=0.0)
    assert (slow["lead_mps"] != fast["lead_mps"]).all() and (slow["speed_logits"] != fast["speed_logits"]).any()


def test_the_speed_depends_on_road_users_and_answers_and_not_on_places(labelled: Path) -> None:
    network, batch, seen = looked(labelled)
    with torch.no_grad():
        for name in ROAD:
            getattr(network.road, name).weight.zero_()  # what it says of the road no longer depends on the places
        elsewhere = seen.clone()
        elsewhere[:, :100] += 1.0
        users = road_users(seen, len(network.cameras)).clone()
        users[..., SCORE] = 0.9
        told = (batch.ego, batch.route)
        before, after, reminded = (network.decide(*what) for what in ((seen, *told), (elsewhere, *told), (seen, *told, users)))
    for name in ("speed", "speed_logits", "lead_mps"):
        torch.testing.assert_close(before[name], after[name], rtol=0.0, atol=0.0)
        assert (before[name] != reminded[name]).any()
    assert (before["path_logits"] != after["path_logits"]).any()


def test_other_places_are_hidden_each_time_it_learns(labelled: Path) -> None:
    network, batch, seen = looked(labelled)
    with torch.no_grad():
        once, again = (network.view(seen, batch.route)["lane"] for _ in range(2))
        network.view.train()
        learning, anew = (network.view(seen, batch.route)["lane"] for _ in range(2))
    torch.testing.assert_close(once, again, rtol=0.0, atol=0.0)
    assert (learning != anew).any(1).all()


def test_what_was_seen_a_moment_ago_is_learned_from(labelled: Path) -> None:
    recipe = seeing_recipe()
    frames = FrameSet(open_stores([labelled], recipe), "train", recipe)
    count = len(frames.usable)
    assert frames.batch(np.arange(count), None).recalled is None  # nothing is kept in memory
    frames.memory = [np.zeros((count, len(GROUPS) * point_values(1)), np.float16)]
    frames.memory[0][:, SCORE] = np.arange(count)  # of the first road user
    recalled = frames.batch(np.arange(count), None, looking="memory").recalled
    assert recalled is not None and recalled.shape == (count, ROAD_USERS, ROAD_USER_VALUES)
    _, begins = np.unique(frames.drives, return_index=True)
    ago = np.arange(count) - np.array(begins)[np.searchsorted(np.sort(begins), np.arange(count), side="right") - 1]
    is_recalled = torch.from_numpy(ago >= round(0.4 * 10))  # of ten frames a second
    expected = np.where(is_recalled, np.arange(count) - 4, 0)
    assert recalled[:, 0, SCORE].tolist() == expected.tolist()
    assert (recalled[is_recalled][:, 0, PLACE][:, 0] < -1.0 / TYPICAL_PLACE_M).all()  # by now the vehicle has driven past
    often = [frames.batch(np.arange(count), np.random.default_rng(seed), looking="memory").recalled for seed in range(40)]
    assert 0.05 < torch.stack([r for r in often if r is not None])[:, is_recalled, 0, SCORE][:, 1:].eq(0.0).float().mean() < 0.15
