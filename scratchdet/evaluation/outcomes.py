"""What became of every detection from one score on, and of every object: to look at, one by one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.errors import NO_ERROR, classify
from scratchdet.evaluation.match import overlapping
from scratchdet.evaluation.metrics import PROTOCOLS, prepared
from scratchdet.structures import DetectionData

IOU = 0.5


class Outcomes(NamedTuple):
    """The K detections from a score on, best first, and the objects, at IoU 0.5."""

    threshold: float
    """The least score that counts."""
    detections: Columns
    hit: np.ndarray
    """(K,) bool: the first to find an object."""
    kinds: np.ndarray
    """(K,) int64: of an error its position in `KINDS`; -1 for hits, and what finds an ignored
    object."""
    missed: np.ndarray
    """(M,) bool: objects that none of these finds."""
    hinted: np.ndarray
    """(M,) float64: the best score, be it below the threshold, of a detection of its class and at
    its place; 0 for an object that nothing hints at."""

    def per_image(self, data: DetectionData) -> np.ndarray:
        """(N, 3) int64: of each image how many hits, false positives and missed objects."""
        images = self.detections.image_index
        of_object = np.repeat(np.arange(len(data)), np.diff(data.offsets))
        columns = (images[self.hit], images[self.kinds != NO_ERROR], of_object[self.missed])
        return np.stack([np.bincount(rows, minlength=len(data)) for rows in columns], axis=1)


def outcomes(
    data: DetectionData, detections: Columns, *, protocol: str, threshold: float
) -> Outcomes:
    """The outcomes of `detections` of `data`'s images, by the rules of the protocol."""
    data, detections = prepared(data, detections, protocol=protocol, pixels="devkit")
    verdicts, *_ = PROTOCOLS[protocol].judge(data, detections)
    ranked, found = verdicts.ranked, verdicts.found[0]
    kinds = classify(data, verdicts).kinds
    rows = np.argsort(-ranked.scores, kind="stable")
    rows = rows[ranked.scores[rows].astype(np.float64) >= threshold]
    missed = ~data.ignore
    missed[found[rows][found[rows] >= 0]] = False
    hinted = np.zeros(len(data.labels))
    pairs = overlapping(data, ranked, among="class", least=IOU)
    np.maximum.at(hinted, pairs.objects, ranked.scores[pairs.detections].astype(np.float64))
    return Outcomes(
        threshold=threshold,
        detections=Columns(*(column[rows] for column in ranked)),
        hit=found[rows] >= 0,
        kinds=kinds[rows],
        missed=missed,
        hinted=hinted,
    )
