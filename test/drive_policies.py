"""Policies that go wrong, each in its own way, for `mimic drive` to survive; named as drive_policies:Class."""

import os
import signal
import time

import numpy as np

from mimic_contracts.action_spec import CAR, STEERING_ONLY
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan


class Slow:
    """Drives straight on at up to 3 m/s, until 1 s after the start something happens."""

    spec = CAR
    rig_name: str | None = None

    def reset(self) -> None:
        self.ticks = 0

    def plan(self, observation: Observation) -> Plan:
        self.ticks += 1
        if self.ticks == 20:
            self.go_wrong()
        speed = observation.ego.speed_mps or 0.0
        acceleration = float(np.clip(3.0 - speed, -1.0, 1.0))
        way = speed * CAR.times_s + acceleration * CAR.times_s**2 / 2.0
        zero = np.zeros_like(way)
        values = np.stack([way, zero, zero, np.maximum(speed + acceleration * CAR.times_s, 0.0), zero + acceleration, zero], axis=1)
        return Plan.single(stamp_ns=observation.stamp_ns, spec=CAR, values=self.spoilt(values), model_id="slow")

    def go_wrong(self) -> None:
        """Nothing, here."""

    def spoilt(self, values: np.ndarray) -> np.ndarray:
        return values


class Looks(Slow):
    """Drives by its pictures: never faster than there is light."""

    rig_name = "mono"

    def plan(self, observation: Observation) -> Plan:
        self.light = float(observation.frames["front"].image.mean()) / 255.0
        return super().plan(observation)

    def spoilt(self, values: np.ndarray) -> np.ndarray:
        return values * self.light


class Hangs(Slow):
    def go_wrong(self) -> None:
        time.sleep(3600.0)


class HangsInReset(Slow):
    def reset(self) -> None:
        time.sleep(3600.0)


class RaisesInReset(Slow):
    def reset(self) -> None:
        raise RuntimeError("no luck at all")


class Raises(Slow):
    def go_wrong(self) -> None:
        raise RuntimeError("out of luck")


class Dies(Slow):
    def go_wrong(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Exits(Slow):
    def go_wrong(self) -> None:
        raise SystemExit(3)


class NotANumber(Slow):
    def spoilt(self, values: np.ndarray) -> np.ndarray:
        return values * (np.nan if self.ticks >= 20 else 1.0)


class WrongSpec(Slow):
    spec = STEERING_ONLY

    def plan(self, observation: Observation) -> Plan:
        return Plan.single(stamp_ns=observation.stamp_ns, spec=STEERING_ONLY, values=np.zeros((1, 1)), model_id="wheel")


class WrongRig(Slow):
    rig_name = "quad"


class Unborn(Slow):
    def __init__(self) -> None:
        raise RuntimeError("no model")


class InterruptedInExec(Slow):
    def __init__(self) -> None:
        exec("signal.raise_signal(signal.SIGINT)")
