"""Which images, wrong detections and missed objects are worth showing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scratchdet.evaluation.errors import NO_ERROR
from scratchdet.evaluation.outcomes import Outcomes
from scratchdet.evaluation.verdicts import box_areas
from scratchdet.structures import DetectionData

IMAGES = 4  # of each group
CROPS = 12  # of each kind
PER_IMAGE = 2  # crops that one image may give: one bad image is not all there is to see


class ChosenImages(NamedTuple):
    """Positions in the data; no image is in two groups."""

    worst: list[int]
    """The worst first, none without an error."""
    best: list[int]
    random: list[int]


def choose_images(data: DetectionData, found: Outcomes, *, seed: int = 0) -> ChosenImages:
    """The images with the lowest and the highest F1, and some drawn at random from the others.

    Of images as good as each other, those with more objects; images without any come last.
    """
    hits, wrong, missed = found.per_image(data).T
    errors = wrong + missed
    f1 = 2 * hits / np.maximum(2 * hits + errors, 1)
    by_badness = np.lexsort((-errors, f1))
    worst = [int(index) for index in by_badness if errors[index]][:IMAGES]
    by_goodness = np.lexsort((errors, -hits, -f1))
    best = [int(index) for index in by_goodness if hits[index] and index not in worst][:IMAGES]
    others = [index for index in range(len(data)) if index not in {*worst, *best}]
    drawn = np.random.default_rng(seed).permutation(len(others))[:IMAGES]
    return ChosenImages(worst, best, [others[index] for index in drawn])


def surest_errors(found: Outcomes) -> list[int]:
    """Rows of the false positives with the highest scores."""
    rows = np.flatnonzero(found.kinds != NO_ERROR)  # best first
    return _spread(rows, found.detections.image_index[rows])


def hardest_misses(data: DetectionData, found: Outcomes) -> list[int]:
    """Rows of the missed objects that least hints at; of several, the largest."""
    rows = np.flatnonzero(found.missed)
    images = np.repeat(np.arange(len(data)), np.diff(data.offsets))
    order = np.lexsort((-box_areas(data.boxes[rows]), found.hinted[rows]))
    return _spread(rows[order], images[rows[order]])


def _spread(rows: np.ndarray, images: np.ndarray) -> list[int]:
    """The first of the rows, not too many of one image."""
    kept: list[int] = []
    seen: dict[int, int] = {}
    for row, image in zip(rows.tolist(), images.tolist(), strict=True):
        if seen.get(image, 0) < PER_IMAGE:
            seen[image] = seen.get(image, 0) + 1
            kept.append(row)
        if len(kept) == CROPS:
            break
    return kept
