"""A drive as a film: the view from above the bonnet with the plan drawn in, and beside it the view from above."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import require_package
from mimic_contracts.rig import CameraSpec, Mounting
from mimic_sim.birds_eye import BirdsEye
from mimic_sim.drive_result import DriveResult
from mimic_sim.view import View
from mimic_sim.world import World
from perception.plan_drawing import WHITE_RGB, draw_plan, write_lines

FILM_CAMERA = CameraSpec(
    name="film", height_px=360, width_px=640, horizontal_fov_rad=float(np.radians(72.0)), mounting=Mounting(x_m=1.0, y_m=0.0, z_m=1.7, pitch_rad=0.05)
)
PICTURE_CAMERA = CameraSpec(name="picture", height_px=540, width_px=960, horizontal_fov_rad=FILM_CAMERA.horizontal_fov_rad, mounting=FILM_CAMERA.mounting)
FILM_SIZE = (FILM_CAMERA.width_px + FILM_CAMERA.height_px, FILM_CAMERA.height_px)  # the camera's picture, and a square
FRAME_STEP_S = 0.4  # of the drive, between two pictures of the film
FRAMES_PER_S = 12  # of the film: about five times as fast as the drive


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
    write_lines(picture, [(text, WHITE_RGB)])
    return picture
