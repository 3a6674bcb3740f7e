"""How well a camera's mounting is found from driving: a drive of `mimic sim record`, seen by cameras that are mounted otherwise than
the vehicle file says.

    mimic sim record --towns course --hours 0.04 --looks day --image-rate 10 --out out/course
    python benchmarks/mounting_accuracy.py out/course/drive_*       about a minute a drive; one JSON line for each mounting
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from mimic_contracts.rig import CameraSpec, load_rig
from mimic_sim.drive_result import TRACE_SUFFIX, DriveResult
from mimic_sim.view import View
from mimic_sim.world import World, build_world
from perception.calibration_core import CalibrationCore
from perception.calibration_parameters import CalibrationParameters

MOUNTINGS = {  # otherwise than the vehicle file says: degrees down and to the left, metres up
    "as_said": (0.0, 0.0, 0.0),
    "pitch_1.5": (1.5, 0.0, 0.0),
    "yaw_-1.2": (0.0, -1.2, 0.0),
    "lower": (0.0, 0.0, -0.25),
    "all": (-2.0, 2.0, 0.2),
}


def otherwise(camera: CameraSpec, *, pitch_deg: float, yaw_deg: float, up_m: float) -> CameraSpec:
    """The camera, mounted otherwise."""
    m = camera.mounting
    turned = {"pitch_rad": m.pitch_rad + np.radians(pitch_deg), "yaw_rad": m.yaw_rad + np.radians(yaw_deg), "z_m": m.z_m + up_m}
    return replace(camera, mounting=replace(m, **turned))


def measure(drive: DriveResult, world: World, camera: CameraSpec, mounted: CameraSpec) -> dict[str, object]:
    """What is found by the end of a drive, and after how long something was known."""
    core = CalibrationCore(camera, camera.mounting, CalibrationParameters())
    truth = np.array([mounted.mounting.yaw_rad, mounted.mounting.pitch_rad, mounted.mounting.z_m])
    figures: dict[str, object] = {}

    def error() -> list[float]:
        off = core.judge().estimate - truth
        return [round(float(value), 3) for value in (*np.degrees(off[:2]), off[2])]

    busy_s, first_ns = 0.0, int(drive.columns["stamp_ns"][0])
    with View(world, (mounted,)) as view:
        for tick in range(len(drive)):
            moment = drive.moment(tick)
            picture = view.picture(mounted, moment)
            began_s = time.process_time()
            core.note_odometry(stamp_ns=moment.stamp_ns, speed_mps=moment.ego.speed_mps, yaw_rate_radps=moment.ego.yaw_rate_radps)
            core.note_picture(picture, stamp_ns=moment.stamp_ns)
            busy_s += time.process_time() - began_s
            if "known_after_s" not in figures and core.judge().progress == 1.0:
                at_s = (moment.stamp_ns - first_ns) / 1e9
                figures |= {"known_after_s": round(at_s, 1), "looks": core.looks, "status": core.judge().status, "error": error()}
    ended = core.judge()
    blocks = core.blocks
    return figures | {
        "drive_s": round(len(drive) * drive.route.tick_s, 1),
        "all_looks": core.looks,
        "all_sightings": core.sightings,
        "blocks": len(blocks),
        "end_status": ended.status,
        "end_error": error() if blocks else None,
        "end_spread": [round(float(value), 3) for value in (*np.degrees(ended.spread[:2]), ended.spread[2])],
        "ms_per_look": round(1e3 * busy_s / max(core.looks, 1), 1),
    }


def main() -> None:
    """Measure each drive with each mounting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drives", nargs="+", type=Path, metavar="DRIVE")
    parser.add_argument("--mountings", default=",".join(MOUNTINGS), help=f"of {', '.join(MOUNTINGS)} (default: all of them)")
    args = parser.parse_args()
    for path in args.drives:
        rows = path / "rows.parquet"
        assert rows.with_suffix(TRACE_SUFFIX).is_file(), f"{path}: must be a drive of `mimic sim record`"
        drive = DriveResult.load(rows)
        world = build_world(drive.route)
        camera = load_rig(world.vehicle.rig).camera("front")
        for name in args.mountings.split(","):
            pitch_deg, yaw_deg, up_m = MOUNTINGS[name]
            mounted = otherwise(camera, pitch_deg=pitch_deg, yaw_deg=yaw_deg, up_m=up_m)
            print(json.dumps({"drive": path.name, "mounted": name, **measure(drive, world, camera, mounted)}), flush=True)


if __name__ == "__main__":
    main()
