"""What every pixel of a picture shows: the ground truth that perception heads learn from and are judged by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.scene import AGENT_KINDS, LIGHT_STATES, STOP_RULES
from mimic_contracts.validation import check_array, check_choice, check_number, check_text

# The index is the class. "sky" is also whatever has no class of its own; a bicycle has its rider; poles carry lamps, signs
# and signals; kerbs are sidewalk. A traffic light's lamp has a class of its own while it shines.
LAMP_CLASSES = ("red_lamp", "yellow_lamp", "green_lamp")
SEMANTIC_CLASSES = (
    *("sky", "road", "lane_marking", "sidewalk", "terrain", "vegetation", "building", "pole", "sign", "traffic_light"),
    *AGENT_KINDS,
    *LAMP_CLASSES,
)
CLASS_INDEX = {name: index for index, name in enumerate(SEMANTIC_CLASSES)}

# Labels of recordings, as they stand in a clip store.
LABEL_STRIDE = 4  # pixels of the picture to a pixel of a dense label, along each axis
NOT_LABELLED = 255  # in semantic
SKY_MM, BEYOND_MM = 0, 65535  # in depth_mm
AGENT_COLUMNS = (
    *("kind", "left_px", "top_px", "right_px", "bottom_px", "visible"),  # kind: index in AGENT_KINDS; visible: share that is not hidden
    *("x_m", "y_m", "yaw_rad", "length_m", "width_m", "height_m"),  # middle of the box, vehicle frame
    *("speed_mps", "brake", "indicator", "track"),  # brake: 0 or 1; indicator: index in INDICATORS; track: number in the drive
)
LANE_STATIONS_M = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 80.0)
LABEL_NUMBERS = ("stop_line_m", "junction_start_m", "junction_end_m", "zebra_m", "lead_gap_m", "lead_speed_mps", "speed_limit_mps")
SIMULATOR, DRIVEN_PATH = "simulator", "driven_path"  # sources; a perception network's is 'teacher:HASH'
NO_IMAGES: Mapping[str, NDArray[Any]] = MappingProxyType({})


@dataclass(frozen=True, eq=False, kw_only=True)
class Labels:
    """Of one picture (H, W), each value at the centre of its pixel.

    semantic: (H, W) uint8, index in SEMANTIC_CLASSES; instance: (H, W) uint16, 0 for what is no road user, else 1 + its
    index in the road users of the moment; depth_m: (H, W) float32, along the camera's optical axis (not along the ray), m,
    infinite in the sky.
    """

    semantic: NDArray[np.uint8]
    instance: NDArray[np.uint16]
    depth_m: NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = check_array("labels.semantic", self.semantic, shape=(None, None), dtype=np.uint8).shape
        check_array("labels.instance", self.instance, shape=shape, dtype=np.uint16)
        check_array("labels.depth_m", self.depth_m, shape=shape, dtype=np.float32, finite=False)


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameLabels:
    """What one source says of one moment of a recording. What it says nothing of keeps its default: unknown, not 'none'.

    source: 'simulator', 'teacher:HASH' or 'driven_path'; confidence: of the whole, [0, 1], 1 is the truth.

    Of the cameras that it speaks of, by name, for pictures of (H, W) pixels:
    semantic: (H / LABEL_STRIDE, W / LABEL_STRIDE) uint8, index in SEMANTIC_CLASSES, or NOT_LABELLED where unsure;
    depth_mm: of the same shape, uint16, mm along the optical axis, SKY_MM in the sky, BEYOND_MM from there on;
    agents: (N, len(AGENT_COLUMNS)) float32, one row a road user that the camera sees, bounds in pixels of the full picture,
    NaN for what isn't known of it.

    Of the moment: light: the state, of LIGHT_STATES, of the signal that holds the vehicle, None: there is none, or unknown;
    light_visible: whether a camera sees it, None: nothing is known of lights; stop_line_m: from the front bumper to the
    next line that holds cars; stop_rule: of STOP_RULES, None: no line, or unknown; junction_start_m, junction_end_m: from
    the bumper to where the junction that it is in, or the next, begins and ends on the way; zebra_m: to the next zebra;
    lead_gap_m: between bumpers, to the next vehicle on the way; lead_speed_mps; speed_limit_mps here. A number that is None
    is unknown, NaN is none there.
    lane_m: (len(LANE_STATIONS_M), 2) float32 [x_m, y_m] of the way's lane centre in the vehicle frame, at these lengths of
    arc ahead, NaN beyond its end; None: unknown.
    """

    source: str
    confidence: float
    semantic: Mapping[str, NDArray[np.uint8]] = field(default_factory=lambda: NO_IMAGES)
    depth_mm: Mapping[str, NDArray[np.uint16]] = field(default_factory=lambda: NO_IMAGES)
    agents: Mapping[str, NDArray[np.float32]] = field(default_factory=lambda: NO_IMAGES)
    light: str | None = None
    light_visible: bool | None = None
    stop_line_m: float | None = None
    stop_rule: str | None = None
    junction_start_m: float | None = None
    junction_end_m: float | None = None
    zebra_m: float | None = None
    lead_gap_m: float | None = None
    lead_speed_mps: float | None = None
    speed_limit_mps: float | None = None
    lane_m: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        check_text("frame_labels.source", self.source)
        check_number("frame_labels.confidence", self.confidence, low=0.0, high=1.0)
        for camera, classes in self.semantic.items():
            check_array(f"frame_labels.semantic[{camera}]", classes, shape=(None, None), dtype=np.uint8)
        for camera, depth_mm in self.depth_mm.items():
            check_array(f"frame_labels.depth_mm[{camera}]", depth_mm, shape=(None, None), dtype=np.uint16)
        for camera, agents in self.agents.items():
            check_array(f"frame_labels.agents[{camera}]", agents, shape=(None, len(AGENT_COLUMNS)), dtype=np.float32, finite=False)
        if self.light is not None:
            check_choice("frame_labels.light", self.light, LIGHT_STATES)
        if self.stop_rule is not None:
            check_choice("frame_labels.stop_rule", self.stop_rule, STOP_RULES)
        if self.lane_m is not None:
            check_array("frame_labels.lane_m", self.lane_m, shape=(len(LANE_STATIONS_M), 2), dtype=np.float32, finite=False)
