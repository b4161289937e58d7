"""Arithmetic on images (H, W, C) of any depth and any number of channels, never by way of 8 bits.

OpenCV's limits are kept to here: area interpolation takes 4 channels, everything else 128 (its
version 5) or 512, and no type of pixel is turned into another on the way.
"""

import cv2
import numpy as np

DTYPES = ("uint8", "uint16", "int16", "float32")
"""What pixels can be."""

GROUP = 4  # channels that OpenCV takes in every function


def saturated(values: np.ndarray, dtype: np.dtype | str) -> np.ndarray:
    """`values` as pixels of `dtype`: whole numbers are rounded, and clipped to what there is."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.rint(values).clip(limits.min, limits.max).astype(dtype)


def resize(image: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    """`image` (H, W, C) at `size` (height, width), interpolated as OpenCV does it."""
    height, width = size
    groups = [
        cv2.resize(image[:, :, first : first + GROUP], (width, height), interpolation=interpolation)
        for first in range(0, image.shape[2], GROUP)
    ]
    return np.dstack(groups) if len(groups) > 1 else groups[0].reshape(height, width, -1)


def flip(image: np.ndarray, axis: int) -> np.ndarray:
    """A copy of `image` (H, W, C) reversed along `axis`: 0 is x, 1 is y."""
    if image.shape[2] > GROUP:
        return np.ascontiguousarray(np.flip(image, 1 - axis))
    return cv2.flip(image, 1 - axis).reshape(image.shape)  # 1 flips x, 0 flips y


def mean_and_variance(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C,) float64 each, over the pixels of `image` (H, W, C)."""
    groups = [
        cv2.meanStdDev(np.ascontiguousarray(image[:, :, first : first + GROUP]))
        for first in range(0, image.shape[2], GROUP)
    ]
    means, stds = (
        np.concatenate([np.ravel(part) for part in parts]) for parts in zip(*groups, strict=True)
    )
    return means, stds**2
