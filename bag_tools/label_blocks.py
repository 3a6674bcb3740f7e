"""Dense labels of full pictures, reduced to one value for a block of LABEL_STRIDE × LABEL_STRIDE pixels."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.labels import LABEL_STRIDE, LAMP_CLASSES, NOT_LABELLED, SEMANTIC_CLASSES, SKY_MM

PIXELS = LABEL_STRIDE * LABEL_STRIDE


def block_classes(semantic: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) classes → (H / 4, W / 4) the most frequent of each block; of equally frequent ones the higher index, which is
    the rarer kind of thing, and any class before NOT_LABELLED; a lamp that shines in one of them is more than all else.
    Classes beyond SEMANTIC_CLASSES count as NOT_LABELLED."""
    height, width = semantic.shape[0] // LABEL_STRIDE, semantic.shape[1] // LABEL_STRIDE
    bins = _bins()[semantic[: height * LABEL_STRIDE, : width * LABEL_STRIDE]]
    keys = bins + _offsets(height, width)
    counts = np.bincount(keys.ravel(), minlength=height * width * len(_classes())).reshape(-1, len(_classes()))
    counts[:, : len(LAMP_CLASSES)] *= PIXELS + 1  # the last classes, the first here
    return _classes()[counts.argmax(axis=1)].reshape(height, width)


def block_depth_mm(depth_mm: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """(H, W) depths → (H / 4, W / 4) the median of the pixels of each block that are not sky (the lower of the middle two, so
    that it is the depth of something); SKY_MM where all are."""
    height, width = depth_mm.shape[0] // LABEL_STRIDE, depth_mm.shape[1] // LABEL_STRIDE
    whole = depth_mm[: height * LABEL_STRIDE, : width * LABEL_STRIDE]
    blocks = whole.reshape(height, LABEL_STRIDE, width, LABEL_STRIDE).transpose(0, 2, 1, 3).reshape(-1, PIXELS)
    ordered = np.sort(blocks, axis=1)  # sky, 0, comes first
    sky = (blocks == SKY_MM).sum(axis=1)
    middle = np.minimum(sky + (PIXELS - sky - 1) // 2, PIXELS - 1)
    return np.where(sky == PIXELS, SKY_MM, ordered[np.arange(len(ordered)), middle]).astype(np.uint16).reshape(height, width)


@cache
def _classes() -> NDArray[np.uint8]:
    """In the order in which argmax must prefer them."""
    return np.array([*reversed(range(len(SEMANTIC_CLASSES))), NOT_LABELLED], np.uint8)


@cache
def _bins() -> NDArray[np.int64]:
    """(256,) class → its place in _classes."""
    bins = np.full(256, len(SEMANTIC_CLASSES), np.int64)
    bins[_classes()[:-1]] = np.arange(len(SEMANTIC_CLASSES))
    return bins


@cache
def _offsets(height: int, width: int) -> NDArray[np.int64]:
    """(4 · height, 4 · width) where the counts of a pixel's block begin."""
    blocks = np.arange(height * width).reshape(height, width) * len(_classes())
    return np.kron(blocks, np.ones((LABEL_STRIDE, LABEL_STRIDE), np.int64))
