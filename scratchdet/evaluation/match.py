"""Which detections and objects of the same image overlap, and by how much: everything at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

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
    """The object of its class that each detection overlaps most, the first of them in the data
    where several tie."""
    objects = np.full(len(detections.scores), -1, dtype=np.int64)
    ious = np.zeros(len(detections.scores))
    for rows, counts, candidates in _blocks(data, detections, among="class"):
        pairs = pair_ious(data.boxes[candidates], detections.boxes[np.repeat(rows, counts)])
        best, ious[rows] = best_of_each(pairs, counts)
        objects[rows] = candidates[best]
    return BestOverlap(objects, ious)


class Pairs(NamedTuple):
    """Detections and objects that overlap, by detection and then by object."""

    detections: np.ndarray
    """(N,) int64: row in the detections."""
    objects: np.ndarray
    """(N,) int64: row in `DetectionData.boxes`."""
    ious: np.ndarray
    """(N,) float64, above 0."""


def overlapping(
    data: DetectionData,
    detections: Columns,
    *,
    among: Literal["class", "image"],
    least: float,
    crowd: np.ndarray | None = None,
) -> Pairs:
    """The pairs of the same image, or also of the same class, that overlap by `least` or more.

    crowd: (M,) bool, objects of which a detection need not cover all: as in COCO, the share of
    the detection that lies in the object stands for the IoU.
    """
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for rows, counts, candidates in _blocks(data, detections, among=among):
        repeated = np.repeat(rows, counts)
        ious = pair_ious(
            data.boxes[candidates],
            detections.boxes[repeated],
            part_of_first=None if crowd is None else crowd[candidates],
        )
        kept = (ious >= least) & (ious > 0)
        found.append((repeated[kept], candidates[kept], ious[kept]))
    return Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))


def take(
    pairs: Pairs, groups: np.ndarray, *, crowd: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """(T, K) int64: the object that each detection takes at each threshold; -1 for none.

    One detection of each of the `groups` (K,) after the other, in the order of the rows, takes the
    last of its `pairs` that reaches the threshold and whose object is still free: so they are
    sorted by detection, and what it prefers comes last. `crowd` (M,) objects are never used up.

    All groups at once, the first detection of each in the first round, the second in the second:
    a round decides what is free in the next.
    """
    found = np.full((len(thresholds), len(groups)), -1, np.int64)
    taken = np.zeros((len(thresholds), len(crowd)), bool)
    detections, starts, counts = np.unique(pairs.detections, return_index=True, return_counts=True)
    rounds = place_in_group(groups[detections])
    for number in range(int(rounds.max(initial=-1)) + 1):
        now = np.flatnonzero(rounds == number)
        rows = ranges(starts[now], counts[now])
        objects = pairs.objects[rows]
        free = (pairs.ious[rows] >= thresholds[:, None]) & ~taken[:, objects]
        begins = np.cumsum(counts[now]) - counts[now]
        last = np.maximum.reduceat(np.where(free, np.arange(len(rows)), -1), begins, axis=1)
        chosen = np.where(last >= 0, objects[last], -1)
        found[:, detections[now]] = chosen
        level, position = np.nonzero((chosen >= 0) & ~np.append(crowd, True)[chosen])
        taken[level, chosen[level, position]] = True
    return found


def _blocks(
    data: DetectionData, detections: Columns, *, among: Literal["class", "image"]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Some detections at a time that share an image (and class) with an object: their rows, the
    number of such objects of each, and the rows of these, detection after detection."""
    object_keys = np.repeat(np.arange(len(data)), np.diff(data.offsets))
    detection_keys = detections.image_index.astype(np.int64)
    if among == "class":
        object_keys = object_keys * len(data.classes) + data.labels
        detection_keys = detection_keys * len(data.classes) + detections.labels

    order = np.argsort(object_keys, kind="stable")
    starts = np.searchsorted(object_keys[order], detection_keys, side="left")
    counts = np.searchsorted(object_keys[order], detection_keys, side="right") - starts

    rows = np.flatnonzero(counts)
    blocks = np.cumsum(counts[rows]) // PAIRS_PER_BLOCK
    for block in np.split(rows, np.flatnonzero(np.diff(blocks)) + 1):
        if len(block):
            yield block, counts[block], order[ranges(starts[block], counts[block])]


def first_of_each(values: np.ndarray) -> np.ndarray:
    """(K,) bool: where a value that is not negative occurs for the first time."""
    rows = np.flatnonzero(values >= 0)  # few of many
    first = np.zeros(len(values), dtype=bool)
    first[rows[np.unique(values[rows], return_index=True)[1]]] = True
    return first


def best_of_each(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(position, value) of the first maximum of each run: `counts[0]` values, `counts[1]`, …

    No count is 0.
    """
    starts = np.cumsum(counts) - counts
    best = np.maximum.reduceat(values, starts)
    is_best = values == np.repeat(best, counts)
    positions = np.where(is_best, np.arange(len(values)), len(values))
    return np.minimum.reduceat(positions, starts), best


def pair_ious(
    first: np.ndarray, second: np.ndarray, *, part_of_first: np.ndarray | None = None
) -> np.ndarray:
    """(N,) IoU of row i with row i, in float64: a box on the threshold must not fall below it.

    part_of_first: (N,) bool, where what is shared is divided by the second box alone.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    top_left = np.maximum(first[:, :2], second[:, :2])
    bottom_right = np.minimum(first[:, 2:], second[:, 2:])
    intersection = np.prod(np.maximum(bottom_right - top_left, 0), axis=1)
    area = np.prod(second[:, 2:] - second[:, :2], axis=1)
    union = np.prod(first[:, 2:] - first[:, :2], axis=1) + area - intersection
    if part_of_first is not None:
        union = np.where(part_of_first, area, union)
    # Where nothing is shared the union may be 0 (two boxes without area): the IoU is 0 then.
    shared = intersection > 0
    return np.divide(intersection, union, out=np.zeros(len(intersection)), where=shared)


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """starts[0], starts[0] + 1, … (counts[0] numbers), then the same from starts[1], and so on."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(counts.sum())


def place_in_group(keys: np.ndarray) -> np.ndarray:
    """(N,) int64: how many earlier rows have the same key, a number from 0 on."""
    order = np.argsort(keys, kind="stable")
    begins = np.diff(keys[order], prepend=-1) != 0
    numbers = np.arange(len(keys))
    places = np.empty(len(keys), np.int64)
    places[order] = numbers - np.maximum.accumulate(np.where(begins, numbers, 0))
    return places
