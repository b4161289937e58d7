"""Arithmetic on images (H, W, C) of any depth and any number of channels, never by way of 8 bits.

OpenCV's limits are kept to here: area interpolation takes 4 channels, everything else 128 (its
version 5) or 512, and no type of pixel is turned into another on the way.
"""

from collections.abc import Sequence

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


def fitted(images: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """What a network is fed: (B, H, W, C) of `size` (height, width), from (H, W[, C]) as read."""
    return np.stack([resize(np.atleast_3d(image), size, cv2.INTER_LINEAR) for image in images])


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


def check_images(images: object, channels: int, *, dtype: str = "uint8") -> None:
    """Raises ValueError if `images` is not a list of images as they are read, and says why."""
    if not isinstance(images, list | tuple):
        raise ValueError(f"a list of images is wanted, not {type(images).__name__}: [image]")
    for number, image in enumerate(images):
        if not isinstance(image, np.ndarray):
            kind = type(image).__name__
            raise ValueError(f"image {number} is {kind}; a NumPy array (H, W, C) is wanted")
        found = image.shape[2] if image.ndim == 3 else 1
        if image.ndim not in (2, 3) or found != channels or image.dtype != dtype:
            raise ValueError(
                f"image {number} has the shape {image.shape} and type {image.dtype}; this detector "
                f"takes (H, W, {channels}) of {dtype}"
            )
        if image.size == 0:
            raise ValueError(f"image {number} is empty: its shape is {image.shape}")
        if image.dtype.kind == "f" and not np.isfinite(image).all():
            raise ValueError(f"image {number} has values that are not finite (NaN or infinite)")
