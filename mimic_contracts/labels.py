"""What every pixel of a picture shows: the ground truth that perception heads learn from and are judged by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.scene import AGENT_KINDS
from mimic_contracts.validation import check_array

# The index is the class. "sky" is also whatever has no class of its own; a bicycle has its rider; poles carry lamps, signs
# and signals; kerbs are sidewalk.
SEMANTIC_CLASSES = ("sky", "road", "lane_marking", "sidewalk", "terrain", "vegetation", "building", "pole", "sign", "traffic_light", *AGENT_KINDS)
CLASS_INDEX = {name: index for index, name in enumerate(SEMANTIC_CLASSES)}


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
