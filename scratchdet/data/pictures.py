"""Ordinary pictures, grey or RGB in 8 or 16 bits: JPEG, PNG, WebP, BMP, and such TIFFs."""

from __future__ import annotations

import io
import os
import struct
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from scratchdet.structures import DataError

EXIF_ORIENTATION = 0x0112  # tag number, Exif 2.32 section 4.6.4
GREY_MODES = frozenset(("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"))  # of Pillow
DEPTHS = (np.uint8, np.uint16)

# What Pillow raises for headers that are not images, cut off, or lying about their sizes.
HEADER_ERRORS = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)

# OpenCV writes a line for every tag of a GeoTIFF that it does not know, image after image.
if "OPENCV_LOG_LEVEL" not in os.environ:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


class Header(NamedTuple):
    """What the first bytes say."""

    size: tuple[int, int]
    """(width, height) as the picture is decoded: turned as EXIF says."""
    channels: int
    """1 if grey (with or without alpha), else 3."""
    orientation: int
    """As EXIF says, from 1 (as stored) to 8."""


def read_header(name: str, stream: BinaryIO) -> Header:
    """The header; DataError if it is none of a picture."""
    try:
        with Image.open(stream) as image:
            # Not image.getexif(): that decodes a whole PNG. TIFF sizes are turned by Pillow itself.
            orientation = _orientation(image.info.get("exif", b""))
            width, height = image.size
            channels = 1 if image.mode in GREY_MODES else 3
    except UnidentifiedImageError as error:  # its text names an object of ours
        raise DataError(f"{name}: not an image, or a damaged one") from error
    except HEADER_ERRORS as error:
        raise DataError(f"{name}: not a readable image ({error})") from error
    size = (height, width) if orientation >= 5 else (width, height)
    return Header(size, channels, orientation)


def _orientation(block: bytes) -> int:
    exif = Image.Exif()
    try:
        exif.load(block)
        return int(exif.get(EXIF_ORIENTATION, 1))
    except HEADER_ERRORS:
        return 1  # a damaged EXIF block turns nothing; OpenCV passes over it in the same way


def read_picture(
    name: str,
    data: bytes | memoryview,
    *,
    channels: int | None,
    annotated_size: tuple[int, int] | None,
) -> tuple[np.ndarray, Header]:
    """(H, W, channels) uint8 or uint16, grey for one channel, RGB for three; and the header.

    Alpha is dropped.

    channels: None for as many as there are. The EXIF orientation is applied, unless
    `annotated_size` (width, height) is the size of the stored pixels and not of the turned ones:
    then the boxes were drawn on the stored pixels.
    """
    if _is_cut_off(data):
        raise DataError(f"{name}: the image is cut off (its end is missing); copy it again")
    # Whatever is asked for: a header of a few bytes may claim a size that fills the memory.
    header = read_header(name, io.BytesIO(data))
    channels = channels or header.channels
    flags = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    pixels = _decode(name, data, flags)
    height, width = pixels.shape[:2]
    if annotated_size == (height, width) != (width, height):
        stored = _decode(name, data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
        pixels = stored if stored.shape[:2] == (width, height) else pixels
    if channels == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), header
    return pixels[:, :, None], header


def _decode(name: str, data: bytes | memoryview, flags: int) -> np.ndarray:
    # From bytes, because OpenCV's own file access fails on non-ASCII names on some systems.
    # Any depth, because OpenCV reduces 16 bits to their upper byte: 12-bit thermal or medical
    # pixels in 16-bit files would become nearly black, without a word.
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise DataError(f"{name}: cannot be decoded ({error.err})") from error
    if pixels is None:
        raise DataError(f"{name}: cannot be decoded; not an image, or a damaged one")
    if pixels.dtype not in DEPTHS:
        raise DataError(f"{name}: a picture of {pixels.dtype}; save such pixels as TIFF or .npy")
    return pixels


def _is_cut_off(data: bytes | memoryview) -> bool:
    """Whether a JPEG or PNG lacks its end: OpenCV 4 fills the missing rows with grey, silently.

    Bytes after the end (which cameras and editors append) are fine.
    """
    start = bytes(data[:8])
    if start.startswith(b"\xff\xd8"):
        scan = _first_scan(data)
        return scan < 0 or not _ends_with(b"\xff\xd9", data[scan:])
    return start.startswith(b"\x89PNG") and not _ends_with(b"IEND\xae\x42\x60\x82", data)


def _ends_with(mark: bytes, data: bytes | memoryview) -> bool:
    """Whether `mark` is somewhere in `data`; mostly it is at the end, and nothing is copied."""
    return bytes(data[-len(mark) :]) == mark or mark in bytes(data)


def _first_scan(data: bytes | memoryview) -> int:
    """Where the pixels of a JPEG begin (its first SOS marker), -1 if it has none.

    The end marker is searched from here on: a thumbnail in the header has one of its own.
    """
    position = 2
    while position + 4 <= len(data):
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        if data[position] != 0xFF:
            return -1
        if marker == 0xFF:  # padding before a marker
            position += 1
        elif marker == 0xDA:  # start of scan
            return position
        else:
            position += 2 + length
    return -1
