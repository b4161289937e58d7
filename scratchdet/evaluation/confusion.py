"""Which class objects are found as, at one score threshold."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.match import Pairs, overlapping, take
from scratchdet.structures import DetectionData

IOU = 0.5


class Confusion(NamedTuple):
    """How often an object of one class was found as another."""

    counts: np.ndarray
    """(C + 1, C + 1) int64: objects of class i found as class j. The last column counts objects
    that were not found, the last row detections where no object is; the corner is 0."""
    threshold: float
    """The least score that counts."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"threshold": self.threshold, "iou": IOU, "counts": self.counts.tolist()}


def confuse(
    data: DetectionData,
    detections: Columns,
    *,
    threshold: float,
    ignored: Literal["difficult", "crowd"],
) -> Confusion:
    """The confusion of the detections from `threshold` on, at IoU 0.5.

    By falling score each takes a free object that it overlaps by half or more, of its own class if
    there is one, else of any; the one it overlaps most. Ignored objects are never used up, and
    what finds only such an object is not counted. ignored: of a crowd it is enough to lie inside.
    """
    order = np.argsort(-detections.scores, kind="stable")
    order = order[detections.scores[order].astype(np.float64) >= threshold]
    ranked = Columns(*(column[order] for column in detections))
    crowd = data.ignore if ignored == "crowd" else None
    pairs = overlapping(data, ranked, among="image", least=IOU, crowd=crowd)
    same = data.labels[pairs.objects] == ranked.labels[pairs.detections]
    rank = (-pairs.objects, pairs.ious, same, ~data.ignore[pairs.objects], pairs.detections)
    rising = Pairs(*(column[np.lexsort(rank)] for column in pairs))
    (found,) = take(rising, ranked.image_index, crowd=data.ignore, thresholds=np.array([IOU]))

    none = len(data.classes)
    counted = ~np.append(data.ignore, False)[found]
    labels = np.append(data.labels, none)[found]
    counts = np.zeros((none + 1, none + 1), np.int64)
    np.add.at(counts, (labels[counted], ranked.labels[counted]), 1)
    unfound = ~data.ignore
    unfound[found[found >= 0]] = False
    counts[:none, none] = np.bincount(data.labels[unfound], minlength=none)
    return Confusion(counts, threshold)
