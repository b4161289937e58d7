"""Which boxes can be trained on: every box is fine, clipped to its image, or dropped."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FINE, NOT_A_NUMBER, NO_AREA, OUTSIDE, OVERHANGS = range(5)

REASONS = (
    "",
    "has a coordinate that is not a number",
    "has no area",
    "lies outside the image",
    "reaches outside the image",
)
"""In words, by code. The last is clipped, those before it are dropped."""

KINDS = ("", "unreadable-box", "box-without-area", "box-outside", "clipped-box")
"""For scripts, by code: keys of `findings.KINDS`."""

ROUNDING = 1.0
"""Pixels. Less overhang than this is the rounding of the format (YOLO and COCO store decimals,
some tools count from 1): such a box is clipped and counts as fine."""


class CheckedBoxes(NamedTuple):
    boxes: np.ndarray
    """(M, 4) float32, inside their images; meaningless where not kept."""
    keep: np.ndarray
    """(M,) bool."""
    reasons: np.ndarray
    """(M,) int8, index into `REASONS`."""


def check_boxes(
    boxes: np.ndarray, sizes: np.ndarray, *, empty_side: float | np.ndarray = 0.0
) -> CheckedBoxes:
    """The boxes (M, 4) clipped to their images of `sizes` (M, 2), and what was wrong with each.

    A box with a side of `empty_side` pixels (one number, or one per box) or less has no area. VOC
    needs 1: there `xmin == xmax` marks an empty box, though read inclusively it is a pixel wide.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    limits = np.tile(np.asarray(sizes, dtype=np.float64).reshape(-1, 2), 2)
    finite = np.isfinite(boxes)
    safe = np.where(finite, boxes, 0.0)
    clipped = np.clip(safe, 0.0, limits)
    stored = clipped.astype(np.float32)
    overhang = np.abs(safe - clipped).max(axis=1, initial=0.0)
    reasons = np.select(
        [
            ~finite.all(axis=1),
            _shortest_side(safe) <= empty_side,
            _shortest_side(clipped) <= 0,
            _shortest_side(stored) <= 0,  # thinner than float32 can tell
            overhang >= ROUNDING,
        ],
        [NOT_A_NUMBER, NO_AREA, OUTSIDE, NO_AREA, OVERHANGS],
        FINE,
    ).astype(np.int8)
    return CheckedBoxes(stored, (reasons == FINE) | (reasons == OVERHANGS), reasons)


def _shortest_side(boxes: np.ndarray) -> np.ndarray:
    return np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
