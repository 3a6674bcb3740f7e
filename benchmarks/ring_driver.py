"""A policy for benchmarks: it drives the course `ring` at 50 km/h, along points of its lane's middle that come as the route."""

import numpy as np

from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import MimicError
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan

SPEED_MPS = 50.0 / 3.6
ACCELERATION_MPS2 = 1.8
POINTS_AT_M = (0.0, 20.0, 40.0, 60.0)  # along the lane from beside the vehicle: what whoever publishes the route sends
BESIDE_M, RETURN_M = 1.0, 12.0
REACH_M = np.linspace(0.0, 70.0, 141)


class RingDriver:
    """Along the cubic through the four points of the route, up to SPEED_MPS."""

    spec = CAR
    rig_name: str | None = None

    def reset(self) -> None:
        """Nothing is kept."""

    def plan(self, observation: Observation) -> Plan:
        """Raises MimicError without the four points, or a speed."""
        points, speed = observation.route.points_m, observation.ego.speed_mps
        if points.shape != (len(POINTS_AT_M), 2) or speed is None:
            raise MimicError(f"route: has {len(points)} points, speed is {speed}: must be {len(POINTS_AT_M)} and a number")
        bend = np.polynomial.Polynomial.fit(points[:, 0], points[:, 1], 3).convert()
        x = points[0, 0] + REACH_M
        y, slope = bend(x), bend.deriv()(x)
        if abs(y[0]) > BESIDE_M:  # a plan begins at the vehicle: back to the lane
            y = y - y[0] * (1.0 + REACH_M / RETURN_M) * np.exp(-REACH_M / RETURN_M)
            slope = np.gradient(y, x)
        arc = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        curvature = np.gradient(slope, x) / (1.0 + slope**2) ** 1.5
        change_s = np.minimum(CAR.times_s, abs(SPEED_MPS - speed) / ACCELERATION_MPS2)
        acceleration = float(np.sign(SPEED_MPS - speed) * ACCELERATION_MPS2)
        speeds = np.maximum(speed + acceleration * change_s, 0.0)
        way = np.concatenate([[0.0], np.cumsum((speeds[1:] + speeds[:-1]) / 2.0 * np.diff(CAR.times_s))])
        accelerations = np.where(change_s < CAR.times_s, 0.0, acceleration)
        along = [np.interp(way, arc, column) for column in (x, y, np.arctan(slope), curvature)]
        values = np.stack([*along[:3], speeds, accelerations, along[3]], axis=1)
        return Plan.single(stamp_ns=observation.stamp_ns, spec=CAR, values=values, model_id="ring_driver")
