"""The pixels of an image, whatever files it is in: JPEG, PNG, TIFF, .npy, or several of these.

Which decoder reads a file is told by its first bytes, not by its name. Pixels keep the depth they
are stored in.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

from scratchdet.data import npy, pictures, tiff
from scratchdet.data.references import files_of, join, read_bytes
from scratchdet.ops.pixels import saturated
from scratchdet.structures import DataError

EXTENSIONS = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"),
    ".npy",
)
"""What counts as an image where a folder is searched; compared in lower case."""

LONGEST_MAGIC = max(map(len, (npy.MAGIC, *tiff.MAGIC)))


class Decoded(NamedTuple):
    """An image, and what its channels are."""

    pixels: np.ndarray
    """(H, W, C) of one of `ops.pixels.DTYPES`."""
    is_rgb: bool
    """Its three channels are red, green and blue, not any three bands."""
    channels: int
    """In the files, before grey became RGB or RGB grey."""
    orientation: int = 1
    """As the EXIF of its file says; 1 is as stored."""


def read_image(
    reference: str | Path,
    *,
    channels: int | None = None,
    dtype: str | None = None,
    annotated_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """The pixels of an image: (H, W, channels), uint8, uint16, int16 or float32 as stored.

    channels: None for as many as there are. Grey becomes three equal channels and RGB becomes grey;
    any other number than is there is a DataError, as is another `dtype`. Pictures have 1 channel or
    3 (alpha is dropped); TIFF and .npy any number, and a fourth one is a channel like the others.
    Of several files, which must be of one size and type, the channels follow one another; if there
    are to be as many channels as files, RGB among them becomes grey.

    Pictures are turned as their EXIF says, unless `annotated_size` (width, height) is the size of
    the stored pixels: then the boxes were drawn on those. DataError also if a file is no image, a
    JPEG or PNG without its end, or has values that are not finite. Damage within a JPEG cannot be
    told from a picture of it: OpenCV fills the gap.
    """
    return decode(reference, channels=channels, dtype=dtype, annotated_size=annotated_size).pixels


def decode(
    reference: str | Path,
    *,
    channels: int | None = None,
    dtype: str | None = None,
    annotated_size: tuple[int, int] | None = None,
) -> Decoded:
    """As `read_image`, with what the channels are."""
    files = files_of(reference)
    if len(files) == 1:
        decoded = _decode_file(files[0], channels=channels, annotated_size=annotated_size)
    else:
        decoded = _decode_files(files, channels=channels, annotated_size=annotated_size)
    if dtype not in (None, decoded.pixels.dtype.name):
        raise DataError(
            f"{reference}: its pixels are {decoded.pixels.dtype}; {dtype} is wanted (convert it, "
            "or train on such images)"
        )
    return decoded


def _decode_files(
    files: list[str], *, channels: int | None, annotated_size: tuple[int, int] | None
) -> Decoded:
    """The channels of all files, one after the other."""
    # As many channels as files: of a grey file that was saved as RGB only one is meant.
    each = 1 if channels == len(files) else None
    parts = [
        _decode_file(file, channels=each, annotated_size=annotated_size).pixels for file in files
    ]
    kinds = [f"{part.shape[1]}x{part.shape[0]} of {part.dtype}" for part in parts]
    if len(set(kinds)) > 1:
        listed = "; ".join(f"{file} is {kind}" for file, kind in zip(files, kinds, strict=True))
        raise DataError(f"files of one image must be of one size and type: {listed}")
    pixels = np.concatenate(parts, axis=2)
    if channels not in (None, pixels.shape[2]):
        raise DataError(_other_count(join(files), pixels.shape[2], channels))
    return Decoded(pixels, is_rgb=False, channels=pixels.shape[2])


def _decode_file(
    file: str, *, channels: int | None, annotated_size: tuple[int, int] | None
) -> Decoded:
    data = read_bytes(file)
    decoded = _decode_bands(file, data)
    if decoded is None:
        if channels not in (None, 1, 3):
            raise DataError(f"{file}: pictures have 1 or 3 channels; {channels} are wanted")
        pixels, header = pictures.read_picture(
            file, data, channels=channels, annotated_size=annotated_size
        )
        return Decoded(pixels, pixels.shape[2] == 3, header.channels, header.orientation)
    _check_finite(file, decoded.pixels)
    return _with_channels(file, decoded, channels or decoded.pixels.shape[2])


def _decode_bands(file: str, data: bytes | memoryview) -> Decoded | None:
    """The pixels of an array or of a TIFF of bands, with all its channels; None for a picture."""
    start = bytes(data[:LONGEST_MAGIC])
    if start.startswith(npy.MAGIC):
        return _all_channels(npy.read(file, data), is_rgb=False)
    if start.startswith(tiff.MAGIC):
        header = tiff.read_header(file, io.BytesIO(data))
        if not header.is_picture:
            return _all_channels(tiff.read_bands(file, io.BytesIO(data)), is_rgb=header.is_rgb)
    return None


def _all_channels(pixels: np.ndarray, *, is_rgb: bool) -> Decoded:
    return Decoded(pixels, is_rgb, pixels.shape[2])


def _with_channels(file: str, decoded: Decoded, channels: int) -> Decoded:
    pixels = decoded.pixels
    found = pixels.shape[2]
    if found == channels:
        return decoded
    if (found, channels) == (1, 3):
        return decoded._replace(pixels=np.repeat(pixels, 3, axis=2), is_rgb=True)
    if (found, channels) == (3, 1) and decoded.is_rgb:
        grey = cv2.cvtColor(pixels.astype(np.float32), cv2.COLOR_RGB2GRAY)[:, :, None]
        return decoded._replace(pixels=saturated(grey, pixels.dtype), is_rgb=False)
    raise DataError(_other_count(file, found, channels))


def _other_count(name: str, found: int, wanted: int | None) -> str:
    return f"{name}: has {found} channel{'s' if found > 1 else ''}; {wanted} are wanted"


def _check_finite(file: str, pixels: np.ndarray) -> None:
    if pixels.dtype.kind != "f":
        return
    finite = np.isfinite(pixels).all(axis=2)
    if not finite.all():
        raise DataError(
            f"{file}: {np.count_nonzero(~finite)} of {finite.size} pixels are not finite (NaN or "
            "infinite); give them a value"
        )


def image_size(reference: str | Path) -> tuple[int, int]:
    """(width, height) as `read_image` will return it, from the header of the (first) file alone."""
    file = files_of(reference)[0]
    with _stream(file) as stream:
        start = stream.read(LONGEST_MAGIC)
        stream.seek(0)
        if start.startswith(npy.MAGIC):
            height, width, _ = npy.read_header(file, stream).shape
            return width, height
        if start.startswith(tiff.MAGIC):
            header = tiff.read_header(file, stream)
            if not header.is_picture:
                return header.shape[1], header.shape[0]
            stream.seek(0)
        return pictures.read_header(file, stream).size


def _stream(file: str) -> BinaryIO:
    """The file as a stream: of a file on disk only the header will be read."""
    path = Path(file)
    return path.open("rb") if path.is_file() else io.BytesIO(read_bytes(file))
