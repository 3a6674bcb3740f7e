"""Parameters of the camera node."""

from dataclasses import dataclass

from mimic_contracts.errors import ContractError
from mimic_contracts.image_geometry import Crop
from mimic_contracts.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class CameraParameters:
    """See config/nodes/camera_node.yaml."""

    rig: str = parameter("mono", "Rig file: a path, or a name in config/rigs.")
    vehicle: str = parameter("simulator", "Vehicle file, for the mounting: a path, or a name in config/vehicles.")
    topics: tuple[str, ...] = parameter(("front=camera/front/image_raw",), "Rig camera = picture topic, for each camera of the rig.")
    info_topics: tuple[str, ...] = parameter(("front=camera/front/camera_info",), "Rig camera = camera_info topic; none for a camera with a crop.")
    transport: str = parameter("raw", "Kind of the picture topics.", choices=("raw", "compressed"))
    crops: tuple[str, ...] = parameter(("",), "Rig camera = left,top,width,height in pixels, for cameras without camera_info; empty: none.")
    mounting: str = parameter("vehicle_file", "Where the mounting comes from.", choices=("vehicle_file", "tf_static"))
    base_frame: str = parameter("base_link", "Frame of the vehicle in /tf_static.")
    sync_tolerance_s: float = parameter(0.02, "Cameras exposed within this time belong together.", low=0.0, high=0.5)
    lockstep: bool = parameter(False, "Answer every tick of a simulator or replay; topics are then reliable.")
    min_rate_hz: float = parameter(5.0, "Report a lower rate of pictures.", low=0.1, high=200.0)
    max_age_s: float = parameter(0.5, "Report an older last picture.", low=0.05, high=10.0)
    frozen_after: int = parameter(10, "Report so many identical pictures in a row.", low=2, high=1000)
    dark_below: float = parameter(8.0, "Report a lower mean brightness of 0 to 255.", low=0.0, high=255.0)
    bright_above: float = parameter(247.0, "Report a higher mean brightness of 0 to 255.", low=0.0, high=255.0)
    blocked_detail_below: float = parameter(0.02, "Report less detail, relative to the brightness; clear pictures have 0.08 and more.", low=0.0, high=1.0)
    diagnostics_rate_hz: float = parameter(2.0, "Rate of diagnostics in real time.", low=0.1, high=20.0)
    trace: str = parameter("", "Directory for a trace of when each frame passed each stage, as NAME.json; empty: none.")


def by_camera(name: str, entries: tuple[str, ...]) -> dict[str, str]:
    """{'front': '/topic'} of ('front=/topic',); empty texts are left out. Raises ContractError naming the entry."""
    pairs = {}
    for entry in filter(None, entries):
        camera, separator, value = entry.partition("=")
        if not separator or not camera or not value or camera in pairs:
            raise ContractError(f"{name}: '{entry}' must be CAMERA=VALUE, each camera once")
        pairs[camera] = value
    return pairs


def crops_by_camera(entries: tuple[str, ...]) -> dict[str, Crop]:
    """{'front': Crop} of ('front=left,top,width,height',); raises ContractError naming the entry."""
    crops = {}
    for camera, text in by_camera("crops", entries).items():
        parts = text.split(",")
        if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
            raise ContractError(f"crops: '{camera}={text}' must be CAMERA=left,top,width,height in whole pixels")
        left, top, width, height = map(int, parts)
        crops[camera] = Crop(left_px=left, top_px=top, width_px=width, height_px=height)
    return crops
