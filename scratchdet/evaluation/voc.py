"""PASCAL VOC average precision: 11-point (2007) and area under the curve (2010 on).

The rules are the development kit's (VOCevaldet.m): detections by falling score; each looks at
the object of its class it overlaps most, whether or not that is taken; an IoU of 0.5 *or more* is
a hit the first time and a false positive again; if that object is `ignore` (difficult) the
detection is neither.

The kit's boxes are 1-based with inclusive corners, its widths `xmax - xmin + 1`. Ours are 0-based
and half-open: reading takes 1 from xmin and ymin, writing a submission adds it again. So
`x2 - x1` *is* the kit's `xmax - xmin + 1`, for objects and detections, and the plain IoU here is
the kit's, digit for digit. Adding another pixel would be wrong.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.match import best_overlaps
from scratchdet.structures import DetectionData

IOU_THRESHOLD = 0.5  # VOC devkit, VOCopts.minoverlap


class Curve(NamedTuple):
    """What a class's detections find, as the score threshold falls to each of them in turn.

    Detections of ignored objects are left out, so K is the number of hits and false positives.
    """

    hits: np.ndarray
    """(K,) int64: true positives among the best 1, 2, … K detections."""
    scores: np.ndarray
    """(K,), falling."""
    num_objects: int
    """Objects to be found, ignored ones not counted."""

    @property
    def precision(self) -> np.ndarray:
        """(K,) float64 in [0, 1]."""
        return self.hits / np.arange(1, len(self.hits) + 1)

    @property
    def recall(self) -> np.ndarray:
        """(K,) float64 in [0, 1], rising; NaN for a class without objects."""
        return self.hits / (self.num_objects or math.nan)


def curves(
    data: DetectionData, detections: Columns, *, threshold: float = IOU_THRESHOLD
) -> tuple[Curve, ...]:
    """One curve per class of `data`, in label order."""
    # Two stable sorts in one: by class, best score first, equal scores in row order.
    order = np.lexsort((-detections.scores, detections.labels))
    ranked = Columns(*(column[order] for column in detections))
    objects, ious = best_overlaps(data, ranked)

    found = np.where(ious >= threshold, objects, -1)
    ignored = np.append(data.ignore, False)[found]  # -1, nothing found, reads the last: False
    hit = first_of_each(np.where(ignored, -1, found))
    num_objects = np.bincount(data.labels[~data.ignore], minlength=len(data.classes))

    result = []
    for label in range(len(data.classes)):
        counts = (ranked.labels == label) & ~ignored
        result.append(Curve(np.cumsum(hit[counts]), ranked.scores[counts], int(num_objects[label])))
    return tuple(result)


def first_of_each(values: np.ndarray) -> np.ndarray:
    """(K,) bool: where a value that is not negative occurs for the first time."""
    distinct, positions = np.unique(values, return_index=True)
    first = np.zeros(len(values), dtype=bool)
    first[positions[distinct >= 0]] = True
    return first


def eleven_point(curve: Curve) -> float:
    """AP of VOC 2007: mean over recall 0, 0.1, … 1 of the best precision at that recall or more.

    NaN for a class without objects. Recall is compared in whole numbers, `10 hits >= k objects`:
    as floats 0.1 * 6 is 0.6000000000000001, which a recall of 0.6 would miss.
    """
    if curve.num_objects == 0:
        return math.nan
    needed = -(-np.arange(11) * curve.num_objects // 10)  # the ceiling, in integers
    first = np.searchsorted(curve.hits, needed)
    reached = first < len(curve.hits)
    return float(best_from_here(curve)[first[reached]].sum() / 11)


def area(curve: Curve) -> float:
    """AP of VOC 2010 on: the area under precision made monotone. NaN without objects."""
    if curve.num_objects == 0:
        return math.nan
    rises = np.diff(curve.hits, prepend=0)
    return float((rises * best_from_here(curve)).sum() / curve.num_objects)


def best_from_here(curve: Curve) -> np.ndarray:
    """(K,): the best precision at this recall or a higher one."""
    return np.maximum.accumulate(curve.precision[::-1])[::-1]
