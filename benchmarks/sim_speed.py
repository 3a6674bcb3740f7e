"""How fast the simulator is: pictures per second by look and camera, the expert, and a whole drive in process.

python benchmarks/sim_speed.py                 about a minute; figures on stdout as JSON
python benchmarks/sim_speed.py --busy          the same beside a process that keeps one core busy
python benchmarks/sim_speed.py --town train_1  pictures and labels in a town (or a .net.xml.gz) with traffic, instead
python benchmarks/sim_speed.py --town train_1 --real-time  does real time hold? mono at 20 Hz, quad at 10 Hz, under a minute

Real time: the expert drives among 80 vehicles and 30 pedestrians with pictures at every tick, as fast as it goes. cpu_s_per_s
is the CPU of all threads per simulated second, cores_left what a machine of two has then for the policy; wall_s_per_s below 1
is real time. Parts per tick: sight and expert, pictures, and moving on (vehicle interface, car, SUMO, judge).
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
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
REAL_TIME = (("mono", "simulator", 0.05), ("quad", "simulator_quad", 0.1))  # rig, vehicle that has it, tick
REAL_TIME_S, WARM_TICKS = 20.0, 10
CORES = 2


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


def measure_real_time(town: str) -> dict[str, object]:
    """Of each rig: CPU and wall clock per simulated second of a whole drive with pictures, and where it goes."""
    start_lane, end_lane = random_way(load_road(town), np.random.default_rng(3), length_m=700.0)
    figures: dict[str, object] = {"town": town, "vehicles": TOWN_VEHICLES, "pedestrians": TOWN_PEDESTRIANS}
    for rig, vehicle, tick_s in REAL_TIME:
        others = {"vehicles": TOWN_VEHICLES, "pedestrians": TOWN_PEDESTRIANS}
        route = RouteSpec(course=town, start_lane=start_lane, end_lane=end_lane, vehicle=vehicle, tick_s=tick_s, seed=1, **others)
        # A process of its own: one SUMO at a time, and no memory of the rig before.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(real_time, (route, rig))
        figures |= {f"{rig}_{name}": round(value, 3) for name, value in found.items()}
    return figures


def real_time(route: RouteSpec, rig: str) -> dict[str, float]:
    """Figures of the first REAL_TIME_S of a route, without the start."""
    world = build_world(route)
    parts, ticks_s, actors = {"plan": 0.0, "pictures": 0.0, "move": 0.0}, [], 0
    with View(world, load_rig(rig).cameras) as view, Simulation(world) as simulation:
        autopilot = engine.Autopilot(world)
        for tick in range(WARM_TICKS + round(REAL_TIME_S / route.tick_s)):
            if simulation.ended:
                break
            begun_s, at_s = time.perf_counter(), [time.process_time()]
            plan = simulation.expert_plan()
            at_s.append(time.process_time())
            view.pictures(simulation.moment())
            at_s.append(time.process_time())
            twist, output = autopilot.command(simulation, plan)
            simulation.advance(twist, mode=output.mode, plan=plan)
            at_s.append(time.process_time())
            if tick >= WARM_TICKS:
                ticks_s.append(time.perf_counter() - begun_s)
                actors += len(simulation.actors)
                for name, spent_s in zip(parts, np.diff(at_s), strict=True):
                    parts[name] += float(spent_s)
    count, cpu_s = len(ticks_s), sum(parts.values())
    simulated_s = count * route.tick_s
    return {
        "rate_hz": 1.0 / route.tick_s,
        "simulated_s": simulated_s,
        "driven_m": float(np.abs(simulation.result().columns["speed_mps"]).sum() * route.tick_s),
        "actors_near": actors / count,
        "cpu_s_per_s": cpu_s / simulated_s,
        "cores_left": CORES - cpu_s / simulated_s,
        "wall_s_per_s": sum(ticks_s) / simulated_s,
        **{f"{name}_cpu_ms": 1e3 * spent_s / count for name, spent_s in parts.items()},
        **{f"tick_p{q}_ms": 1e3 * float(np.percentile(ticks_s, q)) for q in (50, 99, 100)},
        "late_ticks_share": float(np.mean(np.array(ticks_s) > route.tick_s)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", action="store_true", help="keep one core busy meanwhile")
    parser.add_argument("--town", help="measure in this town")
    parser.add_argument("--real-time", action="store_true", help="whether a drive in that town with pictures holds real time")
    args = parser.parse_args()
    if args.real_time and not args.town:
        parser.error("--real-time: needs --town")
    work = partial(measure_real_time, args.town) if args.real_time else partial(measure_town, args.town) if args.town else measure
    busy = multiprocessing.Process(target=spin, daemon=True)
    if args.busy:
        busy.start()
    figures = {key: round(value, 3) if isinstance(value, float) else value for key, value in work().items()}
    if args.busy:
        busy.terminate()
    print(json.dumps({"busy": args.busy, **figures}, indent=2))


if __name__ == "__main__":
    main()
