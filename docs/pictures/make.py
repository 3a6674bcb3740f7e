"""Makes the pictures of the simulator in this folder: python docs/pictures/make.py [NAME…]

The sighted expert drives each route up to a moment, which is drawn from above the bonnet (quad: by the rig's cameras).
"""

import sys
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from mimic_contracts.rig import load_rig
from mimic_sim.engine import Autopilot
from mimic_sim.moment import Moment
from mimic_sim.route_spec import RouteSpec
from mimic_sim.routing import random_way
from mimic_sim.scenarios import find_site
from mimic_sim.video import PICTURE_CAMERA
from mimic_sim.view import View
from mimic_sim.world import Simulation, World, build_world, load_road

FOLDER = Path(__file__).parent
CROWD = {"vehicles": 80, "pedestrians": 40, "vehicle": "simulator_quad", "tick_s": 0.1}


def way(town: str, seed: int, **fields: object) -> RouteSpec:
    """A random way of 600 m through a town."""
    start, end = random_way(load_road(town), np.random.default_rng(seed), length_m=600.0)
    return RouteSpec(course=town, seed=seed, start_lane=start, end_lane=end, **CROWD, **fields)  # type: ignore[arg-type]


def scenario(name: str, town: str, seed: int, **fields: object) -> RouteSpec:
    """A scenario at its first moment."""
    site = find_site(name, load_road(town), seed)
    assert site is not None, f"{town} has no place for {name} by seed {seed}"
    return RouteSpec(course=town, scenario=name, seed=seed, **asdict(site), **CROWD, **fields)  # type: ignore[arg-type]


SHOTS = {  # name: (route, seconds)
    "day": lambda: (way("train_3", 5), 26.0),
    "night": lambda: (way("train_6", 2, look="night"), 21.0),
    "rain": lambda: (way("train_1", 4, look="rain"), 24.0),
    "junction": lambda: (scenario("right_turn_zebra", "train_3", 1), 8.6),
    "parked_cars": lambda: (scenario("pedestrian_emerges", "train_5", 1), 8.5),
    "quad": lambda: (way("train_4", 3), 30.0),
}


def moment_of(world: World, time_s: float) -> Moment:
    """What is true after the expert has driven for so long."""
    with Simulation(world) as simulation:
        autopilot = Autopilot(world)
        while not simulation.ended and simulation.time_s < time_s - 1e-6:
            plan = simulation.expert_plan()
            twist, output = autopilot.command(simulation, plan)
            simulation.advance(twist, mode=output.mode, plan=plan)
        return simulation.moment()


def montage(pictures: dict[str, np.ndarray]) -> np.ndarray:
    """The four pictures of rig quad, three times their size: front and telephoto above, left and right below."""
    large = {name: cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST) for name, picture in pictures.items()}
    above = np.zeros((384, 1152, 3), np.uint8)
    above[:, :768], above[96:288, 768:] = large["front"], large["tele"]
    below = np.zeros((192, 1152, 3), np.uint8)
    below[:, 96:576], below[:, 576:1056] = large["left"], large["right"]
    return np.concatenate([above, below])


def main() -> None:
    """Make all pictures, or those named."""
    for name in sys.argv[1:] or SHOTS:
        route, time_s = SHOTS[name]()
        world = build_world(route)
        cameras = load_rig("quad").cameras if name == "quad" else [PICTURE_CAMERA]
        with View(world, cameras) as view:
            pictures = view.pictures(moment_of(world, time_s))
        picture = montage(pictures) if name == "quad" else pictures[PICTURE_CAMERA.name]
        cv2.imwrite(str(FOLDER / f"{name}.jpg"), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
