"""What is identified from driving: the true values within the intervals, and no word on what the driving doesn't tell."""

import numpy as np
import pytest

from mimic_contracts.vehicle import load_vehicle
from vehicle_interface.identification import Figure, identify
from vehicle_interface.regression import STEP_S

CAR = load_vehicle("pedal_car")
MODEL = CAR.longitudinal
TRUE = {
    "steering_offset_rad": 0.06,
    "steering_ratio": 15.4,
    "steering_delay_s": 0.13,
    "pedal_delay_s": 0.21,  # 0.2, and half a step for which a pedal is held
    **{f"longitudinal.{name}": getattr(MODEL, name) for name in ("throttle_gain_mps2", "throttle_dead_band", "brake_gain_mps2", "brake_dead_band")},
    **{f"longitudinal.{name}": getattr(MODEL, name) for name in ("rolling_mps2", "linear_drag_1ps", "quadratic_drag_1pm")},
}
PEDAL_STEPS = 10


def wandering(rng, count, *, correlated_s, size):
    """Coloured noise (count,), smooth over 0.4 s."""
    kept, values = np.exp(-STEP_S / correlated_s), [0.0]
    for push in rng.normal(size=count - 1) * size * np.sqrt(1.0 - kept**2):
        values.append(kept * values[-1] + push)
    return np.convolve(values, np.ones(20) / 20.0, "same")


def driving(seed=0, *, seconds=200.0, mean_mps=8.0, swing_mps=4.0, wheel_rad=0.5, noise=1.0, slope_mps2=0.0, brakes=True):
    """Signals of a drive: a speed that swings and wanders, driven by pedals, and a steering wheel that wanders."""
    rng, count = np.random.default_rng(seed), round(seconds / STEP_S)
    times = np.arange(count) * STEP_S
    wanted = mean_mps + swing_mps * np.sin(times * 2.0 * np.pi / 25.0 + rng.uniform(0.0, 6.0)) + wandering(rng, count, correlated_s=4.0, size=0.25 * swing_mps)
    speed, throttle, brake = np.full(count, mean_mps), np.zeros(count), np.zeros(count)
    for i in range(count - 1):
        force = 1.2 * (wanted[i] - speed[i]) + MODEL.drag_mps2(speed[i]) - slope_mps2
        throttle[i] = min(MODEL.throttle_dead_band + force / MODEL.throttle_gain_mps2, 1.0) if force > 0.0 else 0.0
        brake[i] = min(MODEL.brake_dead_band - force / MODEL.brake_gain_mps2, 1.0) if force < -0.05 and brakes else 0.0
        push = MODEL.throttle_gain_mps2 * max(throttle[i - PEDAL_STEPS] - MODEL.throttle_dead_band, 0.0)
        stop = MODEL.brake_gain_mps2 * max(brake[i - PEDAL_STEPS] - MODEL.brake_dead_band, 0.0)
        speed[i + 1] = max(speed[i] + (push - stop - MODEL.drag_mps2(speed[i]) + slope_mps2) * STEP_S, 0.0)
    wheel = wandering(rng, count, correlated_s=3.0, size=wheel_rad)
    turned = np.interp(times - TRUE["steering_delay_s"], times, wheel)
    noisy = {"speed_mps": 0.02, "yaw_rate_radps": 0.01, "steering_wheel_rad": 0.002}
    clean = {
        "speed_mps": speed,
        "yaw_rate_radps": speed * np.tan(turned / TRUE["steering_ratio"]) / CAR.wheelbase_m,
        "steering_wheel_rad": wheel + TRUE["steering_offset_rad"],
        "throttle": throttle,
        "brake": brake,
    }
    return {name: values + rng.normal(size=count) * noise * noisy.get(name, 0.0) for name, values in clean.items()}


def found(*drives, car=CAR):
    return {figure.name: figure for figure in identify(drives, car)}


def without(drive, *names):
    return {name: values for name, values in drive.items() if name not in names}


def steered(*arguments, **options):
    """A drive whose pedals were not recorded."""
    return without(driving(*arguments, **options), "throttle", "brake")


def test_true_values_lie_within_the_intervals_19_times_of_20():
    """And the intervals are narrow enough to be worth something."""
    within, counted, widths = 0, 0, {}
    for seed in range(4):
        for name, figure in found(driving(seed)).items():
            if figure.value is not None:
                widths.setdefault(name, []).append(figure.half_width)
                within, counted = within + (abs(figure.value - TRUE[name]) <= figure.half_width), counted + 1
    assert set(widths) == set(TRUE) - {"longitudinal.linear_drag_1ps"}
    assert counted >= 38 and within / counted >= 0.95
    assert np.mean(widths["steering_offset_rad"]) < 0.005 and np.mean(widths["steering_ratio"]) < 0.2
    assert np.mean(widths["longitudinal.throttle_gain_mps2"]) < 0.1 and np.mean(widths["longitudinal.brake_gain_mps2"]) < 0.3


def test_all_drag_terms_are_told_apart_where_there_is_no_noise():
    """From drives at different speeds."""
    figures = found(driving(1, mean_mps=6.0, noise=0.0), driving(2, mean_mps=20.0, noise=0.0), driving(3, mean_mps=35.0, swing_mps=6.0, noise=0.0))
    quadratic = figures["longitudinal.quadratic_drag_1pm"]
    assert quadratic.value == pytest.approx(MODEL.quadratic_drag_1pm, abs=1e-4)


def test_outliers_change_little():
    drive = steered(4)
    hit = np.random.default_rng(5).random(len(drive["yaw_rate_radps"])) < 0.03
    drive["yaw_rate_radps"] = np.where(hit, 1.0, drive["yaw_rate_radps"])
    assert found(drive)["steering_ratio"].value == pytest.approx(15.4, abs=0.4)


def test_gaps_and_several_drives():
    drive = driving(6)
    for values in drive.values():
        values[3000:4000] = np.nan
    figures = found(drive, without(driving(7), "steering_wheel_rad"), {})
    assert figures["steering_ratio"].value == pytest.approx(15.4, abs=0.3) and 100.0 < figures["steering_ratio"].seconds < 190.0
    assert figures["longitudinal.brake_gain_mps2"].value == pytest.approx(9.0, abs=0.4)
    assert found({name: values[:10] for name, values in drive.items()})["pedal_delay_s"].why_not.startswith("0 s of driving")


@pytest.mark.parametrize("command", ["twist", "steering wheel"])
def test_delays_of_commands(command):
    """The motion of a drive, and commands as they were 0.24 s (steering) and 0.4 s (speed) before."""
    drive = without(driving(8), "throttle", "brake", "steering_wheel_rad")
    times = np.arange(len(drive["speed_mps"])) * STEP_S
    clean = driving(8, noise=0.0)
    curvature = np.interp(times + 0.24, times, clean["yaw_rate_radps"] / clean["speed_mps"])
    drive["command_speed_mps"] = np.interp(times + 0.4, times, clean["speed_mps"])
    if command == "twist":
        drive["command_yaw_rate_radps"] = drive["command_speed_mps"] * curvature
    else:
        drive["command_steering_wheel_rad"] = CAR.steering_ratio * np.arctan(CAR.wheelbase_m * curvature)
    figures = found(drive)
    for name, true in (("actuation_latency_s", 0.24), ("speed_delay_s", 0.4)):
        assert abs(figures[name].value - true) <= figures[name].half_width <= 0.05
    assert figures["steering_ratio"].why_not == "no steering_wheel_rad in the recording"


# What cannot be told.


def test_what_was_not_recorded():
    assert {figure.why_not[:3] for figure in identify([], CAR)} == {"no "}
    figures = found(without(driving(9, seconds=60.0), "brake"), without(driving(9, seconds=60.0), "throttle"))
    assert figures["pedal_delay_s"].why_not == "no drive with all of throttle, brake, speed_mps in the recording"


def test_a_short_drive_tells_nothing():
    assert all(figure.value is None for figure in identify([driving(10, seconds=30.0)], CAR))
    assert "at least 50 s are needed" in found(driving(10, seconds=30.0))["steering_ratio"].why_not


def test_a_straight_road_tells_the_offset_but_not_the_ratio():
    figures = found(steered(11, wheel_rad=0.01))
    assert abs(figures["steering_offset_rad"].value - 0.06) <= figures["steering_offset_rad"].half_width < 0.01
    for name in ("steering_ratio", "steering_delay_s"):
        assert "drive curves" in figures[name].why_not


def test_a_circle_tells_neither():
    drive = steered(12, wheel_rad=0.01)
    drive["yaw_rate_radps"] = drive["yaw_rate_radps"] + drive["speed_mps"] * 0.05
    figures = found(drive)
    assert "straight on" in figures["steering_offset_rad"].why_not and "drive curves" in figures["steering_ratio"].why_not


def test_a_wrong_sign_is_told():
    drive = steered(13, seconds=100.0)
    figures = found(drive | {"yaw_rate_radps": -drive["yaw_rate_radps"]})
    assert all("mend the sign" in figures[n].why_not for n in ("steering_offset_rad", "steering_delay_s"))


def test_commands_that_are_not_followed_have_no_delay():
    drive = steered(14, seconds=100.0)
    drive["command_speed_mps"] = np.full(len(drive["speed_mps"]), 8.0)
    assert "varied within 0 m/s only" in found(drive)["speed_delay_s"].why_not
    drive["command_speed_mps"] = np.roll(drive["speed_mps"], 500)
    assert found(drive)["speed_delay_s"].value is None


def test_constant_speed_tells_nothing_of_the_pedals():
    figures = found(driving(15, swing_mps=0.0))
    assert all(figure.value is None for name, figure in figures.items() if name.startswith("longitudinal"))
    assert "neither pedal moved" in figures["longitudinal.throttle_gain_mps2"].why_not


def test_a_drive_without_braking_tells_of_the_throttle_alone():
    figures = found(driving(16, mean_mps=12.0, brakes=False))
    assert figures["longitudinal.throttle_gain_mps2"].value == pytest.approx(4.0, abs=0.4)
    assert all("the brake moved within" in figures[f"longitudinal.{name}"].why_not for name in ("brake_gain_mps2", "brake_dead_band"))


def test_a_road_downhill_is_no_rolling_resistance():
    assert found(driving(17, slope_mps2=0.6))["longitudinal.rolling_mps2"].why_not.endswith("below 0: record on level roads")


def test_noise_makes_it_uncertain_not_wrong():
    figures = found(steered(18, noise=40.0))
    assert figures["steering_ratio"].value is None
    assert "record more" in figures["steering_ratio"].why_not


def test_an_interval_holds_what_other_assumptions_change():
    figure = Figure(name="x", seconds=1.0, value=1.0, half_width=0.3)
    others = [Figure(name="x", seconds=1.0, value=1.4), Figure(name="x", seconds=1.0, why_not="too short")]
    assert figure.widened(others).half_width == pytest.approx(0.5)
    assert others[1].widened([figure]) == others[1]
