"""A drive as a film: the view from above the bonnet with the plan drawn in, and beside it the view from above."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import require_package
from mimic_contracts.rig import CameraSpec, Mounting
from mimic_sim.birds_eye import BirdsEye
from mimic_sim.drive_result import DriveResult
from mimic_sim.view import View
from mimic_sim.world import World

FILM_CAMERA = CameraSpec(
    name="film", height_px=360, width_px=640, horizontal_fov_rad=float(np.radians(72.0)), mounting=Mounting(x_m=1.0, y_m=0.0, z_m=1.7, pitch_rad=0.05)
)
PICTURE_CAMERA = CameraSpec(name="picture", height_px=540, width_px=960, horizontal_fov_rad=FILM_CAMERA.horizontal_fov_rad, mounting=FILM_CAMERA.mounting)
FILM_SIZE = (FILM_CAMERA.width_px + FILM_CAMERA.height_px, FILM_CAMERA.height_px)  # the camera's picture, and a square
FRAME_STEP_S = 0.4  # of the drive, between two pictures of the film
FRAMES_PER_S = 12  # of the film: about five times as fast as the drive
RIBBON_HALF_M = 0.85
RIBBON_COLOUR = (70, 200, 120)


def write_video(pictures: Iterable[NDArray[np.uint8]], path: Path) -> None:
    """Write pictures of FILM_SIZE as MP4 (H.264 where this build of FFmpeg has it, else MPEG-4); it appears when it is whole."""
    require_package("av", extra="sim", purpose="writing a video")
    import av

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    with av.open(str(partial), "w") as container:
        stream: Any = container.add_stream(codec, rate=FRAMES_PER_S)
        stream.width, stream.height = FILM_SIZE
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 1_000_000
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    partial.replace(path)


def film_ticks(drive: DriveResult) -> range:
    """The ticks of a drive that are shown, one every FRAME_STEP_S."""
    return range(0, len(drive), max(round(FRAME_STEP_S / drive.route.tick_s), 1))


def film(drive: DriveResult, world: World) -> Iterator[NDArray[np.uint8]]:
    """(H, W, 3) uint8 RGB pictures of FILM_SIZE, of a drive at its film_ticks."""
    above = BirdsEye(world, size_px=FILM_CAMERA.height_px)
    with View(world, [FILM_CAMERA]) as view:
        for i in film_ticks(drive):
            picture = picture_at(drive, i, view=view, camera=FILM_CAMERA)
            yield np.concatenate([picture, above.picture(drive.moment(i), drive.plans[i])], axis=1)


def picture_at(drive: DriveResult, index: int, *, view: View, camera: CameraSpec) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: one tick of a drive with plan and figures."""
    c = drive.columns
    picture = view.picture(camera, drive.moment(index))
    draw_plan(picture, drive.plans[index], camera)
    text = f"{c['speed_mps'][index] * 3.6:4.0f} km/h   {c['rear_offset_m'][index]:+.2f} m   {c['mode'][index]}   {drive.route.route_id}"
    scale = camera.height_px / 720.0
    place = (round(18 * scale), camera.height_px - round(20 * scale))
    thickness = max(round(1.5 * scale), 1)
    for shift, colour in ((thickness, (0, 0, 0)), (0, (255, 255, 255))):
        cv2.putText(picture, text, (place[0] + shift, place[1] + shift), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)
    return picture


def draw_plan(picture: NDArray[np.uint8], plan: NDArray[np.float64], camera: CameraSpec) -> None:
    """Lay a plan (T, C) of CAR, in the vehicle frame, as a ribbon on the road of a picture; NaN: there was none."""
    if not np.isfinite(plan).all():
        return
    x, y, yaw = (np.interp(np.linspace(0.0, 4.0, 41), CAR.times_s, plan[:, CAR.index(name)]) for name in ("x_m", "y_m", "yaw_rad"))
    edges = [project(np.stack([x - side * np.sin(yaw), y + side * np.cos(yaw), np.zeros_like(x)], axis=1), camera) for side in (RIBBON_HALF_M, -RIBBON_HALF_M)]
    drawn = picture.copy()
    for i in range(len(x) - 1):
        corners = np.array([edges[0][i], edges[0][i + 1], edges[1][i + 1], edges[1][i]])
        if np.isfinite(corners).all():
            cv2.fillConvexPoly(drawn, np.round(corners * 16).astype(np.int32), RIBBON_COLOUR, cv2.LINE_AA, shift=4)
    cv2.addWeighted(drawn, 0.45, picture, 0.55, 0.0, dst=picture)


def project(points_m: NDArray[np.float64], camera: CameraSpec) -> NDArray[np.float64]:
    """(N, 2) pixels [u, v] of points (N, 3) in the vehicle frame; NaN closer than 0.3 m or behind the camera."""
    m = camera.mounting
    forward, left, up = ((points_m - np.array([m.x_m, m.y_m, m.z_m])) @ m.rotation()).T
    forward = np.where(forward > 0.3, forward, np.nan)
    k = camera.intrinsics()
    return np.stack([k[0, 2] - k[0, 0] * left / forward, k[1, 2] - k[1, 1] * up / forward], axis=1)
