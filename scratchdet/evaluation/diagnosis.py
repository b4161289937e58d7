"""All figures of a detector on a data set, how sure they are, and what they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.confusion import Confusion, confuse
from scratchdet.evaluation.curve import (
    Curve,
    Operation,
    average_precision,
    best_from_here,
    best_operation,
    f1_from,
)
from scratchdet.evaluation.errors import Errors, break_down
from scratchdet.evaluation.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    Intervals,
    as_json,
    bootstrap,
)
from scratchdet.evaluation.metrics import (
    PROTOCOLS,
    Metrics,
    Pixels,
    measure,
    none_if_nan,
    prepared,
)
from scratchdet.structures import DetectionData

THRESHOLDS = np.linspace(0, 1, 101)
"""Scores at which F1 is compared."""


class ClassFigures(NamedTuple):
    """One class."""

    name: str
    num_objects: int
    ap: float
    """As in `Metrics.ap_per_class`."""
    interval: Interval
    """Of `ap`."""
    ap50: float
    best: Operation
    """At the score with the best F1, at IoU 0.5."""
    curve: Curve
    """At IoU 0.5."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; of the curve the best precision at recall 0, 0.1, … 1 or more."""
        return {
            "objects": self.num_objects,
            "ap": none_if_nan(self.ap),
            "ap_interval": as_json(self.interval),
            "ap50": none_if_nan(self.ap50),
            **{name: none_if_nan(value) for name, value in self.best._asdict().items()},
            "precision_at_recall": precision_at(self.curve, parts=10).tolist(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The figures of one protocol, and what they are made of."""

    metrics: Metrics
    pixels: Pixels
    intervals: Intervals
    classes: tuple[ClassFigures, ...]
    """In label order."""
    confusion: Confusion
    errors: Errors

    def to_json(self) -> dict[str, Any]:
        """Plain values; None for what is undefined."""
        intervals = {"ap50": self.intervals.ap50, "ap": self.intervals.ap}
        return {
            **self.metrics.to_json(),
            "pixels": self.pixels,
            "intervals": {
                "level": LEVEL,
                "resamples": RESAMPLES,
                **{name: as_json(value) for name, value in intervals.items() if value},
            },
            "classes": {one.name: one.to_json() for one in self.classes},
            "errors": self.errors.to_json(),
            "confusion": self.confusion.to_json(),
        }


def diagnose(
    data: DetectionData,
    detections: Columns,
    *,
    protocol: str = "voc",
    pixels: Pixels = "devkit",
    threshold: float | None = None,
    seed: int = 0,
) -> Diagnosis:
    """What `detections` of `data`'s images are worth: see `evaluate_detections` for the arguments.

    threshold: the least score that the confusion counts; None is where F1 is best on average.
    seed: of the resamples behind the intervals.
    """
    data, detections = prepared(data, detections, protocol=protocol, pixels=pixels)
    points = PROTOCOLS[protocol].points
    metrics, verdicts = measure(data, detections, protocol=protocol)
    rng = np.random.default_rng(seed)
    intervals = bootstrap(data, verdicts, points, rng=rng)
    curves = verdicts.curves()
    if threshold is None:
        threshold = best_threshold(curves)
    return Diagnosis(
        metrics=metrics,
        pixels=pixels,
        intervals=intervals,
        classes=tuple(
            ClassFigures(
                name=name,
                num_objects=curve.num_objects,
                ap=ap,
                interval=interval,
                ap50=average_precision(curve, points),
                best=best_operation(curve),
                curve=curve,
            )
            for (name, ap), interval, curve in zip(
                metrics.ap_per_class.items(), intervals.per_class, curves, strict=True
            )
        ),
        confusion=confuse(
            data,
            detections,
            threshold=threshold,
            ignored="crowd" if protocol == "coco" else "difficult",
        ),
        errors=break_down(data, verdicts, points),
    )


def best_threshold(curves: tuple[Curve, ...]) -> float:
    """The score, in hundredths, from which F1 is best: mean over the classes that have objects.

    0.5 where nothing is ever right.
    """
    f1 = [f1_from(curve, THRESHOLDS) for curve in curves if curve.num_objects]
    if not f1 or not np.any(f1):
        return 0.5
    return round(float(THRESHOLDS[np.argmax(np.mean(f1, axis=0))]), 2)


def precision_at(curve: Curve, *, parts: int) -> np.ndarray:
    """(parts + 1,): the best precision at recall 0, 1 / parts, … 1 or a higher one."""
    if not curve.num_objects:
        return np.zeros(parts + 1)
    needed = -(-np.arange(parts + 1) * curve.num_objects // parts)  # the ceiling, in integers
    first = np.searchsorted(curve.hits, needed)
    return np.append(best_from_here(curve.precision), 0)[first]
