"""Maps that are padded, or cut off, to a size.

Within `sizes_kept` all functions are operators of their own in what is exported: it asks for the
size of every image that it is given, and does not contain the paddings that the size of one led to.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_AS_OPERATORS = ContextVar("paddings are operators in what is exported", default=False)


@contextmanager
def sizes_kept() -> Iterator[None]:
    """For an exporter that knows the operators; to any other the paddings are PyTorch's."""
    before = _AS_OPERATORS.set(True)
    try:
        yield
    finally:
        _AS_OPERATORS.reset(before)


def _as_operator() -> bool:
    return torch.compiler.is_exporting() and _AS_OPERATORS.get()


def at_least(features: Float[Tensor, "B C h w"], side: int) -> Float[Tensor, "B C H W"]:
    """The map padded with zeros, below and on the right, to at least side x side.

    Unpadded convolutions shrink the last maps of SSD by two; on inputs smaller than the published
    300 px nothing would be left of them.
    """
    if _as_operator():
        return _at_least(features, side)
    return _padded(features, max(side, features.shape[2]), max(side, features.shape[3]))


def as_large_as(
    features: Float[Tensor, "B C h w"], other: Float[Tensor, "B _ H W"]
) -> Float[Tensor, "B C H W"]:
    """The map padded with zeros, below and on the right, or cut off there, to the other's size."""
    if _as_operator():
        return _as_large_as(features, other)
    return _padded(features, other.shape[2], other.shape[3])


def to_multiples(images: Float[Tensor, "B C h w"], multiple: int) -> Float[Tensor, "B C H W"]:
    """The images padded with zeros, below and on the right, to multiples of so many pixels."""
    if _as_operator():
        return _to_multiples(images, multiple)
    return _padded(images, _ceil(images.shape[2], multiple), _ceil(images.shape[3], multiple))


def reduced_from(
    features: Float[Tensor, "B C h w"], images: Float[Tensor, "B _ H W"], reduction: int
) -> Float[Tensor, "B C _ _"]:
    """The part of the map that is of the images: one location for each `reduction` pixels begun."""
    if _as_operator():
        return _reduced_from(features, images, reduction)
    height, width = (_ceil(side, reduction) // reduction for side in images.shape[2:])
    return _padded(features, height, width)


def _ceil(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _padded(features: Tensor, height: int | Tensor, width: int | Tensor) -> Tensor:
    # Sizes are tensors while TorchScript traces.
    missing = (0, width - features.shape[3], 0, height - features.shape[2])
    return F.pad(features, missing)  # type: ignore[arg-type]


@torch.library.custom_op("scratchdet::at_least", mutates_args=())
def _at_least(features: Tensor, side: int) -> Tensor:
    return _padded(features, max(side, features.shape[2]), max(side, features.shape[3]))


@torch.library.custom_op("scratchdet::as_large_as", mutates_args=())
def _as_large_as(features: Tensor, other: Tensor) -> Tensor:
    return _padded(features, other.shape[2], other.shape[3])


@torch.library.custom_op("scratchdet::to_multiples", mutates_args=())
def _to_multiples(images: Tensor, multiple: int) -> Tensor:
    return _padded(images, _ceil(images.shape[2], multiple), _ceil(images.shape[3], multiple))


@torch.library.custom_op("scratchdet::reduced_from", mutates_args=())
def _reduced_from(features: Tensor, images: Tensor, reduction: int) -> Tensor:
    height, width = (_ceil(side, reduction) // reduction for side in images.shape[2:])
    return _padded(features, height, width)


@_to_multiples.register_fake
def _(images: Tensor, multiple: int) -> Tensor:
    return _padded(images, _ceil(images.shape[2], multiple), _ceil(images.shape[3], multiple))


@_reduced_from.register_fake
def _(features: Tensor, images: Tensor, reduction: int) -> Tensor:
    height, width = (_ceil(side, reduction) // reduction for side in images.shape[2:])
    return _padded(features, height, width)


@_at_least.register_fake
def _(features: Tensor, side: int) -> Tensor:
    return _padded(features, max(side, features.shape[2]), max(side, features.shape[3]))


@_as_large_as.register_fake
def _(features: Tensor, other: Tensor) -> Tensor:
    return _padded(features, other.shape[2], other.shape[3])
