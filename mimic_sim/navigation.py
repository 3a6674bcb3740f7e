"""What a navigation map tells of a way: rough points along its roads, metres beside where one drives."""

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.navigation import POINT_EVERY_M
from mimic_contracts.observation import ROUTE_POINTS
from mimic_sim.routing import Way

ERROR_M = 2.0  # standard deviation along each axis, of each point by itself
NAVIGATION_SALT = 11


class Navigation:
    """The points of one way, always the same for a seed."""

    def __init__(self, way: Way, *, seed: int) -> None:
        line = way.line
        self._is_closed = line.closed
        stations = np.arange(0.0, line.length_m - (POINT_EVERY_M / 2.0 if line.closed else 0.0), POINT_EVERY_M)
        errors = np.random.default_rng([seed, NAVIGATION_SALT]).normal(0.0, ERROR_M, (len(stations), 2))
        self._stations_m, self._points_m = stations, line.poses(stations)[:, :2] + errors

    def ahead_m(self, station_m: float) -> NDArray[np.float64]:
        """(N, 2) the next points beyond a station, at most ROUTE_POINTS, in the network's frame; fewer near an open way's end."""
        first = int(np.searchsorted(self._stations_m, station_m, side="right"))
        which = np.arange(first, first + ROUTE_POINTS)
        return self._points_m[which % len(self._stations_m) if self._is_closed else which[which < len(self._stations_m)]]
