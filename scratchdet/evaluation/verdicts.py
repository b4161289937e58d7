"""What a protocol makes of every detection: which object it found, or none, or never mind."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.curve import Curve
from scratchdet.structures import DetectionData


class Size(NamedTuple):
    """Areas in square pixels, both limits within."""

    least: float
    most: float

    def leaves_out(self, areas: np.ndarray) -> np.ndarray:
        """(N,) bool."""
        return (areas < self.least) | (areas > self.most)


ANY_SIZE = Size(0, np.inf)
SIZES = {"small": Size(0, 32**2), "medium": Size(32**2, 96**2), "large": Size(96**2, np.inf)}
"""COCO's: an area of exactly 32² or 96² belongs to both."""


class Verdicts(NamedTuple):
    """What became of each of K detections, at each of T thresholds of IoU."""

    ranked: Columns
    """The detections by class, and the best score first."""
    found: np.ndarray
    """(T, K) int64: the object that this detection is the first to find; -1 if there is none."""
    ignored: np.ndarray
    """(T, K) bool: neither hit nor false positive."""
    num_objects: np.ndarray
    """(C,) int64: objects to be found, ignored ones not counted."""

    def curves(self, level: int = 0) -> tuple[Curve, ...]:
        """One curve per class, in label order, at one of the thresholds."""
        counts = ~self.ignored[level]
        return curves(
            labels=self.ranked.labels[counts],
            scores=self.ranked.scores[counts],
            hit=self.found[level][counts] >= 0,
            num_objects=self.num_objects,
        )


def curves(
    *, labels: np.ndarray, scores: np.ndarray, hit: np.ndarray, num_objects: np.ndarray
) -> tuple[Curve, ...]:
    """One curve per class from ranked hits and false positives."""
    borders = np.searchsorted(labels, np.arange(len(num_objects) + 1))
    return tuple(
        Curve(np.cumsum(hit[begin:end]), scores[begin:end], int(number))
        for begin, end, number in zip(borders[:-1], borders[1:], num_objects, strict=True)
    )


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """(N,) float64."""
    boxes = boxes.astype(np.float64)
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def object_areas(data: DetectionData) -> np.ndarray:
    """(M,) float64: of the objects' masks, where they are known, else of their boxes."""
    return box_areas(data.boxes) if data.areas is None else data.areas


def image_and_class(image_index: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """(N,) int64: a number for each class in each image."""
    return image_index.astype(np.int64) * num_classes + labels
