"""Expand, crop and resize in one pass over the pixels; flips.

Expanding and cropping only choose a *window*: (4,) int64 xyxy in pixels of the image as decoded,
which may reach outside it. `render` then resizes the part of the image that the window shows, once,
into the network's input. Boxes go through exactly the map that the pixels go through.

Source of the numbers: Caffe SSD, `ssd_pascal.py` (expand_param, batch_sampler), `sampler.cpp`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from scratchdet.data.augment_colour import ImageStep
from scratchdet.ops.pixels import flip, resize, saturated
from scratchdet.structures import Sample

WindowStep = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""(window, boxes, rng) -> another window. Boxes are (G, 4) in pixels of the image as decoded."""

EXPAND_PROBABILITY = 0.5
EXPAND_MOST = 4.0
"""Greatest side of the expanded image, in sides of the image."""
CROP_OVERLAPS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.0)
"""Least IoU of crop and object, one for each sampler; 0 accepts any crop."""
CROP_SCALE = (0.3, 1.0)
"""Square root of the crop's share of the area."""
CROP_ASPECT = (0.5, 2.0)
"""Width over height, both relative to the image's."""
CROP_TRIALS = 50
"""Crops tried for each overlap."""
FLIP_PROBABILITY = 0.5
INTERPOLATIONS = (
    cv2.INTER_LINEAR,
    cv2.INTER_AREA,
    cv2.INTER_NEAREST,
    cv2.INTER_CUBIC,
    cv2.INTER_LANCZOS4,
)
MIN_SIDE = 2.0
"""Pixels of the network's input; our choice: of less than that nothing can be learned."""


def expand(
    window: np.ndarray,
    boxes: np.ndarray,
    rng: np.random.Generator,
    *,
    most: float = EXPAND_MOST,
) -> np.ndarray:
    """`window`, or by chance one around it whose sides are 1 to `most` times as long."""
    if rng.random() >= EXPAND_PROBABILITY:
        return window
    extent = window[2:] - window[:2]
    room = np.rint(extent * (rng.uniform(1.0, most) - 1.0)).astype(np.int64)
    before = rng.integers(0, room, endpoint=True)
    return window + np.concatenate([-before, room - before])


def crop(
    window: np.ndarray,
    boxes: np.ndarray,
    rng: np.random.Generator,
    *,
    overlaps: Sequence[float] = CROP_OVERLAPS,
    scale: tuple[float, float] = CROP_SCALE,
    aspect: tuple[float, float] = CROP_ASPECT,
) -> np.ndarray:
    """`window`, or a part of it that overlaps at least one object enough (SSD's batch sampler).

    As in Caffe: every sampler, one for each of `overlaps`, offers the first of its 50 trials that
    reaches the overlap with *at least one* of the boxes; `window` itself is always offered; one of
    the offers is taken, all with equal chance. Without objects only overlap 0 offers a crop
    (Caffe's never does then, and leaves such images whole).
    """
    trials = _parts(window, rng, shape=(len(overlaps), CROP_TRIALS), scale=scale, aspect=aspect)
    best = _overlap(trials, boxes).max(axis=-1, initial=0.0)
    reached = best >= np.asarray(overlaps)[:, None]
    first = trials[np.arange(len(overlaps)), reached.argmax(axis=1)]
    offers = np.concatenate([window[None], first[reached.any(axis=1)]])
    return offers[rng.integers(len(offers))]


def _parts(
    window: np.ndarray,
    rng: np.random.Generator,
    *,
    shape: tuple[int, int],
    scale: tuple[float, float],
    aspect: tuple[float, float],
) -> np.ndarray:
    """(*shape, 4) int64 random windows inside `window`, of at least one pixel."""
    scales = rng.uniform(*scale, size=shape)
    # Only aspects that keep both sides within the window are drawn, as in Caffe; clipping the
    # others would make every fourth crop span the whole width or height.
    aspects = rng.uniform(np.maximum(aspect[0], scales**2), np.minimum(aspect[1], scales**-2))
    shares = np.stack([scales * np.sqrt(aspects), scales / np.sqrt(aspects)], axis=-1)
    whole = window[2:] - window[:2]
    extent = np.rint(whole * shares).astype(np.int64).clip(1, whole)
    low = window[:2] + rng.integers(0, whole - extent, endpoint=True)
    return np.concatenate([low, low + extent], axis=-1)


def _overlap(windows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(..., G) IoU of windows (..., 4) with boxes (G, 4)."""
    windows = windows[..., None, :]
    low = np.maximum(windows[..., :2], boxes[:, :2])
    high = np.minimum(windows[..., 2:], boxes[:, 2:])
    shared = (high - low).clip(0).prod(axis=-1)
    areas = (windows[..., 2:] - windows[..., :2]).prod(axis=-1)
    return shared / (areas + (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) - shared)


def render(
    sample: Sample,
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    fill: np.ndarray,
    windows: Sequence[WindowStep] = (),
    colours: Sequence[ImageStep] = (),
    interpolations: Sequence[int] = (cv2.INTER_LINEAR,),
) -> Sample:
    """What the window shows, at `size` (height, width), and the objects whose centre it shows.

    `windows` are applied in turn to the window that is the whole image. `colours` see the image's
    pixels only, at their final size; what lies outside the image is `fill` (C,), in units of the
    pixels, as it is. `interpolations` are OpenCV's, one is drawn. Objects are clipped; those less
    than MIN_SIDE wide or high in the result are kept and marked `ignore`: neither object nor
    background.
    """
    bounds = np.array([0, 0, sample.image.shape[1], sample.image.shape[0]])
    window = bounds
    for choose in windows:
        window = choose(window, sample.boxes, rng)
    source = np.concatenate(
        [np.maximum(window[:2], bounds[:2]), np.minimum(window[2:], bounds[2:])]
    )
    interpolation = interpolations[int(rng.integers(len(interpolations)))]
    border = saturated(fill, sample.image.dtype)
    if (source[2:] <= source[:2]).any():
        nothing = _select(sample, np.zeros(len(sample.boxes), bool))
        return replace(nothing, image=np.tile(border, (*size, 1)))
    target = _target(source, window, size)
    left, top, right, bottom = source
    height, width = (int(side) for side in (target[2:] - target[:2])[::-1])
    patch = resize(sample.image[top:bottom, left:right], (height, width), interpolation)
    for change in colours:
        patch = change(patch, rng)
    image = _paste(patch, target, size, border)
    return replace(move_objects(sample, source=source, target=target), image=image)


def _target(source: np.ndarray, window: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(4,) int64 where `source`, a part of `window`, lies in the result; one pixel at least."""
    extent = np.array([size[1], size[0]])
    scale = extent / (window[2:] - window[:2])
    low = np.rint((source[:2] - window[:2]) * scale).astype(np.int64)
    high = np.rint((source[2:] - window[:2]) * scale).astype(np.int64)
    low = np.minimum(low, extent - 1)
    return np.concatenate([low, np.maximum(high, low + 1)])


def _paste(
    patch: np.ndarray, target: np.ndarray, size: tuple[int, int], border: np.ndarray
) -> np.ndarray:
    if patch.shape[:2] == tuple(size):
        return patch
    left, top, right, bottom = target
    image = np.tile(border, (*size, 1))
    image[top:bottom, left:right] = patch
    return image


def _select(sample: Sample, kept: np.ndarray) -> Sample:
    return replace(
        sample, boxes=sample.boxes[kept], labels=sample.labels[kept], ignore=sample.ignore[kept]
    )


def move_objects(sample: Sample, *, source: np.ndarray, target: np.ndarray) -> Sample:
    """The objects whose centre lies in `source`, moved with it to `target`; the image stays."""
    centres = (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2
    shown = _select(sample, ((centres >= source[:2]) & (centres < source[2:])).all(axis=1))
    scale = (target[2:] - target[:2]) / (source[2:] - source[:2])
    corners = (shown.boxes.reshape(-1, 2, 2) - source[:2]) * scale + target[:2]
    boxes = corners.clip(target[:2], target[2:]).reshape(-1, 4).astype(np.float32)
    tiny = (boxes[:, 2:] - boxes[:, :2] < MIN_SIDE).any(axis=1)
    return replace(shown, boxes=boxes, ignore=shown.ignore | tiny)


def mirror(sample: Sample, rng: np.random.Generator) -> Sample:
    """`sample`, or by chance with left and right exchanged."""
    return _flip(sample, axis=0) if rng.random() < FLIP_PROBABILITY else sample


def upend(sample: Sample, rng: np.random.Generator) -> Sample:
    """`sample`, or by chance with top and bottom exchanged."""
    return _flip(sample, axis=1) if rng.random() < FLIP_PROBABILITY else sample


def transpose(sample: Sample, rng: np.random.Generator) -> Sample:
    """`sample`, or by chance a square image with rows and columns exchanged.

    An oblong image stays as it is: resized to the network's input it would be squeezed the other
    way round than all images that the network is going to see.
    """
    height, width = sample.image.shape[:2]
    if rng.random() >= FLIP_PROBABILITY or height != width:
        return sample
    return replace(
        sample,
        image=np.ascontiguousarray(sample.image.swapaxes(0, 1)),
        boxes=sample.boxes[:, [1, 0, 3, 2]],
    )


def _flip(sample: Sample, axis: int) -> Sample:
    """`sample` reversed along `axis`: 0 is x, 1 is y."""
    image = flip(sample.image, axis)
    boxes = sample.boxes.copy()
    boxes[:, [axis, axis + 2]] = image.shape[1 - axis] - sample.boxes[:, [axis + 2, axis]]
    return replace(sample, image=image, boxes=boxes)
