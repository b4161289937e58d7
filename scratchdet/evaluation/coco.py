"""The rules of COCO: which detections are hits, at ten thresholds of IoU.

The rules are those of pycocotools' COCOeval, to which the figures are equal: at most 100
detections per image and class; by falling score each takes the object it overlaps most of those
that are still free, and an ignored one only where no other will do; a crowd is never taken, so any
number of detections inside it are neither hit nor false positive.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.match import Pairs, overlapping, place_in_group, take
from scratchdet.evaluation.verdicts import (
    ANY_SIZE,
    Size,
    Verdicts,
    box_areas,
    image_and_class,
    object_areas,
)
from scratchdet.structures import DetectionData

THRESHOLDS = np.linspace(0.5, 0.95, 10)
MOST = 100  # detections per image and class


def judge(
    data: DetectionData,
    detections: Columns,
    *,
    sizes: Sequence[Size] = (ANY_SIZE,),
) -> tuple[Verdicts, ...]:
    """COCO's verdicts at IoU 0.5, 0.55, … 0.95, for each of `sizes`; `ignore` objects are crowds.

    Objects of other sizes are ignored, and so is what finds nothing and has another size.
    """
    ranked, keys = _ranked(data, detections)
    pairs = overlapping(data, ranked, among="class", least=THRESHOLDS[0], crowd=data.ignore)
    areas = object_areas(data)
    detection_areas = box_areas(ranked.boxes)
    result = []
    for size in sizes:
        ignore = data.ignore | size.leaves_out(areas)
        # What a detection prefers comes last: no ignored object, the highest IoU, the later row.
        order = np.lexsort((pairs.objects, pairs.ious, ~ignore[pairs.objects], pairs.detections))
        rising = Pairs(*(column[order] for column in pairs))
        found = take(rising, keys, crowd=data.ignore, thresholds=THRESHOLDS)
        ignored = np.append(ignore, False)[found]  # -1, nothing found, reads the last: False
        ignored |= (found < 0) & size.leaves_out(detection_areas)
        found = np.where(ignored, -1, found)
        num_objects = np.bincount(data.labels[~ignore], minlength=len(data.classes))
        result.append(Verdicts(ranked, found, ignored, num_objects))
    return tuple(result)


def _ranked(data: DetectionData, detections: Columns) -> tuple[Columns, np.ndarray]:
    """The detections that count, by class and falling score, and a number for image and class.

    Equal scores in the order of the image ids, and there in row order, as COCOeval has them.
    """
    place = _places_by_id(data)[detections.image_index]
    order = np.lexsort((place, -detections.scores, detections.labels))
    image_index, labels = detections.image_index[order], detections.labels[order]
    keys = image_and_class(image_index, labels, len(data.classes))
    counted = place_in_group(keys) < MOST
    return Columns(*(column[order[counted]] for column in detections)), keys[counted]


def _places_by_id(data: DetectionData) -> np.ndarray:
    """(N,) where each image comes in the order of the ids; in that of the data unless they are
    numbers, as COCO's are."""
    ids = list(data.ids)
    if not all(name.isdecimal() for name in ids):
        return np.arange(len(ids))
    order = sorted(range(len(ids)), key=lambda index: int(ids[index]))
    places = np.empty(len(ids), np.int64)
    places[order] = np.arange(len(ids))
    return places
