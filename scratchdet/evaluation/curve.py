"""Precision over recall of one class, the averages of it, and the score that serves best."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


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

    @property
    def f1(self) -> np.ndarray:
        """(K,) float64 in [0, 1]: the harmonic mean of precision and recall."""
        return 2 * self.hits / (np.arange(1, len(self.hits) + 1) + self.num_objects)


Points = Callable[[np.ndarray, np.ndarray | int], tuple[np.ndarray, np.ndarray | int]]
"""(hits, objects) -> how many points of the recall axis so many hits have reached, and of how many.

Hits and objects are whole numbers above 0, and broadcast.
"""


def eleven_points(
    hits: np.ndarray, num_objects: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray | int]:
    """Recall 0, 0.1, … 1, as in VOC 2007.

    Compared in whole numbers, `10 hits >= k objects`: as floats 0.1 * 6 is 0.6000000000000001,
    which a recall of 0.6 would miss.
    """
    return hits * 10 // num_objects + 1, 11


def every_hit(
    hits: np.ndarray, num_objects: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray | int]:
    """Each hit is a point of its own: the area under the curve, as in VOC from 2010 on."""
    return hits, num_objects


COCO_RECALLS = np.linspace(0, 1, 101)


def coco_points(
    hits: np.ndarray, num_objects: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray | int]:
    """Recall 0, 0.01, … 1, as in COCO: compared as floats, which loses a point now and then."""
    recall = np.divide(hits, num_objects, dtype=np.float64)
    return np.searchsorted(COCO_RECALLS, recall, side="right"), 101


def average_precision(curve: Curve, points: Points) -> float:
    """Mean over the points of the recall axis of the best precision at that recall or more.

    NaN for a class without objects.
    """
    if curve.num_objects == 0:
        return math.nan
    rises = np.flatnonzero(np.diff(curve.hits, prepend=0))
    reached, all_points = points(curve.hits[rises], curve.num_objects)
    best = best_from_here(curve.precision[rises])
    return float((np.diff(reached, prepend=0) * best).sum() / all_points)


def best_from_here(precision: np.ndarray) -> np.ndarray:
    """(K, ...): the best precision at this recall or a higher one."""
    return np.maximum.accumulate(precision[::-1])[::-1]


class Operation(NamedTuple):
    """What a class's detections are worth from one score on."""

    threshold: float
    """The least score that counts."""
    precision: float
    recall: float
    f1: float


NEVER = Operation(math.nan, math.nan, math.nan, math.nan)


def best_operation(curve: Curve) -> Operation:
    """The score with the best F1, the highest of several; all NaN where nothing is ever right.

    Of detections with equal scores none comes without the others.
    """
    if not curve.num_objects or not len(curve.hits) or not curve.hits[-1]:
        return NEVER
    last = np.append(np.diff(curve.scores) != 0, True)
    best = int(np.argmax(np.where(last, curve.f1, -1)))
    return Operation(
        float(curve.scores[best]),
        float(curve.precision[best]),
        float(curve.recall[best]),
        float(curve.f1[best]),
    )


def f1_from(curve: Curve, thresholds: np.ndarray) -> np.ndarray:
    """(N,) F1 of the detections from each threshold on; NaN for a class without objects."""
    if not curve.num_objects:
        return np.full(len(thresholds), math.nan)
    counted = np.searchsorted(-curve.scores, -thresholds, side="right")
    hits = np.append(0, curve.hits)[counted]
    return 2 * hits / (counted + curve.num_objects)
