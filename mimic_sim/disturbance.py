"""Seeded pushes for recordings: a learner has to see the states that its own mistakes will lead to.

In about a third of the time one of three things happens, and the label stays the expert's answer to where the car is:
- steer: the commanded curvature is off, as by a hand that slips (half a sine over 0.8 to 1.6 s);
- push: the car is moved sideways and turned within 0.6 s, as by a gust (up to 1.2 m and 6°);
- speed: the commanded speed is off by up to 1.5 m/s for 1.5 to 3 s.
"""

from dataclasses import dataclass

import numpy as np

from mimic_sim.ego import CALM, Drift

STEER, PUSH, SPEED = "steer", "push", "speed"
SHARE = 1.0 / 3.0
RECOVERY_S = 1.5  # counted as disturbed: the car is still on its way back
PUSH_S = 0.6


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One disturbance: what it does at its strongest. curvature is a share of what gives 1 m/s² at the speed driven."""

    kind: str
    start_s: float
    duration_s: float
    lateral_acceleration_mps2: float = 0.0
    left_m: float = 0.0
    turn_rad: float = 0.0
    speed_mps: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """What is added during one tick: to the commanded speed and curvature, and to the car's motion."""

    speed_mps: float = 0.0
    curvature_1pm: float = 0.0
    drift: Drift = CALM


NONE = Deviation()


class Disturbance:
    """The episodes of one drive, all fixed by the seed."""

    def __init__(self, *, seed: int, duration_s: float) -> None:
        rng = np.random.default_rng([seed, 23])
        episodes, time_s = [], 8.0  # first the car gets going
        while time_s < duration_s:
            episode = _episode(rng, time_s)
            episodes.append(episode)
            disturbed_s = episode.duration_s + RECOVERY_S
            time_s += disturbed_s + disturbed_s * (1.0 - SHARE) / SHARE * float(rng.uniform(0.5, 1.5))
        self.episodes = tuple(episodes)

    def at(self, time_s: float, *, speed_mps: float) -> Deviation:
        """The deviation at this time of the drive; nothing below 3 m/s."""
        episode = next((e for e in self.episodes if e.start_s <= time_s < e.start_s + e.duration_s), None)
        if episode is None or speed_mps < 3.0:
            return NONE
        bump = float(np.sin(np.pi * (time_s - episode.start_s) / episode.duration_s))
        if episode.kind == STEER:
            return Deviation(curvature_1pm=bump * episode.lateral_acceleration_mps2 / max(speed_mps, 5.0) ** 2)
        if episode.kind == PUSH:
            peak = np.pi / 2.0 * bump / episode.duration_s  # a bump of area one
            return Deviation(drift=Drift(left_mps=peak * episode.left_m, yaw_rate_radps=peak * episode.turn_rad))
        return Deviation(speed_mps=bump * episode.speed_mps)


def _episode(rng: np.random.Generator, start_s: float) -> Episode:
    kind = str(rng.choice([STEER, PUSH, PUSH, SPEED]))
    side = float(rng.choice([-1.0, 1.0]))
    if kind == STEER:
        strength = side * float(rng.uniform(0.7, 2.0))
        return Episode(kind=kind, start_s=start_s, duration_s=float(rng.uniform(0.8, 1.6)), lateral_acceleration_mps2=strength)
    if kind == PUSH:
        left, turn = side * float(rng.uniform(0.2, 1.2)), np.radians(float(rng.uniform(-6.0, 6.0)))
        return Episode(kind=kind, start_s=start_s, duration_s=PUSH_S, left_m=left, turn_rad=float(turn))
    return Episode(kind=kind, start_s=start_s, duration_s=float(rng.uniform(1.5, 3.0)), speed_mps=side * float(rng.uniform(0.5, 1.5)))
