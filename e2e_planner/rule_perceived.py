"""`rule_based_perceived`: the rule-based planner with a map, whose road users and signals are those that perception heads see.

What a map with localisation gives (lanes and who yields to whom, stop lines with their rules, crossings, the drivable area) is
the simulator's, and exact, which is in the rules' favour; of the simulator's road users and signal states nothing is read.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e2e_planner.onnx_model import Inputs, open_session, read_card, read_file
from e2e_planner.recipe import EGO_SCALES
from e2e_planner.rule_based import RuleBasedOracle
from e2e_planner.rule_forecast import LaneMap
from e2e_planner.rule_lights import LightFilter, LightParameters
from e2e_planner.rule_parameters import RuleParameters
from e2e_planner.rule_path import RouteLine, route_line
from e2e_planner.rule_tracker import Tracker, TrackerParameters
from mimic_contracts.errors import MimicError
from mimic_contracts.motion import wrap_angle
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan
from mimic_contracts.rig import load_rig
from mimic_contracts.scene import Agent, Scene, SceneLane, StopLine, TrafficLight
from mimic_contracts.vehicle import VehicleSpec
from perception.agent_boxes import Found, decode, merge

FOLDER, MODEL, CARD = "perception", "perception.onnx", "card.json"  # in a run directory
CARD_KEYS = ("recipe", "rig", "scores")
LEAD_PROBABILITY = 0.5  # from which on a lead's speed is that of the one whom the lead head must mean
LEAD_SHARE, LEAD_M = 0.4, 3.0  # by which its gap may differ
LIGHT_HEIGHT_M = 5.0
STEADY_RAD, STEADY_MPS = 0.35, 0.8  # heading and speed across a lane below which one is thought to follow it


@dataclass(frozen=True, eq=False)
class Said:
    """What the heads say of one moment: road users, each once; light: (len(HEAD_CLASSES),) probabilities; lead: (3,) the
    probability of a vehicle ahead on the way, the gap to it from the front bumper, m, and its speed, m/s."""

    found: Found
    light: NDArray[np.float64]
    lead: NDArray[np.float64]


class PerceptionHeads:
    """The perception of a run directory of `mimic train`, by ONNX Runtime; raises MimicError where there is none."""

    def __init__(self, run: Path, *, provider: str = "CPUExecutionProvider", threads: int = 1) -> None:
        path = run / FOLDER / MODEL
        card, content = _read_card(path.with_name(CARD)), read_file(path)
        self.rig = load_rig(card["rig"])
        self.figures: Mapping[str, float] = card["scores"]
        self.model_hash = hashlib.sha256(content).hexdigest()
        if card.get("model_hash", self.model_hash) != self.model_hash:  # cards of earlier versions have none
            raise MimicError(f"{path}: has SHA-256 {self.model_hash[:12]}…, its card says {card['model_hash'][:12]}…: card and model don't belong together")
        self._inputs = Inputs([camera.name for camera in self.rig.cameras], recipe=card["recipe"], ego_scales=EGO_SCALES)
        self._session = open_session(content, provider=provider, threads=threads)
        self._names = [i.name for i in self._session.get_inputs()]
        self._wanted = [*(f"{kind}_{camera.name}" for camera in self.rig.cameras for kind in ("heat", "boxes")), "light", "lead"]
        absent = sorted(set(self._wanted) - {o.name for o in self._session.get_outputs()})
        if absent:
            raise MimicError(f"{path}: lacks the outputs {', '.join(absent)}: train it again with this version")

    def reset(self) -> None:
        """Forget earlier pictures."""
        self._inputs.reset()

    def look(self, observation: Observation, *, min_score: float) -> Said:
        """At the pictures of a moment, for road users that are at least so certain; raises ContractError when they are not
        the rig's."""
        observation.check_rig(self.rig)
        feeds = self._inputs.of(observation)
        outputs = self._session.run(self._wanted, {name: feeds[name] for name in self._names})
        said = {name: value[0].astype(np.float64) for name, value in zip(self._wanted, outputs, strict=True)}
        found = [decode(said[f"heat_{camera.name}"], said[f"boxes_{camera.name}"], camera, min_score=min_score) for camera in self.rig.cameras]
        return Said(merge(found), said["light"], said["lead"])


class RuleBasedPerceived(RuleBasedOracle):
    """`rule_based_perceived`: see the module. run: the directory of a run of `mimic train town`, whose heads it sees with."""

    model_id = "rule_based_perceived"
    scene_source = "it needs a map, which the simulator fills in for policies that say needs_scene"

    def __init__(
        self,
        run: Path,
        *,
        provider: str = "CPUExecutionProvider",
        threads: int = 1,
        vehicle: VehicleSpec | None = None,
        parameters: RuleParameters | None = None,
        tracker: TrackerParameters | None = None,
        lights: LightParameters | None = None,
    ) -> None:
        self._heads = PerceptionHeads(run, provider=provider, threads=threads)
        self._tracker_parameters = tracker or TrackerParameters.of_heads(self._heads.figures)
        self._light_parameters = lights or LightParameters()
        self.rig_name = self._heads.rig.name
        self.model_id = f"{type(self).model_id}-{self._heads.model_hash[:12]}"
        super().__init__(vehicle=vehicle, parameters=parameters)

    def reset(self) -> None:
        """Forget everything seen and decided."""
        super().reset()
        self._heads.reset()
        self._tracker = Tracker(self._tracker_parameters)
        self._lights = LightFilter(self._light_parameters)

    def _plan(self, observation: Observation, scene: Scene, speed_mps: float) -> Plan:
        return super()._plan(observation, self._perceived(observation, scene), speed_mps)

    def _perceived(self, observation: Observation, scene: Scene) -> Scene:
        """The map of a scene with the road users and the signal that the heads see."""
        said = self._heads.look(observation, min_score=self._tracker_parameters.lowest_score)
        route = route_line(scene.lanes)
        lead = self._lead(route, self._tracker.update(said.found, observation.ego, stamp_ns=observation.stamp_ns), said.lead)
        if lead is not None:
            self._tracker.tell_speed(lead.track_id, float(said.lead[2]))
        step_s = 0.0 if self._last is None else (observation.stamp_ns - self._last.stamp_ns) / 1e9
        line = self._signal_line(scene, route)
        state = self._lights.update(None if line is None else line.lane_id, said.light, step_s=step_s)
        return replace(scene, agents=along_lanes(self._tracker.agents(), scene.lanes), lights=() if line is None or state is None else (_light(line, state),))

    def _lead(self, route: RouteLine, agents: Sequence[Agent], said: NDArray[np.float64]) -> Agent | None:
        """The vehicle of which the lead head speaks: the next on the way, where its gap says so, too."""
        vehicles = [agent for agent in agents if agent.kind != "pedestrian"]
        if said[0] < LEAD_PROBABILITY or not vehicles:
            return None
        station_m, offset_m, yaw = route.line.project(np.array([(agent.x_m, agent.y_m) for agent in vehicles]))
        half_m = np.array([(agent.length_m / 2.0, agent.width_m / 2.0) for agent in vehicles])
        gap_m = station_m - half_m[:, 0] - route.ego_m - self.body.front_m
        is_along = np.cos(np.array([agent.yaw_rad for agent in vehicles]) - yaw) > 0.0
        gap_m[~is_along | (np.abs(offset_m) > half_m[:, 1] + self.body.half_width_m) | (gap_m < -self.body.front_m)] = np.inf
        nearest = int(gap_m.argmin())
        return vehicles[nearest] if abs(gap_m[nearest] - said[1]) < LEAD_M + LEAD_SHARE * max(said[1], 0.0) else None

    def _signal_line(self, scene: Scene, route: RouteLine) -> StopLine | None:
        """The next stop line on the route, if a signal is there and near enough to be looked at."""
        p = self._light_parameters
        on_route = {lane.lane_id for lane in route.lanes}
        ahead = []
        for line in scene.stop_lines:
            if line.lane_id in on_route:
                station_m = float(route.line.project(line.ends_m.mean(axis=0)[None])[0][0])
                ahead.append((station_m - route.ego_m - self.body.front_m, line.lane_id, line))
        ahead = sorted((one for one in ahead if one[0] >= -p.passed_m), key=lambda one: one[:2])
        if not ahead:
            return None
        way_m, _, line = ahead[0]
        return line if line.rule == "signal" and way_m <= p.reach_m else None


def along_lanes(agents: Sequence[Agent], lanes: Sequence[SceneLane]) -> tuple[Agent, ...]:
    """The same, with the heading of the lane where one could as well be following it: a doubtful heading is no lane change."""
    lane_map, result = LaneMap(lanes), list(agents)
    vehicles = [i for i, agent in enumerate(agents) if agent.kind != "pedestrian"]
    poses = np.array([(agents[i].x_m, agents[i].y_m, agents[i].yaw_rad) for i in vehicles]).reshape(-1, 3)
    for i, places in zip(vehicles, lane_map.locate(poses), strict=True):
        points = lane_map.points(places[0][0]) if places else None
        if points is not None:
            step = points[places[0][1] + 1] - points[places[0][1]]
            lane_yaw = np.arctan2(step[1], step[0])
            turn = float(wrap_angle(agents[i].yaw_rad - lane_yaw))
            if abs(turn) < STEADY_RAD and agents[i].speed_mps * abs(np.sin(turn)) < STEADY_MPS:
                result[i] = replace(agents[i], yaw_rad=float(lane_yaw))
    return tuple(result)


def _light(line: StopLine, state: str) -> TrafficLight:
    return TrafficLight(state=state, position_m=np.append(line.ends_m.mean(axis=0), LIGHT_HEIGHT_M), lane_id=line.lane_id)


def _read_card(path: Path) -> Mapping[str, Any]:
    card = read_card(path)
    missing = [key for key in CARD_KEYS if key not in card]
    if missing:
        raise MimicError(f"{path}: lacks {', '.join(missing)}: is it the card of perception that `mimic train` made?")
    return card
