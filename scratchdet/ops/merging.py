"""Detections that several passes made of one image, merged into one list, best score first.

In NumPy: a network that runs without torch is asked several times too.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from scratchdet.structures import Arrays

BLOCK = 64  # detections compared with all others at a time: fewer calls, and no large matrix

Merge = Literal["vote", "nms"]
Same = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""same(best, rows): (len(best), len(rows)) bool, which of the rows are the same object as those."""


def nms(found: Arrays, *, iou: float) -> Arrays:
    """Those of `found` that no better one of their class overlaps by more than `iou`.

    Equal to torchvision's `batched_nms`: among equal scores the earlier row is the better one.
    """
    ious = _ious(found.boxes)
    return _best(found, _groups(found, lambda best, rows: ious(best, rows) > np.float64(iou)))


def vote(found: Arrays, *, iou: float) -> Arrays:
    """One box for each that NMS would leave, out of it and those that it would suppress.

    Box voting (Gidaris & Komodakis, Object detection via a multi-region & semantic
    segmentation-aware CNN model, ICCV 2015) as the tests of RefineDet do it (`bbox_vote` in
    test/lib/fast_rcnn/test.py): the best box and all that it overlaps by `iou` or more become their
    mean, weighted by score, which has the score of the best. A box votes once.
    """
    ious = _ious(found.boxes)
    groups = list(_groups(found, lambda best, rows: ious(best, rows) >= np.float64(iou)))
    means = [_mean(found.boxes[group], found.scores[group]) for group in groups]
    voted = np.array(means, np.float32).reshape(-1, 4)
    best = np.array([group[0] for group in groups], np.int64)
    return _sorted(Arrays(voted, found.scores[best], found.labels[best]))


MERGES: dict[Merge, Callable[..., Arrays]] = {"vote": vote, "nms": nms}


def nms_between(found: Arrays, passes: Int[np.ndarray, " K"], *, share: float) -> Arrays:
    """Those of `found` that have no more than `share` in common with a better one of their class
    that another pass has found.

    passes: which pass has found each. share: of the area of the smaller of the two, so that a part
    of an object is suppressed by the whole of it, however large that is. Two of one pass never
    suppress each other.
    """
    boxes, areas = found.boxes, _areas(found.boxes)

    def same(best: np.ndarray, rows: np.ndarray) -> np.ndarray:
        smaller = np.minimum(areas[best, None], areas[rows])
        others = passes[best, None] != passes[rows]
        return others & (_common(boxes[best], boxes[rows]) > share * smaller)

    return _best(found, _groups(found, same))


def joined(parts: Sequence[Arrays]) -> Arrays:
    """All detections of `parts` (one at least), one after the other."""
    return Arrays(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def taken(found: Arrays, rows: np.ndarray | slice) -> Arrays:
    """The detections at `rows`: numbers, a mask or a slice."""
    return Arrays(*(column[rows] for column in found))


def _groups(found: Arrays, same: Same) -> Iterator[Int[np.ndarray, " rows"]]:
    """The rows of `found` that are of one object, best first; class by class.

    Greedy: the best row that is left, and all that are the same object as that.
    """
    falling = np.argsort(-found.scores, kind="stable")
    for label in np.unique(found.labels):
        rows = falling[found.labels[falling] == label]
        while len(rows):
            block = rows[:BLOCK]
            pairs, free = same(block, rows), np.ones(len(rows), bool)
            for number in range(len(block)):
                if free[number]:
                    group = pairs[number] & free
                    group[number] = True
                    free &= ~group
                    yield rows[group]
            rows = rows[free]


def _ious(boxes: Float[np.ndarray, "K 4"]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Computes the IoU of boxes, by their rows: (m,), (n,) -> (m, n). Without area, it is NaN.

    In float32, and to be compared in float64, as torchvision does: else they differ at the
    threshold.
    """
    areas = _areas(boxes)

    def ious(some: np.ndarray, others: np.ndarray) -> np.ndarray:
        common = _common(boxes[some], boxes[others])
        with np.errstate(invalid="ignore"):
            return common / (areas[some, None] + areas[others] - common)

    return ious


def _common(boxes: Float[np.ndarray, "m 4"], others: Float[np.ndarray, "n 4"]) -> np.ndarray:
    """(m, n): the area that each of `boxes` has in common with each of `others`."""
    (left, top, right, bottom), columns = others.T, boxes.T[:, :, None]
    width = np.minimum(columns[2], right) - np.maximum(columns[0], left)
    height = np.minimum(columns[3], bottom) - np.maximum(columns[1], top)
    return np.maximum(width, 0) * np.maximum(height, 0)


def _areas(boxes: Float[np.ndarray, "K 4"]) -> Float[np.ndarray, " K"]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _mean(boxes: Float[np.ndarray, "n 4"], scores: Float[np.ndarray, " n"]) -> np.ndarray:
    if len(boxes) == 1:  # no rounding
        return boxes[0]
    weights = np.maximum(scores, np.finfo(np.float32).tiny).astype(np.float64)  # not all zero
    return weights @ boxes / weights.sum()


def _best(found: Arrays, groups: Iterable[np.ndarray]) -> Arrays:
    """The best of each group; among equal scores in the order of `found`."""
    rows = np.array([group[0] for group in groups], np.int64)
    return _sorted(taken(found, np.sort(rows)))


def _sorted(found: Arrays) -> Arrays:
    return taken(found, np.argsort(-found.scores, kind="stable"))
