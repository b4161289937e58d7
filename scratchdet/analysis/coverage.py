"""Which objects of a data set the priors of a detector can learn, and which they cannot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from scratchdet.analysis.own_priors import with_own_prior
from scratchdet.analysis.prior_overlaps import Level, best_overlaps, boxes_at, runs_of
from scratchdet.structures import DetectionData

IOU = 0.5
EDGES = (8, 16, 32, 64, 128)
"""Of the bins of size, the square root of the area in pixels of the input; COCO's are pixels of
the original image, and most objects of an input of 160 px would be in the first. 8 px is the
distance between locations on the finest map of all networks but those with a stem of stride 2."""
FAST_OBJECTS = 20_000
"""In the check before a training, which has a second."""


class Covered(NamedTuple):
    """Of a group of objects, those that some prior overlaps enough."""

    objects: int
    matched: int

    @property
    def share(self) -> float:
        """NaN without objects."""
        return self.matched / self.objects if self.objects else math.nan


class LevelUse(NamedTuple):
    """What the priors of one map are good for."""

    rows: int
    columns: int
    priors: int
    sides: tuple[float, float]
    """Square root of the area of the smallest and the largest prior, in pixels of the input."""
    matched: int
    """Objects that some prior of it overlaps enough."""
    best: int
    """Objects whose best prior of all is one of it."""


@dataclass(frozen=True)
class Coverage:
    """What priors can learn of a data set; objects to be ignored do not count."""

    input_size: tuple[int, int]
    """(height, width)"""
    iou: float
    """From which on a prior learns an object."""
    priors: int
    objects: int
    """Of the data; more than `all` has where a sample of the images was looked at."""
    all: Covered
    per_class: dict[str, Covered]
    per_size: dict[str, Covered]
    """By the square root of the area, in pixels of the input."""
    own: int
    """Objects that can have a matched prior that no other object has, at the same time."""
    left_iou: float
    """Median IoU of the other objects with their best prior. Each still learns from that one alone
    (bipartite matching). NaN if there are none."""
    mean_iou: float
    """Of all objects with their best prior; NaN without objects."""
    median_priors: float
    """Matched priors of an object; NaN without objects."""
    by_priors: dict[str, int]
    """Objects by the number of priors that overlap them enough: 0, 1-2, 3+."""
    levels: tuple[LevelUse, ...]

    @property
    def idle(self) -> list[int]:
        """The levels, from 0 on, that match no object and are the best for none."""
        return [place for place, use in enumerate(self.levels) if not use.matched + use.best]

    @property
    def best_recall(self) -> float:
        """Share of the objects that can have a matched prior of their own; NaN without objects."""
        return Covered(self.all.objects, self.own).share

    def to_json(self) -> dict[str, Any]:
        """Plain values; null for what is not a number."""
        return {
            "input_size": list(self.input_size),
            "iou": self.iou,
            "priors": self.priors,
            "objects": self.objects,
            "sampled": self.all.objects,
            "matched": self.all.matched,
            "share": _plain(self.all.share),
            "best_recall": _plain(self.best_recall),
            "per_class": {name: _as_json(one) for name, one in self.per_class.items()},
            "per_size": {name: _as_json(one) for name, one in self.per_size.items()},
            "left_iou": _plain(self.left_iou),
            "mean_iou": _plain(self.mean_iou),
            "median_priors": _plain(self.median_priors),
            "by_priors": self.by_priors,
            "levels": [use._asdict() for use in self.levels],
            "idle_levels": self.idle,
        }


def coverage(
    data: DetectionData,
    levels: Sequence[Level],
    *,
    input_size: tuple[int, int],
    iou: float = IOU,
) -> Coverage:
    """What the priors of `levels`, of images resized to (height, width), can learn of `data`.

    Exact, and of a hundred thousand objects in seconds.
    """
    real = ~data.ignore
    boxes, labels = boxes_at(data, input_size)[real], data.labels[real]
    images = np.repeat(np.arange(len(data)), np.diff(data.offsets))[real]
    counts = np.stack([_counts(boxes, level, iou) for level in levels], axis=1)
    overlaps = best_overlaps(boxes, levels)
    best = overlaps.max(axis=1, initial=0.0)
    total = counts.sum(axis=1)
    matched = total > 0
    bins = np.digitize(sizes_of(boxes), EDGES)
    classes = _grouped(labels, matched, len(data.classes))
    sizes = _grouped(bins, matched, len(EDGES) + 1)
    return Coverage(
        input_size=input_size,
        iou=iou,
        priors=sum(level.priors for level in levels),
        objects=len(boxes),
        all=Covered(len(boxes), int(matched.sum())),
        per_class=dict(zip(data.classes, classes, strict=True)),
        per_size=dict(zip(size_names(), sizes, strict=True)),
        own=with_own_prior(boxes, images, total, levels, iou),
        left_iou=_median(best[~matched]),
        mean_iou=float(best.mean()) if len(best) else math.nan,
        median_priors=_median(total),
        by_priors={
            "0": int((total == 0).sum()),
            "1-2": int(((total > 0) & (total < 3)).sum()),
            "3+": int((total >= 3).sum()),
        },
        levels=_uses(levels, counts, overlaps),
    )


def fast_coverage(
    data: DetectionData, levels: Sequence[Level], *, input_size: tuple[int, int], iou: float = IOU
) -> Coverage:
    """`coverage`; where there are more than `FAST_OBJECTS`, of images that are spread evenly."""
    parts = max(1, -(-data.num_objects // FAST_OBJECTS))
    sample = data.subset(np.arange(0, len(data), parts)) if parts > 1 else data
    found = coverage(sample, levels, input_size=input_size, iou=iou)
    return replace(found, objects=int((~data.ignore).sum()))


def sizes_of(boxes: np.ndarray) -> np.ndarray:
    """(M,) square root of the area."""
    root: np.ndarray = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    return root


def size_names() -> list[str]:
    """`< 8`, `8-16`, ... of the bins between EDGES."""
    between = [f"{low}-{high}" for low, high in pairwise(EDGES)]
    return [f"< {EDGES[0]}", *between, f">= {EDGES[-1]}"]


def percent(share: float) -> str:
    """`98.7 %`, cut and not rounded: 100 % are all of them. Empty for NaN."""
    return "" if math.isnan(share) else f"{math.floor(share * 1000 + 1e-9) / 10:.1f} %"


def _counts(boxes: np.ndarray, level: Level, iou: float) -> np.ndarray:
    """(M,) priors of the level that overlap each box enough."""
    counts = np.zeros(len(boxes), np.int64)
    for runs in runs_of(boxes, level, iou):
        counts += np.bincount(runs.box, runs.number, len(boxes)).astype(np.int64)
    return counts


def _grouped(group: np.ndarray, matched: np.ndarray, groups: int) -> list[Covered]:
    objects = np.bincount(group, minlength=groups).tolist()
    of_them = np.bincount(group[matched], minlength=groups).tolist()
    return [Covered(*pair) for pair in zip(objects, of_them, strict=True)]


def _uses(
    levels: Sequence[Level], counts: np.ndarray, overlaps: np.ndarray
) -> tuple[LevelUse, ...]:
    best = np.bincount(overlaps.argmax(axis=1), minlength=len(levels))
    uses = []
    for place, level in enumerate(levels):
        sides = [math.sqrt(width * height) for width, height in level.shapes]
        matched = int((counts[:, place] > 0).sum())
        bounds = (min(sides), max(sides))
        use = LevelUse(level.rows, level.columns, level.priors, bounds, matched, int(best[place]))
        uses.append(use)
    return tuple(uses)


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def _as_json(one: Covered) -> dict[str, Any]:
    return {**one._asdict(), "share": _plain(one.share)}
