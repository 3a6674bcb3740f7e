"""Image geometry against OpenCV's own camera models, and its round trips."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimic_contracts.errors import ContractError
from mimic_contracts.image_geometry import (
    Crop,
    crop_table,
    distort,
    ground_points,
    lateral_shift_homography,
    optical_from_vehicle,
    project_points,
    remap_table,
    rotation_homography,
    widest_radius,
)
from mimic_contracts.images import CameraInfo
from mimic_contracts.rig import CameraSpec, Mounting, load_rig

FRONT = load_rig("mono").camera("front")
LENSES = {
    "plumb_bob_4": ("plumb_bob", [-0.3, 0.09, 0.001, -0.002]),
    "plumb_bob_5": ("plumb_bob", [-0.3, 0.09, 0.001, -0.002, -0.01]),
    "rational_8": ("rational_polynomial", [0.6, -0.3, 0.0005, -0.0004, 0.05, 0.95, -0.1, 0.01]),
    "rational_12": ("rational_polynomial", [0.6, -0.3, 0.0005, -0.0004, 0.05, 0.95, -0.1, 0.01, 0.002, -0.001, 0.003, 0.0005]),
    "rational_14": ("rational_polynomial", [0.6, -0.3, 0.0005, -0.0004, 0.05, 0.95, -0.1, 0.01, 0.002, -0.001, 0.003, 0.0005, 0.03, -0.02]),
    "equidistant": ("equidistant", [0.05, -0.02, 0.004, -0.001]),
    "ideal_fisheye": ("equidistant", [0.0, 0.0, 0.0, 0.0]),
}

angles = st.floats(-0.3, 0.3)
mountings = st.builds(
    Mounting, x_m=st.floats(-1, 3), y_m=st.floats(-1, 1), z_m=st.floats(0.5, 3), roll_rad=angles, pitch_rad=angles, yaw_rad=st.floats(-3.1, 3.1)
)
cameras = st.builds(
    CameraSpec,
    name=st.just("c"),
    height_px=st.integers(8, 300),
    width_px=st.integers(8, 400),
    horizontal_fov_rad=st.floats(0.2, 2.5),
    mounting=mountings,
)


def info_of(camera: CameraSpec, *, model: str = "plumb_bob", d: list[float] | None = None, scale: int = 1) -> CameraInfo:
    """The camera_info of a real camera with the canonical one's view, `scale` times as many pixels, and a lens."""
    k = camera.intrinsics()
    k[:2] *= scale
    k[:2, 2] += (scale - 1) / 2.0
    return CameraInfo(
        height_px=camera.height_px * scale, width_px=camera.width_px * scale, distortion_model=model, k=k, d=np.array([] if d is None else d, np.float64)
    )


@pytest.mark.parametrize("lens", LENSES)
def test_lens_models_agree_with_opencv(lens):
    model, d = LENSES[lens]
    points = np.random.default_rng(1).uniform([-1, -0.7, 1.0], [1, 0.7, 2.0], (500, 3))
    k = np.array([[700.0, 0, 320.5], [0, 690.0, 241.0], [0, 0, 1]])
    ours = distort(points[:, :2] / points[:, 2:], model=model, coefficients=np.array(d)) @ k[:2, :2].T + k[:2, 2]
    zero = np.zeros(3)
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    args = (points[:, None], zero, zero, k, np.array(d))
    np.testing.assert_allclose(ours, project(*args)[0][:, 0], atol=1e-6)


def test_no_coefficients_is_a_pinhole_for_every_model():
    points = np.array([[0.5, -0.2], [0.0, 0.0]])
    for model in ("plumb_bob", "rational_polynomial", "equidistant"):
        np.testing.assert_array_equal(distort(points, model=model, coefficients=np.zeros(0)), points)
        assert widest_radius(model=model, coefficients=np.zeros(0)) == np.inf


def test_the_centre_of_a_lens_stays_where_it_is():
    for model, d in LENSES.values():
        np.testing.assert_allclose(distort(np.zeros((1, 2)), model=model, coefficients=np.array(d)), 0.0, atol=1e-12)


def test_a_barrel_lens_folds_where_its_derivative_vanishes():
    # r (1 - 0.3 r²) grows until r = sqrt(1 / 0.9).
    assert widest_radius(model="plumb_bob", coefficients=np.array([-0.3, 0, 0, 0])) == pytest.approx((1 / 0.9) ** 0.5, rel=2e-3)
    assert widest_radius(model="plumb_bob", coefficients=np.array([0.1, 0, 0, 0])) == np.inf
    assert widest_radius(model="equidistant", coefficients=np.zeros(4)) == np.inf


def test_rays_beyond_the_fold_are_black_not_ghosts():
    narrow = CameraSpec(name="n", height_px=100, width_px=100, horizontal_fov_rad=np.radians(80), mounting=FRONT.mounting)
    wide = CameraSpec(name="w", height_px=100, width_px=100, horizontal_fov_rad=np.radians(140), mounting=FRONT.mounting)
    table = remap_table(wide, info_of(narrow, d=[-0.3, 0.0, 0.0, 0.0]), FRONT.mounting)
    v, u = np.mgrid[0:100, 0:100]
    radius = np.hypot(u - 49.5, v - 49.5) / wide.intrinsics()[0, 0]
    assert (table[radius > 1.06] == -1.0).all()
    assert (table[radius < 0.5] >= 0.0).all()


def test_projection_of_known_points():
    pixels, in_front = project_points(FRONT, np.array([[11.6, 0.0, 1.4], [11.6, 10 * np.tan(np.radians(30)), 1.4], [-5.0, 0.0, 0.0]]))
    np.testing.assert_allclose(pixels[0], [127.5, 63.5])
    np.testing.assert_allclose(pixels[1], [-0.5, 63.5], atol=1e-9)  # the left edge of the picture lies half a pixel left of centre 0
    assert in_front.tolist() == [True, True, False]


@given(cameras)
@settings(deadline=None)
def test_projection_agrees_with_opencv(camera):
    rotation = optical_from_vehicle(camera.mounting)
    points = np.random.default_rng(0).uniform(-30, 30, (50, 3))
    origin = np.array([camera.mounting.x_m, camera.mounting.y_m, camera.mounting.z_m])
    pixels, in_front = project_points(camera, points)
    theirs = cv2.projectPoints(points, cv2.Rodrigues(rotation)[0], -rotation @ origin, camera.intrinsics(), None)[0][:, 0]
    np.testing.assert_allclose(pixels[in_front], theirs[in_front], rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(in_front, ((points - origin) @ rotation.T)[:, 2] > 0.1)


@given(cameras, st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_ground_to_pixel_and_back(camera, seed):
    points = np.random.default_rng(seed).uniform(-40, 40, (40, 3)) * [1, 1, 0]
    pixels, in_front = project_points(camera, points)
    back, meets = ground_points(camera, pixels[in_front])
    assert meets.all()
    np.testing.assert_allclose(back, points[in_front, :2], atol=1e-4)


def test_pixels_above_the_horizon_meet_no_ground():
    _, meets = ground_points(FRONT, np.array([[127.5, 20.0], [127.5, 100.0]]))
    assert meets.tolist() == [False, True]


def test_ground_geometry_needs_a_camera_above_the_ground():
    sunk = CameraSpec(name="sunk", height_px=64, width_px=64, horizontal_fov_rad=1.0, mounting=Mounting(x_m=0.0, y_m=0.0, z_m=0.0))
    for use in (lambda: ground_points(sunk, np.zeros((1, 2))), lambda: lateral_shift_homography(sunk, lateral_m=0.1)):
        with pytest.raises(ContractError, match=r"'sunk': z_m is 0\.0"):
            use()


@given(cameras)
@settings(deadline=None, max_examples=30)
def test_a_camera_like_the_rigs_needs_no_warp(camera):
    table = remap_table(camera, info_of(camera), camera.mounting)
    v, u = np.mgrid[0 : camera.height_px, 0 : camera.width_px]
    np.testing.assert_allclose(table, np.stack([u, v], axis=-1), atol=1e-6)


@pytest.mark.parametrize("lens", LENSES)
def test_remap_table_follows_points_of_the_world(lens):
    """A far point's canonical pixel must lead to where the real, turned, distorting camera sees that point."""
    model, d = LENSES[lens]
    real = Mounting(x_m=1.6, y_m=0.0, z_m=1.4, roll_rad=0.02, pitch_rad=0.05, yaw_rad=-0.08)
    wide = CameraSpec(name="real", height_px=480, width_px=640, horizontal_fov_rad=np.radians(90), mounting=real)
    info = info_of(wide, model=model, d=d)
    table = remap_table(FRONT, info, real)
    rng = np.random.default_rng(3)
    pixels = np.stack([rng.integers(0, 256, 200), rng.integers(0, 128, 200)], axis=1)
    k = FRONT.intrinsics()
    directions = np.column_stack([(pixels - k[:2, 2]) / k[0, 0], np.ones(200)]) @ optical_from_vehicle(FRONT.mounting)
    optical = directions @ optical_from_vehicle(real).T
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    expected = project(optical[:, None], np.zeros(3), np.zeros(3), info.k, np.array(d))[0][:, 0]
    got = table[pixels[:, 1], pixels[:, 0]]
    seen = got[:, 0] >= 0
    assert seen.mean() > 0.9
    np.testing.assert_allclose(got[seen], expected[seen], atol=0.5)  # half a pixel: what is beyond the border's centres is clamped to them
    inside = seen & (expected >= 0).all(axis=1) & (expected <= [639, 479]).all(axis=1)
    np.testing.assert_allclose(got[inside], expected[inside], atol=1e-6)


@given(mountings, st.sampled_from(sorted(LENSES)))
@settings(deadline=None, max_examples=60)
def test_tables_hold_pixels_of_the_picture_or_minus_one(mounting, lens):
    model, d = LENSES[lens]
    info = info_of(FRONT, model=model, d=d, scale=2)
    table = remap_table(FRONT, info, mounting)
    unseen = (table == -1.0).all(axis=-1)
    assert ((table >= 0) & (table <= [info.width_px - 1, info.height_px - 1])).all(axis=-1)[~unseen].all()


def test_a_camera_that_looks_backwards_sees_nothing_of_the_front():
    m = FRONT.mounting
    backwards = Mounting(x_m=m.x_m, y_m=m.y_m, z_m=m.z_m, yaw_rad=np.pi)
    assert (remap_table(FRONT, info_of(FRONT), backwards) == -1.0).all()


@given(left=st.integers(0, 100), top=st.integers(0, 100), width=st.integers(8, 700), height=st.integers(8, 500))
@settings(deadline=None)
def test_crop_tables_span_the_crop(left, top, width, height):
    table = crop_table(FRONT, Crop(left_px=left, top_px=top, width_px=width, height_px=height))
    assert table.shape == (128, 256, 2)
    assert table[..., 0].min() >= left and table[..., 0].max() <= left + width - 1
    assert table[..., 1].min() >= top and table[..., 1].max() <= top + height - 1
    np.testing.assert_allclose(table.reshape(-1, 2).mean(axis=0), [left + (width - 1) / 2, top + (height - 1) / 2], atol=1e-6)


def test_a_crop_of_the_same_size_is_a_shift():
    table = crop_table(FRONT, Crop(left_px=30, top_px=20, width_px=256, height_px=128))
    np.testing.assert_array_equal(table[5, 7], [37, 25])


@pytest.mark.parametrize("bad", [{"left_px": -1}, {"width_px": 7}, {"height_px": 0}, {"top_px": 1.5}])
def test_bad_crops_are_named(bad):
    with pytest.raises(ContractError, match=f"crop.{next(iter(bad))}"):
        Crop(**{"left_px": 0, "top_px": 0, "width_px": 64, "height_px": 64, **bad})


def apply(homography, pixels):
    mapped = np.column_stack([pixels, np.ones(len(pixels))]) @ homography.T
    return mapped[:, :2] / mapped[:, 2:]


@given(cameras, st.floats(-0.2, 0.2), st.floats(-0.1, 0.1))
@settings(deadline=None)
def test_rotation_homography_follows_far_points(camera, yaw_rad, pitch_rad):
    """What was seen before the turn at p is seen after it at p'; the homography leads p' back to p."""
    m = camera.mounting
    origin = np.array([m.x_m, m.y_m, m.z_m])
    turn = Mounting(x_m=0.0, y_m=0.0, z_m=0.0, yaw_rad=yaw_rad, pitch_rad=pitch_rad).rotation()
    relative = np.random.default_rng(0).uniform(-50, 50, (60, 3))
    before, front_before = project_points(camera, origin + relative)
    after, front_after = project_points(camera, origin + relative @ turn)  # the same points in the axes of the turned vehicle
    both = front_before & front_after & (np.abs(before) < 1e4).all(axis=1) & (np.abs(after) < 1e4).all(axis=1)
    np.testing.assert_allclose(apply(rotation_homography(camera, yaw_rad=yaw_rad, pitch_rad=pitch_rad), after[both]), before[both], rtol=1e-5, atol=1e-3)


@given(cameras, st.floats(-0.5, 0.5))
@settings(deadline=None)
def test_lateral_shift_homography_follows_the_ground(camera, lateral_m):
    ground = np.random.default_rng(0).uniform(-30, 30, (60, 3)) * [1, 1, 0]
    before, front_before = project_points(camera, ground)
    after, front_after = project_points(camera, ground - [0.0, lateral_m, 0.0])
    both = front_before & front_after & (np.abs(before) < 1e4).all(axis=1) & (np.abs(after) < 1e4).all(axis=1)
    np.testing.assert_allclose(apply(lateral_shift_homography(camera, lateral_m=lateral_m), after[both]), before[both], rtol=1e-5, atol=1e-3)


def test_signs_of_the_homographies():
    """After a turn to the left the old centre lies right of the middle; after a move to the left, the ground moves right."""
    centre = np.array([[127.5, 100.0]])
    assert apply(rotation_homography(FRONT, yaw_rad=0.05), centre)[0, 0] < 127.5
    assert apply(lateral_shift_homography(FRONT, lateral_m=0.5), centre)[0, 0] < 127.5
    assert apply(rotation_homography(FRONT, yaw_rad=0.0, pitch_rad=0.05), centre)[0, 1] > 100.0
