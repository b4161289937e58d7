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
from scratchdet.evaluation.match import Pairs, overlapping, ranges
from scratchdet.evaluation.verdicts import (
    ANY_SIZE,
    Size,
    Verdicts,
    box_areas,
    image_and_class,
    place_in_group,
)
from scratchdet.structures import DetectionData

THRESHOLDS = np.linspace(0.5, 0.95, 10)
MOST = 100  # detections per image and class


def judge(
    data: DetectionData,
    detections: Columns,
    *,
    sizes: Sequence[Size] = (ANY_SIZE,),
    areas: np.ndarray | None = None,
) -> tuple[Verdicts, ...]:
    """COCO's verdicts at IoU 0.5, 0.55, … 0.95, for each of `sizes`; `ignore` objects are crowds.

    Objects of other sizes are ignored, and so is what finds nothing and has another size.
    areas: (M,) of the objects. COCO's own figures use the area of the annotated mask, which
    `DetectionData` does not hold; without it the box's area is taken, which is larger: the figures
    by size shift, the others stay.
    """
    ranked, keys = _ranked(detections, num_classes=len(data.classes))
    pairs = overlapping(data, ranked, among="class", least=THRESHOLDS[0], crowd=data.ignore)
    object_areas = box_areas(data.boxes) if areas is None else areas
    detection_areas = box_areas(ranked.boxes)
    result = []
    for size in sizes:
        ignore = data.ignore | size.leaves_out(object_areas)
        found = _taken(pairs, keys, ignore=ignore, crowd=data.ignore)
        ignored = np.append(ignore, False)[found]  # -1, nothing found, reads the last: False
        ignored |= (found < 0) & size.leaves_out(detection_areas)
        found = np.where(ignored, -1, found)
        num_objects = np.bincount(data.labels[~ignore], minlength=len(data.classes))
        result.append(Verdicts(ranked, found, ignored, num_objects))
    return tuple(result)


def _ranked(detections: Columns, *, num_classes: int) -> tuple[Columns, np.ndarray]:
    """The detections that count, by class and falling score, and a number for image and class.

    Equal scores in the order of the images, and there in row order, as COCOeval has them.
    """
    order = np.lexsort((detections.image_index, -detections.scores, detections.labels))
    keys = image_and_class(detections.image_index[order], detections.labels[order], num_classes)
    counted = place_in_group(keys) < MOST
    return Columns(*(column[order[counted]] for column in detections)), keys[counted]


def _taken(pairs: Pairs, keys: np.ndarray, *, ignore: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """(T, K) int64: the object that each detection takes at each threshold; -1 for none.

    All images and classes at once, the first detection of each in the first round, the second in
    the second: a round decides what is free in the next.
    """
    found = np.full((len(THRESHOLDS), len(keys)), -1, np.int64)
    taken = np.zeros((len(THRESHOLDS), len(ignore)), bool)
    # What a detection prefers comes last: no ignored object, the highest IoU, the later row.
    order = np.lexsort((pairs.objects, pairs.ious, ~ignore[pairs.objects], pairs.detections))
    detections, starts, counts = np.unique(
        pairs.detections[order], return_index=True, return_counts=True
    )
    rounds = place_in_group(keys[detections])
    for number in range(int(rounds.max(initial=-1)) + 1):
        now = np.flatnonzero(rounds == number)
        rows = order[ranges(starts[now], counts[now])]
        objects = pairs.objects[rows]
        free = (pairs.ious[rows] >= THRESHOLDS[:, None]) & ~taken[:, objects]
        begins = np.cumsum(counts[now]) - counts[now]
        last = np.maximum.reduceat(np.where(free, np.arange(len(rows)), -1), begins, axis=1)
        chosen = np.where(last >= 0, objects[last], -1)
        found[:, detections[now]] = chosen
        level, position = np.nonzero((chosen >= 0) & ~np.append(crowd, True)[chosen])
        taken[level, chosen[level, position]] = True
    return found
