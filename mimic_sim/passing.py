"""How the expert passes vehicles that have been left standing in its way: where it moves over, and when it may.

It decides once for each: until then it waits with room to steer, and from then on the pass stays as it is. It moves over
to the left; or, where the road is as wide on the right and what stands there leaves as much room, to either side, by its seed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimic_sim.collisions import actor_boxes
from mimic_sim.eye import Eye, entries_m
from mimic_sim.right_of_way import distances_m

if TYPE_CHECKING:
    from mimic_sim.driver import Now, Other
    from mimic_sim.world import World

IN_THE_WAY_M = 0.35  # beside the car: who leaves less room is passed with more
ROOM_M = 0.7  # beside the car when it passes
MIDDLE_M = 0.4  # who stands nearer to the lane's middle can be passed on either side
LEFT_STANDING_S = 2.0  # without brake lights: nobody is about to drive on
AHEAD_M = 60.0
RAMP_S = 1.6  # over which it moves over at speed
LEAST_RAMP_M = 11.0  # as tight as a calm driver steers
BEFORE_M = 1.5  # of what stands there, where the bumper is beside it in full
WAITS_M = 18.0  # with the bumper before it, where one can still look past it
LATEST_M = LEAST_RAMP_M + BEFORE_M + 0.8  # nearer than this there is no way past it
VIEW_M = 60.0  # beyond a pass, of the other lane; or else it stands and looks first
LEAN_RAMP_M, LEAN_ROOM_M = 12.0, 0.1  # until it may pass, it drives at the left edge of its lane, to see more
LOOKS_S = 1.5
REMEMBERS_S = 8.0  # those who came, and are hidden now
PASSING_MPS = 5.5  # with ramps so short
GAP_S, KEPT_GAP_S = 2.5, 1.0  # to those who come, before it has decided and until it begins
BRAKING_MPS2 = 2.5
STANDING_MPS = 0.3

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One that is decided: who is passed, and by how much the rear axle is left of the lane's middle between stations of the way;
    before and after it, it goes over and comes back, from start_m to end_m."""

    who: str
    offset_m: float
    start_m: float
    beside_m: tuple[float, float]
    end_m: float

    def at(self, station_m: Values | float) -> Values:
        """Offset at stations of the way, in their shape."""
        stations, shares = (self.start_m, *self.beside_m, self.end_m), (0.0, 1.0, 1.0, 0.0)
        u = np.interp(station_m, stations, shares)
        return np.asarray(self.offset_m * u**3 * (10.0 - 15.0 * u + 6.0 * u**2))


class Passing:
    """What one driver passes on the way of a world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        vehicle = world.vehicle
        self._length_m, self._half_m, self._rear_m = vehicle.length_m, vehicle.width_m / 2.0, vehicle.rear_overhang_m
        self._front_m = self._length_m - self._rear_m
        self._acceleration_mps2 = world.driving.style.acceleration_mps2
        self._prefers_right = bool(np.random.default_rng([world.route.seed, 31]).random() < 0.5)
        self._coming: dict[str, tuple[float, Other]] = {}
        self._left_since_s: dict[str, float] = {}
        self._moved_s = np.inf
        self._looked_for: set[str] = set()
        self.under_way: Pass | None = None
        self.leaning: Pass | None = None

    def look(self, now: "Now", eyes: Sequence[Eye]) -> float | None:
        """Decide, by what the cameras show now; returns where the bumper waits for what can't be passed yet."""
        now = self._remember(now)
        self._note_who_is_left(now)
        self._moved_s = now.time_s if now.ego.speed_mps > STANDING_MPS else min(self._moved_s, now.time_s)
        kept, rear_m = self.under_way, now.bumper_m - self._front_m
        if kept is not None and rear_m < kept.end_m:
            is_begun = rear_m + now.ego.speed_mps**2 / 2.0 / BRAKING_MPS2 > kept.start_m  # it could not stop before it
            if is_begun or (self._is_free(kept, now, gap_s=KEPT_GAP_S) and self._has_seen(kept, now, eyes)):
                return None
        self.under_way = None
        blocker = min((o for o in now.others if self._blocks(o, now)), key=lambda o: o.station_m, default=None)
        if blocker is None:
            self.leaning = None
            return None
        ways = (way for way in self._ways(blocker, now) if self._is_free(way, now, gap_s=GAP_S))
        self.under_way = next((way for way in ways if self._has_seen(way, now, eyes)), None)
        if self.under_way is not None:
            self.leaning = None
            return None
        near_m = blocker.station_m - blocker.half_along_m
        if self.leaning is None:
            self.leaning = Pass(who="", offset_m=self._in_lane_m(rear_m), start_m=rear_m, beside_m=(rear_m + LEAN_RAMP_M, near_m), end_m=near_m + LEAN_RAMP_M)
        return max(near_m - WAITS_M, min(now.bumper_m + now.ego.speed_mps**2 / 2.0 / BRAKING_MPS2, near_m - LATEST_M))

    @property
    def path(self) -> Pass | None:
        """Where it drives beside the lane's middle: past somebody, or, until it may, at the lane's edge to see more."""
        return self.under_way or self.leaning

    def _in_lane_m(self, station_m: float) -> float:
        """How far it can move over inside its lane."""
        return self._world.way.lane_at(station_m).width_m / 2.0 - self._half_m - LEAN_ROOM_M

    def _remember(self, now: "Now") -> "Now":
        """The same, with those who came towards the car a moment ago where they should be now."""
        self._coming |= {other.actor.actor_id: (now.time_s, other) for other in now.others if other.along_mps < -STANDING_MPS}
        visible = {other.actor.actor_id for other in now.others}
        self._coming = {name: seen for name, seen in self._coming.items() if now.time_s - seen[0] < REMEMBERS_S}
        hidden = [(now.time_s - since_s, other) for name, (since_s, other) in self._coming.items() if name not in visible]
        return replace(now, others=(*now.others, *(replace(other, station_m=other.station_m + other.along_mps * ago_s) for ago_s, other in hidden)))

    def _note_who_is_left(self, now: "Now") -> None:
        """Since when somebody has stood without brake lights."""
        for other in now.others:
            if other.actor.brake or other.actor.speed_mps > STANDING_MPS:
                self._left_since_s.pop(other.actor.actor_id, None)
            else:
                self._left_since_s.setdefault(other.actor.actor_id, now.time_s)

    def _blocks(self, other: "Other", now: "Now") -> bool:
        """Whether a vehicle has been left standing where the car would drive."""
        actor = other.actor
        is_left = actor.indicator == "both" or now.time_s - self._left_since_s.get(actor.actor_id, now.time_s) > LEFT_STANDING_S
        stands = actor.kind not in ("pedestrian", "bicycle") and actor.speed_mps < STANDING_MPS and is_left
        is_ahead = 0.0 < other.station_m - other.half_along_m - now.bumper_m < AHEAD_M
        return stands and is_ahead and abs(other.offset_m) < self._half_m + IN_THE_WAY_M + other.half_across_m

    def _ways(self, blocker: "Other", now: "Now") -> Iterable[Pass]:
        """The ways past it, the preferred one first; none where it is too near to steer past."""
        sides: tuple[float, ...] = (1.0,)
        if abs(blocker.offset_m) < MIDDLE_M:
            sides = (-1.0, 1.0) if self._prefers_right else (1.0, -1.0)
        rear_m = now.bumper_m - self._front_m
        for side in sides:
            least_m = side * blocker.offset_m + blocker.half_across_m + self._half_m + IN_THE_WAY_M
            most_m = self._in_lane_m(blocker.station_m)  # with less room, if that keeps the lane
            offset_m = side * (max(min(least_m + ROOM_M - IN_THE_WAY_M, most_m), least_m) if least_m <= most_m else least_m + ROOM_M - IN_THE_WAY_M)
            start_m = blocker.station_m - blocker.half_along_m - BEFORE_M - self._front_m
            end_m = blocker.station_m + blocker.half_along_m + BEFORE_M + self._rear_m
            ramp_m = max(LEAST_RAMP_M, RAMP_S * min(now.ego.speed_mps, PASSING_MPS))
            if start_m - LEAST_RAMP_M > rear_m:
                over_m = max(start_m - ramp_m, rear_m)
                yield Pass(who=blocker.actor.actor_id, offset_m=offset_m, start_m=over_m, beside_m=(start_m, end_m), end_m=end_m + ramp_m)

    def _is_free(self, way: Pass, now: "Now", *, gap_s: float) -> bool:
        """Whether there is a road to pass on, and nobody comes before the car is back."""
        side = np.sign(way.offset_m)
        low_m, high_m = sorted((-side * self._half_m, way.offset_m + side * (self._half_m + IN_THE_WAY_M)))
        if side < 0.0 and not self._is_parking(way):
            return False
        duration_s = self._duration_s(way.end_m + self._front_m - now.bumper_m, now.ego.speed_mps) + gap_s
        for other in now.others:
            if other.actor.actor_id == way.who or other.offset_m + other.half_across_m < low_m or other.offset_m - other.half_across_m > high_m:
                continue
            near_m, far_m = other.station_m - other.half_along_m, other.station_m + other.half_along_m
            if other.along_mps < -STANDING_MPS:  # it comes towards us
                meets = far_m > now.bumper_m and near_m + other.along_mps * duration_s < way.end_m + self._front_m
            elif other.station_m < now.bumper_m:
                meets = other.along_mps > STANDING_MPS and now.bumper_m - far_m < self._length_m + other.along_mps * gap_s
            else:
                meets = near_m < way.end_m + self._front_m
            if meets:
                return False
        return True

    def _has_seen(self, way: Pass, now: "Now", eyes: Sequence[Eye]) -> bool:
        """Whether the other lane can be seen far enough, or it has stood and looked."""
        is_near = way.start_m - (now.bumper_m - self._front_m) < WAITS_M
        if is_near and now.time_s - self._moved_s > LOOKS_S:
            self._looked_for.add(way.who)
        keeps_lane = abs(way.offset_m) <= self._in_lane_m(way.beside_m[0])
        if keeps_lane or way.offset_m < 0.0 or way.who in self._looked_for:
            return True
        poses = self._world.way.line.poses(np.arange(way.beside_m[1], way.end_m + VIEW_M, 4.0))
        points = poses[:, :2] + way.offset_m * np.stack([-np.sin(poses[:, 2]), np.cos(poses[:, 2])], axis=1)
        boxes = actor_boxes([other.actor for other in now.others if other.actor.kind != "pedestrian"])
        seen = np.zeros(len(points), bool)
        for eye in eyes:
            away = points - eye.place_m[:2]
            away_m = np.hypot(*away.T)
            seen |= eye.sees_ground(points) & (entries_m(eye.place_m, away / away_m[:, None], boxes).min(axis=1, initial=np.inf) > away_m)
        return bool(seen.all())

    def _is_parking(self, way: Pass) -> bool:
        """Whether the right of the road is a strip to park on, as wide as the car needs."""
        stations_m = np.arange(way.start_m, way.end_m, 2.0)
        poses = self._world.way.line.poses(stations_m)
        points = poses[:, :2] + (way.offset_m - self._half_m) * np.stack([-np.sin(poses[:, 2]), np.cos(poses[:, 2])], axis=1)
        is_shifted = way.at(stations_m) < way.offset_m / 2.0
        strips = [distances_m(points, strip.centre_m) < strip.width_m / 2.0 for strip in self._world.network.parking]
        return bool(strips) and bool(np.any(strips, axis=0)[is_shifted].all())

    def _duration_s(self, way_m: float, speed_mps: float) -> float:
        gaining_m = max(PASSING_MPS**2 - speed_mps**2, 0.0) / 2.0 / self._acceleration_mps2
        if way_m < gaining_m:
            return float((np.sqrt(speed_mps**2 + 2.0 * self._acceleration_mps2 * way_m) - speed_mps) / self._acceleration_mps2)
        return float(max(PASSING_MPS - speed_mps, 0.0) / self._acceleration_mps2 + (way_m - gaining_m) / PASSING_MPS)
