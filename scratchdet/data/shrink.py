"""Image files made smaller: resized to a shorter side, and encoded anew."""

from __future__ import annotations

import io
from typing import NamedTuple

import cv2
import numpy as np

from scratchdet.data.images import decode
from scratchdet.data.references import read_bytes
from scratchdet.ops.pixels import resize
from scratchdet.structures import DataError

QUALITY = 90
"""Of a JPEG that has to be written again."""

JPEG = b"\xff\xd8"


class Shrink(NamedTuple):
    """What is done to every file that it applies to."""

    short: int = 0
    """Pixels of the shorter side; images with a longer one are resized. 0: none is."""
    quality: int = 0
    """Of JPEG, 1 to 100: every JPEG is encoded anew. 0: only those that are resized, at 90."""


class Shrunk(NamedTuple):
    data: bytes | memoryview
    """The file, as it was where nothing had to be done."""
    scale: tuple[float, float]
    """By which x and y have changed."""


def shrink_file(file: str, *, shrink: Shrink, annotated_size: tuple[int, int]) -> Shrunk:
    """The smaller file, turned as its EXIF says; DataError if it cannot be decoded.

    A JPEG stays one. Others become PNG, where that can hold their pixels, else .npy: nothing but
    a JPEG loses more than the resizing costs.
    """
    data = read_bytes(file)
    decoded = decode(file, annotated_size=annotated_size)
    pixels, is_rgb = decoded.pixels, decoded.is_rgb
    height, width = pixels.shape[:2]
    is_jpeg = bytes(data[:2]) == JPEG
    if not 0 < shrink.short < min(height, width):
        if not (is_jpeg and shrink.quality):
            return Shrunk(data, (1.0, 1.0))
        size = height, width
    else:
        factor = shrink.short / min(height, width)
        size = round(height * factor), round(width * factor)
        pixels = resize(pixels, size, cv2.INTER_AREA)
    encoded = _encoded(pixels, is_rgb=is_rgb, quality=(shrink.quality or QUALITY) * is_jpeg)
    return Shrunk(encoded, (size[1] / width, size[0] / height))


def _encoded(pixels: np.ndarray, *, is_rgb: bool, quality: int) -> bytes:
    """A JPEG of this quality; a PNG or .npy if it is 0."""
    channels = pixels.shape[2]
    if pixels.dtype not in (np.uint8, np.uint16) or not (is_rgb or channels == 1):
        stream = io.BytesIO()
        np.save(stream, pixels)
        return stream.getvalue()
    picture = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if is_rgb else pixels
    kind, settings = (".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]) if quality else (".png", [])
    done, encoded = cv2.imencode(kind, picture, settings)
    if not done:
        raise DataError(f"OpenCV cannot write {pixels.shape} {pixels.dtype} as {kind}")
    return encoded.tobytes()
