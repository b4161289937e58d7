"""Priors: the fixed boxes that a single-shot detector classifies and refines.

Liu et al., SSD, ECCV 2016, section 2.2, in the conventions of the Caffe release (`PriorBox`), which
the published networks were trained with: sizes in pixels of the input, centres at (i + 0.5) * step,
boxes that reach outside the image are kept as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, sqrt
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

Whole = int | torch.SymInt

CENTRE = 0.5  # of a cell; SSD Caffe release, prior_box_param.offset


@dataclass(frozen=True, kw_only=True)
class PriorSpec:
    """The priors at every location of one feature map. `len(spec)` is how many there are."""

    min_size: float
    """Side of the square prior, in pixels of the input."""
    max_size: float | None = None
    """If given, one more square of side sqrt(min_size * max_size)."""
    ratios: tuple[float, ...] = (2.0,)
    """Width : height of further priors, of the area of the first; each also as its inverse."""
    step: float | None = None
    """Distance between locations, in pixels; None spreads the map evenly over the image."""

    def __len__(self) -> int:
        return 1 + (self.max_size is not None) + 2 * len(self.ratios)

    def shapes(self) -> list[tuple[float, float]]:
        """(width, height) in pixels of each prior, in the order of the Caffe release."""
        sides = [self.min_size]
        if self.max_size is not None:
            sides.append(sqrt(self.min_size * self.max_size))
        squares = [(side, side) for side in sides]
        oblong = [
            (self.min_size * sqrt(ratio), self.min_size / sqrt(ratio))
            for given in self.ratios
            for ratio in (given, 1 / given)
        ]
        return squares + oblong


def make_priors(
    specs: Sequence[PriorSpec],
    maps: Sequence[tuple[Whole, Whole]],
    image_size: tuple[int | Tensor, int | Tensor],
) -> Float[Tensor, "P 4"]:
    """The priors of all levels as cxcywh in [0, 1]; order: level, row, column, prior.

    maps: (height, width) of each level's feature map. image_size: (height, width) in pixels. Where
    neither is known yet, in a network that is exported, they are symbols, and tensors of a number.
    """
    if len(specs) != len(maps):
        raise ValueError(
            f"{len(specs)} prior specs for {len(maps)} feature maps: one each is needed"
        )
    return torch.cat(
        [
            _level(spec, rows, columns, image_size)
            for spec, (rows, columns) in zip(specs, maps, strict=True)
        ]
    )


def _level(
    spec: PriorSpec, rows: Whole, columns: Whole, image_size: tuple[int | Tensor, int | Tensor]
) -> Float[Tensor, "n 4"]:
    height, width = image_size
    # float64 until the end: the sizes are ratios of roots, and they equal the release's to 1e-6.
    ys, xs = _centres(rows, height, spec.step), _centres(columns, width, spec.step)
    sides = torch.stack([torch.as_tensor(width), torch.as_tensor(height)])
    shapes = torch.tensor(spec.shapes(), dtype=torch.float64) / sides
    grid = torch.stack([xs.expand(rows, columns), ys[:, None].expand(rows, columns)], dim=-1)
    centres = grid[:, :, None].expand(-1, -1, len(spec), -1)
    return torch.cat([centres, shapes.expand(rows, columns, -1, -1)], dim=-1).reshape(-1, 4).float()


def _centres(cells: Whole, side: int | Tensor, step: float | None) -> Float[Tensor, " n"]:
    """Of all cells along one side of the image, as fractions of it."""
    places = torch.arange(cells, dtype=torch.float64) + CENTRE
    return cast(Tensor, places * (step or side / cells) / side)


def ssd_specs(
    side: int,
    *,
    ratios: Sequence[tuple[float, ...]],
    steps: Sequence[float | None],
    first: float = 0.10,
    smallest: float = 0.20,
    largest: float = 0.90,
) -> tuple[PriorSpec, ...]:
    """SSD's rule: sizes grow linearly from `smallest` to `largest` (fractions of the input's side)
    over the levels after the first, which gets `first` to itself.

    SSD section 2.2 and the release's `ssd_pascal.py`; VOC 300: 30 60 111 162 213 264 (315).
    """
    levels = len(ratios)
    # The release steps in whole percents: floor((90 - 20) / (6 - 2)) = 17.
    stride = int(round(100 * (largest - smallest)) / (levels - 2)) if levels > 2 else 0
    percents = [round(100 * smallest) + stride * level for level in range(levels)]
    sizes = [side * first, *(side * percent / 100 for percent in percents)]
    return tuple(
        PriorSpec(min_size=small, max_size=large, ratios=ratio, step=step)
        for small, large, ratio, step in zip(sizes, sizes[1:], ratios, steps, strict=False)
    )


def changed_specs(
    specs: Sequence[PriorSpec],
    *,
    side: int,
    scales: Sequence[float] = (),
    ratios: Sequence[float] = (),
) -> tuple[PriorSpec, ...]:
    """`specs` with other sizes or aspect ratios; the locations stay those of the maps.

    scales: SSD's s_k, shares of `side`, one more than there are levels: a level's squares have the
    side of its own scale, and the geometric mean of that and the next. ratios: of every level.
    Where one of them is empty, it stays as it is. Raises ValueError for a wrong number of scales,
    scales that do not rise, and ratios that are not larger than 1.
    """
    if scales and len(scales) != len(specs) + 1:
        raise ValueError(
            f"prior_scales has {len(scales)} values; a network of {len(specs)} levels needs "
            f"{len(specs) + 1}: one for each, and one more"
        )
    # Written so that NaN fails too.
    if not all(0 < small < large < inf for small, large in pairwise(scales)):
        raise ValueError(
            f"prior_scales is {_listed(scales)}; they must rise, from more than 0 on: shares of "
            "the input's shorter side"
        )
    if not all(1 < ratio < inf for ratio in ratios):
        raise ValueError(
            f"prior_ratios is {_listed(ratios)}; they must be larger than 1, width : height, and "
            "each is also used as its inverse"
        )
    changed = tuple(replace(spec, ratios=tuple(ratios) or spec.ratios) for spec in specs)
    if not scales:
        return changed
    return tuple(
        replace(spec, min_size=side * small, max_size=side * large)
        for spec, (small, large) in zip(changed, pairwise(scales), strict=True)
    )


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
