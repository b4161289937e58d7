"""One figure for a detector, and what it is made of: detections against a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from scratchdet.evaluation import coco, voc
from scratchdet.evaluation.columns import Columns, check
from scratchdet.evaluation.curve import (
    Points,
    average_precision,
    coco_points,
    eleven_points,
    every_hit,
)
from scratchdet.evaluation.match import place_in_group
from scratchdet.evaluation.verdicts import (
    ANY_SIZE,
    SIZES,
    Verdicts,
    image_and_class,
)
from scratchdet.structures import DetectionData

Pixels = Literal["devkit", "continuous"]
"""How wide a box of a VOC file is: xmax - xmin + 1, as in the devkit, or xmax - xmin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Figures in [0, 1]; NaN where undefined (nothing to find), None where not measured.

    By IoU 0.5 alone for VOC, as a mean over IoU 0.5, 0.55, … 0.95 for COCO, unless the name says
    which.
    """

    protocol: str
    """A key of `PROTOCOLS`."""
    ap50: float
    """AP at IoU 0.5, mean over the classes that have objects."""
    ap_per_class: dict[str, float]
    """NaN for a class without objects."""
    num_images: int
    num_objects: int
    """Objects to be found, ignored ones not counted."""
    ap_small: float
    """Objects up to 32² pixels."""
    ap_medium: float
    ap_large: float
    """Objects from 96² pixels."""
    ar1: float
    """Recall with one detection per image and class, mean over the classes that have objects."""
    ar10: float
    ar100: float
    ap: float | None = None
    """COCO: mean over the ten IoUs."""
    ap75: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values: undefined figures are None, figures that were not measured left out."""
        figures = {key: value for key, value in asdict(self).items() if value is not None}
        figures["ap_per_class"] = {
            name: none_if_nan(value) for name, value in self.ap_per_class.items()
        }
        return {key: none_if_nan(value) for key, value in figures.items()}


class Protocol(NamedTuple):
    """What makes one protocol differ from another."""

    judge: Callable[..., tuple[Verdicts, ...]]
    """(data, detections, sizes=) -> which detections are hits, for each size."""
    points: Points
    """Where on the recall axis precision is averaged."""
    average: str
    """In words, for people."""


PROTOCOLS = {
    "voc07": Protocol(voc.judge, eleven_points, "11 points of recall, IoU 0.5"),
    "voc": Protocol(voc.judge, every_hit, "the area under the curve, IoU 0.5"),
    "coco": Protocol(coco.judge, coco_points, "101 points of recall, IoU 0.5 to 0.95"),
}


def evaluate_detections(
    data: DetectionData,
    detections: Columns,
    *,
    protocol: str,
    pixels: Pixels = "devkit",
) -> Metrics:
    """The figures of `protocol` ("voc07", "voc" or "coco") for `detections` of `data`'s images.

    pixels: "devkit" takes boxes as they are, which is the devkit's `xmax - xmin + 1` and COCO's
    width; "continuous", for VOC alone, takes a pixel off.

    A class without objects has no AP (NaN) and no part in the mean; without any detection of an
    existing class its AP is 0; without any object all figures are NaN. Raises ValueError for an
    unknown protocol, and DataError for detections that do not fit `data`.
    """
    data, detections = prepared(data, detections, protocol=protocol, pixels=pixels)
    return measure(data, detections, protocol=protocol)[0]


def prepared(
    data: DetectionData, detections: Columns, *, protocol: str, pixels: Pixels
) -> tuple[DetectionData, Columns]:
    """Both, checked, with boxes as the convention has them."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}")
    check(data, detections)
    if pixels == "devkit":
        return data, detections
    if protocol == "coco":
        raise ValueError(
            'pixels="continuous" is a choice for voc and voc07: COCO writes widths, not last pixels'
        )
    return voc.as_points(data, detections)


def measure(
    data: DetectionData,
    detections: Columns,
    *,
    protocol: str,
) -> tuple[Metrics, Verdicts]:
    """The figures of `prepared` data, and the verdicts on objects of any size behind them."""
    judge, points, _ = PROTOCOLS[protocol]
    sizes = (ANY_SIZE, *SIZES.values())
    everything, *by_size = judge(data, detections, sizes=sizes)
    per_level = precisions(everything, points)
    several = len(per_level) > 1
    metrics = Metrics(
        protocol=protocol,
        ap50=mean_of_defined(per_level[0]),
        ap_per_class=dict(zip(data.classes, per_level.mean(axis=0).tolist(), strict=True)),
        num_images=len(data),
        num_objects=int((~data.ignore).sum()),
        ap=mean_of_defined(per_level.ravel()) if several else None,
        ap75=mean_of_defined(per_level[5]) if several else None,
        **{
            f"ap_{name}": mean_of_defined(precisions(verdicts, points).ravel())
            for name, verdicts in zip(SIZES, by_size, strict=True)
        },
        **average_recalls(everything),
    )
    return metrics, everything


def precisions(verdicts: Verdicts, points: Points) -> np.ndarray:
    """(T, C) AP at each threshold of each class; NaN for a class without objects."""
    levels = [
        [average_precision(curve, points) for curve in verdicts.curves(level)]
        for level in range(len(verdicts.found))
    ]
    return np.array(levels, float).reshape(len(levels), len(verdicts.num_objects))


def average_recalls(verdicts: Verdicts) -> dict[str, float]:
    """The share of the objects found by the best 1, 10 and 100 detections of an image and class.

    Mean over the thresholds and the classes that have objects.
    """
    image_index, _, _, labels = verdicts.ranked
    num_classes = len(verdicts.num_objects)
    places = place_in_group(image_and_class(image_index, labels, num_classes))
    objects = np.where(verdicts.num_objects, verdicts.num_objects, math.nan)
    recalls = {}
    for most in (1, 10, 100):
        best = places < most
        hits = [
            np.bincount(labels[best & (found >= 0)], minlength=num_classes)
            for found in verdicts.found
        ]
        recalls[f"ar{most}"] = mean_of_defined((np.array(hits) / objects).ravel())
    return recalls


def mean_of_defined(values: Iterable[float] | np.ndarray) -> float:
    """The mean of what is not NaN; NaN if nothing is left."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def none_if_nan(value: Any) -> Any:
    """`value`, but None for NaN: JSON has no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value
