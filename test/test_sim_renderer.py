"""Pictures: the same bytes again, geometry where the camera model says, looks that differ, and a clear word without EGL."""

import hashlib

import numpy as np
import pytest

from mimic_contracts.errors import MimicError
from mimic_contracts.image_geometry import project_points
from mimic_contracts.rig import CameraSpec, load_rig
from mimic_sim.course import EGO_LANE, LANE_WIDTH_M, build_course
from mimic_sim.gl import INSTALL
from mimic_sim.looks import LOOKS, look_of
from mimic_sim.mesh import CHUNK_M
from mimic_sim.renderer import Renderer
from mimic_sim.scene_meshes import EDGE_INSET_M, scene_mesh
from mimic_sim.textures import COMMON, EASTERN, MATERIALS, SOUTHERN, VARIED, texture_layers

NETWORK = build_course()
LINE = NETWORK.line([EGO_LANE])
MESH = scene_mesh(NETWORK, seed=1)
FRONT = load_rig("mono").cameras[0]


def pose_at(station: float) -> np.ndarray:
    return LINE.poses(np.array([station]))[0]


def renderer_of(look: str, cameras: tuple[CameraSpec, ...] = (FRONT,), seed: int = 1) -> Renderer:
    try:
        return Renderer(MESH, look_of(look, seed=seed), cameras, seed=seed)
    except MimicError as error:
        pytest.skip(str(error))


def test_the_same_place_gives_the_same_bytes_whatever_was_drawn_before() -> None:
    with renderer_of("day") as one, renderer_of("day") as two:
        for station in (0.0, 300.0, 900.0, 310.0):
            one.render(FRONT, pose_at(station))
        assert np.array_equal(one.render(FRONT, pose_at(300.0)), two.render(FRONT, pose_at(300.0)))
        assert not np.array_equal(one.render(FRONT, pose_at(300.0)), one.render(FRONT, pose_at(301.0)))


def test_the_rain_falls_by_the_stamp() -> None:
    with renderer_of("rain") as rain:
        first = rain.render(FRONT, pose_at(10.0), stamp_ns=1)
        assert not np.array_equal(first, rain.render(FRONT, pose_at(10.0), stamp_ns=2))
        assert np.array_equal(first, rain.render(FRONT, pose_at(10.0), stamp_ns=1))


def test_looks_and_seeds_differ() -> None:
    means = {}
    for look in LOOKS:
        with renderer_of(look) as renderer:
            picture = renderer.render(FRONT, pose_at(30.0))
            means[look] = picture.reshape(-1, 3).mean(axis=0)
            assert picture.shape == FRONT.shape and picture.dtype == np.uint8
            assert (15 if look == "night" else 40) < picture.mean() < 220 and picture.std() > 15
    assert means["night"].mean() < 0.6 * means["day"].mean()
    assert means["dusk"][0] > means["dusk"][1] + 5, "dusk is warm"
    assert len({tuple(np.round(m)) for m in means.values()}) == len(LOOKS)
    assert look_of("day", seed=1) != look_of("day", seed=2)
    assert not np.array_equal(scene_mesh(NETWORK, seed=2).vertices[:1000], MESH.vertices[:1000]) or len(scene_mesh(NETWORK, seed=2).vertices) != len(
        MESH.vertices
    )


@pytest.mark.parametrize("station", [30.0, 400.0, 1450.0])
def test_the_edge_line_is_where_the_camera_model_puts_it(station: float) -> None:
    """The solid line at the right edge, 8 m ahead, is brighter than the asphalt beside it, within a pixel."""
    lane_m = -LANE_WIDTH_M / 2.0 + EDGE_INSET_M
    ahead = LINE.poses(np.array([station + 8.0]))[0]
    camera = CameraSpec(name="sharp", height_px=512, width_px=1024, horizontal_fov_rad=FRONT.horizontal_fov_rad, mounting=FRONT.mounting)
    pose = pose_at(station)
    c, s = np.cos(pose[2]), np.sin(pose[2])

    def pixel(left_m: float) -> tuple[int, int]:
        x, y = ahead[0] - left_m * np.sin(ahead[2]) - pose[0], ahead[1] + left_m * np.cos(ahead[2]) - pose[1]
        u, v = project_points(camera, np.array([[c * x + s * y, -s * x + c * y, 0.01]]))[0][0]
        return round(float(v)), round(float(u))

    with renderer_of("fog", (camera,)) as renderer:  # no shadows
        grey = renderer.render(camera, pose).mean(axis=2)
    assert grey[pixel(lane_m)] > grey[pixel(lane_m + 0.25)] + 40
    assert grey[pixel(lane_m)] > grey[pixel(lane_m - 0.2)] + 40


def test_a_whole_rig_is_rendered() -> None:
    quad = load_rig("quad")
    with renderer_of("day", quad.cameras) as renderer:
        pictures = renderer.pictures(pose_at(700.0), 0)
    assert {name: picture.shape for name, picture in pictures.items()} == {camera.name: camera.shape for camera in quad.cameras}
    assert not np.array_equal(pictures["left"], pictures["right"])
    with renderer_of("day") as mono:
        assert np.array_equal(mono.render(FRONT, pose_at(700.0)), pictures["front"]), "a camera's picture does not depend on the others"


def test_without_egl_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import moderngl

    def missing(**_: object) -> None:
        raise Exception("libEGL.so.1: cannot open shared object file")

    monkeypatch.setattr(moderngl, "create_context", missing)
    with pytest.raises(MimicError, match=INSTALL):
        Renderer(MESH, look_of("day", seed=1), (FRONT,))


def test_the_mesh_is_cut_into_chunks_that_hold_it_all() -> None:
    assert MESH.chunks[:, 1].sum() * 4 == len(MESH.vertices)
    assert np.isfinite(MESH.vertices).all()
    assert np.median(MESH.spheres[:, 3]) < CHUNK_M
    assert set(np.unique(MESH.vertices[:, 8]).astype(int)) <= set(range(len(MATERIALS)))
    assert np.abs(np.linalg.norm(MESH.vertices[:, 3:6], axis=1) - 1.0).max() < 1e-3


def test_nothing_stands_on_the_road() -> None:
    x, y, z = MESH.vertices[:, :3].T
    tall = np.flatnonzero(z > 0.5)
    on_road = [abs(LINE.project(float(x[i]), float(y[i]))[1] - LANE_WIDTH_M / 2.0) < 3.0 and z[i] < 3.5 for i in tall[::7]]
    assert not any(on_road)


def test_textures_are_the_same_every_time() -> None:
    layers = texture_layers()
    assert layers.shape == (len(MATERIALS), 128, 128, 4) and np.array_equal(layers, texture_layers())
    glass = layers[..., 3] == 0
    assert [name for name, has in zip(MATERIALS, glass.any(axis=(1, 2)), strict=True) if has] == [
        "plaster",
        "brick",
        "office",
        "balconies",
        "shutters",
        "curtain_wall",
        "stone",
        *VARIED,
        *EASTERN,
    ]


def test_textures_that_pictures_were_recorded_with_stay_as_they_are() -> None:
    old = texture_layers()[: len(COMMON) + len(SOUTHERN)]
    assert hashlib.sha256(old.tobytes()).hexdigest() == "3403e9aac4ef2448c05b961718e8c3d8bed8fa4f456008f6897a1b7a3324e174"
