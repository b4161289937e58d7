"""What is wrong with the detections, and what each kind of error costs in AP.

The kinds, their order of precedence and their cures are those of TIDE (Bolya et al., ECCV 2020,
section 2). A cost is AP50 with all errors of one kind cured, and no other, minus AP50: costs do not
add up to what is missing from 1, as one error may hide behind another.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.curve import Points, average_precision
from scratchdet.evaluation.match import BestOverlap, Pairs, best_of_each, first_of_each, overlapping
from scratchdet.evaluation.verdicts import Verdicts, curves
from scratchdet.structures import DetectionData

FOREGROUND, BACKGROUND = 0.5, 0.1  # IoU, TIDE's t_f and t_b

KINDS = {
    "classification": "at an object of another class",
    "localisation": "near an object of its class",
    "both": "near an object of another class",
    "duplicate": "at an object that is found already",
    "background": "where no object is",
    "missed": "objects with no detection near",
}
"""What each error is: at, IoU 0.5 or more; near, less but not under 0.1."""
CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND_ERROR, MISSED = range(6)
NO_ERROR = -1


class Cost(NamedTuple):
    """One kind of error."""

    number: int
    ap50: float
    """What AP50 gains if there were none of them; NaN if there is no AP."""


class Errors(NamedTuple):
    """Every false positive is of one of the first five kinds; a missed object is a false negative,
    and so is one that a misclassified or misplaced detection stands for."""

    kinds: dict[str, Cost]
    """By the keys of `KINDS`."""
    false_positives: Cost
    false_negatives: Cost

    def to_json(self) -> dict[str, Any]:
        """{kind: {"number", "ap50"}}, with all false positives and negatives as two more kinds."""
        return {
            name: {"number": cost.number, "ap50": None if math.isnan(cost.ap50) else cost.ap50}
            for name, cost in self.rows().items()
        }

    def rows(self) -> dict[str, Cost]:
        """All that has a cost, in the order of tables and charts."""
        return {
            **self.kinds,
            "false positives": self.false_positives,
            "false negatives": self.false_negatives,
        }


class Faults(NamedTuple):
    """Which error each of the K ranked detections is, and where."""

    kinds: np.ndarray
    """(K,) int64, position in `KINDS`; -1 for hits and ignored detections."""
    objects: np.ndarray
    """(K,) int64: the object that was meant, of errors of class or place; else -1."""


def break_down(data: DetectionData, verdicts: Verdicts, points: Points) -> Errors:
    """The errors at the first threshold of `verdicts`, IoU 0.5, and their costs.

    `points` say how AP is averaged: by the protocol of the verdicts.
    """
    ranked, hit, counted = verdicts.ranked, verdicts.found[0] >= 0, ~verdicts.ignored[0]
    faults = classify(data, verdicts)
    unfound = ~data.ignore
    unfound[verdicts.found[0][hit]] = False
    missed = unfound.copy()
    missed[faults.objects[faults.objects >= 0]] = False
    nothing, no_object = np.zeros(len(hit), bool), np.zeros(len(unfound), bool)

    def ap50(kept: np.ndarray, cured: np.ndarray, gone: np.ndarray) -> float:
        """Of the detections that are `kept`, the `cured` ones hits, without the objects `gone`."""
        return _ap50(
            labels=np.where(cured, np.append(data.labels, -1)[faults.objects], ranked.labels)[kept],
            scores=ranked.scores[kept],
            hit=(hit | cured)[kept],
            num_objects=verdicts.num_objects,
            gone=np.bincount(data.labels[gone], minlength=len(data.classes)),
            points=points,
        )

    as_it_is = ap50(counted, nothing, no_object)
    kinds = {}
    for kind, name in enumerate(KINDS):
        these = faults.kinds == kind
        # Of several that mean one object the best scored becomes a hit, as if it had been right.
        meant = np.where(these & np.append(unfound, False)[faults.objects], faults.objects, -1)
        cured = _first_by_score(meant, ranked.scores)
        if kind == MISSED:
            kinds[name] = Cost(int(missed.sum()), ap50(counted, nothing, missed) - as_it_is)
        else:
            kept = counted & (~these | cured)
            kinds[name] = Cost(int(these.sum()), ap50(kept, cured, no_object) - as_it_is)
    return Errors(
        kinds,
        Cost(int((counted & ~hit).sum()), ap50(hit, nothing, no_object) - as_it_is),
        Cost(int(unfound.sum()), ap50(counted, nothing, unfound) - as_it_is),
    )


def classify(data: DetectionData, verdicts: Verdicts) -> Faults:
    """The kind of error that every false positive is; see `KINDS`.

    One that could be several is the first that holds, in the order of TIDE's program: at an object
    of its class but badly, at one of another class, a duplicate, background, and else both.
    """
    rows = np.flatnonzero((verdicts.found[0] < 0) & ~verdicts.ignored[0])
    ranked = Columns(*(column[rows] for column in verdicts.ranked))
    pairs = overlapping(data, ranked, among="image", least=BACKGROUND)
    real = ~data.ignore[pairs.objects]
    same = data.labels[pairs.objects] == ranked.labels[pairs.detections]
    own = _best_overlaps(pairs, real & same, count=len(rows))
    other = _best_overlaps(pairs, real & ~same, count=len(rows))

    misplaced = (own.ious >= BACKGROUND) & (own.ious < FOREGROUND)
    misnamed = ~misplaced & (other.ious >= FOREGROUND)
    kinds = np.select(
        [misplaced, misnamed, own.ious >= FOREGROUND, other.ious <= BACKGROUND],
        [LOCALISATION, CLASSIFICATION, DUPLICATE, BACKGROUND_ERROR],
        BOTH,
    )
    meant = np.where(misplaced, own.objects, np.where(misnamed, other.objects, -1))
    faults = Faults(*(np.full(len(verdicts.ranked.scores), NO_ERROR, np.int64) for _ in range(2)))
    faults.kinds[rows], faults.objects[rows] = kinds, meant
    return faults


def _best_overlaps(pairs: Pairs, which: np.ndarray, *, count: int) -> BestOverlap:
    """For each of `count` detections the object of its pairs, of those chosen, with most IoU."""
    best = BestOverlap(np.full(count, -1, np.int64), np.zeros(count))
    rows, counts = np.unique(pairs.detections[which], return_counts=True)
    if len(rows):
        positions, best.ious[rows] = best_of_each(pairs.ious[which], counts)
        best.objects[rows] = pairs.objects[which][positions]
    return best


def _first_by_score(values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(K,) bool: the best scored row of each value that is not negative."""
    by_score = np.argsort(-scores, kind="stable")
    first = np.zeros(len(values), bool)
    first[by_score] = first_of_each(values[by_score])
    return first


def _ap50(
    *,
    labels: np.ndarray,
    scores: np.ndarray,
    hit: np.ndarray,
    num_objects: np.ndarray,
    gone: np.ndarray,
    points: Points,
) -> float:
    """Mean AP of the classes with objects, `gone` (C,) of which do not count.

    A class of which nothing is left to be found has 1: nothing is missing from it. (TIDE gives it
    0, or leaves it out of the mean, so that curing the worst class would cost.)
    """
    order = np.lexsort((-scores, labels))
    left = curves(
        labels=labels[order],
        scores=scores[order],
        hit=hit[order],
        num_objects=num_objects - gone,
    )
    values = [
        average_precision(curve, points) if curve.num_objects else 1.0
        for curve, objects in zip(left, num_objects, strict=True)
        if objects
    ]
    return float(np.mean(values)) if values else math.nan
