"""What one image file is, found by decoding it: its size and pixels, and what it looks like."""

from __future__ import annotations

import hashlib
import zlib
from typing import NamedTuple

import cv2
import numpy as np

from scratchdet.data.images import decode
from scratchdet.ops.pixels import mean_and_variance, resize
from scratchdet.structures import DataError, Record

SIDE = 64
"""Pixels of the square that an image is reduced to for its print."""
WAVES = slice(4, 20)
"""Of its cosine transform, along either axis: what is finer than a fourth of the image, so that
light falling off to the corners does not make all images of a place alike, and coarse enough to
outlast a JPEG. Our choice; docs/check.md has what it tells apart."""
BITS = (WAVES.stop - WAVES.start) ** 2
DIGEST = 8  # bytes
LEAST_CONTRAST = 1e-3
"""Of the waves, as a share of the brightest pixel: with less, there is no picture to compare."""


class Look(NamedTuple):
    """One decoded image."""

    size: tuple[int, int]
    dtype: str
    is_rgb: bool
    stored: int
    """Channels of the file, before grey is made RGB or RGB grey."""
    orientation: int
    """As the EXIF of the file says, 1 to 8; 1: as it is stored."""
    mean: np.ndarray
    variance: np.ndarray
    digest: bytes
    """Of the pixels, `DIGEST` bytes; equal for equal images, and by chance for no others."""
    print: np.ndarray
    """(BITS / 8,) uint8: few bits differ between images that look alike, about half between others.
    Zero for an image without any structure."""


def look(record: Record, *, channels: int | None, dtype: str | None) -> Look | str:
    """What the file is; or why it cannot be used."""
    try:
        decoded = decode(record.path, channels=channels, dtype=dtype, annotated_size=record.size)
    except DataError as error:
        return str(error).removeprefix(f"{record.path}: ")
    pixels = decoded.pixels
    mean, variance = mean_and_variance(pixels)
    return Look(
        size=(pixels.shape[1], pixels.shape[0]),
        dtype=pixels.dtype.name,
        is_rgb=decoded.is_rgb,
        stored=decoded.channels,
        orientation=decoded.orientation,
        mean=mean,
        variance=variance,
        digest=_digest(pixels, mean, variance),
        print=print_of(pixels),
    )


def _digest(pixels: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> bytes:
    """A CRC with the statistics, which are there: a long hash takes as long as half of a JPEG."""
    digest = hashlib.blake2b(str((pixels.shape, pixels.dtype)).encode(), digest_size=DIGEST)
    digest.update(zlib.crc32(np.ascontiguousarray(pixels).data).to_bytes(4))
    digest.update(mean.tobytes() + variance.tobytes())
    return digest.digest()


def print_of(pixels: np.ndarray) -> np.ndarray:
    """(BITS / 8,) uint8: the signs of the waves in an image (H, W, C), whatever its size and light.

    The idea is that of perceptual hashes (Zauner 2010), with more and finer waves.
    """
    if pixels.shape[2] == 3 and pixels.dtype != np.int16:  # a third of the work, as OpenCV does it
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[:, :, None]
    small = resize(pixels, (SIDE, SIDE), cv2.INTER_AREA).astype(np.float32).mean(axis=2)
    waves = cv2.dct(small)[WAVES, WAVES]
    if np.abs(waves).max() <= LEAST_CONTRAST * max(np.abs(small).max(), 1.0):
        return np.zeros(BITS // 8, np.uint8)
    return np.packbits(waves > 0)
