"""A detector asked about the tiles of a large image, each as large to it as an image of its own."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np

from scratchdet.ops.merging import joined, nms_between, taken
from scratchdet.ops.pixels import check_images
from scratchdet.structures import Arrays, Predictor, as_arrays
from scratchdet.testing import OVERLAP

BATCH = 16  # tiles asked about at a time, as images in an evaluation
BORDER = 0.02
"""Share of a tile's side: a box that comes nearer to an inner border is taken to be cut off by it,
as an object's box ends there, give or take what a detector errs, if it goes on outside. Our own."""
SHARE = 0.5
"""Two boxes from different tiles are of one object if they have more than this share of the smaller
in common: as in SAHI (match_metric IOS, match_threshold 0.5)."""
MOST_TILES = 10_000
"""Of an image. The largest that OpenCV reads, of 32,768 pixels a side, has 6,279 of 600 x 450; more
take minutes for each image, and are a slip as a rule. Our own."""

Interval = tuple[int, int]


class Tiled:
    """Finds what `predictor` finds in the tiles of an image, and in the whole of it.

    tile: the longer side of a tile, in pixels of the image; its shape is that of the network's
    input, so that nothing is squeezed. Only where the image is lower or narrower than that, its
    tiles are too, and are stretched to the input as every image is; smaller tiles would keep their
    shape, but show objects larger than `tile` says. overlap: of neighbouring tiles, as a share of
    their side; it is at least that much, as tiles are spread evenly and end with the image. An
    image that is no larger than a tile is asked about as it is.

    What an inner border of a tile cuts off is dropped. An object that is no longer than the overlap
    (less two `BORDER`s) is whole in another tile; longer ones need not be, so they are taken from
    one more pass too, over the whole image. The passes are merged by `nms_between`.
    """

    def __init__(self, predictor: Predictor, *, tile: int, overlap: float = OVERLAP) -> None:
        if tile < 1:
            raise ValueError(f"tile is {tile}; it must be a number of pixels")
        if not 0 <= overlap < 1:
            raise ValueError(f"overlap is {overlap:g}; it must be from 0 to less than 1")
        self.predictor, self.tile, self.overlap = predictor, tile, overlap
        self.classes, self.in_channels = predictor.classes, predictor.in_channels
        self.image_dtype, self.files = predictor.image_dtype, predictor.files
        self.input_size = predictor.input_size

    def predict(
        self,
        images: Sequence[np.ndarray],
        *,
        input_size: tuple[int, int] | None = None,
        **choices: float | int,
    ) -> list[Arrays]:
        """The objects in each image, best score first, in pixels of that image.

        input_size: what tiles are resized to. choices: those of the predictor, for every pass;
        `keep`, if it is given, is what is left in the end, too: else all, as a large image may hold
        more objects than are kept of a tile. Raises ValueError for what the predictor refuses, and
        for an image of more than `MOST_TILES` tiles.
        """
        check_images(images, self.in_channels, dtype=self.image_dtype)
        size = input_size or self.input_size
        return [self._look(image, size, choices) for image in images]

    def _look(
        self, image: np.ndarray, size: tuple[int, int], choices: dict[str, float | int]
    ) -> Arrays:
        """What is found in one image."""
        height, width = image.shape[:2]
        tile_height, tile_width = (max(1, round(self.tile * side / max(size))) for side in size)
        rows = intervals(height, tile_height, overlap=self.overlap)
        columns = intervals(width, tile_width, overlap=self.overlap)
        if (count := len(rows) * len(columns)) > MOST_TILES:
            raise ValueError(
                f"--tile {self.tile} and --overlap {self.overlap:g} cut an image of {width} x "
                f"{height} pixels into {count} tiles, more than {MOST_TILES}: give larger tiles or "
                "less overlap"
            )
        whole = as_arrays(self.predictor.predict([image], input_size=size, **choices)[0])
        if len(rows) == len(columns) == 1:
            return whole
        sides = whole.boxes[:, 2:] - whole.boxes[:, :2]
        passes = [taken(whole, (sides > [_surely_whole(columns), _surely_whole(rows)]).any(axis=1))]
        windows = list(product(rows, columns))
        for start in range(0, len(windows), BATCH):
            asked = windows[start : start + BATCH]
            tiles = [image[top:bottom, left:right] for (top, bottom), (left, right) in asked]
            found = self.predictor.predict(tiles, input_size=size, **choices)
            passes += [
                _uncut(as_arrays(one), window, (height, width))
                for one, window in zip(found, asked, strict=True)
            ]
        numbers = np.repeat(np.arange(len(passes)), [len(found.scores) for found in passes])
        merged = nms_between(joined(passes), numbers, share=SHARE)
        return taken(merged, slice(int(choices["keep"]) if "keep" in choices else None))


def intervals(length: int, tile: int, *, overlap: float) -> list[Interval]:
    """First and last pixel (exclusive) of the tiles along a side, spread evenly from end to end."""
    stride = max(1, tile - round(tile * overlap))
    steps = max(0, -(-(length - tile) // stride))
    starts = [round(step * (length - tile) / steps) for step in range(steps)]
    return [(start, start + tile) for start in starts] + [(max(0, length - tile), length)]


def _border(interval: Interval) -> float:
    """How near to an inner border of this tile a box counts as cut off."""
    return BORDER * (interval[1] - interval[0])


def _surely_whole(tiles: Sequence[Interval]) -> float:
    """The length up to which an object is whole in one of the tiles, and away from its borders."""
    if len(tiles) == 1:
        return np.inf
    overlaps = [before[1] - after[0] for before, after in pairwise(tiles)]
    return min(overlaps) - 2 * _border(tiles[0])


def _uncut(found: Arrays, window: tuple[Interval, Interval], size: tuple[int, int]) -> Arrays:
    """The detections of a tile in pixels of the image, without those that inner borders cut off."""
    boxes, whole = found.boxes.copy(), np.ones(len(found.scores), bool)
    for axis, (interval, length) in enumerate(zip(reversed(window), reversed(size), strict=True)):
        (first, last), near = interval, _border(interval)
        boxes[:, axis::2] += first
        whole &= (boxes[:, axis] >= first + near) | (first == 0)
        whole &= (boxes[:, axis + 2] <= last - near) | (last == length)
    return taken(found._replace(boxes=boxes), whole)
