"""Policies at run time: the learned one agrees with torch, holds its decisions and refuses what it was not made for."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from planner_helpers import CAR_SIGNALS, PERIOD_NS, START_NS, WHEEL_SIGNALS, car_recipe, make_store, picture, quiet, wheel_recipe

from bag_tools.clip_store import ClipStore
from bag_tools.observations import clip_observations
from e2e_planner.baselines import ConstantSteering, HoldSteering
from e2e_planner.checkpoint import load_tensors
from e2e_planner.dataset import FrameSet
from e2e_planner.modes import find_anchors
from e2e_planner.network import DeployedNetwork, make_network
from e2e_planner.onnx_policy import OnnxPolicy
from e2e_planner.plan_heads import make_head
from e2e_planner.policies import load_policy
from e2e_planner.run import train_run
from e2e_planner.selection import select
from mimic_contracts.action_spec import CAR, STEERING_ONLY
from mimic_contracts.canonical import canonical_hash
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.images import Frame
from mimic_contracts.observation import EgoState, Observation
from mimic_contracts.plan import Plan
from mimic_contracts.policy import Policy

COLUMN = {name: CAR.index(name) for name in CAR.channels}


@pytest.fixture(scope="module")
def car_run(tmp_path_factory) -> tuple[Path, ClipStore]:
    folder = tmp_path_factory.mktemp("car")
    store = make_store(folder / "store", signals=CAR_SIGNALS)
    (folder / "run").mkdir()
    train_run(car_recipe(), [store.path], folder / "run", report=quiet)
    return folder / "run", store


@pytest.fixture(scope="module")
def wheel_run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    store = make_store(folder / "store", signals=WHEEL_SIGNALS)
    (folder / "run").mkdir()
    train_run(wheel_recipe(steps=2), [store.path], folder / "run", report=quiet)
    return folder / "run"


def observation(index: int, value: float = 0.0, *, speed_mps: float | None = 8.0) -> Observation:
    stamp_ns = START_NS + index * PERIOD_NS
    return Observation(stamp_ns=stamp_ns, frames={"front": Frame(image=picture(value), stamp_ns=stamp_ns)}, ego=EgoState(speed_mps=speed_mps))


def copied(run: Path, to: Path, **changes: object) -> Path:
    shutil.copytree(run, to)
    card = json.loads((to / "card.json").read_text())
    (to / "card.json").write_text(json.dumps({**card, **changes}))
    return to


def test_the_policy_offers_what_torch_offers(car_run) -> None:
    """Through the whole way: store → observations → history → ONNX, against store → batch → torch."""
    run, store = car_run
    recipe = car_recipe()
    network = make_network(recipe, make_head(CAR, recipe.network, find_anchors(CAR, FrameSet([store], "train", recipe).targets, recipe.network, seed=0)))
    network.load_state_dict(load_tensors(run / "weights.safetensors"))
    val = FrameSet([store], "val", recipe)
    policy = OnnxPolicy(run)
    plans = [policy.plan(o) for o in clip_observations(store, store.clips("val")[0])]
    batch = val.batch(np.arange(len(val.usable)), None)
    with torch.no_grad():
        expected, probabilities = DeployedNetwork(network).eval()(*batch.pictures, batch.ego, batch.route)
    for n, frame in enumerate(val.usable):
        np.testing.assert_allclose(plans[frame].alternatives, expected[n].numpy(), atol=1e-4)
        np.testing.assert_allclose(plans[frame].probabilities, probabilities[n].numpy(), atol=1e-4)


def test_it_is_a_policy_and_repeats_itself(car_run) -> None:
    policy = load_policy(str(car_run[0]))
    assert isinstance(policy, Policy) and policy.spec is CAR and policy.rig_name == "mono"
    hashes = []
    for _ in range(2):
        policy.reset()
        hashes.append(canonical_hash(policy.plan(observation(i, np.sin(i))) for i in range(6)))
    assert hashes[0] == hashes[1]


def test_the_file_can_be_named_itself(car_run) -> None:
    plan = load_policy(str(car_run[0] / "model.onnx")).plan(observation(0))
    assert plan.model_id.startswith("tiny-") and plan.values.shape == (21, 6)


def test_the_ego_speed_may_be_missing(car_run) -> None:
    plan = OnnxPolicy(car_run[0]).plan(observation(0, speed_mps=None))
    assert np.isfinite(plan.values).all()


def test_a_clock_that_is_set_back_begins_a_new_drive(car_run) -> None:
    policy, fresh = OnnxPolicy(car_run[0]), OnnxPolicy(car_run[0])
    for i in range(30, 35):
        policy.plan(observation(i, 0.5))
    np.testing.assert_array_equal(policy.plan(observation(0, -0.5)).alternatives, fresh.plan(observation(0, -0.5)).alternatives)


def test_pictures_of_another_rig_are_refused(car_run) -> None:
    wrong = Observation(stamp_ns=0, frames={"front": Frame(image=np.zeros((64, 64, 3), np.uint8), stamp_ns=0)})
    with pytest.raises(ContractError, match="front"):
        OnnxPolicy(car_run[0]).plan(wrong)
    with pytest.raises(ContractError, match="rig 'mono'"):
        OnnxPolicy(car_run[0]).plan(Observation(stamp_ns=0, frames={}))


def test_a_steering_model_gives_one_angle(wheel_run: Path) -> None:
    policy = load_policy(str(wheel_run))
    plan = policy.plan(observation(0, speed_mps=None))
    assert policy.spec is STEERING_ONLY and plan.values.shape == (1, 1) and plan.probabilities.tolist() == [1.0]


def test_another_contract_version_is_named(car_run, tmp_path: Path) -> None:
    with pytest.raises(MimicError, match=r"version 0, this is 1"):
        load_policy(str(copied(car_run[0], tmp_path / "old", contract_version="0")))


def test_another_network_than_the_cards_is_refused(car_run, tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="don't belong together"):
        load_policy(str(copied(car_run[0], tmp_path / "other", model_hash="0" * 64)))


def test_another_geometry_of_the_rig_is_refused(car_run, tmp_path: Path) -> None:
    cameras = json.loads((car_run[0] / "card.json").read_text())["rig_cameras"]
    cameras[0]["mounting"]["z_m"] = 2.0
    with pytest.raises(MimicError, match="another geometry of rig 'mono'"):
        load_policy(str(copied(car_run[0], tmp_path / "high", rig_cameras=cameras)))


def test_a_card_that_is_none_is_refused(car_run, tmp_path: Path) -> None:
    out = copied(car_run[0], tmp_path / "run")
    (out / "card.json").write_text("{}")
    with pytest.raises(MimicError, match="lacks contract_version"):
        load_policy(str(out))
    (out / "card.json").write_text("{")
    with pytest.raises(MimicError, match="damaged"):
        load_policy(str(out))
    (out / "card.json").unlink()
    with pytest.raises(MimicError, match="--resume"):
        load_policy(str(out))


def test_an_unknown_execution_provider_lists_the_known_ones(car_run) -> None:
    with pytest.raises(MimicError, match="CPUExecutionProvider"):
        load_policy(str(car_run[0]), provider="TeapotExecutionProvider")


class NotAPolicy:
    """Lacks everything."""


class NeedsMore:
    """Cannot be made without arguments."""

    def __init__(self, more: int) -> None:
        self.more = more


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", r"'nonsense' is not a run directory.*constant_velocity"),
        ("no_such_module:Class", "no_such_module"),
        ("test_planner_policy:Absent", "has no class 'Absent'"),
        ("test_planner_policy:NotAPolicy", "lacks"),
        ("test_planner_policy:NeedsMore", "without arguments"),
        ("absent.onnx", "cannot be read"),
    ],
)
def test_policies_that_cannot_be_loaded_say_why(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MimicError, match=message):
        load_policy(text)


def test_a_users_own_class_is_loaded() -> None:
    assert isinstance(load_policy("e2e_planner.baselines:HoldSteering"), HoldSteering)


def car_plans(*, curvatures: list[float], speed: float = 10.0) -> np.ndarray:
    plans = np.zeros((len(curvatures), 21, 6))
    arc = speed * CAR.times_s
    for plan, kappa in zip(plans, curvatures, strict=True):
        plan[:, COLUMN["x_m"]] = arc
        plan[:, COLUMN["y_m"]] = kappa * arc**2 / 2
        plan[:, COLUMN["yaw_rad"]] = np.arctan(kappa * arc)
        plan[:, COLUMN["speed_mps"]] = speed
    return plans


def plan_of(values: np.ndarray, stamp_ns: int = 0) -> Plan:
    return Plan.single(stamp_ns=stamp_ns, spec=CAR, values=values, model_id="test")


def test_the_most_probable_path_is_taken_at_first() -> None:
    plans = car_plans(curvatures=[-0.01, 0.0, 0.01])
    assert select(plans, np.array([0.3, 0.2, 0.5]), paths=len(plans), stamp_ns=PERIOD_NS) == 2


@pytest.mark.parametrize(("share", "chosen"), [(0.55, 0), (0.65, 0), (0.67, 1), (0.9, 1)])
def test_a_rival_takes_over_with_more_than_twice_the_probability(share: float, chosen: int) -> None:
    plans = car_plans(curvatures=[-0.01, 0.01])
    assert select(plans, np.array([1.0 - share, share]), paths=len(plans), stamp_ns=PERIOD_NS, previous=plan_of(plans[0])) == chosen


def test_plans_that_are_alike_share_their_probability() -> None:
    plans = car_plans(curvatures=[-0.01, -0.0101, 0.01])
    assert select(plans, np.array([0.2, 0.2, 0.6]), paths=len(plans), stamp_ns=PERIOD_NS, previous=plan_of(plans[0])) == 0
    assert select(plans, np.array([0.2, 0.3, 0.5]), paths=len(plans), stamp_ns=PERIOD_NS, previous=plan_of(plans[0])) == 1


def test_the_speed_is_the_median_of_what_is_likely() -> None:
    """One way to stop is likelier than each of three ways to go on, which together are likelier."""
    plans = np.concatenate([car_plans(curvatures=[0.0], speed=speed) for speed in (0.0, 8.0, 9.0, 10.0)])
    assert select(plans, np.array([0.34, 0.22, 0.22, 0.22]), paths=1) == 1
    assert select(plans, np.array([0.55, 0.15, 0.15, 0.15]), paths=1) == 0


def test_whoever_stands_is_not_held_there() -> None:
    """Where to go is held, how fast is not."""
    plans = np.concatenate([car_plans(curvatures=[0.0], speed=speed) for speed in (0.0, 5.0, 8.0, 11.0)])
    assert select(plans, np.array([0.4, 0.2, 0.2, 0.2]), paths=1, stamp_ns=PERIOD_NS, previous=plan_of(plans[0])) == 1


@pytest.mark.parametrize(("speed", "chosen"), [(2.0, 2), (1.0, 0), (0.05, 2)])
def test_a_stop_that_has_begun_is_finished(speed: float, chosen: int) -> None:
    """Not one that is far off, and whoever stands may go."""
    plans = np.concatenate([car_plans(curvatures=[0.0], speed=speed) for _ in range(4)])
    for plan, change_mps2 in zip(plans, (-2.0, 0.5, 1.0, 1.5), strict=True):
        plan[:, COLUMN["speed_mps"]] = np.maximum(speed + change_mps2 * CAR.times_s, 0.0)
        plan[:, COLUMN["x_m"]] = np.concatenate([[0.0], np.cumsum(plan[1:, COLUMN["speed_mps"]] * 0.2)])
    assert select(plans, np.array([0.3, 0.2, 0.3, 0.2]), paths=1, stamp_ns=PERIOD_NS, previous=plan_of(plans[0])) == chosen
    assert select(plans, np.array([0.3, 0.2, 0.3, 0.2]), paths=1, stamp_ns=PERIOD_NS, previous=plan_of(plans[2])) == 2
    assert select(plans[1:], np.array([0.3, 0.4, 0.3]), paths=1, stamp_ns=PERIOD_NS, previous=plan_of(plans[0])) == 1, "none stops"


def test_the_path_is_held_whatever_the_speed() -> None:
    plans = np.concatenate([car_plans(curvatures=[kappa], speed=speed) for kappa in (-0.02, 0.02) for speed in (6.0, 10.0)])
    assert select(plans, np.array([0.05, 0.35, 0.1, 0.5]), paths=2, stamp_ns=PERIOD_NS, previous=plan_of(plans[0])) == 1


def test_an_old_plan_is_not_held() -> None:
    plans = car_plans(curvatures=[-0.01, 0.01])
    assert select(plans, np.array([0.45, 0.55]), paths=len(plans), stamp_ns=2_000_000_000, previous=plan_of(plans[0])) == 1


def test_the_plan_before_is_seen_from_where_it_has_the_vehicle_now() -> None:
    """On an arc, half a second later, the same arc still is the same decision."""
    plans = car_plans(curvatures=[0.01, -0.01])
    arc = 10.0 * CAR.times_s
    plans[0][:, :3] = np.stack([np.sin(0.01 * arc) / 0.01, (1 - np.cos(0.01 * arc)) / 0.01, 0.01 * arc], axis=1)
    assert select(plans, np.array([0.4, 0.6]), paths=len(plans), stamp_ns=500_000_000, previous=plan_of(plans[0])) == 0


def ego(index: int, **values: float) -> Observation:
    return Observation(stamp_ns=START_NS + index * PERIOD_NS, frames={}, ego=EgoState(**values))


def test_constant_velocity_drives_an_arc() -> None:
    plan = load_policy("constant_velocity").plan(ego(0, speed_mps=10.0, yaw_rate_radps=0.2))
    np.testing.assert_allclose(plan.channel("x_m"), np.sin(0.2 * CAR.times_s) / 0.02, atol=1e-6)
    np.testing.assert_allclose(plan.channel("curvature_1pm"), 0.02)
    np.testing.assert_allclose(plan.channel("speed_mps"), 10.0)


def test_hold_last_brakes_to_standstill_and_not_beyond() -> None:
    plan = load_policy("hold_last").plan(ego(0, speed_mps=4.0, yaw_rate_radps=0.0, acceleration_mps2=-2.0))
    np.testing.assert_allclose(plan.channel("x_m")[-1], 4.0)
    assert plan.channel("speed_mps").min() == 0.0 and plan.channel("acceleration_mps2")[-1] == 0.0


def test_hold_last_takes_the_acceleration_from_two_speeds() -> None:
    policy = load_policy("hold_last")
    assert policy.plan(ego(0, speed_mps=5.0)).channel("acceleration_mps2")[0] == 0.0
    np.testing.assert_allclose(policy.plan(ego(1, speed_mps=5.1)).channel("acceleration_mps2"), 1.0)


def test_hold_steering_is_a_second_late() -> None:
    policy = HoldSteering()
    angles = [policy.plan(ego(i, steering_wheel_rad=0.01 * i)).values[0, 0] for i in range(25)]
    assert angles[5] == 0.0 and angles[10] == 0.0 and angles[20] == pytest.approx(0.1)


def test_constant_steering_is_constant() -> None:
    assert ConstantSteering(0.2).plan(ego(0)).values.tolist() == [[0.2]]


@pytest.mark.parametrize("policy", [load_policy("constant_velocity"), load_policy("hold_last"), HoldSteering()])
def test_baselines_say_what_is_missing(policy: Policy) -> None:
    with pytest.raises(MimicError, match="topic map"):
        policy.plan(ego(0))
