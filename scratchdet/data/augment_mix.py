"""Several images put together: mosaic, and objects copied from one image into another.

Both give an image as if it had been decoded like that; the steps of a preset follow. The numbers
are our own choice where no source is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from scratchdet.data.augment_geometry import move_objects, render
from scratchdet.structures import Sample

Mix = Callable[[Sample, Callable[[], Sample], np.random.Generator], Sample]
"""(sample, another, rng) -> sample. `another()` is an image as decoded, a new one each time."""

MOSAIC_CUT = (0.2, 0.8)
"""Where the four images meet, in widths and heights. Darknet, `data.c` (min_offset)."""
PASTED_MOST = 3
"""Objects that are pasted into an image."""
PASTE_TRIALS = 20
"""Places tried for each of them."""
COVERED_MOST = 0.3
"""Greatest share of an object that may be covered by one that is pasted."""


def mosaic(sample: Sample, another: Callable[[], Sample], rng: np.random.Generator) -> Sample:
    """Parts of `sample` and of three others that meet in a point, as large as `sample`.

    Every image shows a part of itself, drawn at random, that is the same share of it as its
    quarter is of the whole; images of another size are resized as they would be for the network.
    Objects follow the rule of `crop`: kept if their centre is shown, and clipped. Bochkovskiy et
    al. 2020 (YOLOv4), section 3.3.
    """
    height, width = sample.image.shape[:2]
    extent = np.array([width, height])
    cut = np.rint(extent * rng.uniform(*MOSAIC_CUT, size=2)).astype(np.int64)
    image = np.empty_like(sample.image)
    pieces = []
    for corner in ((0, 0), (1, 0), (0, 1), (1, 1)):
        low, high = np.where(corner, cut, 0), np.where(corner, extent, cut)
        if (high <= low).any():  # an image of a single row or column has no four quarters
            continue
        whole = another() if any(corner) else sample
        piece = _part(whole, low=low, high=high, share=(high - low) / extent, rng=rng)
        _view(image, np.concatenate([low, high]))[...] = piece.image
        pieces.append(piece)
    return _joined(image, *pieces)


def _part(
    sample: Sample,
    *,
    low: np.ndarray,
    high: np.ndarray,
    share: np.ndarray,
    rng: np.random.Generator,
) -> Sample:
    """A random part of `sample`, `share` (2,) of it, resized to lie from `low` to `high`."""
    whole = np.array(sample.image.shape[1::-1])
    extent = np.rint(whole * share).astype(np.int64).clip(1, whole)
    begin = rng.integers(0, whole - extent, endpoint=True)
    window = np.concatenate([begin, begin + extent])
    width, height = (int(side) for side in high - low)
    shown = render(
        sample,
        rng,
        size=(height, width),
        fill=np.zeros(sample.image.shape[2]),  # never seen: the window lies inside the image
        windows=(partial(_always, window),),
    )
    return replace(shown, boxes=(shown.boxes + np.tile(low, 2)).astype(np.float32))


def _always(
    chosen: np.ndarray, window: np.ndarray, boxes: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    return chosen


def copy_paste(sample: Sample, another: Callable[[], Sample], rng: np.random.Generator) -> Sample:
    """`sample` with one to three objects of another image pasted in, at random places.

    What is pasted is the rectangle of a box at its own size, with every object whose centre it
    shows (the rule of `crop`). A place where more than 0.3 of any other object would be covered is
    not taken, and an object for which no place is found is left out, so that all labels stay true.
    Dwibedi et al. 2017; Ghiasi et al. 2021, who paste masks where there are only boxes here.
    """
    source = another()
    chosen = rng.permutation(np.flatnonzero(~source.ignore))
    covered = np.zeros(len(sample.boxes))
    for index in chosen[: rng.integers(1, PASTED_MOST, endpoint=True)]:
        window = _around(source.boxes[index], source.image)
        places = _places(window[2:] - window[:2], sample.image, rng)
        after = covered + _covered(sample.boxes, places)
        free = after.max(axis=1, initial=0.0) <= COVERED_MOST
        if free.any():
            first = free.argmax()
            pasted = move_objects(source, source=window, target=places[first])
            image = sample.image.copy()
            _view(image, places[first])[...] = _view(source.image, window)
            sample = _joined(image, sample, pasted)
            covered = np.concatenate([after[first], np.zeros(len(pasted.boxes))])
    return sample


def _around(box: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(4,) int64 the pixels of `image` that the box touches, one at least."""
    bounds = np.array(image.shape[1::-1])
    low = np.floor(box[:2]).astype(np.int64).clip(0, bounds - 1)
    high = np.ceil(box[2:]).astype(np.int64).clip(low + 1, bounds)
    return np.concatenate([low, high])


def _places(extent: np.ndarray, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(PASTE_TRIALS, 4) int64 random windows of this extent in `image`; (0, 4) if it is smaller."""
    room = np.array(image.shape[1::-1]) - extent
    if (room < 0).any():
        return np.zeros((0, 4), np.int64)
    low = rng.integers(0, room, size=(PASTE_TRIALS, 2), endpoint=True)
    return np.concatenate([low, low + extent], axis=1)


def _view(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    left, top, right, bottom = window
    return image[top:bottom, left:right]


def _covered(boxes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """(W, G) the share of each of the boxes (G, 4) that each of the windows (W, 4) covers."""
    low = np.maximum(windows[:, None, :2], boxes[:, :2])
    high = np.minimum(windows[:, None, 2:], boxes[:, 2:])
    shared: np.ndarray = (high - low).clip(0).prod(axis=-1)
    return shared / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=-1), 1e-6)


def _joined(image: np.ndarray, *parts: Sample) -> Sample:
    """`image` with the objects of all `parts`."""
    return Sample(
        image,
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.ignore for part in parts]),
    )
