"""Where a vehicle is on its route, and what a navigation system would tell it there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.motion import wrap_angle
from mimic_contracts.navigation import POINT_EVERY_M, RouteFile, command_at
from mimic_contracts.observation import ROUTE_POINTS

STEP_M = 1.0  # between the places that are looked at
BEHIND_M, AHEAD_M = 10.0, 50.0  # of where it was: there the vehicle is looked for first
SAME_WAY_RAD = np.pi / 2.0  # a vehicle that heads elsewhere is on the way back, or on another road


@dataclass(frozen=True, eq=False)
class Guidance:
    """command: of ROUTE_COMMANDS; points_m: (N, 2) the next points, in the route's frame; offset_m: how far beside the route the
    vehicle is, infinite where it nowhere heads along it; station_m: along the route; left_m: to its end, infinite where it is closed.
    Beside the route there is nothing to tell: follow, no points."""

    command: str
    points_m: NDArray[np.float64]
    offset_m: float
    station_m: float
    left_m: float


class RouteFollower:
    """Follows a vehicle along one route; where that passes a place twice, by where the vehicle has been before."""

    def __init__(self, route: RouteFile, *, max_offset_m: float) -> None:
        ring_m = route.ring_m
        stations_m = np.append(0.0, np.cumsum(np.hypot(*np.diff(ring_m, axis=0).T)))
        self._route, self._max_offset_m, self._length_m = route, max_offset_m, float(stations_m[-1])
        self._s_m = np.linspace(0.0, self._length_m, max(int(self._length_m / STEP_M), 1) + 1)
        self._places_m = np.stack([np.interp(self._s_m, stations_m, ring_m[:, axis]) for axis in (0, 1)], axis=1)
        self._yaw_rad = np.arctan2(*np.gradient(self._places_m, axis=0).T[::-1])
        told_m = np.arange(0.0, self._length_m - (POINT_EVERY_M / 2.0 if route.closed else 0.0), POINT_EVERY_M)
        self._told_s_m, self._told_m = told_m, np.stack([np.interp(told_m, self._s_m, self._places_m[:, axis]) for axis in (0, 1)], axis=1)
        self._station_m: float | None = None

    def at(self, pose: NDArray[np.float64]) -> Guidance:
        """What to tell a vehicle at a pose (3,) [x_m, y_m, yaw_rad] of the route's frame."""
        away_m = np.hypot(*(self._places_m - pose[:2]).T)
        away_m[np.abs(wrap_angle(self._yaw_rad - pose[2])) > SAME_WAY_RAD] = np.inf
        nearby_m = away_m
        if self._station_m is not None:
            ahead_m = self._s_m - self._station_m
            if self._route.closed:
                ahead_m = (ahead_m + BEHIND_M) % self._length_m - BEHIND_M
            nearby_m = np.where((ahead_m >= -BEHIND_M) & (ahead_m <= AHEAD_M), away_m, np.inf)
            if nearby_m.min() > self._max_offset_m:
                nearby_m = away_m  # it was lifted to another place, or has taken a short cut
        place = int(nearby_m.argmin())
        offset_m, station_m = float(nearby_m[place]), float(self._s_m[place])
        if offset_m > self._max_offset_m:
            self._station_m = None
            return Guidance("follow", np.zeros((0, 2)), offset_m, station_m, np.inf)
        self._station_m = station_m
        left_m = np.inf if self._route.closed else self._length_m - station_m
        return Guidance(self._command(station_m), self._ahead_m(station_m), offset_m, station_m, left_m)

    def _command(self, station_m: float) -> str:
        """Of a closed route, also what comes after its first point, when that is near."""
        told = command_at(self._route.manoeuvres, station_m)
        return command_at(self._route.manoeuvres, station_m - self._length_m) if told == "follow" and self._route.closed else told

    def _ahead_m(self, station_m: float) -> NDArray[np.float64]:
        first = int(np.searchsorted(self._told_s_m, station_m, side="right"))
        which = np.arange(first, first + ROUTE_POINTS)
        return self._told_m[which % len(self._told_m) if self._route.closed else which[which < len(self._told_m)]]
