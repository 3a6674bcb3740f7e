"""What the rule-based planner remembers of other road users: where they are now, seen or not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from e2e_planner.rule_parameters import RuleParameters
from mimic_contracts.motion import to_frame
from mimic_contracts.observation import EgoState
from mimic_contracts.scene import Agent
from vehicle_interface.kinematics import advance_pose

MAX_STEP_S = 1.0  # between two observations; after a longer pause nothing that was seen counts


@dataclass(frozen=True, kw_only=True)
class Track:
    """A road user. agent: as last seen, but its pose as it is thought to be now, in the vehicle frame.

    acceleration_mps2: from its speeds; standing_s: for how long it has stood; unseen_s: since it was last seen.
    """

    agent: Agent
    acceleration_mps2: float = 0.0
    standing_s: float = 0.0
    unseen_s: float = 0.0

    @property
    def is_person(self) -> bool:
        """Whether it is on foot."""
        return self.agent.kind == "pedestrian"


class Tracks:
    """Carries what was seen along with the ego's motion; what is not in view any more goes on as it went."""

    def __init__(self, parameters: RuleParameters) -> None:
        self._parameters = parameters
        self._tracks: dict[int, Track] = {}
        self._stamp_ns: int | None = None

    def update(self, agents: Sequence[Agent], ego: EgoState, *, stamp_ns: int) -> tuple[Track, ...]:
        """All that is known now, by track_id; agents: what is seen."""
        step_s = 0.0 if self._stamp_ns is None else (stamp_ns - self._stamp_ns) / 1e9
        self._stamp_ns = stamp_ns
        before = self._moved_on(ego, step_s) if 0.0 <= step_s <= MAX_STEP_S else {}
        seen = {agent.track_id: self._seen(agent, before.get(agent.track_id)) for agent in agents}
        unseen = {key: track for key, track in before.items() if key not in seen and self._is_kept(track)}
        self._tracks = dict(sorted((unseen | seen).items()))
        return tuple(self._tracks.values())

    def _moved_on(self, ego: EgoState, step_s: float) -> dict[int, Track]:
        """The tracks after a step, in the vehicle frame after it."""
        if not self._tracks:
            return {}
        driven = moved_pose(ego, step_s)
        poses = np.array([[t.agent.x_m, t.agent.y_m, t.agent.yaw_rad] for t in self._tracks.values()])
        ways = step_s * np.array([t.agent.speed_mps for t in self._tracks.values()])
        poses[:, 0] += ways * np.cos(poses[:, 2])
        poses[:, 1] += ways * np.sin(poses[:, 2])
        result = {}
        for (key, track), (x, y, yaw) in zip(self._tracks.items(), to_frame(poses, driven).tolist(), strict=True):
            agent = replace(track.agent, x_m=x, y_m=y, yaw_rad=yaw)
            standing_s = track.standing_s + step_s if agent.speed_mps < self._parameters.waiting_mps else 0.0
            result[key] = replace(track, agent=agent, standing_s=standing_s, unseen_s=track.unseen_s + step_s)
        return result

    def _seen(self, agent: Agent, before: Track | None) -> Track:
        if before is None:
            return Track(agent=agent)
        acceleration = before.acceleration_mps2
        since_s = before.unseen_s
        if since_s > 0.0:
            share = min(since_s / self._parameters.acceleration_filter_s, 1.0)
            acceleration += share * ((agent.speed_mps - before.agent.speed_mps) / since_s - acceleration)
        is_standing = agent.speed_mps < self._parameters.waiting_mps
        return Track(agent=agent, acceleration_mps2=acceleration, standing_s=before.standing_s if is_standing else 0.0)

    def _is_kept(self, track: Track) -> bool:
        parameters = self._parameters
        is_standing = track.agent.speed_mps < parameters.standstill_mps
        return track.unseen_s <= (parameters.standing_memory_s if is_standing else parameters.memory_s)


def moved_pose(ego: EgoState, step_s: float) -> NDArray[np.float64]:
    """(3,) the vehicle's pose after a step, in the frame before it, from its speed and yaw rate (CTRV)."""
    speed, yaw_rate = ego.speed_mps or 0.0, ego.yaw_rate_radps or 0.0
    curvature = yaw_rate / speed if abs(speed) > 0.1 else 0.0
    return advance_pose(np.zeros(3), distance_m=speed * step_s, curvature_1pm=curvature)
