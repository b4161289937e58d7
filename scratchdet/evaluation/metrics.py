"""One figure for a detector, and what it is made of: detections against a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scratchdet.evaluation import coco as coco_protocol
from scratchdet.evaluation import voc as voc_protocol
from scratchdet.evaluation.columns import Columns, check
from scratchdet.structures import DetectionData


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Figures in [0, 1]; NaN where undefined (nothing to find), None where not measured."""

    protocol: str
    """A key of `PROTOCOLS`."""
    ap50: float
    """AP at IoU 0.5, mean over the classes that have objects."""
    ap_per_class: dict[str, float]
    """At IoU 0.5 for VOC, mean over 0.5:0.95 for COCO. NaN for a class without objects."""
    num_images: int
    num_objects: int
    """Objects to be found, ignored ones not counted."""
    ap: float | None = None
    """COCO: mean over IoU 0.5, 0.55, … 0.95."""
    ap75: float | None = None
    ap_small: float | None = None
    """Objects under 32² pixels."""
    ap_medium: float | None = None
    ap_large: float | None = None
    """Objects over 96² pixels."""
    ar1: float | None = None
    """Recall with one detection per image and class, mean over IoU 0.5:0.95."""
    ar10: float | None = None
    ar100: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values: undefined figures are None, figures that were not measured left out."""
        figures = {key: value for key, value in asdict(self).items() if value is not None}
        figures["ap_per_class"] = {
            name: none_if_nan(value) for name, value in self.ap_per_class.items()
        }
        return {key: none_if_nan(value) for key, value in figures.items()}


def voc07(data: DetectionData, detections: Columns) -> Metrics:
    """VOC 2007: 11-point average precision at IoU 0.5."""
    return voc_metrics(data, detections, protocol="voc07", average=voc_protocol.eleven_point)


def voc(data: DetectionData, detections: Columns) -> Metrics:
    """VOC 2010 on: area under the precision-recall curve at IoU 0.5."""
    return voc_metrics(data, detections, protocol="voc", average=voc_protocol.area)


def voc_metrics(
    data: DetectionData,
    detections: Columns,
    *,
    protocol: str,
    average: Callable[[voc_protocol.Curve], float],
) -> Metrics:
    """VOC figures with the given average over a class's curve."""
    per_class = [average(curve) for curve in voc_protocol.curves(data, detections)]
    return Metrics(
        protocol=protocol,
        ap50=mean_of_defined(per_class),
        ap_per_class=dict(zip(data.classes, per_class, strict=True)),
        num_images=len(data),
        num_objects=int((~data.ignore).sum()),
    )


def coco(data: DetectionData, detections: Columns) -> Metrics:
    """COCO average precision and recall; `ignore` counts as `iscrowd`, box area as the area."""
    summary, per_class = coco_protocol.figures(data, detections)
    return Metrics(
        protocol="coco",
        ap_per_class=dict(zip(data.classes, per_class, strict=True)),
        num_images=len(data),
        num_objects=int((~data.ignore).sum()),
        **summary._asdict(),
    )


PROTOCOLS: dict[str, Callable[[DetectionData, Columns], Metrics]] = {
    "voc07": voc07,
    "voc": voc,
    "coco": coco,
}


def evaluate_detections(data: DetectionData, detections: Columns, *, protocol: str) -> Metrics:
    """The figures of `protocol` ("voc07", "voc" or "coco") for `detections` of `data`'s images.

    A class without objects has no AP (NaN) and no part in the mean; without any detection of an
    existing class its AP is 0; without any object all figures are NaN. Raises ValueError for an
    unknown protocol, DataError for detections that do not fit `data`, and ImportError for "coco"
    when its package is not installed.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}")
    check(data, detections)
    return PROTOCOLS[protocol](data, detections)


def mean_of_defined(values: Iterable[float]) -> float:
    """The mean of what is not NaN; NaN if nothing is left."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def none_if_nan(value: Any) -> Any:
    """`value`, but None for NaN: JSON has no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value
