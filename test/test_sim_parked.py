"""Parked cars: in the strips, out of the lane, clear of junctions, the same by seed."""

import numpy as np
import pytest

from mimic_sim.parked import CLEAR_M, parked_cars
from mimic_sim.road_network import Line
from mimic_sim.routing import open_way, random_way, shortest_way
from mimic_sim.world import load_road

pytest.importorskip("sumolib", reason="sumolib is not installed: pip install 'mimic_drive[sim]'")
NETWORK = load_road("train_5")
WAY = open_way(NETWORK, shortest_way(NETWORK, *random_way(NETWORK, np.random.default_rng(5), length_m=600.0)))


def test_they_stand_in_the_strips_and_leave_the_lanes_free() -> None:
    cars = parked_cars(NETWORK, WAY, seed=1)
    assert len(cars) > 20 and len({car.actor_id for car in cars}) == len(cars)
    for car in cars:
        strip = NETWORK.parking[int(car.actor_id.split("_")[1])]
        line = Line.through(strip.centre_m, closed=False)
        station_m, left_m = line.project(car.x_m, car.y_m)
        turn = car.yaw_rad - line.poses(np.array([station_m]))[0, 2]
        half_m = (car.width_m + car.length_m * abs(np.sin(turn))) / 2.0
        assert abs(left_m) + half_m < strip.width_m / 2.0 + 0.55 and CLEAR_M < station_m < line.length_m - CLEAR_M


def test_the_seed_decides_who_is_there() -> None:
    assert parked_cars(NETWORK, WAY, seed=1) == parked_cars(NETWORK, WAY, seed=1) != parked_cars(NETWORK, WAY, seed=2)
