"""The Scene that the rig can see, from ground truth: what perfect perception heads beside a map would tell a planner."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.motion import to_frame
from mimic_contracts.scene import Agent, Scene, SceneLane, StopLine, TrafficLight
from mimic_sim.actors import Actor
from mimic_sim.right_of_way import SIGNAL, link_of
from mimic_sim.road_network import Lane, Path
from mimic_sim.sight import Seen

if TYPE_CHECKING:
    from mimic_sim.world import World

LANES_M, ROUTE_M, CROSSINGS_M = 70.0, 100.0, 60.0  # how far lanes around, the route ahead, and zebras reach
BEHIND_M = 10.0

Points = NDArray[np.float64]


class SceneTruth:
    """Makes Scenes of one world. Agents and lights are those of a Sight; the map's lanes, lines and zebras are those near."""

    def __init__(self, world: "World") -> None:
        network = world.network
        self._way_ids = [lane.lane_id for lane in world.way.lanes]
        self._lanes = network.lanes
        self._middles = np.array([lane.centre_m[len(lane.centre_m) // 2] for lane in network.lanes])
        self._reach = np.array([np.hypot(*(lane.centre_m - middle).T).max() for lane, middle in zip(network.lanes, self._middles, strict=True)])
        by_id = {lane.lane_id: lane for lane in network.lanes}
        self._lines = [
            (line.lane_id, SIGNAL if _has_signal(world, by_id[line.lane_id]) else line.rule, np.stack([line.left_m, line.right_m]))
            for line in network.stop_lines
        ]
        self._crossings = [_outline(path) for path in network.crossings]
        self._areas = [area.outline_m for area in network.junctions]
        self._ids: dict[str, int] = {}

    def scene(self, seen: Seen, *, station_lane: str) -> Scene:
        """What is in view at a moment; station_lane: the lane of the way that the car is on."""
        ego = seen.moment.ego.pose
        near = np.flatnonzero(np.hypot(*(self._middles - ego[:2]).T) < LANES_M + self._reach)
        ahead = self._way_ids[max(self._way_ids.index(station_lane) - 1, 0) :]
        lanes = [_scene_lane(lane, ego, on_route=lane.lane_id in ahead) for lane in (self._lanes[i] for i in near)]
        kept = tuple(lane for lane in lanes if lane is not None)
        names = {lane.lane_id for lane in kept}
        return Scene(
            lanes=kept,
            drivable_area=tuple(o for o in (_in_frame(area, ego) for area in self._areas) if _is_near(o, CROSSINGS_M)),
            crossings=tuple(o for o in (_in_frame(outline, ego) for outline in self._crossings) if _is_near(o, CROSSINGS_M)),
            agents=tuple(self._agent(actor, ego) for actor in seen.moment.actors),
            lights=tuple(
                TrafficLight(state=state, position_m=np.append(_in_frame(signal.position_m[None, :2], ego)[0], signal.position_m[2]), lane_id=lane_id)
                for signal, lane_id, state in seen.lights
            ),
            stop_lines=tuple(StopLine(lane_id=name, rule=rule, ends_m=_in_frame(ends, ego)) for name, rule, ends in self._lines if name in names),
        )

    def _agent(self, actor: Actor, ego: Points) -> Agent:
        x, y, yaw = to_frame(np.array([[actor.x_m, actor.y_m, actor.yaw_rad]]), ego)[0]
        return Agent(
            track_id=self._ids.setdefault(actor.actor_id, len(self._ids)),
            kind=actor.kind,
            x_m=float(x),
            y_m=float(y),
            yaw_rad=float(yaw),
            speed_mps=actor.speed_mps,
            length_m=actor.length_m,
            width_m=actor.width_m,
            brake=actor.brake,
            indicator=actor.indicator,
        )


def _scene_lane(lane: Lane, ego: Points, *, on_route: bool) -> SceneLane | None:
    """The part of a lane that is near: the route's farther ahead, the others all around; None where nothing is."""
    points = _in_frame(lane.centre_m, ego)
    away = np.hypot(*points.T)
    inside = np.flatnonzero((away < (ROUTE_M if on_route else LANES_M)) & ((points[:, 0] > -BEHIND_M) | (away < LANES_M / 2.0)))
    if len(inside) < 2:
        return None
    return SceneLane(
        lane_id=lane.lane_id,
        centre_m=points[inside[0] : inside[-1] + 1],
        width_m=lane.width_m,
        speed_limit_mps=lane.speed_limit_mps,
        on_route=on_route,
        successors=lane.successors,
        yields_to=lane.yields_to,
    )


def _has_signal(world: "World", lane: Lane) -> bool:
    return any(link_of(world.network, lane.lane_id, successor) is not None for successor in lane.successors)


def _outline(path: Path) -> Points:
    """(4, 2) the rectangle of a straight path."""
    start, end = path.centre_m[0], path.centre_m[-1]
    along = (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
    aside = path.width_m / 2.0 * np.array([-along[1], along[0]])
    return np.stack([start + aside, start - aside, end - aside, end + aside])


def _in_frame(points_m: Points, ego: Points) -> Points:
    """(N, 2) points of the world in the vehicle frame."""
    c, s = np.cos(ego[2]), np.sin(ego[2])
    return (points_m[:, :2] - ego[:2]) @ np.array([[c, -s], [s, c]])


def _is_near(points_m: Points, reach_m: float) -> bool:
    return bool(np.hypot(*points_m.T).min() < reach_m)
