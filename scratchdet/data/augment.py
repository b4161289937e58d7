"""Augmentation: presets, each a tuple of steps `(sample, rng) -> sample`.

All steps are picklable (functions and partials of them), so that workers started by spawning get
them too. A step of your own goes into the tuple: before `render` it sees the image as decoded,
after it the network's input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from scratchdet.data.augment_colour import ImageStep, distort_colours
from scratchdet.data.augment_geometry import (
    INTERPOLATIONS,
    crop,
    expand,
    mirror,
    render,
    transpose,
    upend,
)
from scratchdet.structures import Sample

Augmentation = Callable[[Sample, np.random.Generator], Sample]
Preset = Callable[[tuple[int, int], np.ndarray, ImageStep], tuple[Augmentation, ...]]
"""(size, mean, distort) -> steps. size: (height, width) of the network's input; mean: (C,) of the
pixels, which is zero for the network; distort: what changes their values, where the preset does."""

MILD_EXPAND_MOST = 1.5
MILD_CROP_OVERLAPS = (0.0,)
"""Half of the images stay whole, half are cropped anywhere."""
MILD_CROP_SCALE = (0.7, 1.0)
MILD_CROP_ASPECT = (0.8, 1.25)


def augment(sample: Sample, steps: Sequence[Augmentation], rng: np.random.Generator) -> Sample:
    """`sample` after all `steps`, in order; `sample` itself is left as it is."""
    for step in steps:
        sample = step(sample, rng)
    return sample


def none(
    size: tuple[int, int], mean: np.ndarray, distort: ImageStep = distort_colours
) -> tuple[Augmentation, ...]:
    """Resizing only: what evaluation and prediction use too."""
    return (partial(render, size=size, fill=mean),)


def ssd(
    size: tuple[int, int], mean: np.ndarray, distort: ImageStep = distort_colours
) -> tuple[Augmentation, ...]:
    """SSD's training chain (Liu et al. 2016, sections 2.2 and 3.6), as ScratchDet and DSOD use it.

    Same distribution as Caffe's, but colours are changed after resizing (fewer pixels), and before
    the mean is filled in, so that the border stays what is zero for the network.
    """
    return (
        partial(
            render,
            size=size,
            fill=mean,
            windows=(expand, crop),
            colours=(distort,),
            interpolations=INTERPOLATIONS,
        ),
        mirror,
    )


def mild(
    size: tuple[int, int], mean: np.ndarray, distort: ImageStep = distort_colours
) -> tuple[Augmentation, ...]:
    """SSD's colours and flip with gentle scaling: for small data sets, or objects that fill images.

    The ranges are our own choice.
    """
    gentle_crop = partial(
        crop, overlaps=MILD_CROP_OVERLAPS, scale=MILD_CROP_SCALE, aspect=MILD_CROP_ASPECT
    )
    return (
        partial(
            render,
            size=size,
            fill=mean,
            windows=(partial(expand, most=MILD_EXPAND_MOST), gentle_crop),
            colours=(distort,),
            interpolations=INTERPOLATIONS,
        ),
        mirror,
    )


def ssd_any_up(
    size: tuple[int, int], mean: np.ndarray, distort: ImageStep = distort_colours
) -> tuple[Augmentation, ...]:
    """`ssd` in all orientations: for images without up and down (microscopy, aerial)."""
    return any_up(ssd(size, mean, distort))


def mild_any_up(
    size: tuple[int, int], mean: np.ndarray, distort: ImageStep = distort_colours
) -> tuple[Augmentation, ...]:
    """`mild` in all orientations: for images without up and down (microscopy, aerial)."""
    return any_up(mild(size, mean, distort))


def ssd_no_mirror(
    size: tuple[int, int], mean: np.ndarray, distort: ImageStep = distort_colours
) -> tuple[Augmentation, ...]:
    """`ssd` without the flip: for digits, letters, signs, and all that has a left and a right."""
    return tuple(step for step in ssd(size, mean, distort) if step is not mirror)


def mild_no_mirror(
    size: tuple[int, int], mean: np.ndarray, distort: ImageStep = distort_colours
) -> tuple[Augmentation, ...]:
    """`mild` without the flip: for digits, letters, signs, and all that has a left and a right."""
    return tuple(step for step in mild(size, mean, distort) if step is not mirror)


def any_up(steps: tuple[Augmentation, ...]) -> tuple[Augmentation, ...]:
    """`steps`, which mirror, in all eight orientations with equal chance (four, if not square)."""
    return (transpose, *steps, upend)


PRESETS: dict[str, Preset] = {
    "none": none,
    "mild": mild,
    "mild_any_up": mild_any_up,
    "mild_no_mirror": mild_no_mirror,
    "ssd": ssd,
    "ssd_any_up": ssd_any_up,
    "ssd_no_mirror": ssd_no_mirror,
}
