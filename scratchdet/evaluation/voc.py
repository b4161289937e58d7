"""The rules of PASCAL VOC: which detections are hits, and what a pixel is.

The rules are the development kit's (VOCevaldet.m): detections by falling score; each looks at
the object of its class it overlaps most, whether or not that is taken; an IoU of 0.5 *or more* is
a hit the first time and a false positive again; if that object is `ignore` (difficult) the
detection is neither.

The kit's boxes are 1-based with inclusive corners, its widths `xmax - xmin + 1`. Ours are 0-based
and half-open: reading takes 1 from xmin and ymin, writing a submission adds it again. So
`x2 - x1` *is* the kit's `xmax - xmin + 1`, for objects and detections, and the plain IoU here is
the kit's, digit for digit. Adding another pixel would be wrong. `as_points` is for the figures of
programs that leave the pixel out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.curve import Curve
from scratchdet.evaluation.match import best_overlaps, first_of_each
from scratchdet.evaluation.verdicts import ANY_SIZE, Size, Verdicts, box_areas, object_areas
from scratchdet.structures import DetectionData

IOU_THRESHOLD = 0.5  # VOC devkit, VOCopts.minoverlap


def judge(
    data: DetectionData,
    detections: Columns,
    *,
    sizes: Sequence[Size] = (ANY_SIZE,),
    threshold: float = IOU_THRESHOLD,
) -> tuple[Verdicts, ...]:
    """The devkit's verdicts, at one threshold, for each of `sizes`.

    Objects of other sizes are ignored, and so is what is no hit and has another size: the devkit
    has no such figures, COCO's rule is taken.
    """
    # Two stable sorts in one: by class, best score first, equal scores in row order.
    order = np.lexsort((-detections.scores, detections.labels))
    ranked = Columns(*(column[order] for column in detections))
    objects, ious = best_overlaps(data, ranked)
    best = np.where(ious >= threshold, objects, -1)

    areas = object_areas(data)
    detection_areas = box_areas(ranked.boxes)
    result = []
    for size in sizes:
        ignore = data.ignore | size.leaves_out(areas)
        ignored = np.append(ignore, False)[best]  # -1, nothing found, reads the last: False
        found = np.where(first_of_each(np.where(ignored, -1, best)), best, -1)
        ignored |= (found < 0) & size.leaves_out(detection_areas)
        num_objects = np.bincount(data.labels[~ignore], minlength=len(data.classes))
        result.append(Verdicts(ranked, found[None], ignored[None], num_objects))
    return tuple(result)


def curves(
    data: DetectionData, detections: Columns, *, threshold: float = IOU_THRESHOLD
) -> tuple[Curve, ...]:
    """One curve per class of `data`, in label order."""
    (verdicts,) = judge(data, detections, threshold=threshold)
    return verdicts.curves()


def as_points(data: DetectionData, detections: Columns) -> tuple[DetectionData, Columns]:
    """Both with boxes whose corners are points, not pixels: a box is `xmax - xmin` wide.

    xmax and xmin as in the VOC file; one pixel less than in the devkit.
    """
    return (
        replace(data, boxes=_between_points(data.boxes)),
        detections._replace(boxes=_between_points(detections.boxes)),
    )


def _between_points(boxes: np.ndarray) -> np.ndarray:
    top_left = np.minimum(boxes[:, :2] + 1, boxes[:, 2:])  # no side is negative
    return np.concatenate([top_left, boxes[:, 2:]], axis=1).astype(np.float32)
