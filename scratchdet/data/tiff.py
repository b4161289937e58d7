"""TIFF: which files are ordinary pictures, and the bands of those that are not.

Multispectral and hyperspectral files have any number of samples, interleaved or in planes, or a
page for each band; of any type, in a classic file or a BigTIFF. OpenCV refuses most of them, and
misreads some (16-bit planes, three samples that are not red, green and blue).
"""

from __future__ import annotations

import logging
import lzma
import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG, TIFF, TiffFile, TiffPage

from scratchdet.data.npy import READ_AS
from scratchdet.structures import DataError

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF

MOST_BYTES = 2**30
"""Of the pixels of one image. A header of a few bytes may claim any size, and nothing larger can be
trained on as a whole."""

AXES = {"YX": (0, 1), "YXS": (0, 1, 2), "SYX": (1, 2, 0)}
"""Of tifffile, and where rows, columns and channels are."""

INFLATERS: dict[int, Callable[[], Any]] = {
    COMPRESSION.DEFLATE: zlib.decompressobj,
    COMPRESSION.ADOBE_DEFLATE: zlib.decompressobj,
    COMPRESSION.LZMA: lzma.LZMADecompressor,
}
"""Of the compressions that tifffile can undo without imagecodecs, but without a limit."""

# It reports tags that it cannot parse, which nobody asks for: GDAL writes such.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class Header(NamedTuple):
    """What the tags say."""

    shape: tuple[int, int, int]
    """(H, W, C)."""
    is_rgb: bool
    """Three channels are red, green and blue."""
    is_picture: bool
    """Grey, RGB, palette, CMYK and the like in 8 or 16 bits, which OpenCV reads, turned as EXIF
    says."""


def read_header(name: str, stream: BinaryIO) -> Header:
    """The header; DataError for what is no TIFF, or none that can be read."""
    with _in_words(name), TiffFile(stream) as file:
        return _describe(name, _pages(name, file))


def read_bands(name: str, stream: BinaryIO) -> np.ndarray:
    """(H, W, C) as stored; DataError where it cannot be decoded, and what is missing."""
    with _in_words(name), TiffFile(stream) as file:
        pages = _pages(name, file)
        shape = _describe(name, pages).shape
        dtype = pages[0].dtype
        if dtype is None or dtype.name not in READ_AS:
            raise DataError(f"{name}: its values are {dtype}; {', '.join(READ_AS)} are read")
        if np.prod(shape, dtype=np.float64) * dtype.itemsize > MOST_BYTES:
            raise DataError(f"{name}: {shape} values of {dtype} are too many; cut it into tiles")
        bands = [_decode(name, page) for page in pages]
        pixels = bands[0] if len(bands) == 1 else np.concatenate(bands, axis=2)
        return np.ascontiguousarray(pixels, READ_AS[dtype.name])


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Whatever a broken file makes tifffile raise becomes a DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        what = " ".join(str(error).split()) or repr(error)
        raise DataError(f"{name}: not a readable TIFF ({what})") from error


def _pages(name: str, file: TiffFile) -> list[TiffPage]:
    """The pages of the image itself: overviews and masks, which GDAL adds, are left out."""
    pages = (file.pages.get(index) for index in range(len(file.pages)))
    full = [
        page
        for page in pages
        if isinstance(page, TiffPage) and not page.is_reduced and not page.is_mask
    ]
    if not full:
        raise DataError(f"{name}: a TIFF without an image in full resolution")
    return full


def _describe(name: str, pages: list[TiffPage]) -> Header:
    first = pages[0]
    if len({(page.shape, page.dtype) for page in pages}) > 1:
        shapes = ", ".join(f"{page.shape} of {page.dtype}" for page in pages[:3])
        raise DataError(
            f"{name}: its pages are unlike each other ({shapes}); give one image a file"
        )
    samples = first.samplesperpixel
    if len(pages) > 1 and samples > 1:
        raise DataError(
            f"{name}: {len(pages)} pages of {samples} channels; one page is read, or one channel a "
            "page"
        )
    shape = (first.imagelength, first.imagewidth, len(pages) * samples)
    if 0 in shape:
        raise DataError(f"{name}: a TIFF without pixels: {shape}")
    is_rgb = first.photometric == PHOTOMETRIC.RGB and samples == 3
    is_picture = len(pages) == 1 and _is_picture(first, plain=samples == 1 or is_rgb)
    return Header(shape, is_rgb, is_picture)


def _is_picture(page: TiffPage, *, plain: bool) -> bool:
    """Whether the page is for OpenCV; plain: its samples are a grey or RGB pixel."""
    if page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.MINISBLACK):
        # The number of samples decides, not whether the fourth is called alpha: GDAL calls the
        # fourth band of any 8-bit file so. And OpenCV 5 fails at tiles that are not compressed.
        raw_tiles = page.is_tiled and page.compression == COMPRESSION.NONE
        if not plain or raw_tiles:
            return False
    deep = page.dtype is not None and page.dtype.name not in ("bool", "uint8", "uint16")
    return page.planarconfig == PLANARCONFIG.CONTIG and not deep


def _decode(name: str, page: TiffPage) -> np.ndarray:
    if page.axes not in AXES:
        raise DataError(f"{name}: a TIFF with the axes {page.axes}; one image a page is read")
    _check_inflated(name, page)
    try:
        pixels = page.asarray(maxworkers=1)  # threads of its own would be too many beside ours
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        raise DataError(
            f"{name}: {COMPRESSION(page.compression).name} compression of such a TIFF needs one "
            "more package: pip install imagecodecs"
        ) from error
    return np.atleast_3d(pixels.transpose(AXES[page.axes]))


def _check_inflated(name: str, page: TiffPage) -> None:
    """DataError if a strip or tile is too large, or inflates to more than its rows."""
    assert page.dtype is not None  # `read_bands` has seen it
    # A strip may claim more rows than there are, a tile is padded to its full size.
    sides = (
        page.chunks if page.is_tiled else (min(page.chunks[0], page.imagelength), *page.chunks[1:])
    )
    most = math.prod(sides) * page.dtype.itemsize
    if most > MOST_BYTES:
        raise DataError(f"{name}: tiles of {sides} values are too many; save it with smaller ones")
    start = INFLATERS.get(page.compression)
    if start is None or TIFF.DECOMPRESSORS[page.compression].__module__.startswith("imagecodecs"):
        return  # imagecodecs makes room for `most` bytes and no more
    segments = page.parent.filehandle.read_segments(page.dataoffsets, page.databytecounts)
    for data, _ in segments:
        if data is not None and len(start().decompress(data, most + 1)) > most:
            raise DataError(
                f"{name}: one of its strips or tiles inflates to more than the {most} bytes of its "
                "pixels: the file is damaged, or made to fill the memory"
            )
