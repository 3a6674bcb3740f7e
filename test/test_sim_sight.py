"""Sight: what the rig can see of a moment, and the Scene that is made of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimic_contracts.motion import from_frame
from mimic_contracts.rig import load_rig
from mimic_sim.actors import Actor
from mimic_sim.ego import EgoMotion
from mimic_sim.looks import look_of
from mimic_sim.moment import Moment
from mimic_sim.right_of_way import Link
from mimic_sim.road_network import Signal
from mimic_sim.route_spec import RouteSpec
from mimic_sim.routing import random_way
from mimic_sim.scene_truth import SceneTruth
from mimic_sim.sight import CONFIRM_S, Seen, Sight
from mimic_sim.world import build_world, load_road

TICK_S = 0.1
NO_WALLS = np.zeros((0, 5))
SIZES = {"car": (4.5, 1.8, 1.5), "truck": (8.5, 2.5, 3.4), "pedestrian": (0.4, 0.5, 1.72)}


def actor(name: str, x_m: float, y_m: float = 0.0, kind: str = "car", yaw_rad: float = 0.0) -> Actor:
    size = dict(zip(("length_m", "width_m", "height_m"), SIZES[kind], strict=True))
    lights = {"brake": False, "indicator": "none", "colour": (0.1, 0.1, 0.1)}
    return Actor(actor_id=name, kind=kind, x_m=x_m, y_m=y_m, yaw_rad=yaw_rad, speed_mps=0.0, **size, **lights)  # type: ignore[arg-type]


def moment(*actors: Actor, tick: int = 0, pose: tuple[float, float, float] = (0.0, 0.0, 0.0), **signals: str) -> Moment:
    ego = EgoMotion(x_m=pose[0], y_m=pose[1], yaw_rad=pose[2])
    return Moment(stamp_ns=round(tick * TICK_S * 1e9), ego=ego, actors=actors, signals=signals)


def sight(*, rig: str = "mono", look: str = "day", walls: np.ndarray = NO_WALLS, heads: tuple = ()) -> Sight:
    return Sight(load_rig(rig).cameras, replace(look_of(look, seed=1), fog_1pm=look_of(look, seed=1).fog_1pm), walls, heads)


def seen(*actors: Actor, pose: tuple[float, float, float] = (0.0, 0.0, 0.0), **eyes: object) -> set[str]:
    """Who is seen after a second of looking."""
    eye = sight(**eyes)  # type: ignore[arg-type]
    for tick in range(11):
        names = {a.actor_id for a in eye.look(moment(*actors, tick=tick, pose=pose)).moment.actors}
    return names


@settings(max_examples=40, deadline=None)
@given(st.floats(-200, 200), st.floats(-200, 200), st.floats(-3.1, 3.1))
def test_who_is_ahead_is_seen_wherever_the_car_is(x: float, y: float, yaw: float) -> None:
    ahead, behind, beside = (from_frame(np.array([p]), np.array([x, y, yaw]))[0] for p in ((25.0, 2.0, 0.0), (-15.0, 0.0, 0.0), (0.0, 6.0, 0.0)))
    people = [actor(name, float(p[0]), float(p[1]), yaw_rad=float(p[2])) for name, p in (("ahead", ahead), ("behind", behind), ("beside", beside))]
    assert seen(*people, pose=(x, y, yaw)) == {"ahead"}


def test_four_cameras_see_to_the_sides() -> None:
    crossing = actor("crossing", 8.0, 15.0, yaw_rad=-1.57)
    assert seen(crossing) == set() and seen(crossing, rig="quad") == {"crossing"}


def test_who_is_small_is_not_seen() -> None:
    # 4 px of 1.5 m with a focal length of 222 px: 83 m.
    assert seen(actor("near", 75.0), actor("far", 95.0, 3.0)) == {"near"}


def test_a_truck_hides_what_a_car_does_not() -> None:
    person = actor("person", 30.0, kind="pedestrian")
    assert seen(person, actor("truck", 12.0, kind="truck")) == {"truck"}
    assert seen(actor("behind", 40.0, kind="truck"), actor("car", 12.0)) == {"car", "behind"}
    assert seen(replace(person, y_m=8.0), actor("truck", 12.0, kind="truck")) == {"truck", "person"}


def test_who_stands_beside_the_camera_hides_too() -> None:
    person = actor("person", 20.0, 7.0, kind="pedestrian")
    alongside = replace(actor("truck", 0.6, 2.5, kind="truck"), length_m=12.0)  # its middle is behind the camera, its front 5 m before it
    assert seen(person, alongside) == set() and seen(person) == {"person"}


def test_houses_hide() -> None:
    corner = np.array([[20.0, 8.0, 0.0, 12.0, 10.0]])
    assert seen(actor("behind", 40.0, 9.0), walls=corner) == set() and seen(actor("behind", 40.0, 9.0)) == {"behind"}


def test_fog_and_night_end_the_view() -> None:
    reach_m = 3.0 / look_of("fog", seed=1).fog_1pm
    assert seen(actor("near", 0.8 * min(reach_m, 80.0)), actor("far", reach_m + 5.0, 4.0), look="fog") == {"near"}
    people = actor("near", 30.0, kind="pedestrian"), actor("far", 45.0, 2.0, kind="pedestrian"), actor("car", 60.0, -3.0)
    assert seen(*people, look="night") == {"near", "car"} and seen(*people) == {"near", "far", "car"}


def test_it_takes_time_to_see_and_to_lose() -> None:
    eye, car = sight(), actor("car", 20.0)
    present = [bool(eye.look(moment(*([car] if 2 <= tick < 10 else []), tick=tick)).moment.actors) for tick in range(16)]
    delay = round(CONFIRM_S / TICK_S)
    assert present.index(True) == 2 + delay and not any(present[10:])
    flicker = sight()
    shown = [bool(flicker.look(replace(moment(*([car] if tick % 2 == 0 else []), tick=tick))).moment.actors) for tick in range(10)]
    assert shown[4] and shown[6] and shown[8], "one tick without it is not lost"


def signal(x_m: float, yaw_rad: float, index: int = 0) -> Signal:
    return Signal(signal_id="lights", position_m=np.array([x_m, -3.0, 2.7]), yaw_rad=yaw_rad, lane_ids=("way",), link_indices=(index,))


@pytest.mark.parametrize(
    ("x_m", "yaw_rad", "blocker", "expected"),
    [
        (25.0, np.pi, (), {"way": "red"}),
        (25.0, 0.0, (), {}),  # it faces the others
        (45.0, np.pi, (), {}),  # 2 px of 0.28 m: 31 m
        (25.0, np.pi, (("truck", 12.0, -1.5),), {}),
        (25.0, np.pi, (("car", 12.0, -1.5),), {"way": "red"}),  # over its roof
    ],
)
def test_lights_are_seen_when_they_can_be(x_m: float, yaw_rad: float, blocker: tuple, expected: dict[str, str]) -> None:
    eye = sight(heads=((signal(x_m, yaw_rad), "way", Link(signal_id="lights", index=0)),))
    actors = [actor(kind, x, y, kind=kind) for kind, x, y in blocker]
    assert eye.look(moment(*actors, lights="rG")).light_states() == expected


@pytest.mark.parametrize(("shown", "state"), [("r", "red"), ("u", "red_yellow"), ("y", "yellow"), ("g", "green"), ("G", "green"), ("o", "off")])
def test_lights_mean_what_sumo_says(shown: str, state: str) -> None:
    eye = sight(heads=((signal(20.0, np.pi, 1), "way", Link(signal_id="lights", index=1)),))
    assert eye.look(moment(lights="r" + shown)).light_states() == {"way": state}


def test_a_scene_is_what_is_seen_in_the_frame_of_the_car() -> None:
    pytest.importorskip("sumolib")
    route = RouteSpec(course="train_1", start_lane=(way := random_way(load_road("train_1"), np.random.default_rng(3), length_m=400.0))[0], end_lane=way[1])
    world = build_world(route)
    start = world.start()
    people = [actor("7", *(start.pose[:2] + 20.0 * np.array([np.cos(start.yaw_rad), np.sin(start.yaw_rad)])), yaw_rad=start.yaw_rad)]
    now = Moment(stamp_ns=0, ego=start, actors=tuple(people))
    scene = SceneTruth(world).scene(Seen(now), station_lane=world.way.lanes[0].lane_id)
    (agent,) = scene.agents
    assert (agent.x_m, agent.y_m, agent.yaw_rad) == pytest.approx((20.0, 0.0, 0.0), abs=1e-6)
    ahead = {lane.lane_id: lane for lane in scene.lanes if lane.on_route}
    assert world.way.lanes[0].lane_id in ahead and set(ahead) <= {lane.lane_id for lane in world.way.lanes}
    for lane in scene.lanes:
        back = from_frame(np.column_stack([lane.centre_m, np.zeros(len(lane.centre_m))]), start.pose)[:, :2]
        true = world.network.lane(lane.lane_id).centre_m
        assert np.abs(back[:, None] - true[None]).sum(axis=2).min(axis=1).max() < 1e-6
    own = ahead[world.way.lanes[0].lane_id].centre_m
    assert np.abs(own[np.argmin(np.hypot(*own.T)), 1]) < 0.5, "the car stands on its lane"
