"""Reads a `.caffemodel`: the layers of a Caffe network with their weights.

The file is one protobuf message, NetParameter of caffe.proto. The few fields that matter are
described below and read by hand: the protobuf package makes an object of every element before it
can be asked how many there are, which costs up to 25 times the size of a hostile file.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from struct import unpack
from typing import NamedTuple

import numpy as np

LARGEST_FILE = 256 << 20  # bytes; the largest file of the DSOD release has 87 MB
MOST_FIELDS = 100_000  # of one file; a file of DSOD300 has less than 10,000
LONGEST_NAME = 256  # bytes; the name stands in messages
MOST_AXES = 32  # kMaxBlobAxes, caffe/blob.hpp
LARGEST_AXIS = 2**31 - 1  # Caffe keeps shapes as int

# How a value is stored: protobuf's wire types. Caffe does not use groups, which are 3 and 4.
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

# The description: field numbers of caffe.proto.
NET_LAYERS, NET_V1_LAYERS = 100, 2
LAYER = {"name": 1, "type": 2, "blobs": 7, "priors": 203}  # LayerParameter
V1_LAYER = {"name": 4, "type": 5, "blobs": 6}  # V1LayerParameter, before 2015
V1_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}  # those with weights
BLOB_SIZES = (1, 2, 3, 4)  # num, channels, height, width: the shape in files before 2015
BLOB_DATA, BLOB_SHAPE, BLOB_DOUBLE_DATA = 5, 7, 8
SHAPE_DIM = 1
PRIOR_MIN, PRIOR_MAX = 1, 2  # PriorBoxParameter, SSD's addition


class CaffeLayer(NamedTuple):
    """A layer as the file has it."""

    name: str
    type: str
    """As Caffe spells it, "Convolution"; empty where a V1 file says something unknown to us."""
    blobs: tuple[np.ndarray, ...]
    """float32 or float64; views of the file that cannot be written to. () where it has none."""
    prior_sizes: tuple[float, ...] = ()
    """Of a PriorBox layer: min_size and max_size, in pixels."""


class _Field(NamedTuple):
    number: int
    wire: int
    integer: int
    """The value of a varint."""
    content: memoryview
    """The value of everything else."""


def read_caffemodel(path: Path) -> list[CaffeLayer]:
    """All layers, in the order of the file; at least one has weights.

    Raises FileNotFoundError, or ValueError where the file is too large, damaged or of another kind;
    it names the file and, where known, the layer. Needs little memory beyond the size of the file.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if not path.is_file():
        raise ValueError(f"{path} is a folder or a device: give the .caffemodel itself")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path} is larger than {LARGEST_FILE >> 20} MB: no detector of ours is")
    content = path.read_bytes()
    if kind := _other_kind(content):
        raise ValueError(f"{path} is not a .caffemodel: {kind}")
    fields_left = iter(range(MOST_FIELDS))
    layers = []
    for field in _fields(memoryview(content), fields_left, where=str(path)):
        if field.wire == BYTES and field.number in (NET_LAYERS, NET_V1_LAYERS):
            version = LAYER if field.number == NET_LAYERS else V1_LAYER
            layers.append(_layer(field.content, fields_left, version=version, where=str(path)))
    if not any(layer.blobs for layer in layers):
        raise ValueError(f"{path}: no layer in it has weights")
    return layers


def _other_kind(content: bytes) -> str:
    """What the file is, if it is one of those that are easily taken for a .caffemodel."""
    if not content:
        return "it is empty"
    if content.startswith(b"\x89HDF\r\n\x1a\n"):
        return "it is HDF5 (.caffemodel.h5); save the network as .caffemodel in Caffe"
    if min(content[:4096].translate(None, b"\t\n\r"), default=ord(" ")) >= ord(" "):
        return "it is text; a .prototxt has the structure, the .caffemodel has the weights"
    return ""


def _layer(
    message: memoryview, fields_left: Iterator[int], *, version: dict[str, int], where: str
) -> CaffeLayer:
    name, kind = "", ""
    blobs: list[memoryview] = []
    priors: list[memoryview] = []
    for number, wire, integer, content in _fields(message, fields_left, where=where):
        if (number, wire) == (version["name"], BYTES):
            name = _text(content, where=f"{where}, name of a layer")
        elif (number, wire) == (version["type"], BYTES) and version is LAYER:
            kind = _text(content, where=f"{where}, type of layer {name!r}")
        elif (number, wire) == (version["type"], VARINT) and version is V1_LAYER:
            kind = V1_TYPES.get(integer, "")
        elif (number, wire) == (version["blobs"], BYTES):
            blobs.append(content)
        elif (number, wire) == (version.get("priors"), BYTES):
            priors.append(content)
    where = f"{where}, layer {name!r}"
    arrays = [
        _blob(blob, fields_left, where=f"{where}, blob {index}") for index, blob in enumerate(blobs)
    ]
    sizes = [size for prior in priors for size in _prior_sizes(prior, fields_left, where=where)]
    return CaffeLayer(name, kind, tuple(arrays), tuple(sizes))


def _prior_sizes(message: memoryview, fields_left: Iterator[int], *, where: str) -> list[float]:
    return [
        unpack("<f", content)[0]
        for number, wire, _, content in _fields(message, fields_left, where=where)
        if number in (PRIOR_MIN, PRIOR_MAX) and wire == FIXED32
    ]


def _blob(message: memoryview, fields_left: Iterator[int], *, where: str) -> np.ndarray:
    floats, doubles = [], []
    old_shape: dict[int, int] = {}
    shape: list[int] = []
    for number, wire, integer, content in _fields(message, fields_left, where=where):
        if (number, wire) == (BLOB_DATA, BYTES):
            floats.append(content)
        elif (number, wire) == (BLOB_DOUBLE_DATA, BYTES):
            doubles.append(content)
        elif (number, wire) in ((BLOB_DATA, FIXED32), (BLOB_DOUBLE_DATA, FIXED64)):
            # caffe.proto packs them. A real network would have millions of such fields.
            raise ValueError(
                f"{where}: its elements stand one by one, not packed as Caffe writes them; "
                "save the network in Caffe"
            )
        elif (number, wire) == (BLOB_SHAPE, BYTES):
            shape += _dims(content, fields_left, where=where)
        elif number in BLOB_SIZES and wire == VARINT:
            old_shape[number] = integer
    # Caffe prefers the old shape and the doubles: Blob::FromProto.
    dims = [old_shape.get(number, 0) for number in BLOB_SIZES] if old_shape else shape
    chunks, dtype = (doubles, np.dtype("<f8")) if doubles else (floats, np.dtype("<f4"))
    data = chunks[0] if len(chunks) == 1 else memoryview(b"".join(chunks))
    if len(data) % dtype.itemsize:
        raise ValueError(f"{where}: its {len(data)} bytes are no whole number of {dtype.name}")
    values = len(data) // dtype.itemsize
    stated = f"{where}: its shape is {' x '.join(map(str, dims)) or 'a single number'}"
    if len(dims) > MOST_AXES or any(not 0 < dim <= LARGEST_AXIS for dim in dims):
        raise ValueError(f"{stated}, which cannot be")
    if prod(dims) != values:
        raise ValueError(f"{stated}, but it has {values} values")
    return np.frombuffer(data, dtype).reshape(dims)


def _dims(message: memoryview, fields_left: Iterator[int], *, where: str) -> list[int]:
    dims = []
    for number, wire, integer, content in _fields(message, fields_left, where=where):
        if (number, wire) == (SHAPE_DIM, VARINT):
            dims.append(integer)
        elif (number, wire) == (SHAPE_DIM, BYTES):
            position = 0
            while position < len(content) and len(dims) <= MOST_AXES:
                dim, position = _varint(content, position, where=where)
                dims.append(dim)
    return dims[: MOST_AXES + 1]


def _text(content: memoryview, *, where: str) -> str:
    if len(content) > LONGEST_NAME:
        raise ValueError(f"{where}: {len(content)} bytes long; the file is damaged")
    try:
        return bytes(content).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not text; the file is damaged") from error


def _fields(message: memoryview, fields_left: Iterator[int], *, where: str) -> Iterator[_Field]:
    """The fields of one message; what they hold is not looked into."""
    position = 0
    while position < len(message):
        if next(fields_left, None) is None:
            raise ValueError(f"{where}: more than {MOST_FIELDS:,} fields; this is no network")
        key, position = _varint(message, position, where=where, longest=5)
        number, wire = key >> 3, key & 7
        integer = length = 0
        if wire == VARINT:
            integer, position = _varint(message, position, where=where)
        elif wire == BYTES:
            length, position = _varint(message, position, where=where, longest=5)
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"{where}: the file is damaged, or no .caffemodel (wire type {wire})")
        if not 0 < number < 1 << 29:
            raise ValueError(f"{where}: the file is damaged, or no .caffemodel (field {number})")
        if length > len(message) - position:
            missing = length - (len(message) - position)
            raise ValueError(f"{where}: the file is truncated or damaged: {missing} bytes missing")
        yield _Field(number, wire, integer, message[position : position + length])
        position += length


def _varint(
    message: memoryview, position: int, *, where: str, longest: int = 10
) -> tuple[int, int]:
    """The integer that starts at `position`, seven bits to a byte, and where it ends."""
    value = 0
    for index, byte in enumerate(message[position : position + longest]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError(f"{where}: the file is truncated or damaged: a number without an end")
