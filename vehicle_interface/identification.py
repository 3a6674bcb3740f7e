"""What a vehicle file needs to know, from recorded driving: steering, delays, and the answer to throttle and brake.

What a recording does not excite is not identified, and says why. Intervals and robustness: regression.py.

Steering: atan(wheelbase·yaw rate / speed) = (steering wheel - offset) / ratio, the kinematic bicycle, so the ratio is the one
that works at the speeds driven, understeer included. Pedals: the model of LongitudinalSpec, integrated over WINDOW_S, so that no speed
is differentiated. Roads are taken as level: slopes count as noise.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mimic_contracts.vehicle import VehicleSpec
from vehicle_interface.regression import LAGS, STEP_S, STRIDE, Fit, Floats, Samples, lag_candidates, vertex

Drives = Sequence[Mapping[str, Floats]]  # a recording each: signals (N,), one value every STEP_S, NaN where there is none

WHEELBASES_PER_S, MAX_LATERAL_MPS2 = 1.5, 3.0  # slower the yaw rate says little of the wheels, beyond tyres slip
MIN_ROAD_WHEEL_RANGE_RAD, MIN_SPEED_RANGE_MPS, MIN_PEDAL_RANGE = 0.007, 2.0, 0.1  # 5th to 95th percentile
STRAIGHT_1PM = 0.002
WINDOW_S, MIN_PEDAL_SPEED_MPS = 0.5, 0.5
PEDAL_LAGS = np.arange(0.0, 31.0)  # steps: 0 to 0.6 s
DEAD_BANDS = np.round(np.arange(0.0, 0.21, 0.01), 2)
DRAGS = ("rolling_mps2", "linear_drag_1ps", "quadratic_drag_1pm")
CLEAR = 2.0  # times its half interval from 0: a drag term that is worth having beside the simpler model
# Half an interval that is wider than this says nothing worth driving with.
WIDEST_RATIO, WIDEST_OFFSET_RAD, WIDEST_DELAY_S, WIDEST_GAIN, WIDEST_DEAD_BAND, WIDEST_DRAG_MPS2 = 0.1, 0.05, 0.05, 0.2, 0.04, 0.15


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One value with half its 95 % interval and the seconds of driving that it rests on; why_not: instead of a value."""

    name: str
    seconds: float
    value: float | None = None
    half_width: float = 0.0
    why_not: str = ""

    @classmethod
    def checked(cls, name: str, seconds: float, value: float, half_width: float, *, widest: float) -> "Figure":
        """The figure, or why it is none: its interval is too wide."""
        if half_width <= widest:
            return cls(name=name, seconds=seconds, value=value, half_width=half_width)
        return cls(name=name, seconds=seconds, why_not=f"{value:.3g} ± {half_width:.2g} is too uncertain, at most ± {widest:.2g} is useful; record more")

    def widened(self, others: Iterable["Figure"]) -> "Figure":
        """With an interval that also holds what other assumptions would change."""
        changes = [other.value - self.value for other in others if other.value is not None and self.value is not None]
        return replace(self, half_width=float(np.hypot(self.half_width, np.max(np.abs(changes), initial=0.0))))


def identify(drives: Drives, vehicle: VehicleSpec) -> list[Figure]:
    """All figures. Names are keys of the vehicle file, 'longitudinal.KEY' in that section, and two delays that are in none.

    Signals (those of a topic map): speed_mps, yaw_rate_radps, steering_wheel_rad, throttle, brake, command_speed_mps,
    command_yaw_rate_radps, command_steering_wheel_rad; what a drive lacks is left out.
    """
    return [*_steering(drives, vehicle), *_command_delays(drives, vehicle), *_pedals(drives)]


# Steering and delays.


def _steering(drives: Drives, vehicle: VehicleSpec) -> list[Figure]:
    names = ("steering_offset_rad", "steering_ratio", "steering_delay_s")
    samples = Samples.of([_turning(drive, drive.get("steering_wheel_rad"), vehicle) for drive in drives])
    absent = _absent(drives, "steering_wheel_rad", "speed_mps", "yaw_rate_radps") or samples.too_few(_when_turning(vehicle))
    if absent:
        return [Figure(name=name, seconds=samples.seconds, why_not=absent) for name in names]
    wheel_range, least = _spread(samples.columns[:, -LAGS[0]]), MIN_ROAD_WHEEL_RANGE_RAD * vehicle.steering_ratio
    if wheel_range < least:
        why = f"the steering wheel turned within {wheel_range:.3f} rad only (5th to 95th percentile), at least {least:.3f} are needed: drive curves"
        return [_straight_offset(samples, vehicle), *(Figure(name=name, seconds=samples.seconds, why_not=why) for name in names[1:])]
    fit = samples.with_constant().fit(lag_candidates(len(LAGS)))
    slope, constant = fit.beta
    slopes, constants = fit.resampled_beta.T
    if slope <= 0.0:
        why = "the vehicle turns right when the wheel turns left: mend the sign (factor) in the topic map"
        return [Figure(name=name, seconds=samples.seconds, why_not=why) for name in names]
    ratio, offset = 1.0 / slope, -constant / slope
    return [
        Figure.checked(names[0], samples.seconds, offset, fit.half_width(-constants / slopes), widest=WIDEST_OFFSET_RAD),
        Figure.checked(names[1], samples.seconds, ratio, fit.half_width(1.0 / slopes), widest=WIDEST_RATIO * ratio),
        _delay(names[2], samples.seconds, fit),
    ]


def _straight_offset(samples: "Samples", vehicle: VehicleSpec) -> Figure:
    """Of straight driving, where the file's steering ratio hardly matters."""
    name, straight = "steering_offset_rad", samples.where(np.abs(samples.target) < STRAIGHT_1PM * vehicle.wheelbase_m)
    why_not = straight.too_few("straight on")
    if why_not:
        return Figure(name=name, seconds=straight.seconds, why_not=why_not)
    wheel = straight.columns[:, -LAGS[0]] - vehicle.steering_ratio * straight.target
    fit = Samples(columns=np.ones((len(wheel), 1)), target=wheel, block=straight.block, weight=straight.weight).fit(np.array([[0]]))
    return Figure.checked(name, straight.seconds, float(fit.beta[0]), fit.half_width(fit.resampled_beta[:, 0]), widest=WIDEST_OFFSET_RAD)


def _turning(drive: Mapping[str, Floats], steering: Floats | None, vehicle: VehicleSpec) -> "Samples":
    """Steering at all lags (N, L), and the angle of the road wheels that the motion tells of (N,), weighted by what noise of the yaw
    rate does to it."""
    if steering is None or "speed_mps" not in drive or "yaw_rate_radps" not in drive:
        return Samples.none(len(LAGS))
    speed, yaw_rate = drive["speed_mps"], drive["yaw_rate_radps"]
    is_fast = (speed >= WHEELBASES_PER_S * vehicle.wheelbase_m) & (np.abs(speed * yaw_rate) <= MAX_LATERAL_MPS2)
    angle = np.arctan(vehicle.wheelbase_m * yaw_rate / np.where(is_fast, speed, np.inf))
    return Samples.lagged(steering, target=np.where(is_fast, angle, np.nan), weight=speed**2)


def _when_turning(vehicle: VehicleSpec) -> str:
    return f"faster than {WHEELBASES_PER_S * vehicle.wheelbase_m:.1f} m/s"


def _command_delays(drives: Drives, vehicle: VehicleSpec) -> list[Figure]:
    """Of the commanded curvature to the motion's, and of the commanded speed to the speed."""
    turning = Samples.of([_turning(drive, _commanded_angle(drive, vehicle), vehicle) for drive in drives])
    latency = _command_delay(
        "actuation_latency_s",
        turning,
        absent=_absent(drives, "speed_mps", "yaw_rate_radps") or (_absent(drives, "command_steering_wheel_rad") and _absent(drives, "command_yaw_rate_radps")),
        when=_when_turning(vehicle),
        least=MIN_ROAD_WHEEL_RANGE_RAD,
        what="rad of the road wheels",
    )
    speeds = []
    for drive in drives:
        if {"command_speed_mps", "speed_mps"} <= set(drive):
            told, speed = drive["command_speed_mps"], drive["speed_mps"]
            speeds.append(Samples.lagged(told, target=np.where(speed > MIN_PEDAL_SPEED_MPS, speed, np.nan), weight=np.ones(len(speed))))
    speed_delay = _command_delay(
        "speed_delay_s",
        Samples.of(speeds),
        absent=_absent(drives, "command_speed_mps", "speed_mps"),
        when=f"faster than {MIN_PEDAL_SPEED_MPS:g} m/s",
        least=MIN_SPEED_RANGE_MPS,
        what="m/s",
    )
    return [latency, speed_delay]


def _commanded_angle(drive: Mapping[str, Floats], vehicle: VehicleSpec) -> Floats | None:
    """(N,) road wheel angle that was commanded, by steering wheel angle or by a twist."""
    if "command_steering_wheel_rad" in drive:
        return drive["command_steering_wheel_rad"] / vehicle.steering_ratio
    if not {"command_yaw_rate_radps", "command_speed_mps"} <= set(drive):
        return None
    speed = drive["command_speed_mps"]
    return np.arctan(vehicle.wheelbase_m * drive["command_yaw_rate_radps"] / np.where(speed > MIN_PEDAL_SPEED_MPS, speed, np.nan))


def _command_delay(name: str, samples: "Samples", *, absent: str, when: str, least: float, what: str) -> Figure:
    why_not = absent or samples.too_few(when)
    if not why_not and (extent := _spread(samples.columns[:, -LAGS[0]])) < least:
        why_not = f"the command varied within {extent:.3g} {what} only (5th to 95th percentile), at least {least:g} are needed"
    if why_not:
        return Figure(name=name, seconds=samples.seconds, why_not=why_not)
    return _delay(name, samples.seconds, samples.with_constant().fit(lag_candidates(len(LAGS))))


def _delay(name: str, seconds: float, fit: "Fit") -> Figure:
    if fit.index in (0, len(LAGS) - 1):
        return Figure(name=name, seconds=seconds, why_not=f"the best lag is {LAGS[fit.index] * STEP_S:g} s, at the edge of those tried: no delay of this kind")
    return _delay_figure(name, seconds, fit, float(LAGS[0]))


def _delay_figure(name: str, seconds: float, fit: "Fit", first_lag: float) -> Figure:
    """No more certain than half a step: signals come interpolated from 10 to 50 Hz."""
    half_width = max(fit.half_width(np.array([vertex(row) for row in fit.resampled_residual]) * STEP_S), STEP_S / 2.0)
    return Figure.checked(name, seconds, (first_lag + vertex(fit.residual)) * STEP_S, half_width, widest=WIDEST_DELAY_S)


# Throttle and brake.


def _pedals(drives: Drives) -> list[Figure]:
    names = [
        *("pedal_delay_s", "longitudinal.throttle_gain_mps2", "longitudinal.throttle_dead_band"),
        *("longitudinal.brake_gain_mps2", "longitudinal.brake_dead_band", *(f"longitudinal.{drag}" for drag in DRAGS)),
    ]
    why_not = _absent(drives, "throttle", "brake", "speed_mps")
    drives_with_pedals = [drive for drive in drives if {"throttle", "brake", "speed_mps"} <= set(drive)]
    lagged = Samples.of([_pushed(drive, lags=PEDAL_LAGS, dead_bands=np.zeros((2, 1))) for drive in drives_with_pedals])
    why_not = why_not or lagged.too_few(f"faster than {MIN_PEDAL_SPEED_MPS:g} m/s")
    if why_not:
        return [Figure(name=name, seconds=lagged.seconds, why_not=why_not) for name in names]
    count = len(PEDAL_LAGS)
    excited = [_spread(lagged.columns[:, first]) >= MIN_PEDAL_RANGE for first in (0, count)]
    if not any(excited):
        why_not = f"neither pedal moved by {MIN_PEDAL_RANGE} of its travel (5th to 95th percentile): accelerate and brake"
        return [Figure(name=name, seconds=lagged.seconds, why_not=why_not) for name in names]
    candidates = np.array([[k, count + k, *(2 * count + np.arange(len(DRAGS)))] for k in range(count)])
    dead_bands = np.zeros(2)
    for _ in range(2):  # the dead bands hardly matter to the delay, but a little
        lagged = Samples.of([_pushed(drive, lags=PEDAL_LAGS, dead_bands=dead_bands[:, None]) for drive in drives_with_pedals])
        fit = lagged.fit(candidates)
        pedals, dead_bands = _pedals_at(drives_with_pedals, vertex(fit.residual), excited)
    delay = _delay_figure(names[0], lagged.seconds, fit, float(PEDAL_LAGS[0]))
    # Pedals and acceleration that are out of step by a little bend the drag more than noise does: it belongs into the intervals.
    others = [_pedals_at(drives_with_pedals, vertex(fit.residual) + side, excited)[0] for side in (-0.5, 0.5)]
    return [delay, *(figure.widened(other) for figure, *other in zip(pedals, *others, strict=True))]


def _pedals_at(drives: Drives, lag: float, excited: Sequence[bool]) -> tuple[list[Figure], Floats]:
    """As _pedal_figures, with pedals that act after this many steps."""
    lags = np.clip([lag], *PEDAL_LAGS[[0, -1]])
    samples = Samples.of([_pushed(drive, lags=lags, dead_bands=np.tile(DEAD_BANDS, (2, 1))) for drive in drives])
    return _pedal_figures(samples, excited, top_mps=float(-samples.columns[:, -2].min()))


def _pedal_figures(samples: "Samples", excited: Sequence[bool], *, top_mps: float) -> tuple[list[Figure], Floats]:
    """Gains, dead bands and drag, and the best dead bands (2,); drag terms that cannot be told from the others are left out, one
    after the other."""
    bands, seconds = len(DEAD_BANDS), samples.seconds
    grids = [np.arange(bands) + bands * pedal if excited[pedal] else np.array([bands * pedal]) for pedal in (0, 1)]
    pairs = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, 2)
    drags: dict[str, Figure] = {}
    terms = tuple(range(len(DRAGS)))
    while True:
        fit = samples.fit(np.column_stack([pairs, *(np.full(len(pairs), 2 * bands + term) for term in terms)]))
        found = [
            Figure.checked(DRAGS[term], seconds, float(fit.beta[2 + i]), fit.half_width(fit.resampled_beta[:, 2 + i]), widest=WIDEST_DRAG_MPS2 / top_mps**term)
            for i, term in enumerate(terms)
        ]
        drags |= {figure.name: figure for figure in found}
        dropped = next((figure for figure in found[1:] if figure.value is None or figure.value < CLEAR * figure.half_width), None)
        if dropped is None:
            break
        why_not = f"at speeds up to {top_mps:.1f} m/s it cannot be told from the other drag, which holds its share"
        drags[DRAGS[terms[1]]] = Figure(name=DRAGS[terms[1]], seconds=seconds, why_not=why_not)
        terms = (0, *terms[2:])
    rolling = drags[DRAGS[0]]
    if rolling.value is not None and rolling.value < 0.0:
        drags[DRAGS[0]] = Figure(name=DRAGS[0], seconds=seconds, why_not=f"comes out as {rolling.value:.3g} m/s², below 0: record on level roads")
    figures = []
    for pedal, name in enumerate(("throttle", "brake")):
        gain_name, band_name = f"longitudinal.{name}_gain_mps2", f"longitudinal.{name}_dead_band"
        pressed = samples.columns[:, bands * pedal] * (1.0 if pedal == 0 else -1.0)
        pressed_s = float((pressed > 0.02).sum()) * STRIDE * STEP_S
        if not excited[pedal]:
            why_not = f"the {name} moved within {_spread(pressed):.2g} of its travel only (5th to 95th percentile), at least {MIN_PEDAL_RANGE} are needed"
            figures += [Figure(name=n, seconds=pressed_s, why_not=why_not) for n in (gain_name, band_name)]
            continue
        gain, gains = float(fit.beta[pedal]), fit.resampled_beta[:, pedal]
        chosen = DEAD_BANDS[pairs[fit.index, pedal] - bands * pedal]
        resampled = DEAD_BANDS[pairs[fit.resampled_index, pedal] - bands * pedal]
        figures += [
            Figure.checked(gain_name, pressed_s, gain, fit.half_width(gains), widest=max(WIDEST_GAIN * gain, 0.0)),
            Figure.checked(band_name, pressed_s, float(chosen), max(fit.half_width(resampled), float(DEAD_BANDS[1])), widest=WIDEST_DEAD_BAND),
        ]
    best = pairs[fit.index] - bands * np.arange(2)
    return figures + [replace(drags[drag], name=f"longitudinal.{drag}") for drag in DRAGS], DEAD_BANDS[best]


def _pushed(drive: Mapping[str, Floats], *, lags: Floats, dead_bands: Floats) -> "Samples":
    """Mean acceleration over windows (N,), and what it is the sum of: throttle beyond its dead band, brake, drag (N, columns), the
    pedals for each lag and for each of their dead bands (2, D)."""
    length, speed = round(WINDOW_S / STEP_S), drive["speed_mps"]
    starts = np.arange(int(lags[-1]) + 1, len(speed) - length, STRIDE)
    pushes = [
        _between(_window_means(sign * np.maximum(drive[name] - band, 0.0), length), starts - lag)
        for name, sign, bands in (("throttle", 1.0, dead_bands[0]), ("brake", -1.0, dead_bands[1]))
        for lag in lags.tolist()
        for band in bands.tolist()
    ]
    powers = [_window_means(-(speed**power), length)[starts] for power in range(len(DRAGS))]
    columns = np.stack([*pushes, *powers], axis=1) if len(starts) else np.zeros((0, len(pushes) + len(powers)))
    target = (speed[starts + length] - speed[starts]) / WINDOW_S
    is_rolling = _window_means(np.where(speed >= MIN_PEDAL_SPEED_MPS, 1.0, np.nan), length)[starts] == 1.0
    return Samples.at(starts, columns=columns, target=np.where(is_rolling, target, np.nan), weight=np.ones(len(starts)))


def _between(values: Floats, index: Floats) -> Floats:
    """(N,) values at indices with parts, linear."""
    whole = np.floor(index).astype(np.int64)
    part = index - whole
    return (1.0 - part) * values[whole] + part * values[whole + 1]


def _window_means(values: Floats, length: int) -> Floats:
    """(N,) mean over the `length` steps from each value on, by trapezes, NaN where one is missing or the end is near."""
    sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num((values[1:] + values[:-1]) / 2.0))])
    missing = np.concatenate([[0], np.cumsum(np.isnan(values[1:] + values[:-1]))])
    means = np.full(len(values), np.nan)
    if len(values) > length:
        means[:-length] = np.where(missing[length:] == missing[:-length], (sums[length:] - sums[:-length]) / length, np.nan)
    return means


def _spread(values: Floats) -> float:
    low, high = np.percentile(values, [5, 95])
    return float(high - low)


def _absent(drives: Drives, *names: str) -> str:
    """Which of the signals no drive has, in words; empty when one drive has them all."""
    if any(set(names) <= set(drive) for drive in drives):
        return ""
    lacking = [name for name in names if not any(name in drive for drive in drives)]
    return f"no {', '.join(lacking) or 'drive with all of ' + ', '.join(names)} in the recording"
