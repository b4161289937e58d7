"""What was learned by heart, tried on images that were not: do the boxes belong to their images?

Boxes of other images are learned by heart as well as an image's own (Zhang et al. 2017 did it with
random labels). What they do not do is carry over. So the detections in images that the network has
not seen are compared with the objects of these images, and with the same objects exchanged between
them: by chance the first comparison is the best of N in one case of N.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Literal, NamedTuple

import numpy as np

from scratchdet.evaluation.columns import Columns, from_detections
from scratchdet.evaluation.metrics import evaluate_detections
from scratchdet.evaluation.run import detect_all
from scratchdet.structures import DetectionData, Predictor, from_records

FEWEST = 6  # images: with fewer, chance passes too often
ALIKE = 0.5  # AP50 with exchanged objects, from which on all images have theirs at the same places

Fit = Literal["own", "any", "alike"]


class Unseen(NamedTuple):
    """How well detections fit images that were not learned: AP50 of objects of whatever class."""

    images: int
    own: float
    """With the objects of these images."""
    exchanged: tuple[float, ...]
    """With those of the next image, of the one after, ..., all around."""

    @property
    def fit(self) -> Fit:
        """Best with their own objects; with any as well; or objects are where they are in all."""
        if self.own > max(self.exchanged):
            return "own"
        return "alike" if median(self.exchanged) >= ALIKE else "any"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**self._asdict(), "fit": self.fit}


def try_unseen(detector: Predictor, data: DetectionData) -> Unseen | None:
    """How the detector, which has not seen `data`, does on it; None where that could tell nothing.

    Class and size of an image play no part: an object is where it is, as a share of the image.
    """
    if len(data) < FEWEST:
        return None
    found = from_detections(detect_all(detector, data))
    records = [
        replace(record, boxes=record.boxes / _sides(record.size), labels=record.labels * 0)
        for record in data
    ]
    sides = np.array([_sides(record.size) for record in data])
    shares = Columns(
        found.image_index, found.boxes / sides[found.image_index], found.scores, found.labels * 0
    )

    def ap50(by: int) -> float:
        moved = [
            replace(record, boxes=other.boxes, labels=other.labels, ignore=other.ignore)
            for record, other in zip(records, _moved(records, by), strict=True)
        ]
        return evaluate_detections(from_records(moved, ["object"]), shares, protocol="voc").ap50

    return Unseen(len(data), ap50(0), tuple(ap50(by) for by in range(1, len(data))))


def _moved(items: Sequence[Any], by: int) -> Sequence[Any]:
    return [*items[by:], *items[:by]]


def _sides(size: tuple[int, int]) -> np.ndarray:
    """(4,) what boxes of an image of `size` (width, height) are divided by to be shares of it."""
    return np.array([*size, *size], np.float32)
