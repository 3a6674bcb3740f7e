"""What is true around the car on its way, beyond what pictures of labels say: its lane, what holds it, whom it follows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.motion import to_frame, wrap_angle
from mimic_sim.actors import Actor
from mimic_sim.moment import Moment
from mimic_sim.right_of_way import waiting_lines, zebras
from mimic_sim.sight import STATES, Sight
from mimic_sim.world import World

AHEAD_M, LANE_STEP_M = 100.0, 2.0
LEAD_M, LEAD_HEADING_RAD = 80.0, np.radians(60.0)
PASSED_M = 1.0  # of the front bumper beyond a line that still holds the car


class GroundTruth:
    """Of one world; stations are of its way's line."""

    def __init__(self, world: World) -> None:
        self._way, self._vehicle = world.way, world.vehicle
        self._front_m = world.vehicle.length_m - world.vehicle.rear_overhang_m
        self._lines, self._zebras = waiting_lines(world.network, world.way), zebras(world.network, world.way)
        self._sight = Sight.of(world)

    def lane_ahead(self, moment: Moment, station_m: float) -> NDArray[np.float64]:
        """(N, 3) [x_m, y_m, yaw_rad] in the vehicle frame: the middle of the way's lane every LANE_STEP_M, from beside the car on."""
        line = self._way.line
        stations = station_m + np.arange(0.0, AHEAD_M + LANE_STEP_M / 2.0, LANE_STEP_M)
        return to_frame(line.poses(stations if line.closed else stations[stations <= line.length_m]), moment.ego.pose)

    def situation(self, moment: Moment, station_m: float) -> dict[str, Any]:
        """What a driver has to know, as JSON can hold it.

        route_command; speed_limit_mps and lane_width_m here; the next line that holds cars: stop_line (its rule, of
        STOP_RULES, and distance_m from the front bumper) and, at a signal, light (its state, of LIGHT_STATES, and
        whether a camera sees it); junction: the one that the bumper is in, or the next (start_m and end_m from the
        bumper); zebra: the next on the way (distance_m); lead: the next vehicle on the way (actor_id, kind, gap_m between bumpers,
        speed_mps). None where there is no such thing within AHEAD_M, or LEAD_M.
        """
        lane, bumper_m = self._way.lane_at(station_m), station_m + self._front_m
        line = next((line for line in self._lines if -PASSED_M <= line.station_m - bumper_m <= AHEAD_M), None)
        junction = next((m for m in self._way.manoeuvres if bumper_m <= m.end_m and m.start_m - bumper_m <= AHEAD_M), None)
        zebra = next((zebra for zebra in self._zebras if -PASSED_M <= zebra.start_m - bumper_m <= AHEAD_M), None)
        light = None
        if line is not None and line.link is not None:
            shown = line.link.shown(moment.signals)
            is_visible = line.lane_id in {lane_id for _, lane_id, _ in self._sight.lights(moment)}
            light = {"state": STATES.get(shown, STATES.get(shown.lower(), "unknown")), "is_visible": is_visible}
        return {
            "route_command": self._way.command_at(station_m),
            "speed_limit_mps": lane.speed_limit_mps,
            "lane_width_m": lane.width_m,
            "stop_line": None if line is None else {"rule": line.rule, "distance_m": round(line.station_m - bumper_m, 2)},
            "light": light,
            "junction": None if junction is None else {"start_m": round(junction.start_m - bumper_m, 2), "end_m": round(junction.end_m - bumper_m, 2)},
            "zebra": None if zebra is None else {"distance_m": round(zebra.start_m - bumper_m, 2)},
            "lead": self._lead(moment.actors, moment.ego.pose, bumper_m),
        }

    def _lead(self, actors: Sequence[Actor], pose: NDArray[np.float64], bumper_m: float) -> dict[str, Any] | None:
        line = self._way.line
        nearest_m, found = np.inf, None
        for actor in actors:
            if actor.kind == "pedestrian" or np.hypot(actor.x_m - pose[0], actor.y_m - pose[1]) > LEAD_M:
                continue
            station_m, offset_m = line.project(actor.x_m, actor.y_m)
            gap_m = station_m - actor.length_m / 2.0 - bumper_m
            turn_rad = float(wrap_angle(actor.yaw_rad - line.poses(np.array([station_m]))[0, 2]))
            is_before = station_m > bumper_m - self._front_m / 2.0 and abs(turn_rad) < LEAD_HEADING_RAD
            is_in_way = abs(offset_m) < (actor.width_m + self._vehicle.width_m) / 2.0
            if is_before and is_in_way and gap_m < nearest_m:
                nearest_m = gap_m
                found = {"actor_id": actor.actor_id, "kind": actor.kind, "gap_m": round(gap_m, 2), "speed_mps": actor.speed_mps}
        return found
