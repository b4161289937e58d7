"""NumPy's own files (.npy): an array (H, W) or (H, W, C), its header checked before its values."""

from __future__ import annotations

import io
import os
from typing import BinaryIO, NamedTuple

import numpy as np

from scratchdet.ops.pixels import DTYPES
from scratchdet.structures import DataError

MAGIC = b"\x93NUMPY"

READERS = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
"""Of headers, by the version of the file."""

READ_AS = {name: name for name in DTYPES} | {"float64": "float32", "float16": "float32"}
"""Types that are read, and as what: no sensor has more than the 24 bits of a float32."""


class Header(NamedTuple):
    """What the first lines of a file say."""

    shape: tuple[int, int, int]
    """(H, W, C)."""
    dtype: np.dtype
    """As stored."""
    fortran: bool
    """The first axis varies fastest."""
    start: int
    """Of the values, in bytes."""


def read_header(name: str, stream: BinaryIO) -> Header:
    """The header; DataError where it is none, or not that of an image of the file's length."""
    try:
        return _read_header(name, stream)
    except DataError:
        raise
    except Exception as error:  # a header is Python, and its parser may raise anything
        what = " ".join(str(error).split()) or repr(error)
        raise DataError(f"{name}: not a readable .npy file ({what})") from error


def _read_header(name: str, stream: BinaryIO) -> Header:
    length = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    try:
        # Not np.load: that unpickles, and makes room for whatever size a header states.
        major, _ = np.lib.format.read_magic(stream)
        read = READERS[major]
    except KeyError as error:
        raise DataError(f"{name}: a .npy file of version {major}; 1 and 2 are read") from error
    shape, fortran, dtype = read(stream)
    if dtype.name not in READ_AS:
        raise DataError(
            f"{name}: its values are {dtype}; {', '.join(READ_AS)} are read. Save it as one of them"
        )
    if len(shape) not in (2, 3) or min(shape) <= 0:
        raise DataError(f"{name}: its shape is {shape}; (H, W) or (H, W, C) is wanted")
    rows, columns, channels = (*shape, 1)[:3]
    start = stream.tell()
    if start + rows * columns * channels * dtype.itemsize != length:
        raise DataError(
            f"{name}: {length} bytes are not an array {shape} of {dtype}: the file is cut off, or "
            "not written by numpy.save"
        )
    return Header((rows, columns, channels), dtype, fortran, start)


def read(name: str, data: bytes | memoryview) -> np.ndarray:
    """The array (H, W, C); DataError as for `read_header`."""
    header = read_header(name, io.BytesIO(data))
    values = np.frombuffer(data, header.dtype, offset=header.start)
    array = values.reshape(header.shape, order="F" if header.fortran else "C")
    return array.astype(READ_AS[header.dtype.name], order="C")  # of this machine's byte order
