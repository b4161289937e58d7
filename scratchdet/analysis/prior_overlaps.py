"""How well boxes and priors overlap, by the arithmetic of the grid: no IoU of every pair is taken.

The priors of one shape differ in their centre alone, and the overlap of two intervals depends on
the distance of their centres alone. So the best prior of a shape is the one whose centre is nearest
in x and in y, and those that overlap a box by some IoU are a run of rows in each of a few columns.
All in pixels of the network's input, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from scratchdet.models.detector import Detector, measure
from scratchdet.ops.priors import CENTRE, PriorSpec
from scratchdet.structures import DetectionData

BLOCK = 1 << 14  # boxes at a time: some megabytes, however many there are
SLACK = 1e-6
"""Relative. Training compares in float32, and a box that has the IoU to the last digit counts."""


class Level(NamedTuple):
    """The priors of one map."""

    rows: int
    columns: int
    step_y: float
    """Distance between rows, in pixels."""
    step_x: float
    shapes: tuple[tuple[float, float], ...]
    """(width, height) of the priors at every location."""

    @property
    def priors(self) -> int:
        return self.rows * self.columns * len(self.shapes)

    def with_shapes(self, spec: PriorSpec) -> Level:
        """The same locations, with the priors of `spec`."""
        return self._replace(shapes=tuple(spec.shapes()))


class Runs(NamedTuple):
    """Priors that overlap boxes enough: of each entry all from `first` on, `number` rows down."""

    box: np.ndarray
    shape: np.ndarray
    column: np.ndarray
    first: np.ndarray
    number: np.ndarray
    """One at least."""


def levels_of(detector: Detector, input_size: tuple[int, int]) -> tuple[Level, ...]:
    """The levels of a detector that is fed images of (height, width)."""
    height, width = input_size
    maps = measure(detector.neck, measure(detector.backbone, (detector.in_channels, *input_size)))
    return tuple(
        Level(
            rows,
            columns,
            spec.step or height / rows,
            spec.step or width / columns,
            tuple(spec.shapes()),
        )
        for spec, (_, rows, columns) in zip(detector.specs, maps, strict=True)
    )


def boxes_at(data: DetectionData, input_size: tuple[int, int]) -> np.ndarray:
    """(M, 4) all boxes, ignored ones too, as the network sees them: images are resized to
    `input_size` (height, width), whatever their aspect."""
    height, width = input_size
    scale = np.array([width, height]) / np.maximum(data.sizes, 1)
    return data.boxes.astype(np.float64) * np.repeat(
        np.tile(scale, 2), np.diff(data.offsets), axis=0
    )


def best_overlaps(boxes: np.ndarray, levels: Sequence[Level]) -> np.ndarray:
    """(M, L) IoU of every box with the prior of each level that overlaps it most."""
    best = np.zeros((len(boxes), len(levels)))
    for start in range(0, len(boxes), BLOCK):
        block = slice(start, start + BLOCK)
        for place, level in enumerate(levels):
            best[block, place] = _best_of_shapes(boxes[block], level).max(axis=1, initial=0.0)
    return best


def runs_of(boxes: np.ndarray, level: Level, iou: float) -> Iterator[Runs]:
    """All priors of the level that overlap a box by `iou` or more, block by block."""
    for start in range(0, len(boxes), BLOCK):
        runs = _runs(boxes[start : start + BLOCK], level, iou)
        yield runs._replace(box=runs.box + start)


def _best_of_shapes(boxes: np.ndarray, level: Level) -> np.ndarray:
    """(M, S) IoU with the nearest prior of each shape."""
    sides = boxes[:, None, 2:] - boxes[:, None, :2]
    shapes = np.array(level.shapes)
    distance = _distance_to_nearest(boxes, level)[:, None]
    shared = _shared(sides, shapes, distance).prod(axis=-1)
    return shared / (sides.prod(axis=-1) + shapes.prod(axis=-1) - shared)


def _distance_to_nearest(boxes: np.ndarray, level: Level) -> np.ndarray:
    """(M, 2) from the centre of each box to the nearest centre of priors, in x and in y."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    steps, cells = (level.step_x, level.step_y), (level.columns, level.rows)
    nearest = np.clip(np.rint(centres / steps - CENTRE), 0, np.array(cells) - 1)
    return np.abs((nearest + CENTRE) * steps - centres)


def _shared(first: np.ndarray, second: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """What intervals of these lengths share, their centres so far apart."""
    shared = np.minimum(np.minimum(first, second), (first + second) / 2 - distance)
    return np.maximum(shared, 0.0)


def _runs(boxes: np.ndarray, level: Level, iou: float) -> Runs:
    least = iou * (1 - SLACK)
    box, shape = np.nonzero(_best_of_shapes(boxes, level) >= least)
    sides = (boxes[:, 2:] - boxes[:, :2])[box]
    shapes = np.array(level.shapes)[shape]
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2)[box]
    # Of the area, this much has to be shared for the IoU: s / (a + b - s) >= iou.
    area = least / (1 + least) * (sides.prod(axis=1) + shapes.prod(axis=1))
    tallest = np.minimum(sides[:, 1], shapes[:, 1])
    reach = (sides[:, 0] + shapes[:, 0]) / 2 - area / tallest
    first, number = _within(centres[:, 0], reach, level.step_x, level.columns)
    # An entry for every column.
    entry = np.repeat(np.arange(len(box)), number)
    column = first[entry] + np.arange(len(entry)) - np.repeat(np.cumsum(number) - number, number)
    away = np.abs((column + CENTRE) * level.step_x - centres[entry, 0])
    wide = _shared(sides[entry, 0], shapes[entry, 0], away)
    high = area[entry] / np.maximum(wide, np.finfo(float).tiny)
    reach = (sides[entry, 1] + shapes[entry, 1]) / 2 - high
    reach = np.where(high <= tallest[entry], reach, -np.inf)
    first, number = _within(centres[entry, 1], reach, level.step_y, level.rows)
    kept = number > 0
    entry = entry[kept]
    return Runs(box[entry], shape[entry], column[kept], first[kept], number[kept])


def _within(
    centre: np.ndarray, reach: np.ndarray, step: float, cells: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first cell whose centre is no farther than `reach`, and how many there are; 0 if none."""
    low = np.ceil(np.maximum((centre - reach) / step - CENTRE, 0.0))
    high = np.floor(np.minimum((centre + reach) / step - CENTRE, cells - 1.0))
    number = np.maximum(high - low + 1, 0.0)
    # Without any, both may be infinite.
    return np.where(number > 0, low, 0.0).astype(np.int64), number.astype(np.int64)
