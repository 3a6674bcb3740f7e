"""A perception network as the teacher of recordings that have no ground truth: what it is sure of becomes labels."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bag_tools.clip_store import ClipStore
from bag_tools.observations import clip_observations
from e2e_planner.checkpoint import CARD_FILE, PERCEPTION_DIRECTORY, PERCEPTION_ONNX_FILE
from e2e_planner.onnx_model import Inputs, open_session, read_card, read_file
from e2e_planner.recipe import EGO_SCALES
from mimic_contracts.errors import MimicError
from mimic_contracts.labels import BEYOND_MM, CLASS_INDEX, NOT_LABELLED, SKY_MM, FrameLabels
from mimic_contracts.rig import Rig, load_rig
from perception.agent_boxes import decode
from perception.situation import LIGHTS, RULES

SURE = 0.8  # of a class, of a light, of a stop line's rule, of a lead or of none
SURE_OF_AGENT = 0.5
NONE = float("nan")

Said = Mapping[str, NDArray[np.float32]]


def teacher_labels(store: ClipStore, run: Path) -> Iterator[FrameLabels]:
    """What the perception of a run directory says of every frame of a store, in the table's order.

    Raises MimicError when the store is of another rig, or there is no perception in the run.
    """
    home = run / PERCEPTION_DIRECTORY
    card, content = read_card(home / CARD_FILE), read_file(home / PERCEPTION_ONNX_FILE)
    if card["rig"] != store.meta.rig:
        raise MimicError(
            f"{store.path}: was extracted for rig '{store.meta.rig}', {home} sees with '{card['rig']}': extract for that rig, or take another teacher"
        )
    rig, session = load_rig(card["rig"]), open_session(content, provider="CPUExecutionProvider")
    inputs = Inputs([camera.name for camera in rig.cameras], recipe=card["recipe"], ego_scales=EGO_SCALES)
    names, outputs = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
    source = f"teacher:{hashlib.sha256(content).hexdigest()[:12]}"
    for clip in store.clips():
        inputs.reset()
        for observation in clip_observations(store, clip):
            feeds = inputs.of(observation)
            said = session.run(None, {name: feeds[name] for name in names})
            yield labels_of({name: values[0] for name, values in zip(outputs, said, strict=True)}, rig, source=source)


def labels_of(said: Said, rig: Rig, *, source: str) -> FrameLabels:
    """Labels from one frame's outputs of network.DeployedPerception, without the leading 1; confidence: the mean probability of
    the classes that became labels."""
    semantic, depth_mm, agents, certainty = {}, {}, {}, []
    for camera in rig.cameras:
        shares = said[f"semantic_{camera.name}"]
        classes, share = shares.argmax(axis=0).astype(np.uint8), shares.max(axis=0)
        semantic[camera.name] = np.where(share >= SURE, classes, NOT_LABELLED).astype(np.uint8)
        mm = np.clip(np.rint(1e3 * said[f"depth_{camera.name}"]), 1, BEYOND_MM)
        depth_mm[camera.name] = np.where(classes == CLASS_INDEX["sky"], SKY_MM, mm).astype(np.uint16)
        heat, boxes = (said[f"{kind}_{camera.name}"].astype(np.float64) for kind in ("heat", "boxes"))
        found = decode(heat, boxes, camera, min_score=SURE_OF_AGENT)
        agents[camera.name] = found.rows.astype(np.float32)
        certainty.append(share[share >= SURE])
    light, rule = int(said["light"].argmax()), int(said["rule"].argmax())
    is_lit, is_ruled = said["light"][light] >= SURE, said["rule"][rule] >= SURE
    (start_m, end_m), (zebra_m,), (gap_m, lead_mps) = (_where(said[name].tolist()) for name in ("junction", "zebra", "lead"))
    sure = np.concatenate(certainty)
    return FrameLabels(
        source=source,
        confidence=float(sure.mean()) if len(sure) else 0.0,
        semantic=semantic,
        depth_mm=depth_mm,
        agents=agents,
        light=LIGHTS[light] if is_lit and light else None,
        light_visible=bool(light) if is_lit else None,
        stop_line_m=(float(said["line_m"]) if rule else NONE) if is_ruled else None,
        stop_rule=RULES[rule] if is_ruled and rule else None,
        junction_start_m=start_m,
        junction_end_m=end_m,
        zebra_m=zebra_m,
        lead_gap_m=gap_m,
        lead_speed_mps=lead_mps,
        lane_m=said["lane_m"].astype(np.float32),
    )


def _where(said: Sequence[float]) -> Sequence[float | None]:
    """What a probability and values say: the values where it is there, NONE where it is not, None where unsure."""
    is_there, *values = said
    return values if is_there >= SURE else [NONE if is_there <= 1.0 - SURE else None] * len(values)
