"""How the expert moves: a smooth line through the lane, calm curve speeds, and from any state a gentle way back to it.

`plan` is a pure function of the line, the ego and what is `Ahead`, so that it can be asked from states that the expert
would never reach by itself: its answers there are the labels from which a learner learns to recover. What is ahead is
decided in driver.py.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.motion import wrap_angle
from mimic_contracts.plan import Plan
from mimic_sim.ego import EgoMotion
from mimic_sim.road_network import Line

MODEL_ID = "expert"
PATH_STEP_M = 0.25
PATH_LENGTH_M = 80.0  # more than 4 s at the highest speed
ROLLOUT_STEP_S = 0.05
MAX_HEADING_ERROR_RAD = 1.2  # beyond it the lane's own coordinates degenerate
MAX_RETURN_CURVATURE_1PM = 0.15
CALM_BRAKING_MPS2, EMERGENCY_AHEAD_S = -3.5, 0.6  # a plan that brakes harder so soon is marked as an emergency
EMERGENCY_BRAKING_MPS2, EMERGENCY_JERK = 6.0, 4.0  # the jerk as a multiple of the style's
STOP_SHORT_M = 0.5  # of a place that the bumper must not pass
MAX_ACCELERATION_GAP_MPS2 = 0.6  # between a plan's first acceleration and the wanted one


@dataclass(frozen=True, kw_only=True)
class Style:
    """How the expert drives: a calm, careful human."""

    lateral_acceleration_mps2: float = 2.0
    acceleration_mps2: float = 1.2
    braking_mps2: float = 1.4
    max_braking_mps2: float = 3.0  # when it is too fast for what comes
    jerk_mps3: float = 2.5
    speed_share: float = 0.97  # of the speed limit
    cut_m: float = 0.25  # towards the inside of a tight bend
    transition_m: float = 2.0  # over which it turns the wheel where a junction's bend begins at once
    return_s: float = 2.0  # time to come back to the line
    preview_s: float = 0.4  # how far ahead the wished speed is read, to make up for the limited jerk
    speed_gain_1ps: float = 0.7
    gap_s: float = 1.4  # to the one ahead
    standing_gap_m: float = 2.5
    reaction_s: float = 0.4  # to lights
    rolling_mps: float = 0.0  # how fast it still is where a stop sign asks for standing
    away_s: float = 0.0  # how long it looks away, once every LOOKS_AWAY_EVERY_S


LOOKS_AWAY_EVERY_S = 9.0
CALM = "calm"
# Drivers as there are: good ones, and some that a learner must not become.
STYLES = {
    CALM: Style(),
    "assertive": Style(lateral_acceleration_mps2=2.6, acceleration_mps2=1.7, braking_mps2=2.0, jerk_mps3=3.5, speed_share=1.05, gap_s=1.0, standing_gap_m=2.0),
    "tailgater": Style(acceleration_mps2=1.7, braking_mps2=2.4, jerk_mps3=3.5, speed_share=1.08, gap_s=0.5, standing_gap_m=1.5),
    "rolling": Style(rolling_mps=2.0),
    "distracted": Style(reaction_s=1.2, away_s=1.5),
}


@dataclass(frozen=True, eq=False)
class DrivingLine:
    """The line that the expert wants to drive: the line itself, speed_mps (N,) along it and its acceleration (N,)."""

    line: Line
    speed_mps: NDArray[np.float64]
    acceleration_mps2: NDArray[np.float64]
    style: Style


@dataclass(frozen=True, kw_only=True)
class Lead:
    """Somebody on the line ahead, who goes on as now: station of their nearest point, speed along the line."""

    station_m: float
    speed_mps: float


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What keeps the expert from driving as it would on an empty road, by stations of the driving line: places that the
    front bumper must not pass, others on the line, and the highest speed along stretches (from, to, m/s).

    front_m: from the rear axle to the front bumper.
    """

    front_m: float = 0.0
    stops_m: tuple[float, ...] = ()
    leads: tuple[Lead, ...] = ()
    caps: tuple[tuple[float, float, float], ...] = ()


FREE = Ahead()


def driving_line(lane_line: Line, *, speed_limits_mps: NDArray[np.float64], style: Style) -> DrivingLine:
    """Line and speed profile of one driver along a lane or a chain of lanes with limits (N,): computed once per route."""
    bend = lane_line.smooth(lane_line.curvature_1pm, width_m=8.0)
    line = lane_line.shifted(style.cut_m * np.tanh(bend / 0.02))
    if not line.closed:  # through a town's junctions, whose bends begin at once
        line = line.smoothed(width_m=style.transition_m)
    curvature = np.abs(line.smooth(line.curvature_1pm, width_m=3.0))
    allowed = np.interp(line.s_m * (lane_line.length_m / line.length_m), lane_line.s_m, speed_limits_mps)
    limit = np.minimum(style.speed_share * allowed, np.sqrt(style.lateral_acceleration_mps2 / np.maximum(curvature, 1e-6)))
    step = float(line.s_m[1])
    speed = _reachable(limit, step_m=step, acceleration_mps2=style.acceleration_mps2, braking_mps2=style.braking_mps2, closed=line.closed)
    speed = np.minimum(line.smooth(speed, width_m=4.0), limit)
    return DrivingLine(line, speed, speed * line.slope(speed), style)


def moved_aside(driving: DrivingLine, left_m: NDArray[np.float64]) -> DrivingLine:
    """The same drive beside its line, (N,) metres to the left of it."""
    line = driving.line.shifted(left_m)
    stations_m = line.s_m * (driving.line.length_m / line.length_m)
    speed, acceleration = (driving.line.sample(column, stations_m) for column in (driving.speed_mps, driving.acceleration_mps2))
    return DrivingLine(line, speed, acceleration, driving.style)


def _reachable(limit_mps: NDArray[np.float64], *, step_m: float, acceleration_mps2: float, braking_mps2: float, closed: bool) -> NDArray[np.float64]:
    """The highest speeds (N,) below a line's limits that these accelerations connect."""
    squared = (limit_mps[:-1] if closed else limit_mps) ** 2
    first = 0 if closed else 1  # before the first place of a lap comes the last one
    for _ in range(2 if closed else 1):  # twice around, so that the seam is like any other place
        for i in range(first, len(squared)):
            squared[i] = min(squared[i], squared[i - 1] + 2.0 * acceleration_mps2 * step_m)
        for i in range(len(squared) - 1, first - 1, -1):
            squared[i - 1] = min(squared[i - 1], squared[i] + 2.0 * braking_mps2 * step_m)
    return np.sqrt(np.append(squared, squared[0]) if closed else squared)


def plan(driving: DrivingLine, ego: EgoMotion, *, stamp_ns: int, ahead: Ahead = FREE) -> Plan:
    """What the expert does from here: (21, 6) of CAR in the vehicle frame, from any state near the road.

    Curvature begins with that of the wheels and is continuous; heading and position are its integrals over the way,
    and the way is the integral of a speed whose acceleration begins near the ego's and is limited in jerk.
    """
    station_m, curvature = _path_back(driving, ego)
    steps = np.full(len(curvature) - 1, PATH_STEP_M)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    yaw = np.concatenate([[0.0], np.cumsum((curvature[1:] + curvature[:-1]) / 2.0 * steps)])
    middle = (yaw[1:] + yaw[:-1]) / 2.0
    x = np.concatenate([[0.0], np.cumsum(np.cos(middle) * steps)])
    y = np.concatenate([[0.0], np.cumsum(np.sin(middle) * steps)])
    driven_m, speed, acceleration = _roll_out(driving, ego, ahead, way=way, station_m=station_m, curvature=curvature)
    columns = {
        "x_m": np.interp(driven_m, way, x),
        "y_m": np.interp(driven_m, way, y),
        "yaw_rad": np.interp(driven_m, way, yaw),
        "speed_mps": speed,
        "acceleration_mps2": acceleration,
        "curvature_1pm": np.interp(driven_m, way, curvature),
    }
    return plan_of(np.stack([columns[channel] for channel in CAR.channels], axis=1), stamp_ns=stamp_ns)


def plan_of(values: NDArray[np.float64], *, stamp_ns: int) -> Plan:
    """The expert's plan of these values (21, 6) of CAR: an emergency when it brakes hard at once."""
    acceleration_mps2 = values[CAR.times_s <= EMERGENCY_AHEAD_S, CAR.channels.index("acceleration_mps2")]
    is_emergency = bool(acceleration_mps2.min() < CALM_BRAKING_MPS2)
    return replace(Plan.single(stamp_ns=stamp_ns, spec=CAR, values=values, model_id=MODEL_ID), is_emergency=is_emergency)


def _path_back(driving: DrivingLine, ego: EgoMotion) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Stations on the line (N,) and curvature (N,) every PATH_STEP_M of way, from the ego onto the line.

    In the line's coordinates the offset is a quintic polynomial from the ego's offset, direction and curvature to zero;
    the first return length that asks for no more than a calm curvature is taken, else the longest.
    """
    line, style = driving.line, driving.style
    start_m, offset_m = line.project(ego.x_m, ego.y_m)
    heading = float(wrap_angle(ego.yaw_rad - line.sample(line.yaw_rad, np.array([start_m])))[0])
    heading = min(max(heading, -MAX_HEADING_ERROR_RAD), MAX_HEADING_ERROR_RAD)
    ahead_m = np.arange(0.0, PATH_LENGTH_M, PATH_STEP_M)
    k, k_rate = (line.sample(column, start_m + ahead_m) for column in (line.curvature_1pm, line.curvature_rate_1pm2))
    shrink = max(1.0 - k[0] * offset_m, 0.2)
    slope = shrink * np.tan(heading)
    cos = np.cos(heading)
    bend = shrink / cos**2 * (ego.curvature_1pm * shrink / cos - k[0]) - (k_rate[0] * offset_m + k[0] * slope) * np.tan(heading)
    limit = min(MAX_RETURN_CURVATURE_1PM, 1.3 * style.lateral_acceleration_mps2 / max(ego.speed_mps, 1.0) ** 2)
    for stretch in (1.0, 1.3, 1.7, 2.2):
        length_m = stretch * max(style.return_s * ego.speed_mps, 12.0)
        e, de, dde = _quintic(offset_m, slope, bend, ahead_m, length_m)
        shrinks = np.maximum(1.0 - k * e, 0.2)
        direction = np.arctan2(de, shrinks)
        c, t = np.cos(direction), np.tan(direction)
        curvature = ((dde + (k_rate * e + k * de) * t) * c**2 / shrinks + k) * c / shrinks
        if np.abs(curvature - k).max() <= limit:
            break
    tightest = max(MAX_RETURN_CURVATURE_1PM, 1.1 * float(np.abs(k).max()))
    curvature = np.clip(curvature, -tightest, tightest)
    curvature[0] = ego.curvature_1pm
    lengths = np.hypot(shrinks, de)
    way = np.concatenate([[0.0], np.cumsum((lengths[1:] + lengths[:-1]) / 2.0 * PATH_STEP_M)])
    grid = np.arange(0.0, way[-1], PATH_STEP_M)
    return start_m + np.interp(grid, way, ahead_m), np.interp(grid, way, curvature)


def _quintic(
    offset_m: float, slope: float, bend: float, s: NDArray[np.float64], length_m: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Offset, first and second derivative (N,) over arc length: from the given start to zero after length_m."""
    u = np.minimum(s / length_m, 1.0)
    a0, a1, a2 = offset_m, slope * length_m, bend * length_m**2 / 2.0
    a3, a4, a5 = -10 * a0 - 6 * a1 - 3 * a2, 15 * a0 + 8 * a1 + 3 * a2, -6 * a0 - 3 * a1 - a2
    value = a0 + u * (a1 + u * (a2 + u * (a3 + u * (a4 + u * a5))))
    first = (a1 + u * (2 * a2 + u * (3 * a3 + u * (4 * a4 + u * 5 * a5)))) / length_m
    second = (2 * a2 + u * (6 * a3 + u * (12 * a4 + u * 20 * a5))) / length_m**2
    return value, first, second


def _roll_out(
    driving: DrivingLine, ego: EgoMotion, ahead: Ahead, *, way: NDArray[np.float64], station_m: NDArray[np.float64], curvature: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Distance driven, speed and acceleration (T,) at the times of CAR, following the line's speed with limited jerk."""
    line, style = driving.line, driving.style
    wished = line.sample(driving.speed_mps, station_m)
    # On the way back to the line a bend can be tighter than the line's own.
    wished = np.minimum(wished, np.sqrt(1.5 * style.lateral_acceleration_mps2 / np.maximum(np.abs(curvature), 1e-6)))
    pull = line.sample(driving.acceleration_mps2, station_m)
    for start_m, end_m, speed_mps in ahead.caps:
        before_m = np.maximum(start_m - station_m, 0.0)
        cap = np.sqrt(speed_mps**2 + 2.0 * style.braking_mps2 * before_m)  # comfortably down to it
        is_held = (station_m <= end_m) & (cap < wished)
        wished, pull = np.where(is_held, cap, wished), np.where(is_held, np.where(before_m > 0.0, -style.braking_mps2, 0.0), pull)
    room_m = [float(np.interp(station, station_m, way)) - ahead.front_m for station in (*ahead.stops_m, *(lead.station_m for lead in ahead.leads))]
    stops_m, leads = room_m[: len(ahead.stops_m)], list(zip(room_m[len(ahead.stops_m) :], (lead.speed_mps for lead in ahead.leads), strict=True))

    def target(v: float, a: float, s: float, t: float = 0.0) -> float:
        index = min(int((s + v * style.preview_s) / PATH_STEP_M), len(wished) - 1)
        wish = pull[index] + style.speed_gain_1ps * (wished[index] - v - a * style.preview_s)
        wish = min(max(wish, -style.max_braking_mps2), style.acceleration_mps2)
        for stop_m in stops_m:
            wish = min(wish, _to_stop(stop_m - s, v, style))
        for gap_m, speed in leads:
            wish = min(wish, _to_follow(gap_m + speed * t - s, v, speed, style))
        return float(max(wish, -EMERGENCY_BRAKING_MPS2))

    s, v = 0.0, ego.speed_mps
    # The measured acceleration counts, but only near what is wanted: taken as it is, a wrong one would feed itself
    # through plan, command and car (and a learner, which can't see it, could not imitate the plan).
    wanted = target(v, 0.0, s)
    a = min(max(ego.acceleration_mps2, wanted - MAX_ACCELERATION_GAP_MPS2), wanted + MAX_ACCELERATION_GAP_MPS2)
    rows = [(s, v, a)]
    every = round((CAR.times_s[1] - CAR.times_s[0]) / ROLLOUT_STEP_S)
    change = style.jerk_mps3 * ROLLOUT_STEP_S
    for i in range(1, (len(CAR.times_s) - 1) * every + 1):
        before = a
        wish = target(v, a, s, (i - 1) * ROLLOUT_STEP_S)
        a = min(max(wish, a - (change if wish >= -style.max_braking_mps2 else EMERGENCY_JERK * change)), a + change)
        if v + (before + a) / 2.0 * ROLLOUT_STEP_S < 0.0:
            v, a, before = 0.0, 0.0, 0.0
        s += v * ROLLOUT_STEP_S + (before / 3.0 + a / 6.0) * ROLLOUT_STEP_S**2
        v += (before + a) / 2.0 * ROLLOUT_STEP_S
        if i % every == 0:
            rows.append((s, v, a))
    driven, speed, acceleration = np.array(rows).T
    return np.minimum(driven, way[-1]), speed, acceleration


def _to_stop(room_m: float, speed_mps: float, style: Style) -> float:
    """The acceleration that ends STOP_SHORT_M before a place; without limit while comfortable braking would do later."""
    if room_m < -style.standing_gap_m:
        return np.inf  # passed
    room_m = max(room_m - STOP_SHORT_M - speed_mps * style.preview_s, 0.05)
    needed = speed_mps**2 / (2.0 * room_m)
    if room_m > 1.0 and needed < 0.8 * style.braking_mps2:
        return np.inf
    return -max(needed, 0.5)


def _to_follow(gap_m: float, speed_mps: float, lead_mps: float, style: Style) -> float:
    """The acceleration of the intelligent driver model (Treiber, Hennecke, Helbing 2000) behind somebody, without its
    term of the free road."""
    wanted_m = style.standing_gap_m + max(
        speed_mps * style.gap_s + speed_mps * (speed_mps - lead_mps) / (2.0 * np.sqrt(style.acceleration_mps2 * style.braking_mps2)), 0.0
    )
    return float(style.acceleration_mps2 * (1.0 - (wanted_m / max(gap_m, 0.1)) ** 2))
