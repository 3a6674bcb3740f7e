"""From what is found in single pictures to road users that stay themselves: where they are, how they move, since when.

Each is a Kalman filter of position and velocity in the vehicle frame, carried along with the ego's motion. What is found is
precise across the ray to it and doubtful along it, since its distance comes from one picture; its velocity is told by the
heads, and by the positions over time. Global nearest neighbour: the best pairs of track and finding first.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e2e_planner.rule_tracks import MAX_STEP_S, moved_pose
from mimic_contracts.labels import AGENT_COLUMNS
from mimic_contracts.observation import EgoState
from mimic_contracts.scene import AGENT_KINDS, INDICATORS, Agent
from perception.agent_boxes import COLUMN, Found
from perception.quality import GROUPS

X, Y, VX, VY = range(4)  # of a track's state, m and m/s in the vehicle frame
POSITION, VELOCITY = slice(0, 2), slice(2, 4)
LENGTH_LIMITS_M, WIDTH_LIMITS_M = (0.3, 20.0), (0.3, 3.5)
GROUP_OF = {kind: group for group, kinds in GROUPS.items() for kind in kinds}
SLOWEST_MPS = {"vehicle": 2.0, "bicycle": 1.5, "pedestrian": 0.6}  # from which on its velocity tells its heading better than its looks
FARTHEST_MPS = {"vehicle": 40.0, "bicycle": 15.0, "pedestrian": 4.0}  # nobody is faster
DOUBLE = 2.0  # standard deviations within which two findings are one
VAGUE_MPS = 100.0  # standard deviation of what nothing is told of

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TrackerParameters:
    """Every number by which findings become road users; standard deviations of what one picture tells: along the ray,
    `ray_m` and a share of the distance; across it, `side_m` and a share; of the speed and the heading. The defaults are of
    heads that have learned little; `of_heads` takes what was measured of others."""

    vehicle_score: float = 0.4  # below which a finding does not count
    bicycle_score: float = 0.3
    pedestrian_score: float = 0.3
    confirm_hits: int = 2
    confirm_looks: int = 3  # of which so many have to be hits
    shown_s: float = 0.5  # after it was last found
    known_s: float = 2.0  # after it was last found: until then it gets its number again
    gate: float = 3.0  # standard deviations between a track and what may be it
    farthest_m: float = 8.0  # between them in any case
    ray_m: float = 0.6
    ray_share: float = 0.12
    side_m: float = 0.3
    side_share: float = 0.02
    speed_mps: float = 7.5
    heading_rad: float = 0.2
    looks_alike: int = 10  # that err alike in speed: together they tell no more than one
    told_speed_mps: float = 2.0  # of a speed that something else tells, look by look
    acceleration_mps2: float = 4.0  # of vehicles; it widens what is thought possible from look to look
    person_acceleration_mps2: float = 1.5
    smoothing: float = 0.3  # share of a new look in size, heading and lights
    standing_mps: float = 0.5  # slower ones stand,
    starting_mps: float = 1.0  # and who stands goes on standing up to here
    standing_acceleration_mps2: float = 1.0  # of who stands

    def min_score(self, group: str) -> float:
        """Of 'vehicle', 'bicycle' or 'pedestrian'."""
        return float(getattr(self, f"{group}_score"))

    @classmethod
    def of_heads(cls, figures: Mapping[str, float]) -> "TrackerParameters":
        """As perception.quality has measured heads on val; what it has not, as by default."""
        names = {"ray_share": "agent_range_error_share", "speed_mps": "agent_speed_error_mps"}
        names |= {f"{group}_score": f"score_{group}" for group in GROUPS}
        known: dict[str, Any] = {name: figures[figure] for name, figure in names.items() if figure in figures}
        return replace(cls(), **known)

    @property
    def lowest_score(self) -> float:
        """Of any group."""
        return min(self.min_score(group) for group in GROUPS)


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """One road user in one picture, in the vehicle frame: place (2,), m; ahead (2,): the unit vector that it faces; size (2,):
    length and width, m; indicator: index in INDICATORS."""

    group: str
    kind: str
    score: float
    place: Values
    ahead: Values
    speed_mps: float
    size: Values
    brake: bool
    indicator: int


@dataclass(eq=False)
class _Track:
    """state (4,) [x, y, vx, vy] and covariance (4, 4); ahead (2,): mean of the unit vectors that it was seen to face; votes:
    what it was taken for, by kind and by indicator; hits: of the last looks."""

    track_id: int
    group: str
    state: Values
    covariance: Values
    ahead: Values
    size: Values
    kinds: Values
    indicators: Values
    brake: float
    hits: deque[bool]
    unseen_s: float = 0.0
    is_confirmed: bool = False
    is_standing: bool = False

    def move(self, step_s: float, driven: Values, parameters: TrackerParameters) -> None:
        """A step on, into the frame of the vehicle that has driven to a pose (3,)."""
        cos, sin = np.cos(driven[2]), np.sin(driven[2])
        turn = np.array([[cos, sin], [-sin, cos]])
        motion = np.eye(4)
        motion[POSITION, VELOCITY] = step_s * np.eye(2)
        turned = np.kron(np.eye(2), turn)
        state = motion @ self.state
        state[POSITION] -= driven[:2]
        self.state = turned @ state
        spread = parameters.acceleration_mps2 if self.group == "vehicle" else parameters.person_acceleration_mps2
        spread = parameters.standing_acceleration_mps2 if self.is_standing else spread
        per_axis = spread**2 * np.array([[step_s**4 / 4.0, step_s**3 / 2.0], [step_s**3 / 2.0, step_s**2]])
        self.covariance = turned @ motion @ self.covariance @ motion.T @ turned.T + np.kron(per_axis, np.eye(2))
        self.ahead = turn @ self.ahead
        self.unseen_s += step_s

    @property
    def facing(self) -> Values:
        """(2,) the unit vector that it faces: where it drives to, or if it hardly moves where it looks to."""
        ahead = self.state[VELOCITY] if np.hypot(*self.state[VELOCITY]) > SLOWEST_MPS[self.group] else self.ahead
        return np.asarray(ahead / max(float(np.hypot(*ahead)), 1e-6))

    def note_standing(self, parameters: TrackerParameters) -> None:
        """Whether it stands: who does is not thought to drive for a little noise."""
        limit = parameters.starting_mps if self.is_standing else parameters.standing_mps
        self.is_standing = float(self.state[VELOCITY] @ self.facing) < limit

    def agent(self) -> Agent:
        """As it is now."""
        facing = self.facing
        length, width = (float(np.clip(size, *limits)) for size, limits in zip(self.size, (LENGTH_LIMITS_M, WIDTH_LIMITS_M), strict=True))
        return Agent(
            track_id=self.track_id,
            kind=AGENT_KINDS[int(self.kinds.argmax())],
            x_m=float(self.state[X]),
            y_m=float(self.state[Y]),
            yaw_rad=float(np.arctan2(facing[1], facing[0])),
            speed_mps=0.0 if self.is_standing else max(float(self.state[VELOCITY] @ facing), 0.0),
            length_m=length,
            width_m=width,
            brake=self.brake > 0.5,
            indicator=INDICATORS[int(self.indicators.argmax())],
        )


class Tracker:
    """Of one drive; numbers are given in the order in which road users appear."""

    def __init__(self, parameters: TrackerParameters | None = None) -> None:
        self._parameters = parameters or TrackerParameters()
        self._tracks: list[_Track] = []
        self._next_id = 0
        self._stamp_ns: int | None = None

    def update(self, found: Found, ego: EgoState, *, stamp_ns: int) -> tuple[Agent, ...]:
        """Who is around now, by what was found in the pictures of this moment; ego: its motion since the moment before."""
        p = self._parameters
        step_s = 0.0 if self._stamp_ns is None else (stamp_ns - self._stamp_ns) / 1e9
        self._stamp_ns = stamp_ns
        if not 0.0 <= step_s <= MAX_STEP_S:
            self._tracks = []
        driven = moved_pose(ego, step_s)
        for track in self._tracks:
            track.move(step_s, driven, p)
        findings = _once([finding for finding in _findings(found) if finding.score >= p.min_score(finding.group)], p)
        pairs = self._pairs(findings)
        for i, track in enumerate(self._tracks):
            track.hits.append(i in pairs)
            if i in pairs:
                _take(track, findings[pairs[i]], p)
            track.is_confirmed |= sum(track.hits) >= p.confirm_hits
        taken = set(pairs.values())
        seen = [(self._tracks[i].group, self._tracks[i].state[POSITION]) for i in pairs]
        new = [f for n, f in enumerate(findings) if n not in taken and not any(f.group == group and _is_double(f.place, place, p) for group, place in seen)]
        self._tracks = self._kept() + [self._begun(finding) for finding in new]
        return self.agents()

    def agents(self) -> tuple[Agent, ...]:
        """Who is around now."""
        shown_s = self._parameters.shown_s + 1e-6
        return tuple(track.agent() for track in self._tracks if track.is_confirmed and track.unseen_s <= shown_s)

    def tell_speed(self, track_id: int, speed_mps: float) -> None:
        """What is known of one's speed from elsewhere at this moment."""
        track = next(track for track in self._tracks if track.track_id == track_id)
        p = self._parameters
        spread = p.looks_alike * _along_and_across(track.facing, p.told_speed_mps, VAGUE_MPS)
        _correct(track, VELOCITY, speed_mps * track.facing, spread)
        track.note_standing(p)

    def _pairs(self, findings: Sequence[_Finding]) -> dict[int, int]:
        """Index of track → index of finding: confirmed tracks choose first, the most likely pairs first."""
        p, options = self._parameters, []
        for i, track in enumerate(self._tracks):
            for n, finding in enumerate(findings):
                away = finding.place - track.state[POSITION]
                if finding.group != track.group or np.hypot(*away) > p.farthest_m:
                    continue
                spread = track.covariance[POSITION, POSITION] + _place_spread(track.state[POSITION], p)
                squared = float(away @ np.linalg.solve(spread, away))
                if squared <= p.gate**2:
                    options.append((not track.is_confirmed, squared + float(np.log(np.linalg.det(spread))), i, n))
        pairs: dict[int, int] = {}
        taken: set[int] = set()
        for _, _, i, n in sorted(options):
            if i not in pairs and n not in taken:
                pairs[i] = n
                taken.add(n)
        return dict(sorted(pairs.items()))

    def _kept(self) -> list[_Track]:
        """Those that still may be there, each once."""
        p = self._parameters
        kept: list[_Track] = []
        for track in self._tracks:  # the older ones first
            is_alive = track.unseen_s <= p.known_s if track.is_confirmed else len(track.hits) < p.confirm_looks
            away = [np.hypot(*(track.state[POSITION] - other.state[POSITION])) for other in kept if other.group == track.group]
            if is_alive and min(away, default=np.inf) > min(track.size[1], 1.5) / 2.0:
                kept.append(track)
        return kept

    def _begun(self, finding: _Finding) -> _Track:
        p = self._parameters
        covariance = np.zeros((4, 4))
        covariance[POSITION, POSITION], covariance[VELOCITY, VELOCITY] = _place_spread(finding.place, p), _velocity_spread(finding.ahead, finding.speed_mps, p)
        track = _Track(
            track_id=self._next_id,
            group=finding.group,
            state=np.concatenate([finding.place, finding.speed_mps * finding.ahead]),
            covariance=covariance,
            ahead=finding.ahead,
            size=finding.size,
            kinds=finding.score * np.eye(len(AGENT_KINDS))[AGENT_KINDS.index(finding.kind)],
            indicators=np.eye(len(INDICATORS))[finding.indicator],
            brake=float(finding.brake),
            hits=deque([True], maxlen=p.confirm_looks),
            is_standing=finding.speed_mps < p.standing_mps,
        )
        self._next_id += 1
        return track


def _findings(found: Found) -> list[_Finding]:
    rows = found.rows
    assert rows.shape[1] == len(AGENT_COLUMNS)
    yaws = rows[:, COLUMN["yaw_rad"]]
    result = []
    for row, yaw, score in zip(rows, yaws.tolist(), found.scores.tolist(), strict=True):
        kind = AGENT_KINDS[int(row[COLUMN["kind"]])]
        finding = _Finding(
            group=GROUP_OF[kind],
            kind=kind,
            score=score,
            place=row[[COLUMN["x_m"], COLUMN["y_m"]]],
            ahead=np.array([np.cos(yaw), np.sin(yaw)]),
            speed_mps=min(float(row[COLUMN["speed_mps"]]), FARTHEST_MPS[GROUP_OF[kind]]),
            size=row[[COLUMN["length_m"], COLUMN["width_m"]]],
            brake=bool(row[COLUMN["brake"]]),
            indicator=int(row[COLUMN["indicator"]]),
        )
        result.append(finding)
    return result


def _take(track: _Track, finding: _Finding, p: TrackerParameters) -> None:
    """Kalman's update by the place and, unless it contradicts what is known, the velocity; means of all else.

    Front and back look much alike: one that was mostly seen to face elsewhere is taken to face there still.
    """
    share = p.smoothing
    track.ahead = track.ahead + share * (finding.ahead - track.ahead)
    ahead = finding.ahead if finding.ahead @ track.ahead >= 0.0 else -finding.ahead
    # Spreads by what is known, not by what was found: the low values among that would count more.
    _correct(track, POSITION, finding.place, _place_spread(track.state[POSITION], p))
    velocity, spread = finding.speed_mps * ahead, _velocity_spread(ahead, float(np.hypot(*track.state[VELOCITY])), p)
    away = velocity - track.state[VELOCITY]
    if float(away @ np.linalg.solve(track.covariance[VELOCITY, VELOCITY] + spread, away)) <= p.gate**2:
        _correct(track, VELOCITY, velocity, spread)
    track.size = track.size + share * (finding.size - track.size)
    track.brake += share * (float(finding.brake) - track.brake)
    track.indicators = track.indicators + share * (np.eye(len(INDICATORS))[finding.indicator] - track.indicators)
    track.kinds[AGENT_KINDS.index(finding.kind)] += finding.score
    track.unseen_s = 0.0
    track.note_standing(p)


def _correct(track: _Track, which: slice, told: Values, spread: Values) -> None:
    """Kalman's update by two of the four numbers, and their covariance (2, 2)."""
    gain = np.linalg.solve(track.covariance[which, which] + spread, track.covariance[which]).T
    track.state = track.state + gain @ (told - track.state[which])
    kept = np.eye(4)
    kept[:, which] -= gain
    covariance = kept @ track.covariance
    track.covariance = (covariance + covariance.T) / 2.0


def _place_spread(place: Values, p: TrackerParameters) -> Values:
    """(2, 2) covariance of where something is found, wide along the ray."""
    away_m = max(float(np.hypot(*place)), 0.1)
    return _along_and_across(place / away_m, p.ray_m + p.ray_share * away_m, p.side_m + p.side_share * away_m)


def _velocity_spread(ahead: Values, speed_mps: float, p: TrackerParameters) -> Values:
    """(2, 2) covariance of the velocity that the heads tell."""
    return p.looks_alike * _along_and_across(ahead, p.speed_mps, max(p.speed_mps / 3.0, p.heading_rad * speed_mps))


def _along_and_across(ahead: Values, along: float, across: float) -> Values:
    left = np.array([-ahead[1], ahead[0]])
    return np.asarray(along**2 * np.outer(ahead, ahead) + across**2 * np.outer(left, left))


def _once(findings: Sequence[_Finding], p: TrackerParameters) -> list[_Finding]:
    """Each road user once: of those at different distances on one ray the most certain, which comes first."""
    kept: list[_Finding] = []
    for finding in findings:
        if not any(other.group == finding.group and _is_double(finding.place, other.place, p) for other in kept):
            kept.append(finding)
    return kept


def _is_double(place: Values, other: Values, p: TrackerParameters) -> bool:
    """Whether two findings differ by no more than the places that are told of one road user."""
    away = place - other
    away_m = max(float(np.hypot(*place)), 0.1)
    along = float(away @ place) / away_m
    across = float(np.sqrt(max(float(away @ away) - along**2, 0.0)))
    return abs(along) < DOUBLE * (p.ray_m + p.ray_share * away_m) and across < DOUBLE * (p.side_m + p.side_share * away_m)
