"""How far AP might be off for lack of images: 95 % intervals by bootstrap over the images.

As many images are drawn, with replacement, as there are, again and again; each time the
AP is that of the drawn ones. Which detections are hits is decided once: it depends on one image
alone. A resample is a number of times that each image counts, and all resamples are worked on at
once.

The limits are the bias-corrected percentiles of Efron (1981): resamples have a higher AP than the
images they are drawn from, as a curve's best precision from here on gains from every fluctuation,
and the plain percentiles would be too high.

Nothing is said of few images, nor where the figure is the same in all resamples: one image drawn
again and again is always itself, and a class of which nothing is found has an AP of 0 whatever is
drawn. That these do not vary says nothing of other images.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from scratchdet.evaluation.curve import Points, best_from_here
from scratchdet.evaluation.verdicts import Verdicts
from scratchdet.structures import DetectionData

RESAMPLES = 1000
LEVEL = 0.95
FEWEST_IMAGES = 10
"""For an interval; of a class, images with an object of it. Our choice."""
SAME = 1e-6
"""By how much resamples of the same AP differ in single precision."""
BLOCK = 4_000_000  # numbers that are worked on at once: 16 MB an array


class Interval(NamedTuple):
    """Both NaN where there is no figure, and where its interval cannot be told."""

    low: float
    high: float


NO_INTERVAL = Interval(math.nan, math.nan)


class Intervals(NamedTuple):
    """Where the figures of other images of the same kind would lie, 19 times of 20."""

    ap50: Interval
    ap: Interval | None
    """Over the ten IoUs, for COCO."""
    per_class: tuple[Interval, ...]
    """Of the AP of `Metrics.ap_per_class`."""


def bootstrap(
    data: DetectionData,
    verdicts: Verdicts,
    points: Points,
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Intervals:
    """The intervals of the figures that `verdicts` and `points` make; `NO_INTERVAL` where the
    images cannot tell.

    Of a class those of the resamples in which it has objects.
    """
    if len(data) < FEWEST_IMAGES:
        ap = NO_INTERVAL if len(verdicts.found) > 1 else None
        return Intervals(NO_INTERVAL, ap, (NO_INTERVAL,) * len(data.classes))
    once = np.ones((len(data), 1), np.uint8)  # the images as they are come first
    parts = (once, draw(len(data), resamples, rng))
    precision = np.concatenate(
        [resampled(data, verdicts, points, weights=weights) for weights in parts], axis=2
    )
    per_class = precision.mean(axis=0)
    return Intervals(
        ap50=_varying(interval(mean_over_classes(precision[0]))),
        ap=_varying(interval(mean_over_classes(per_class))) if len(precision) > 1 else None,
        per_class=tuple(
            _varying(interval(values)) if images >= FEWEST_IMAGES else NO_INTERVAL
            for values, images in zip(per_class, images_of_classes(data), strict=True)
        ),
    )


def images_of_classes(data: DetectionData) -> list[int]:
    """In how many images each class has an object that counts."""
    image_of_object = np.repeat(np.arange(len(data)), np.diff(data.offsets))
    counted = ~data.ignore
    return [
        len(np.unique(image_of_object[counted & (data.labels == label)]))
        for label in range(len(data.classes))
    ]


def _varying(limits: Interval) -> Interval:
    """`NO_INTERVAL` where all resamples had the same AP."""
    return limits if limits.high - limits.low > SAME else NO_INTERVAL


def draw(images: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(N, R) uint8: how often each image is drawn in each resample; N in all.

    A byte is enough: that one is drawn 256 times happens in no resample of 10^500.
    """
    counts = np.zeros(images * resamples, np.uint8)
    for _ in range(images):  # one for each resample: no place twice
        counts[rng.integers(images, size=resamples) * resamples + np.arange(resamples)] += 1
    return counts.reshape(images, resamples)


def resampled(
    data: DetectionData, verdicts: Verdicts, points: Points, *, weights: np.ndarray
) -> np.ndarray:
    """(T, C, R) AP at each threshold of each class where image i counts `weights[i]` (R,) times.

    NaN for a class without objects.
    """
    image_of_object = np.repeat(np.arange(len(data)), np.diff(data.offsets))
    labels = verdicts.ranked.labels
    borders = np.searchsorted(labels, np.arange(len(data.classes) + 1))
    result = np.full((len(verdicts.found), len(data.classes), weights.shape[1]), math.nan)
    for label in range(len(data.classes)):
        rows = slice(borders[label], borders[label + 1])
        images = verdicts.ranked.image_index[rows]
        objects = image_of_object[(data.labels == label) & ~data.ignore]
        found, ignored = verdicts.found[:, rows] >= 0, verdicts.ignored[:, rows]
        width = max(1, BLOCK // max(1, len(images), len(objects)))
        for first in range(0, weights.shape[1], width):
            block = weights[:, first : first + width]
            result[:, label, first : first + width] = _of_class(
                block[images].astype(np.float32),
                block[objects].sum(axis=0, dtype=np.float32),
                found=found,
                ignored=ignored,
                points=points,
            )
    return result


def _of_class(
    weights: np.ndarray,
    num_objects: np.ndarray,
    *,
    found: np.ndarray,
    ignored: np.ndarray,
    points: Points,
) -> np.ndarray:
    """(T, R) AP of one class: `weights` (K, R) of its detections, `num_objects` (R,) then."""
    result = np.where(num_objects > 0, np.zeros((len(found), 1)), math.nan)
    # The curve is known by its hits. Between those of any threshold false positives need not be
    # told apart, but for the ones that are ignored at some other threshold.
    told = np.flatnonzero(found.any(axis=0) | ignored.any(axis=0))
    if not len(told) or not found.any():
        return result
    up_to = np.add.reduceat(weights[: told[-1] + 1], np.append(0, told[:-1] + 1), axis=0)
    weights, found, ignored = weights[told], found[:, told], ignored[:, told]
    for level in range(len(found)):
        hit = found[level]
        if not hit.any():
            continue
        counted = np.cumsum(up_to - weights * ignored[level][:, None], axis=0)[hit]
        hits = np.cumsum(weights[hit], axis=0)
        precision = np.divide(hits, counted, out=np.zeros_like(hits), where=counted > 0)
        reached, all_points = points(hits, np.maximum(num_objects, 1))
        rises = np.diff(reached, axis=0, prepend=0)
        average = (rises * best_from_here(precision)).sum(axis=0) / all_points
        result[level] = np.where(num_objects > 0, average, math.nan)
    return result


def mean_over_classes(precision: np.ndarray) -> np.ndarray:
    """(R,) mean of what is not NaN in each column of (C, R); NaN if nothing is left."""
    defined = ~np.isnan(precision)
    counts = defined.sum(axis=0)
    sums = np.where(defined, precision, 0).sum(axis=0)
    return np.where(counts, sums / np.maximum(counts, 1), math.nan)


def interval(values: np.ndarray) -> Interval:
    """The limits for the first of `values`, by the resamples after it; NaNs are left out."""
    figure, resamples = values[0], values[1:][~np.isnan(values[1:])]
    if math.isnan(figure) or not len(resamples):
        return NO_INTERVAL
    normal = NormalDist()
    # Where in the distribution the figure itself lies: in the middle, if there is no bias.
    lower = np.mean(resamples < figure) + np.mean(resamples == figure) / 2
    least = 0.5 / len(resamples)
    bias = normal.inv_cdf(float(np.clip(lower, least, 1 - least)))
    reach = normal.inv_cdf((1 + LEVEL) / 2)
    shares = [normal.cdf(2 * bias - reach), normal.cdf(2 * bias + reach)]
    low, high = np.quantile(resamples, shares)
    return Interval(float(low), float(high))


def as_json(value: Interval) -> list[float] | None:
    """[low, high], or None where there is none."""
    return None if math.isnan(value.low) else [*value]
