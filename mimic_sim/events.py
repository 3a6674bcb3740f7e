"""What a judge notes during a drive, and what each kind of it costs."""

from dataclasses import dataclass

from mimic_contracts.validation import check_choice, check_number, check_text

PEDESTRIAN_COLLISION, VEHICLE_COLLISION, STATIC_COLLISION = "pedestrian_collision", "vehicle_collision", "static_collision"
RED_LIGHT, STOP_SIGN, FAILING_TO_YIELD = "red_light", "stop_sign", "failing_to_yield"
BLOCKED_BOX, OUTSIDE_LANE, SCENARIO_TIMEOUT = "blocked_box", "outside_lane", "scenario_timeout"
COLLISIONS = (PEDESTRIAN_COLLISION, VEHICLE_COLLISION, STATIC_COLLISION)
# The c of the driving score: CARLA leaderboard 2.1 (METRICS). It names none for a blocked box; the way outside the lane is
# a factor of its own.
PENALTIES = {
    PEDESTRIAN_COLLISION: 1.0,
    VEHICLE_COLLISION: 0.7,
    STATIC_COLLISION: 0.6,
    RED_LIGHT: 0.4,
    STOP_SIGN: 0.25,
    FAILING_TO_YIELD: 0.4,
    SCENARIO_TIMEOUT: 0.4,
    BLOCKED_BOX: 0.0,
    OUTSIDE_LANE: 0.0,
}
KINDS = tuple(PENALTIES)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened at one tick: kind, one of KINDS; with_what: the road user's id, or the place's (a lane, a
    box); the ego's progress and both speeds (that of a place is 0); at_fault: whether the ego is to blame."""

    time_s: float
    kind: str
    with_what: str
    progress_m: float
    ego_speed_mps: float
    other_speed_mps: float = 0.0
    at_fault: bool = True

    def __post_init__(self) -> None:
        check_choice("event.kind", self.kind, KINDS)
        check_text("event.with_what", self.with_what)
        for name in ("time_s", "progress_m", "ego_speed_mps", "other_speed_mps"):
            check_number(f"event.{name}", getattr(self, name))

    def __str__(self) -> str:
        return f"{self.kind} at {self.time_s:.1f} s ({self.with_what})"
