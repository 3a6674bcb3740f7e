"""The clip store, the targets and the observations that come out of it."""

import json
from pathlib import Path

import lance
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from bag_tools.clip_store import FRAMES_TABLE, META_FILE, PLAN_SHAPE, ROUTE_SHAPE, ClipFrames, ClipStore, content_hash
from bag_tools.observations import clip_observations, ego_at
from bag_tools.splits import gap_s, refuse_overlap, split_margin_s
from bag_tools.store_writer import StoreSpec, StoreWriter
from bag_tools.targets import frame_targets, human_future
from mimic_contracts.action_spec import CAR, STEERING_ONLY, ActionSpec
from mimic_contracts.clip import Clip
from mimic_contracts.errors import ContractError, MimicError, UsageError
from mimic_contracts.observation import EgoState

SPEC = StoreSpec(rig="mono", cameras=("front",), frame_rate_hz=20.0)
PERIOD_NS = 50_000_000


def clip_of(name: str, frames: ClipFrames, **changes: str) -> Clip:
    identity = {"drive_id": "d", "vehicle_id": "v", "driver_id": "h", "region": "r", "split": "train", **changes}
    return Clip(clip_id=name, start_ns=int(frames.stamp_ns[0]), end_ns=int(frames.stamp_ns[-1]), **identity)  # type: ignore[arg-type]


def circle(count: int, *, speed_mps: float = 8.0, curvature_1pm: float = 0.02) -> ClipFrames:
    """A drive along a circle, everything recorded but acceleration."""
    stamps = 10**18 + np.arange(count) * PERIOD_NS
    arc = np.arange(count) * PERIOD_NS / 1e9 * speed_mps
    yaw = arc * curvature_1pm
    pose = np.stack([np.sin(yaw) / curvature_1pm, (1 - np.cos(yaw)) / curvature_1pm, -((np.pi - yaw) % (2 * np.pi) - np.pi)], axis=1)
    return ClipFrames.of(stamps, {"pose": pose, "speed_mps": np.full(count, speed_mps), "yaw_rate_radps": np.full(count, speed_mps * curvature_1pm)})


def jpegs(count: int, first: int = 0) -> dict[str, list[bytes]]:
    return {"front": [simplejpeg.encode_jpeg(np.full((128, 256, 3), (first + i) % 251, np.uint8), 95) for i in range(count)]}


def store_with(path: Path, **clips: ClipFrames) -> ClipStore:
    with StoreWriter(path, SPEC) as writer:
        for name, frames in clips.items():
            writer.add_clip(clip_of(name, frames), frames, jpegs(len(frames)))
    return ClipStore.open(path)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    frames = circle(30)
    commands = np.array(["follow"] * 20 + ["left"] * 10)
    plans = np.full((30, *PLAN_SHAPE), np.nan)
    plans[5] = 7.0
    points = np.full((30, *ROUTE_SHAPE), np.nan)
    points[3, :2] = [(29.0, 1.0), (61.0, -2.0)]
    rich = ClipFrames.of(frames.stamp_ns, {"pose": frames.pose, "route_command": commands, "route_points": points, "expert_plan": plans})
    store = store_with(tmp_path / "store", a=frames, b=rich)
    back = store.frames("b")
    np.testing.assert_array_equal(back.row, np.arange(30, 60))
    for name in ("stamp_ns", "pose", "speed_mps", "expert_plan", "route_command", "route_points"):
        np.testing.assert_array_equal(getattr(back, name), getattr(rich, name))
    assert store.meta.signals == ("pose", "speed_mps", "yaw_rate_radps", "route_command", "route_points", "expert_plan")
    assert store.images(np.array([31, 3, 31]), "front")[:, 0, 0, 0].tolist() == [1, 3, 1]
    assert store.clips("val") == []
    with pytest.raises(MimicError, match="no clip 'z'"):
        store.frames("z")
    with pytest.raises(MimicError, match="no camera 'tele'"):
        store.images(np.array([0]), "tele")


def test_the_hash_sees_every_value() -> None:
    frames, pictures = circle(5), jpegs(5)
    clip = clip_of("a", frames)
    reference = content_hash(clip, frames, pictures)
    assert reference == content_hash(clip, circle(5), jpegs(5))
    other_nan = circle(5).steering_wheel_rad.view(np.int64) | 1  # another bit pattern of NaN
    assert content_hash(clip, ClipFrames.of(frames.stamp_ns, {**vars_of(frames), "steering_wheel_rad": other_nan.view(np.float64)}), pictures) == reference
    changed = ClipFrames.of(frames.stamp_ns, {**vars_of(frames), "speed_mps": frames.speed_mps + 1e-9})
    assert content_hash(clip, changed, pictures) != reference
    elsewhere = ClipFrames.of(frames.stamp_ns, {**vars_of(frames), "route_points": np.full((5, *ROUTE_SHAPE), 30.0)})
    assert content_hash(clip, elsewhere, pictures) != reference
    assert content_hash(clip, frames, jpegs(5, first=1)) != reference
    assert content_hash(clip_of("a", frames, split="val"), frames, pictures) != reference


def vars_of(frames: ClipFrames) -> dict[str, np.ndarray]:
    return {name: getattr(frames, name) for name in ("pose", "speed_mps", "yaw_rate_radps")}


def test_an_interrupted_append_is_undone_by_the_next_one(tmp_path: Path) -> None:
    store_with(tmp_path / "store", a=circle(30))
    writer = StoreWriter(tmp_path / "store", SPEC, append=True)
    writer.__enter__()
    writer.add_clip(clip_of("lost", circle(20)), circle(20), jpegs(20))
    writer._flush()  # the process dies here
    assert lance.dataset(str(tmp_path / "store" / FRAMES_TABLE)).count_rows() == 50
    assert ClipStore.open(tmp_path / "store").meta.frame_count == 30
    with StoreWriter(tmp_path / "store", SPEC, append=True) as writer:
        writer.add_clip(clip_of("b", circle(10)), circle(10), jpegs(10, first=100))
    store = ClipStore.open(tmp_path / "store")
    assert [clip.clip_id for clip in store.clips()] == ["a", "b"]
    assert store.images(store.frames("b").row[:2], "front")[:, 0, 0, 0].tolist() == [100, 101]


def test_what_is_there_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    store_with(tmp_path / "store", a=circle(30))
    for how, error, words in [({}, UsageError, "exists already"), ({"append": True, "overwrite": True}, UsageError, "contradict")]:
        with pytest.raises(error, match=words):
            StoreWriter(tmp_path / "store", SPEC, **how)
    with pytest.raises(MimicError, match="has rig 'mono', the new clips have 'quad'"):
        StoreWriter(tmp_path / "store", StoreSpec(rig="quad", cameras=("front",), frame_rate_hz=20.0), append=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(MimicError, match="is not a clip store, so --overwrite does not delete it"):
        StoreWriter(tmp_path / "photos", SPEC, overwrite=True)
    with StoreWriter(tmp_path / "store", SPEC, overwrite=True) as writer:
        writer.add_clip(clip_of("b", circle(10)), circle(10), jpegs(10))
    assert [clip.clip_id for clip in ClipStore.open(tmp_path / "store").clips()] == ["b"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos", "store"]


def test_an_empty_store_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="no clip came out"), StoreWriter(tmp_path / "store", SPEC):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "damaged"), ("{}", "not of format"), (None, "cannot be read")],
)
def test_a_damaged_store_is_refused(tmp_path: Path, content: str | None, words: str) -> None:
    store_with(tmp_path / "store", a=circle(30))
    meta = tmp_path / "store" / META_FILE
    meta.unlink() if content is None else meta.write_text(content)
    with pytest.raises(MimicError, match=words):
        ClipStore.open(tmp_path / "store")


def test_another_contract_version_is_refused_naming_both(tmp_path: Path) -> None:
    store_with(tmp_path / "store", a=circle(30))
    meta = tmp_path / "store" / META_FILE
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "contract_version": "0"}))
    with pytest.raises(MimicError, match="contract version 0, this is 1"):
        ClipStore.open(tmp_path / "store")


def test_frames_are_checked() -> None:
    stamps = np.arange(3) * PERIOD_NS
    with pytest.raises(ContractError, match=r"frames.stamp_ns\[2\]"):
        ClipFrames.of(stamps[[0, 2, 1]])
    with pytest.raises(ContractError, match=r"frames\.speed_mps: shape"):
        ClipFrames.of(stamps, {"speed_mps": np.zeros(2)})
    with pytest.raises(ContractError, match="sideways"):
        ClipFrames.of(stamps, {"route_command": np.array(["follow", "sideways", "left"])})


def test_the_future_on_a_circle_is_the_circle() -> None:
    values, known = frame_targets(circle(200), CAR)
    angle = 8.0 * 0.02 * CAR.times_s
    truth = np.stack([np.sin(angle) / 0.02, (1 - np.cos(angle)) / 0.02, angle, np.full(21, 8.0), np.zeros(21), np.full(21, 0.02)], axis=1)
    assert known[:120].all()
    assert known[:, 0].all() and known[199].sum() == 1 and known[198].sum() == 1 and known[195].sum() == 2
    np.testing.assert_allclose(values[:120], np.broadcast_to(truth, (120, 21, 6)), atol=2e-4)
    assert (values[~known] == 0.0).all()
    one_values, one_known = human_future(circle(200), 77, CAR)
    np.testing.assert_array_equal(one_values, values[77])
    np.testing.assert_array_equal(one_known, known[77])


@pytest.mark.parametrize("recorded", [("pose",), ("speed_mps", "yaw_rate_radps"), ("pose", "speed_mps")])
def test_what_was_not_recorded_follows_from_the_rest(recorded: tuple[str, ...]) -> None:
    frames = circle(200)
    truth, _ = frame_targets(frames, CAR)
    values, known = frame_targets(ClipFrames.of(frames.stamp_ns, {name: getattr(frames, name) for name in recorded}), CAR)
    assert known[:110].all()
    np.testing.assert_allclose(values[10:110], truth[10:110], atol=2e-2)


def test_braking_shows_in_speed_and_acceleration() -> None:
    seconds = np.arange(200) * 0.05
    speed = np.maximum(10.0 - 2.0 * np.maximum(seconds - 2.0, 0.0), 0.0)
    x = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * 0.05)])
    pose = np.stack([x, np.zeros(200), np.zeros(200)], axis=1)
    values, known = human_future(ClipFrames.of((seconds * 1e9).round().astype(np.int64), {"pose": pose, "speed_mps": speed}), 40, CAR)
    assert known.all()
    np.testing.assert_allclose(values[2:, CAR.index("acceleration_mps2")], -2.0, atol=1e-9)
    np.testing.assert_allclose(values[-1, CAR.index("speed_mps")], 2.0, atol=1e-9)
    np.testing.assert_allclose(values[:, CAR.index("curvature_1pm")], 0.0)


def test_missing_signals_are_masked_not_zero() -> None:
    frames = circle(100)
    speed = frames.speed_mps.copy()
    speed[50:] = np.nan
    _, known = frame_targets(ClipFrames.of(frames.stamp_ns, {"pose": frames.pose, "speed_mps": speed}), CAR)
    assert known[40, :2].all() and not known[40, 3:].any()  # row 2 needs the speed of 0.2 s later
    assert not known[40, 2]
    assert not frame_targets(ClipFrames.of(frames.stamp_ns), CAR)[1].any()


def test_the_experts_own_plan_comes_first() -> None:
    frames = circle(100)
    plans = np.full((100, *PLAN_SHAPE), np.nan)
    plans[3] = 5.0
    values, known = frame_targets(ClipFrames.of(frames.stamp_ns, {**vars_of(frames), "expert_plan": plans}), CAR)
    assert (values[3] == 5.0).all() and known[3].all()
    np.testing.assert_array_equal(values[4], frame_targets(frames, CAR)[0][4])


def test_steering_only_is_the_angle_at_the_frame() -> None:
    angle = np.array([0.1, np.nan, -0.2])
    values, known = frame_targets(ClipFrames.of(np.arange(3) * PERIOD_NS, {"steering_wheel_rad": angle}), STEERING_ONLY)
    assert values[:, 0, 0].tolist() == [0.1, 0.0, -0.2]
    assert known[:, 0].tolist() == [True, False, True]


def test_other_embodiments_have_no_targets_here() -> None:
    with pytest.raises(MimicError, match="'arm' has no targets"):
        frame_targets(circle(5), ActionSpec("arm", ("joint_rad",), np.zeros(1), "none"))


@settings(max_examples=50, deadline=None)
@given(st.floats(-3.0, 3.0), st.floats(-100.0, 100.0), st.floats(-100.0, 100.0), st.integers(0, 99))
def test_targets_do_not_depend_on_where_the_fixed_frame_is(turn: float, dx: float, dy: float, index: int) -> None:
    frames = circle(100)
    c, s = np.cos(turn), np.sin(turn)
    x, y, yaw = frames.pose.T
    moved = np.stack([c * x - s * y + dx, s * x + c * y + dy, -((np.pi - yaw - turn) % (2 * np.pi) - np.pi)], axis=1)
    there, known_there = human_future(ClipFrames.of(frames.stamp_ns, {**vars_of(frames), "pose": moved}), index, CAR)
    here, known_here = human_future(frames, index, CAR)
    np.testing.assert_array_equal(known_here, known_there)
    np.testing.assert_allclose(there, here, atol=1e-8)


def test_observations_carry_what_was_recorded(tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", a=circle(70))
    observations = list(clip_observations(store, store.clips()[0]))
    assert len(observations) == 70
    assert observations[66].frames["front"].image[0, 0, 0] == 66
    assert observations[66].stamp_ns == 10**18 + 66 * PERIOD_NS
    assert observations[0].ego == EgoState(speed_mps=8.0, yaw_rate_radps=0.16, curvature_1pm=0.02)
    assert observations[0].route.command == "follow"


def test_ego_is_what_odometry_would_tell() -> None:
    slow = ClipFrames.of(np.arange(1, dtype=np.int64), {"speed_mps": np.array([0.5]), "yaw_rate_radps": np.array([0.1])})
    assert ego_at(slow, 0) == EgoState.from_motion(speed_mps=0.5, yaw_rate_radps=0.1)
    assert ego_at(ClipFrames.of(np.arange(1, dtype=np.int64)), 0) == EgoState()


def at(start_s: float, end_s: float, split: str, drive: str = "d") -> Clip:
    frames = ClipFrames.of(np.array([round(start_s * 1e9), round(end_s * 1e9)]))
    return clip_of(f"{drive}{start_s}", frames, split=split, drive_id=drive)


@pytest.mark.parametrize(("gap", "allowed"), [(6.0, True), (5.999, False), (-1.0, False)])
def test_training_refuses_clips_too_close_to_held_out_ones(gap: float, allowed: bool) -> None:
    margin_s = split_margin_s(history_s=0.0, horizon_s=4.0)
    clips = [at(0.0, 10.0, "train"), at(10.0 + gap, 30.0, "val"), at(0.0, 30.0, "test", drive="other")]
    if allowed:
        refuse_overlap(clips, margin_s)
    else:
        with pytest.raises(MimicError, match=r"1 train clip\(s\) come closer than 6\.00 s .*d0\.0 and "):
            refuse_overlap(clips, margin_s)


def test_val_and_test_may_touch() -> None:
    refuse_overlap([at(0.0, 10.0, "val"), at(10.0, 20.0, "test")], 6.0)
    assert gap_s(at(0.0, 10.0, "val"), at(4.0, 20.0, "test")) == pytest.approx(-6.0)
