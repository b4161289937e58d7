"""The detections of a whole data set as flat columns: what every evaluation protocol reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scratchdet.structures import (
    Arrays,
    DataError,
    DetectionData,
    Detections,
    as_arrays,
    nothing_found,
)


class Columns(NamedTuple):
    """All detections, one row each, in any order.

    Among equal scores the earlier row counts as the better one.
    """

    image_index: np.ndarray
    """(K,) int64: position of the image in its `DetectionData`."""
    boxes: np.ndarray
    """(K, 4) float32, xyxy pixels of the original image, 0-based, half-open."""
    scores: np.ndarray
    """(K,) float32."""
    labels: np.ndarray
    """(K,) int64 in 0..C-1."""


def from_detections(detections: Sequence[Detections | Arrays]) -> Columns:
    """The rows of `detections[i]`, found in image i, image after image."""
    found = [nothing_found(), *map(as_arrays, detections)]
    boxes, scores, labels = map(np.concatenate, zip(*found, strict=True))
    counts = [len(one.scores) for one in found[1:]]
    return Columns(np.repeat(np.arange(len(detections)), counts), boxes, scores, labels)


def check(data: DetectionData, detections: Columns) -> None:
    """Raises DataError where a detection cannot belong to `data` or is not a number.

    A NaN would sort and compare without complaint and give a figure that means nothing.
    """
    lengths = {name: len(column) for name, column in detections._asdict().items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns of the detections differ in length: {lengths}")
    image_index, boxes, scores, labels = detections
    faults = {
        f"names an image outside the data's {len(data)}": (image_index < 0)
        | (image_index >= len(data)),
        f"has a label outside the data's {len(data.classes)} classes": (labels < 0)
        | (labels >= len(data.classes)),
        "has a box that is not finite": ~np.isfinite(boxes).all(axis=1),
        "has a score that is not finite": ~np.isfinite(scores),
    }
    for what, wrong in faults.items():
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"detection {row} {what}: image {image_index[row]}, box {boxes[row].tolist()}, "
                f"score {scores[row]}, label {labels[row]} ({int(wrong.sum())} such detections); "
                "evaluate with the data and classes the detections were made for"
            )
