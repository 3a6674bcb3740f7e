"""How fast the simulator is: pictures per second by look and camera, the expert, and a whole drive in process.

python benchmarks/sim_speed.py                 about a minute; figures on stdout as JSON
python benchmarks/sim_speed.py --busy          the same beside a process that keeps one core busy
python benchmarks/sim_speed.py --town train_1  pictures and labels in a town (or a .net.xml.gz) with traffic, instead
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mimic_contracts.rig import load_rig
from mimic_sim import engine
from mimic_sim.boxes import visible_boxes
from mimic_sim.looks import LOOKS
from mimic_sim.moment import Moment
from mimic_sim.renderer import Renderer
from mimic_sim.route_spec import RouteSpec
from mimic_sim.routing import random_way
from mimic_sim.scene_meshes import scene_mesh
from mimic_sim.video import FILM_CAMERA, PICTURE_CAMERA
from mimic_sim.view import View
from mimic_sim.world import Simulation, build_world, load_road

FRAMES = 150
TOWN_VEHICLES, TOWN_PEDESTRIANS = 80, 30
TOWN_TICKS = 600


def timed(name: str, work: Callable[[Any], object], poses: Sequence[Any] | np.ndarray) -> dict[str, float]:
    """Calls per second, and milliseconds of CPU (all threads) per call: the second holds on a busy machine too."""
    for pose in poses[:5]:
        work(pose)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    for pose in poses:
        work(pose)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return {f"{name}_per_s": len(poses) / wall_s, f"{name}_cpu_ms": 1e3 * cpu_s / len(poses)}


def spin() -> None:
    """Keep one core busy."""
    while True:
        pass


def measure() -> dict[str, object]:
    """All figures."""
    figures: dict[str, object] = {}
    mono, quad = load_rig("mono"), load_rig("quad")
    world = build_world(RouteSpec(route_id="bench"))
    started_s = time.perf_counter()
    mesh = scene_mesh(world.network, seed=1)
    figures["scene_build_s"] = time.perf_counter() - started_s
    figures["scene_triangles"] = len(mesh.vertices) // 2
    # Six stretches of the course, a tick of 0.05 s at 11 m/s apart, as a drive renders them.
    stations = np.linspace(0.0, world.lane_line.length_m, 6, endpoint=False)[:, None] + 0.55 * np.arange(FRAMES // 6)
    poses = world.lane_line.poses(stations.ravel())
    for look in LOOKS:
        with Renderer(mesh, build_world(RouteSpec(route_id="bench", look=look)).look, mono.cameras) as renderer:
            figures |= timed(f"mono_{look}", lambda pose, r=renderer: r.pictures(pose, 0), poses)
    with Renderer(mesh, world.look, [*mono.cameras, *quad.cameras[1:], FILM_CAMERA, PICTURE_CAMERA]) as renderer:
        standing = np.repeat(poses[:1], FRAMES, axis=0)
        figures |= timed("mono_day_standing", lambda pose: renderer.render(mono.cameras[0], pose), standing)
        figures |= timed("quad_day", lambda pose: [renderer.render(c, pose) for c in quad.cameras], poses)
        figures |= timed("film_360x640", lambda pose: renderer.render(FILM_CAMERA, pose), poses[::4])
        figures |= timed("picture_540x960", lambda pose: renderer.render(PICTURE_CAMERA, pose), poses[::8])
    simulation = Simulation(world)
    figures |= timed("expert_plan", lambda _: simulation.expert_plan(), poses)
    started_s = time.perf_counter()
    drive = engine.drive(None, world, look=lambda moment: {})
    figures["expert_lap_simulated_s"] = len(drive) * world.route.tick_s
    figures["engine_ticks_per_s_without_pictures"] = len(drive) / (time.perf_counter() - started_s)
    return figures


def town_moments(town: str) -> tuple[RouteSpec, list[Moment]]:
    """The first TOWN_TICKS of the expert's drive among others, and the route."""
    start_lane, end_lane = random_way(load_road(town), np.random.default_rng(3), length_m=700.0)
    route = RouteSpec(course=town, start_lane=start_lane, end_lane=end_lane, vehicles=TOWN_VEHICLES, pedestrians=TOWN_PEDESTRIANS, seed=1)
    moments: list[Moment] = []
    engine.drive(None, build_world(replace(route, time_limit_s=TOWN_TICKS * route.tick_s)), look=lambda _: {}, on_tick=lambda s, _: moments.append(s.moment()))
    return route, moments


def measure_town(town: str) -> dict[str, object]:
    """Rig mono along a drive in a town: CPU of a picture by look, empty and with traffic, of labels, boxes and a bad camera."""
    route, moments = town_moments(town)
    figures: dict[str, object] = {"ticks": len(moments), "actors": len(moments[-1].actors)}
    moments = moments[:: max(len(moments) // FRAMES, 1)]
    camera = load_rig("mono").cameras[0]
    for look in LOOKS:
        with View(build_world(replace(route, look=look)), [camera]) as view:
            figures |= timed(f"town_{look}_empty", view.pictures, [replace(moment, actors=()) for moment in moments])
            figures |= timed(f"town_{look}_traffic", view.pictures, moments)
    with View(build_world(route), [camera]) as view:
        figures |= timed("town_labels", view.labels, moments)
        labelled = [(moment, view.labels(moment)[camera.name]) for moment in moments]
        figures |= timed("town_boxes", lambda pair: visible_boxes(pair[0].actors, pair[0].ego.pose, camera, pair[1]), labelled)
    with View(build_world(replace(route, camera="varied", look="rain")), [camera]) as view:
        figures |= timed("town_rain_varied_camera", view.pictures, moments)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        spent_s = pool.starmap(record, [(route, moments)] * 2, chunksize=1)
    figures["town_recording_two_processes_per_s"] = 2 * len(moments) / max(spent_s)
    return figures


def record(route: RouteSpec, moments: list[Moment]) -> float:
    """Seconds for picture, labels and boxes of each moment."""
    camera = load_rig("mono").cameras[0]
    with View(build_world(route), [camera]) as view:
        view.pictures(moments[0])
        started_s = time.perf_counter()
        for moment in moments:
            view.pictures(moment)
            visible_boxes(moment.actors, moment.ego.pose, camera, view.labels(moment)[camera.name])
        return time.perf_counter() - started_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", action="store_true", help="keep one core busy meanwhile")
    parser.add_argument("--town", help="measure in this town")
    args = parser.parse_args()
    busy = multiprocessing.Process(target=spin, daemon=True)
    if args.busy:
        busy.start()
    figures = {key: round(value, 3) if isinstance(value, float) else value for key, value in (measure_town(args.town) if args.town else measure()).items()}
    if args.busy:
        busy.terminate()
    print(json.dumps({"busy": args.busy, **figures}, indent=2))


if __name__ == "__main__":
    main()
