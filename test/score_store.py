"""A small clip store of a made-up drive, with a road in its pictures, for the tests of score."""

import cv2
import numpy as np
import simplejpeg

from bag_tools.clip_store import ClipFrames, ClipStore
from bag_tools.store_writer import StoreSpec, StoreWriter
from mimic_contracts.clip import Clip
from mimic_contracts.image_geometry import project_points
from mimic_contracts.motion import to_frame
from mimic_contracts.rig import load_rig

RATE_HZ = 10.0
RIG = load_rig("mono")


def drive(duration_s, *, standing_s=0.0):
    """Signals of a drive along a winding road: (N,) times and ClipFrames signals; it begins with standing still."""
    times = np.arange(round(duration_s * RATE_HZ) + 1) / RATE_HZ
    acceleration = np.where(times < standing_s, 0.0, np.where(times < standing_s + 4.0, 1.5, np.where(np.sin(times / 3.0) > 0.9, -1.5, 0.15)))
    speed = np.clip(np.cumsum(acceleration) / RATE_HZ, 0.0, 12.0)
    curvature = 0.03 * np.sin(times / 4.0)
    yaw = np.cumsum(speed * curvature) / RATE_HZ
    pose = np.stack([np.cumsum(speed * np.cos(yaw)) / RATE_HZ, np.cumsum(speed * np.sin(yaw)) / RATE_HZ, yaw], axis=1)
    signals = {"pose": pose, "speed_mps": speed, "acceleration_mps2": np.gradient(speed, times), "yaw_rate_radps": speed * curvature}
    return times, {**signals, "curvature_1pm": curvature, "steering_wheel_rad": curvature * 2.8 * 15.0}


def picture(pose, index):
    """The two edges of the road ahead, as the rig's camera sees them."""
    camera = RIG.cameras[0]
    image = np.full(camera.shape, (150, 180, 205), np.uint8)
    image[camera.height_px // 2 :] = (96, 104, 92)
    ahead = to_frame(pose[index : index + 60], pose[index])
    for side_m in (-1.75, 1.75):
        edge = np.stack([ahead[:, 0] - side_m * np.sin(ahead[:, 2]), ahead[:, 1] + side_m * np.cos(ahead[:, 2]), np.zeros(len(ahead))], axis=1)
        pixels, is_seen = project_points(camera, edge)
        cv2.polylines(image, [np.round(pixels[is_seen]).astype(np.int32)], False, (240, 240, 235), 1, cv2.LINE_AA)
    return image


def make_store(path, *, signals=("pose", "speed_mps", "acceleration_mps2", "yaw_rate_radps", "curvature_1pm"), duration_s=30.0, clips=1, standing_s=0.0):
    """A store whose val split has `clips` clips with these signals; returns it opened."""
    with StoreWriter(path, StoreSpec(rig="mono", cameras=("front",), frame_rate_hz=RATE_HZ)) as writer:
        for number in range(clips):
            times, values = drive(duration_s, standing_s=standing_s)
            stamps = np.round(times * 1e9).astype(np.int64) + (number * 1000 + 5) * 10**9
            frames = ClipFrames.of(stamps, {name: values[name] for name in signals})
            jpegs = [simplejpeg.encode_jpeg(picture(values["pose"], i), quality=80, colorspace="RGB") for i in range(len(times))]
            clip = Clip(
                clip_id=f"drive{number}/0",
                drive_id=f"drive{number}",
                vehicle_id="made_up",
                driver_id="nobody",
                region="nowhere",
                split="val",
                start_ns=int(stamps[0]),
                end_ns=int(stamps[-1]),
            )
            writer.add_clip(clip, frames, {"front": jpegs})
    return ClipStore.open(path)
