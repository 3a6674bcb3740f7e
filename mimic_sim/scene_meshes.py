"""A road network and a seed become geometry: roads, markings, kerbs, pavements, signals, and the town around them."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mimic_sim.mesh import Mesh, MeshBuilder, MeshPlan, triangles
from mimic_sim.road_network import Area, Lane, Line, Path, RoadNetwork, StopLine
from mimic_sim.roadside import Circles, Roadside
from mimic_sim.scenery import NORTH, Scenery
from mimic_sim.signal_meshes import add_sign, add_signal

STRIP_STEP_M, STRAIGHT_STEP_M, STRAIGHT_TURN_RAD = 1.5, 12.0, 0.004
MARKING_WIDTH_M = 0.14
EDGE_INSET_M = 0.12  # from the lane's edge to the solid line
DASH_M, GAP_M = 3.0, 6.0  # German country and town roads
STOP_LINE_M = 0.5  # along the lane, as German stop lines are
GIVE_WAY_DASH_M, GIVE_WAY_GAP_M = 0.5, 0.25
ZEBRA_M = 0.5  # of a bar, and of the gap between two
ARROWS_M = (7.0, 25.0)  # from their tips to the end of the lane
LAP_M = 0.08
GUTTER_M, KERB_M, KERB_HEIGHT_M, PAVEMENT_M = 0.35, 0.15, 0.12, 1.6
ROADSIDE_M = GUTTER_M + KERB_M + PAVEMENT_M  # from a lane's right edge to where gardens begin
ROADSIDE_REACH_M = 6.0  # how far from a lane without its own pavement the gardens may begin
GROUND_Z_M, ROAD_Z_M, MARKING_Z_M = -0.08, 0.0, 0.012
GROUND_MARGIN_M = 300.0
WHITE = (1.0, 1.0, 1.0)
BAY_M, PARKING_TINT = 6.0, (0.86, 0.86, 0.88)
PAINT = (0.90, 0.90, 0.88)
KERB_SIDE, KERB_TOP = (0.50, 0.50, 0.49), (0.62, 0.62, 0.60)
# A painted arrow, tip to the front: its shaft and, by direction, branch and head; x forward, y left, m.
SHAFT = [[(-4.5, 0.08), (-4.5, -0.08), (-1.4, -0.08), (-1.4, 0.08)]]
TO_THE_LEFT = [[(-3.3, -0.08), (-2.9, -0.08), (-2.0, 0.45), (-2.2, 0.55)], [(-2.7, 0.62), (-1.6, 0.25), (-1.55, 1.0), (-1.55, 1.0)]]
ARROW = {
    "straight": [[(-1.5, -0.08), (-1.3, -0.08), (-1.3, 0.08), (-1.5, 0.08)], [(-1.4, 0.32), (-1.4, -0.32), (0.0, 0.0), (0.0, 0.0)]],
    "left": TO_THE_LEFT,
    "right": [[(x, -y) for x, y in corners] for corners in TO_THE_LEFT],
}


def scene_mesh(network: RoadNetwork, *, seed: int, scenery: Scenery = NORTH) -> Mesh:
    """All static geometry of a road network; the seed places and colours everything beside the road, as the scenery has it."""
    builder = MeshBuilder()
    lines = {lane.lane_id: network.line([lane.lane_id]) for lane in network.lanes}
    road, markings, pavement = (builder.of(name) for name in ("road", "lane_marking", "sidewalk"))
    _ground(builder.of("terrain"), np.concatenate([np.stack([line.x_m, line.y_m], axis=1) for line in lines.values()]))
    for area in network.junctions:
        road.level(triangles(area.outline_m), ROAD_Z_M, "asphalt", tile_m=4.0)
    for lane in network.lanes:
        if not lane.is_internal:
            _lane(builder, lane, lines[lane.lane_id])
    for strip in network.parking:
        _parking(road, markings, strip)
    for sidewalk in network.sidewalks:
        _sidewalk(pavement, sidewalk)
    for area in network.corners:
        _corner(pavement, area)
    for crossing in network.crossings:
        _zebra(markings, crossing)
    for stop_line in network.stop_lines:
        _stop_line(markings, stop_line)
    for signal in network.signals:
        add_signal(builder, signal)
    for sign in network.signs:
        add_sign(builder, sign)
    _roadside(network, seed, scenery).plan.add_to(builder)
    return builder.build()


def building_walls(network: RoadNetwork, *, seed: int, scenery: Scenery = NORTH) -> NDArray[np.float64]:
    """(N, 5) float64 boxes [x_m, y_m, yaw_rad, length_m, width_m] of the houses in the mesh of the same arguments; they stand
    alike in any scenery."""
    return np.array(_roadside(network, seed, scenery).walls).reshape(-1, 5)


@lru_cache(maxsize=8)  # for walls and mesh of a drive, and the drives of other policies on the same route
def _roadside(network: RoadNetwork, seed: int, scenery: Scenery) -> Roadside:
    """Everything beside the roads."""
    paved, roads = _gardens(network)
    roadside = Roadside(MeshPlan(), paved, GROUND_Z_M, np.random.default_rng([seed, 5]), scenery)
    roadside.fill(roads)
    return roadside


@lru_cache(maxsize=4)
def _gardens(network: RoadNetwork) -> tuple[Circles, list[tuple[Lane, Line, float]]]:
    """What is paved, and the lanes beside which gardens are, as Roadside.fill takes them: the same for every seed."""
    lines = {lane.lane_id: network.line([lane.lane_id]) for lane in network.lanes}
    paved = _paved(network, lines)
    return paved, [(lane, lines[lane.lane_id], _edge_of_gardens(lane, lines[lane.lane_id], paved)) for lane in network.lanes if lane.right_marking == "solid"]


def _ground(builder: MeshBuilder, middles_m: NDArray[np.float64]) -> None:
    low, high = middles_m.min(axis=0) - GROUND_MARGIN_M, middles_m.max(axis=0) + GROUND_MARGIN_M
    step = 60.0
    x, y = (a.ravel() for a in np.meshgrid(np.arange(low[0], high[0], step), np.arange(low[1], high[1], step), indexing="ij"))
    xs, ys = np.stack([x, x + step, x + step, x], axis=1), np.stack([y, y, y + step, y + step], axis=1)
    builder.add(np.stack([xs, ys, np.full_like(xs, GROUND_Z_M)], axis=2), "grass", uv=np.stack([xs, ys], axis=2) / 5.0)


def _lane(builder: MeshBuilder, lane: Lane, line: Line) -> None:
    s = _stations(line)
    half = lane.width_m / 2.0
    # A town's lanes lie a little over each other, so that no grass shows between them in bends.
    inner, outer = (half, half + GUTTER_M) if lane.has_sidewalk else (half + LAP_M, half + LAP_M)
    road, markings = builder.of("road"), builder.of("lane_marking")
    road.strip(_beside(line, s, inner, ROAD_Z_M), _beside(line, s, -outer, ROAD_Z_M), s, "asphalt", tile_m=4.0, tint=WHITE)
    _marking(markings, lane.left_marking, line, s, half - EDGE_INSET_M if lane.left_marking == "solid" else half)
    _marking(markings, lane.right_marking, line, s, -half + EDGE_INSET_M)
    if lane.arrows:
        _arrows(markings, lane.arrows, line)
    if lane.has_sidewalk:
        _pavement(builder.of("sidewalk"), line, s, outer, half + ROADSIDE_M)


def _stations(line: Line) -> NDArray[np.float64]:
    """(N,) arc lengths, every STRIP_STEP_M in bends and up to STRAIGHT_STEP_M on straights."""
    s = np.linspace(0.0, line.length_m, int(np.ceil(line.length_m / STRIP_STEP_M)) + 1)
    yaw = np.interp(s, line.s_m, line.yaw_rad)
    kept = [0]
    for k in range(1, len(s) - 1):
        if s[k + 1] - s[kept[-1]] > STRAIGHT_STEP_M or np.ptp(yaw[kept[-1] : k + 2]) > STRAIGHT_TURN_RAD:
            kept.append(k)
    return s[[*kept, len(s) - 1]]


def _beside(line: Line, s_m: NDArray[np.float64], left_m: float, z_m: float) -> NDArray[np.float64]:
    """(N, 3) points of a line moved to the left."""
    poses = line.poses(np.minimum(s_m, line.length_m - 1e-6))
    x, y, yaw = poses.T
    return np.stack([x - left_m * np.sin(yaw), y + left_m * np.cos(yaw), np.full_like(x, z_m)], axis=1)


def _marking(builder: MeshBuilder, kind: str, line: Line, s_m: NDArray[np.float64], left_m: float) -> None:
    half = MARKING_WIDTH_M / 2.0
    if kind == "solid":
        pieces = [s_m]
    elif kind == "dashed":
        count = max(round(line.length_m / (DASH_M + GAP_M)), 1)  # as many as close the lap without a broken one
        starts = np.arange(count) * line.length_m / count
        pieces = [np.linspace(start, min(start + DASH_M, line.length_m), 3) for start in starts]
    else:
        return
    for s in pieces:
        left, right = _beside(line, s, left_m + half, MARKING_Z_M), _beside(line, s, left_m - half, MARKING_Z_M)
        builder.strip(left, right, s, "plain", tile_m=1.5, tint=PAINT)


def _arrows(builder: MeshBuilder, directions: tuple[str, ...], line: Line) -> None:
    """The directions of a lane, painted before its end."""
    corners = np.array([*SHAFT, *(quad for direction in directions for quad in ARROW[direction])])
    for tip_s in (line.length_m - before for before in ARROWS_M if line.length_m > before + 10.0):
        x, y, yaw = line.poses(np.array([tip_s]))[0]
        c, s = np.cos(yaw), np.sin(yaw)
        builder.level(np.array([x, y]) + corners @ np.array([[c, s], [-s, c]]), MARKING_Z_M, "plain", tile_m=1.5, tint=PAINT)


def _pavement(builder: MeshBuilder, line: Line, s_m: NDArray[np.float64], kerb_m: float, back_m: float) -> None:
    """Kerb and pavement to the right of a line, from kerb_m to back_m."""

    def edge(right_m: float, z_m: float) -> NDArray[np.float64]:
        return _beside(line, s_m, -right_m, z_m)

    top = kerb_m + KERB_M
    builder.strip(edge(kerb_m, ROAD_Z_M), edge(kerb_m + 0.02, KERB_HEIGHT_M), s_m, "plain", tile_m=2.0, tint=KERB_SIDE)
    builder.strip(edge(kerb_m + 0.02, KERB_HEIGHT_M), edge(top, KERB_HEIGHT_M), s_m, "plain", tile_m=2.0, tint=KERB_TOP)
    builder.strip(edge(top, KERB_HEIGHT_M), edge(back_m, KERB_HEIGHT_M), s_m, "paving", tile_m=2.0, tint=WHITE)
    builder.strip(edge(back_m, KERB_HEIGHT_M), edge(back_m + 0.1, GROUND_Z_M), s_m, "plain", tile_m=2.0, tint=(0.45, 0.45, 0.42))


def _sidewalk(builder: MeshBuilder, sidewalk: Path) -> None:
    """A sidewalk to the right of its road."""
    line = Line.through(sidewalk.centre_m, closed=False)
    _pavement(builder, line, _stations(line), -sidewalk.width_m / 2.0, sidewalk.width_m / 2.0)


def _parking(road: MeshBuilder, markings: MeshBuilder, strip: Path) -> None:
    """Asphalt, with a short line between every two bays."""
    line = Line.through(strip.centre_m, closed=False)
    s, half = _stations(line), strip.width_m / 2.0
    road.strip(_beside(line, s, half, ROAD_Z_M), _beside(line, s, -half, ROAD_Z_M), s, "asphalt", tile_m=4.0, tint=PARKING_TINT)
    for bay_s in np.arange(BAY_M, line.length_m, BAY_M):
        ends = np.array([bay_s, bay_s + MARKING_WIDTH_M])
        markings.strip(_beside(line, ends, half, MARKING_Z_M), _beside(line, ends, -half, MARKING_Z_M), ends, "plain", tile_m=1.5, tint=PAINT)


def _corner(builder: MeshBuilder, area: Area) -> None:
    """Pavement with a kerb all around."""
    outline = area.outline_m
    builder.level(triangles(outline), KERB_HEIGHT_M, "paving", tile_m=2.0)
    ring = np.concatenate([outline, outline[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(ring, axis=0).T))])
    top, foot = (np.column_stack([ring, np.full(len(ring), z)]) for z in (KERB_HEIGHT_M, GROUND_Z_M))
    builder.strip(top, foot, along, "plain", tile_m=2.0, tint=KERB_SIDE)
    builder.strip(foot, top, along, "plain", tile_m=2.0, tint=KERB_SIDE)


def _zebra(builder: MeshBuilder, crossing: Path) -> None:
    """Bars across the way of those on foot, as many as fit between its ends."""
    line = Line.through(crossing.centre_m, closed=False)
    count = max(int((line.length_m + ZEBRA_M) / (2.0 * ZEBRA_M)), 1)
    first = (line.length_m - (2 * count - 1) * ZEBRA_M) / 2.0
    starts = first + 2.0 * ZEBRA_M * np.arange(count, dtype=np.float64)
    half = crossing.width_m / 2.0
    corners = [_beside(line, s, left, 0.0)[:, :2] for s, left in ((starts, half), (starts + ZEBRA_M, half), (starts + ZEBRA_M, -half), (starts, -half))]
    builder.level(np.stack(corners, axis=1), MARKING_Z_M, "plain", tile_m=1.5, tint=PAINT)


def _stop_line(builder: MeshBuilder, stop_line: StopLine) -> None:
    """One broad line, or a row of blocks where one gives way."""
    across = stop_line.right_m - stop_line.left_m
    width = float(np.hypot(*across))
    across = across / width
    back = STOP_LINE_M * np.array([across[1], -across[0]])  # against the driving direction
    if stop_line.rule != "give_way":
        starts, length = np.array([0.0]), width
    else:
        count = max(round((width + GIVE_WAY_GAP_M) / (GIVE_WAY_DASH_M + GIVE_WAY_GAP_M)), 1)
        starts, length = np.arange(count) * width / count, width / count - GIVE_WAY_GAP_M
    left, right = stop_line.left_m + starts[:, None] * across, stop_line.left_m + (starts + length)[:, None] * across
    builder.level(np.stack([left, right, right + back, left + back], axis=1), MARKING_Z_M, "plain", tile_m=1.5, tint=PAINT)


def _paved(network: RoadNetwork, lines: dict[str, Line]) -> Circles:
    """Circles that cover everything paved."""
    paved = Circles()
    for lane in network.lanes:
        line = lines[lane.lane_id]
        half = lane.width_m / 2.0 + (ROADSIDE_M if lane.has_sidewalk else 0.0)
        paved.add(np.column_stack([line.x_m, line.y_m, np.full(len(line.x_m), half)]))
    for path in (*network.sidewalks, *network.crossings, *network.parking):
        line = Line.through(path.centre_m, closed=False)
        paved.add(np.column_stack([line.x_m, line.y_m, np.full(len(line.x_m), path.width_m / 2.0)]))
    for area in (*network.junctions, *network.corners):
        a, b, c = np.moveaxis(triangles(area.outline_m)[:, :3], 1, 0)
        u, v = (w.ravel()[:, None, None] for w in np.meshgrid(np.linspace(0.0, 1.0, 10), np.linspace(0.0, 1.0, 10)))
        points = (a + u * (b - a) + (1.0 - u) * v * (c - a)).reshape(-1, 2)
        paved.add(np.column_stack([points, np.full(len(points), 1.0)]))
    return paved


def _edge_of_gardens(lane: Lane, line: Line, paved: Circles) -> float:
    """How far to the right of a lane's middle nothing is paved any more, m."""
    edge = lane.width_m / 2.0
    if lane.has_sidewalk:
        return edge + ROADSIDE_M
    middle = np.array([line.length_m / 2.0])
    steps = np.arange(edge, edge + ROADSIDE_REACH_M, 0.25)
    return next((float(right) for right in steps if paved.are_free(_beside(line, middle, -right, 0.0)[:, :2], 0.3)), edge + ROADSIDE_REACH_M)
