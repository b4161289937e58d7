"""Image files: their pixels as uint8 arrays, and what their headers say."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from scratchdet.structures import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""What counts as an image where a folder is searched; compared in lower case."""

EXIF_ORIENTATION = 0x0112  # tag number, Exif 2.32 section 4.6.4
GREY_MODES = frozenset(("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"))  # of Pillow

# What Pillow raises for headers that are not images, cut off, or lying about their sizes.
HEADER_ERRORS = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)


def read_image(
    path: str | Path, *, channels: int, annotated_size: tuple[int, int] | None = None
) -> np.ndarray:
    """The pixels of a file: (H, W, channels) uint8, RGB for three channels, grey for one.

    The EXIF orientation is applied, unless `annotated_size` (width, height) is the size of the
    stored pixels and not of the turned ones: then the boxes were drawn on the stored pixels.
    DataError if the file is no image, a JPEG or PNG without its end, or deeper than 8 bits. Damage
    within a JPEG cannot be told from a picture of it: OpenCV fills the gap.
    """
    if channels not in (1, 3):
        raise DataError(f"{path}: images are read as 1 or 3 channels, not {channels}")
    data = _read_bytes(path)
    flags = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    pixels = _decode(path, data, flags)
    height, width = pixels.shape[:2]
    if annotated_size == (height, width) != (width, height):
        stored = _decode(path, data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
        pixels = stored if stored.shape[:2] == (width, height) else pixels
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if channels == 3 else pixels[:, :, None]


def image_size(path: str | Path) -> tuple[int, int]:
    """(width, height) as `read_image` will return it, from the header alone; DataError if none."""
    (width, height), _, orientation = _header(path)
    return (height, width) if orientation >= 5 else (width, height)


def stored_channels(path: str | Path) -> int:
    """1 for a grey file (with or without alpha), else 3, from the header alone."""
    return 1 if _header(path)[1] in GREY_MODES else 3


def _header(path: str | Path) -> tuple[tuple[int, int], str, int]:
    """Size of the stored pixels, Pillow's mode, EXIF orientation (5 to 8 swap the sides)."""
    try:
        with Image.open(path) as image:
            # Not image.getexif(): that decodes a whole PNG. TIFF sizes are turned by Pillow itself.
            return image.size, image.mode, _orientation(image.info.get("exif", b""))
    except HEADER_ERRORS as error:
        raise DataError(f"{path}: not a readable image ({error})") from error


def _orientation(block: bytes) -> int:
    exif = Image.Exif()
    try:
        exif.load(block)
        return int(exif.get(EXIF_ORIENTATION, 1))
    except HEADER_ERRORS:
        return 1  # a damaged EXIF block turns nothing; OpenCV passes over it in the same way


def _read_bytes(path: str | Path) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if not data:
        raise DataError(f"{path}: the file is empty")
    if _is_cut_off(data):
        raise DataError(f"{path}: the image is cut off (its end is missing); copy it again")
    return data


def _decode(path: str | Path, data: bytes, flags: int) -> np.ndarray:
    # From bytes, because OpenCV's own file access fails on non-ASCII names on some systems.
    # Any depth, because OpenCV reduces 16 bits to their upper byte: 12-bit thermal or medical
    # pixels in 16-bit files would become nearly black, without a word.
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise DataError(f"{path}: cannot be decoded ({error.err})") from error
    if pixels is None:
        raise DataError(
            f"{path}: cannot be decoded; not an image, a damaged one, or of 32 bits per channel"
        )
    if pixels.dtype != np.uint8:
        raise DataError(
            f"{path}: {8 * pixels.itemsize} bits per channel; only 8-bit images can be read so far:"
            " convert them"
        )
    return pixels


def _is_cut_off(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end: OpenCV 4 fills the missing rows with grey, silently.

    Bytes after the end (which cameras and editors append) are fine.
    """
    if data.startswith(b"\xff\xd8"):
        scan = _first_scan(data)
        return scan < 0 or data.rfind(b"\xff\xd9", scan) < 0
    if data.startswith(b"\x89PNG"):
        return data.rfind(b"IEND") < 0
    return False


def _first_scan(data: bytes) -> int:
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
