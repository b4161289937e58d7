"""Which settings of a recipe data call for, and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scratchdet.analysis.coverage_table import called
from scratchdet.analysis.expectations import SMALL, Expectations
from scratchdet.analysis.prior_overlaps import boxes_at
from scratchdet.analysis.report.words import count as counted
from scratchdet.data.check import Hygiene
from scratchdet.recipe import Recipe
from scratchdet.structures import DetectionData
from scratchdet.train.norms import ENOUGH
from scratchdet.train.notes import FEW_OBJECTS

# All our own choices, for lack of measurements that would say better.
MUCH_SMALL = 0.1  # of the objects
GRAIN = 32  # pixels that inputs are multiples of: the stride of the coarsest map of a backbone
LARGEST_FACTOR = 2.0  # of either side of the input: four times the time of a step
HUGE = 4.0  # times the input, of the longer side of the middle image
STRETCHED = 1.5  # ratio of the aspects of input and images
RARE = 0.1  # share of the images
UNBALANCED = 4.0  # times as many images have the commonest class
FEW_EPOCHS = 10


LEAKING = frozenset({"duplicate-across", "near-across", "frames-across"})
"""Kinds of findings of which it is said that images do not stand on one side only."""
MANY_LEAKING = 0.01
"""Share of the evaluated images: fewer do not move a figure that is to be believed in anyway."""


INPUT_SIZE = "--model.input-size"


class Advice(NamedTuple):
    """One setting."""

    flags: str
    """As on the command line; empty where something is to be done to the data instead."""
    reason: str


def advise(
    train: DetectionData,
    expected: Expectations,
    *,
    recipe: Recipe,
    held_out: bool = False,
    leaks: bool = False,
) -> tuple[Advice, ...]:
    """What to change about the recipe, which is resolved.

    held_out: the images to validate on are some of those for training. leaks: images that are
    trained on, and others that are evaluated on, are nearly the same, or frames of one video.
    """
    return (
        *_of_input(train, expected),
        *_of_norm(recipe),
        *_of_balance(expected, recipe),
        *_of_validation(expected, held_out=held_out, leaks=leaks),
        *_of_length(expected, recipe),
    )


def leaks(hygiene: Hygiene) -> bool:
    """Whether so many images are alike to some that are trained on that it matters."""
    alike = sum(finding.kind in LEAKING for finding in hygiene.findings)
    parts = hygiene.counts.items()
    evaluated = sum(counts.images for use, counts in parts if use != "training")
    return alike > 0 and alike >= MANY_LEAKING * evaluated


def _of_input(train: DetectionData, expected: Expectations) -> Iterator[Advice]:
    """A larger input, tiles, or an input of the shape of the images."""
    if not expected.objects:
        return
    height, width = expected.input_size
    if expected.small > MUCH_SMALL:
        yield _for_small(train, expected)
        return
    images = float(np.median(train.sizes[:, 0] / train.sizes[:, 1]))
    if not 1 / STRETCHED <= images * height / width <= STRETCHED:
        area = height * width
        sides = (_rounded(math.sqrt(area / images)), _rounded(math.sqrt(area * images)))
        yield Advice(
            f"{INPUT_SIZE} {sides[0]} {sides[1]}",
            f"width is {images:.2g} times height in the images, and {width / height:.2g} times in "
            "the input: objects are squeezed",
        )


def _for_small(train: DetectionData, expected: Expectations) -> Advice:
    """What makes all but `MUCH_SMALL` of the objects large enough, if the time allows."""
    height, width = expected.input_size
    boxes = boxes_at(train, expected.input_size)[~train.ignore]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    wanted = SMALL / max(1.0, math.sqrt(np.quantile(areas, MUCH_SMALL)))
    why = f"{expected.small:.0%} of the objects are under {SMALL:.0f} pixels at {height} x {width}"
    larger = float(np.median(train.sizes.max(axis=1))) / max(height, width)
    if wanted > LARGEST_FACTOR and larger > HUGE:
        return Advice(
            "",
            f"{why}, and images are {larger:.1f} times larger: train on tiles of them, and find "
            "objects in whole ones with --tile (docs/multi_scale.md)",
        )
    sides = [_rounded(side * min(wanted, LARGEST_FACTOR), up=True) for side in (height, width)]
    times = sides[0] * sides[1] / (height * width)
    return Advice(
        f"{INPUT_SIZE} {sides[0]} {sides[1]}",
        f"{why}; a step takes {times:.1f} times as long",
    )


def _rounded(side: float, *, up: bool = False) -> int:
    """A multiple of `GRAIN`, not zero."""
    return max(1, math.ceil(side / GRAIN) if up else int(side / GRAIN + 0.5)) * GRAIN


def _of_norm(recipe: Recipe) -> Iterator[Advice]:
    at_a_time = recipe.data.batch // recipe.data.accumulate
    norms = (recipe.model.norm_backbone, recipe.model.norm_head)
    if "batch" in norms and at_a_time < ENOUGH:
        yield Advice(
            "--model.norm-backbone group_ws --model.norm-head group",
            f"BatchNorm loses with {counted(at_a_time, 'image')} at a time "
            "(Wu and He 2018, table 2)",
        )


def _of_balance(expected: Expectations, recipe: Recipe) -> Iterator[Advice]:
    spelt = Counter(name.casefold() for name in expected.classes)
    shares = {
        name: one.images / expected.images
        for name, one in expected.classes.items()
        if one.images and spelt[name.casefold()] == 1  # others are to be merged first
    }
    if not shares or recipe.data.repeat_below:
        return
    rarest = min(shares, key=lambda name: shares[name])
    if shares[rarest] < RARE and max(shares.values()) > UNBALANCED * shares[rarest]:
        factor = math.sqrt(RARE / shares[rarest])
        yield Advice(
            f"--data.repeat-below {RARE}",
            f"{called(rarest)} is in {shares[rarest]:.1%} of the images, which are then seen "
            f"{factor:.1f} times as often",
        )


def _of_validation(expected: Expectations, *, held_out: bool, leaks: bool) -> Iterator[Advice]:
    if leaks:
        yield Advice(
            "",
            "images that are alike are both trained on and evaluated on: hold out whole videos or "
            "places, or figures promise what new ones will not keep",
        )
    count = expected.validation_objects
    if count is not None and count < FEW_OBJECTS:
        yield Advice(
            "--data.hold-out 0.2" if held_out else "",
            f"{counted(count, 'object')} to validate on {'is' if count == 1 else 'are'} few: "
            "chance decides which model is the best",
        )


def _of_length(expected: Expectations, recipe: Recipe) -> Iterator[Advice]:
    epochs = recipe.schedule.steps * recipe.data.batch / max(1, expected.images)
    if epochs < FEW_EPOCHS:
        steps = math.ceil(FEW_EPOCHS * expected.images / recipe.data.batch)
        yield Advice(
            f"--steps {steps}",
            f"{recipe.schedule.steps} steps see each image {epochs:.1f} times, which is little for "
            "weights from scratch",
        )
