"""Which object each detection overlaps best: same image, same class, everything at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scratchdet.evaluation.columns import Columns
from scratchdet.structures import DetectionData

PAIRS_PER_BLOCK = 2_000_000
"""Detection-object pairs compared in one go: about 300 MB of float64 intermediates."""


class BestOverlap(NamedTuple):
    """For each detection the object it overlaps most."""

    objects: np.ndarray
    """(K,) int64: row in `DetectionData.boxes`; -1 where the image has no object of the class."""
    ious: np.ndarray
    """(K,) float64; 0 where `objects` is -1."""


def best_overlaps(data: DetectionData, detections: Columns) -> BestOverlap:
    """The object of highest IoU per detection, the first of them in the data where several tie."""
    num_classes = len(data.classes)
    image_of_object = np.repeat(np.arange(len(data)), np.diff(data.offsets))
    object_keys = image_of_object * num_classes + data.labels
    detection_keys = detections.image_index.astype(np.int64) * num_classes + detections.labels

    order = np.argsort(object_keys, kind="stable")
    starts = np.searchsorted(object_keys[order], detection_keys, side="left")
    counts = np.searchsorted(object_keys[order], detection_keys, side="right") - starts

    objects = np.full(len(detection_keys), -1, dtype=np.int64)
    ious = np.zeros(len(detection_keys))
    rows = np.flatnonzero(counts)
    blocks = np.cumsum(counts[rows]) // PAIRS_PER_BLOCK
    for block in np.split(rows, np.flatnonzero(np.diff(blocks)) + 1):
        if len(block):
            repeated = np.repeat(block, counts[block])
            candidates = order[ranges(starts[block], counts[block])]
            pairs = pair_ious(data.boxes[candidates], detections.boxes[repeated])
            best, ious[block] = best_of_each(pairs, counts[block])
            objects[block] = candidates[best]
    return BestOverlap(objects, ious)


def best_of_each(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(position, value) of the first maximum of each run: `counts[0]` values, `counts[1]`, …

    No count is 0.
    """
    starts = np.cumsum(counts) - counts
    best = np.maximum.reduceat(values, starts)
    is_best = values == np.repeat(best, counts)
    positions = np.where(is_best, np.arange(len(values)), len(values))
    return np.minimum.reduceat(positions, starts), best


def pair_ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N,) IoU of row i with row i, in float64: a box on the threshold must not fall below it."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    top_left = np.maximum(first[:, :2], second[:, :2])
    bottom_right = np.minimum(first[:, 2:], second[:, 2:])
    intersection = np.prod(np.maximum(bottom_right - top_left, 0), axis=1)
    areas = np.prod(first[:, 2:] - first[:, :2], axis=1) + np.prod(
        second[:, 2:] - second[:, :2], axis=1
    )
    # Where nothing is shared the union may be 0 (two boxes without area): the IoU is 0 then.
    shared = intersection > 0
    return np.divide(
        intersection, areas - intersection, out=np.zeros(len(intersection)), where=shared
    )


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """starts[0], starts[0] + 1, … (counts[0] numbers), then the same from starts[1], and so on."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(counts.sum())
