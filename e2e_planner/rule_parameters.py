"""Every number by which the rule-based planner drives."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class RuleParameters:
    """A calm, attentive driver. Comfort after METRICS (nuPlan's bounds), following after the intelligent driver model."""

    # Speed
    unknown_limit_mps: float = 50.0 / 3.6  # where no lane tells a limit
    end_of_view_mps: float = 5.0  # at which the end of what is seen of the route is reached
    acceleration_mps2: float = 1.6
    braking_mps2: float = 2.0
    landing_mps2: float = 0.7  # braking in the last moment of a stop
    firm_braking_mps2: float = 3.5
    emergency_braking_mps2: float = 6.0
    lateral_acceleration_mps2: float = 2.0
    jerk_mps3: float = 2.5
    urgent_jerk_mps3: float = 5.0
    emergency_jerk_mps3: float = 15.0
    preview_s: float = 0.4  # how far ahead the wished speed is read, to make up for the limited jerk
    speed_gain_1ps: float = 0.9
    standstill_mps: float = 0.15
    waiting_mps: float = 0.6  # slower than this, one waits
    # Steering
    min_steering_length_m: float = 3.0
    steering_time_s: float = 0.7
    lateral_jerk_mps3: float = 3.5
    steering_rate_radps: float = 0.35
    # Following
    time_gap_s: float = 1.5
    standing_gap_m: float = 2.5
    passing_gap_m: float = 14.0  # behind what it waits to pass: room to swing out
    restart_m: float = 0.8  # a nearer stop is not crept up to
    corridor_margin_m: float = 0.35  # on either side of the car
    cut_in_s: float = 2.5  # how far ahead a lane change into the corridor is braked for
    # Memory
    memory_s: float = 3.0  # of what moves
    standing_memory_s: float = 6.0
    acceleration_filter_s: float = 0.4
    patience_s: float = 4.0  # one who stands this long does not use its right of way
    # Lights and signs
    stop_margin_m: float = 0.8  # between the front bumper and a stop line
    yellow_braking_mps2: float = 3.0  # up to which a yellow light is stopped for
    reaction_s: float = 0.2
    light_memory_s: float = 2.0
    unseen_light_s: float = 6.0  # waiting at a signal that shows nothing makes it a stop sign
    stop_sign_s: float = 0.8  # standing at it
    stop_sign_reach_m: float = 2.5  # from the line
    # Gaps
    horizon_s: float = 8.0
    gap_before_s: float = 1.5  # behind the ego, before the other arrives
    gap_after_s: float = 0.8  # behind the other, before the ego arrives
    kept_gap_s: float = 0.5  # of either, once decided
    start_delay_s: float = 0.6  # from standstill
    speed_doubt: float = 0.15  # of others
    yield_braking_mps2: float = 3.5  # with which one who has to yield is thought to stop at the latest
    conflict_margin_m: float = 1.0  # before a conflict where the front waits
    creep_mps: float = 2.0
    enough_sight_m: float = 60.0  # of a lane with right of way; nobody's camera sees further to the side
    look_s: float = 1.0  # at the edge of a lane that is seen for too short a way
    room_m: float = 1.5  # beyond a junction, besides the car's own length
    queue_mps: float = 1.5  # slower traffic behind a junction is a queue
    # Pedestrians
    kerb_m: float = 5.0  # beside the corridor, from which people set foot on a crossing
    pedestrian_gap_s: float = 1.0
    crossing_margin_m: float = 1.2
    standing_person_mps: float = 0.3
    waiting_person_m: float = 2.5  # beside the corridor, at a crossing
    # Passing
    standing_s: float = 2.0  # after which a vehicle counts as left there, not as a lead
    clearance_m: float = 0.9
    least_clearance_m: float = 0.35
    edge_m: float = 0.9  # off the lane's middle: parked
    queue_reach_m: float = 25.0  # before a junction or a crossing in which a standing car queues
    passing_mps: float = 7.0
    passing_margin_s: float = 1.5
    unseen_oncoming_mps: float = 8.3  # of one who is thought to come from beyond the end of view
    lane_change_gap_s: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Body:
    """The car around its rear axle's middle, from the vehicle file: metres to the front and rear bumper; half its width."""

    front_m: float
    rear_m: float
    half_width_m: float
    wheelbase_m: float
    max_curvature_1pm: float
    max_speed_mps: float

    @property
    def length_m(self) -> float:
        """Bumper to bumper."""
        return self.front_m + self.rear_m


# Clearance to what stands or walks beside the corridor, and the speed that fits it.
CLEARANCES_M = np.array([0.1, 0.4, 0.8, 1.2])
CLEARANCE_SPEEDS_MPS = np.array([2.0, 5.0, 9.0, 14.0])
