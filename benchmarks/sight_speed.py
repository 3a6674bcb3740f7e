"""How long it takes to see and to tell a Scene, per tick, among traffic: milliseconds of CPU, for rigs mono and quad.

    python benchmarks/sight_speed.py train_1        about 20 s; figures on stdout as JSON

The car runs along its way at 8 m/s, whatever is before it: lights, junctions and queues pass by.
"""

import argparse
import json
import time

import numpy as np

from mimic_contracts.vehicle import load_vehicle
from mimic_sim.ego import EgoMotion
from mimic_sim.moment import Moment
from mimic_sim.route_spec import RouteSpec
from mimic_sim.routing import random_way
from mimic_sim.scene_truth import SceneTruth
from mimic_sim.sight import Sight
from mimic_sim.traffic import Traffic, TrafficSpec
from mimic_sim.world import World, load_road, world_on

TICK_S, SPEED_MPS, WAY_M = 0.05, 8.0, 350.0
VEHICLES = {"mono": "simulator", "quad": "simulator_quad"}


def moments(world: World, spec: TrafficSpec, ticks: int) -> list[Moment]:
    """What happens while the car runs along its way."""
    assert world.network.sumo_file is not None
    found = []
    with Traffic(world.network.sumo_file, spec, tick_s=TICK_S, ego=world.vehicle, ego_pose=world.start().pose) as traffic:
        for tick in range(ticks):
            x, y, yaw = world.lane_line.poses(np.array([SPEED_MPS * TICK_S * tick]))[0]
            ego = EgoMotion(x_m=float(x), y_m=float(y), yaw_rad=float(yaw), speed_mps=SPEED_MPS)
            traffic.step(ego.pose)
            found.append(Moment(stamp_ns=round(tick * TICK_S * 1e9), ego=ego, actors=traffic.actors(), signals=traffic.signal_states()))
    return found


def measure(world: World, seen_moments: list[Moment]) -> dict[str, float]:
    """Milliseconds of CPU per tick: to look, and to make a Scene of it; and how much is in that."""
    sight, truth = Sight.of(world), SceneTruth(world)
    look_s = scene_s = agents = lanes = 0.0
    for moment in seen_moments:
        lane_id = world.way.lane_at(world.lane_line.project(moment.ego.x_m, moment.ego.y_m)[0]).lane_id
        started_s = time.process_time()
        seen = sight.look(moment)
        looked_s = time.process_time()
        scene = truth.scene(seen, station_lane=lane_id)
        look_s, scene_s = look_s + looked_s - started_s, scene_s + time.process_time() - looked_s
        agents, lanes = agents + len(scene.agents), lanes + len(scene.lanes)
    count = len(seen_moments)
    return {"look_ms": 1e3 * look_s / count, "scene_ms": 1e3 * scene_s / count, "agents": agents / count, "lanes": lanes / count}


def main() -> None:
    """Measure and print the fastest of the repeats."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("town")
    parser.add_argument("--vehicles", type=int, default=80)
    parser.add_argument("--pedestrians", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    network = load_road(args.town)
    start, end = random_way(network, np.random.default_rng([args.seed, 0]), length_m=WAY_M)
    spec = TrafficSpec(vehicles=args.vehicles, pedestrians=args.pedestrians, seed=args.seed)
    figures, seen_moments = {}, []
    for rig, vehicle in VEHICLES.items():
        world = world_on(network, RouteSpec(course=args.town, seed=args.seed, start_lane=start, end_lane=end, vehicle=vehicle))
        assert load_vehicle(vehicle).rig == rig
        seen_moments = seen_moments or moments(world, spec, round(0.8 * WAY_M / SPEED_MPS / TICK_S))
        runs = [measure(world, seen_moments) for _ in range(args.repeats)]
        best = min(runs, key=lambda run: run["look_ms"] + run["scene_ms"])
        figures[rig] = {name: round(value, 3) for name, value in best.items()}
    print(json.dumps({"vehicles": args.vehicles, "pedestrians": args.pedestrians, **figures}, indent=2))


if __name__ == "__main__":
    main()
