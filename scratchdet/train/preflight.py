"""A training in small before the training: whether it can learn, and which rates it survives.

Two questions, answered by measuring: are a few images learned by heart, and how large may the
learning rate get, with this normalisation and without any? The second is the argument of ScratchDet
(Zhu et al., CVPR 2019, section 3): BatchNorm lets a detector be trained from scratch because it
lets the rate be large.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
from rich.console import Console

from scratchdet.models.layers import Norm
from scratchdet.models.zoo import choices_of
from scratchdet.recipe import Recipe, differing
from scratchdet.recipes.rates import scaled_rate
from scratchdet.terminal import progress_bar
from scratchdet.train.batches import batches_from, samples_from
from scratchdet.train.distributed import Ranks
from scratchdet.train.norms import NAMES
from scratchdet.train.optim import set_learning_rate
from scratchdet.train.overfit import Overfit, overfit
from scratchdet.train.prepare import Prepared
from scratchdet.train.range_test import LOWEST, STEPS, RangeTest, growing_rates, run_range_test
from scratchdet.train.setup import build, make_loss, zero_of
from scratchdet.train.step import train_step

SECONDS = 180.0
OVERFIT_SHARE = 0.5  # of the time, at most: the rest is for the range tests
LEAST_STEPS = 30
"""Of a range test: with fewer, each rate is more than 1.6 times the one before."""

Verdict = Literal["passed", "failed", "unfinished"]


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What was measured."""

    overfit: Overfit
    norms: str
    """The recipe's, in words."""
    lr: float
    """The recipe's highest learning rate, for its batch."""
    batch: int
    ranges: dict[str, RangeTest]
    """By the norms in words: the recipe's first, then none (or BatchNorm, where the recipe has
    none). Those that there was no time for are missing."""
    seconds: float
    limit: float

    @property
    def range(self) -> RangeTest | None:
        """That of the recipe's own norms."""
        return self.ranges.get(self.norms)

    @property
    def exceeded(self) -> float | None:
        """The largest rate the network was seen to be stable at, if the recipe's is above it."""
        stable = self.range.stable if self.range and self.range.is_limit else None
        return stable if stable is not None and self.lr > stable else None

    @property
    def verdict(self) -> Verdict:
        """Passed only if nothing failed and everything was measured."""
        ended, unseen = self.overfit.ended, self.overfit.unseen
        strangers = unseen is not None and unseen.fit == "any"
        if ended in ("steps", "diverged") or strangers or self.exceeded is not None:
            return "failed"
        own = self.range
        complete = own is not None and own.ended != "time" and own.stable is not None
        return "passed" if ended == "reached" and complete else "unfinished"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "verdict": self.verdict,
            "norms": self.norms,
            "lr": self.lr,
            "batch": self.batch,
            "overfit": self.overfit.to_json(),
            "range_tests": {norms: test.to_json() for norms, test in self.ranges.items()},
            "seconds": round(self.seconds, 1),
            "limit": self.limit,
        }


def preflight(
    recipe: Recipe,
    prepared: Prepared,
    *,
    console: Console,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Preflight:
    """Both measurements for a recipe that is resolved, in so many seconds. Nothing is written.

    The same result each time, as far as the clock does not end a part of it.
    """
    began = clock()
    with progress_bar(console, "learning a few images by heart") as report:
        learned = overfit(
            recipe,
            prepared,
            deadline=began + OVERFIT_SHARE * seconds,
            clock=clock,
            progress=report,
        )
    own, other = describe_norms(recipe), counterpart(recipe)
    ranges: dict[str, RangeTest] = {}
    for left, one in ((2, recipe), (1, other)):
        if one is None:
            continue
        with progress_bar(console, f"learning rates with {describe_norms(one)}") as report:
            test = range_test(
                one,
                prepared,
                seconds=(began + seconds - clock()) / left,
                clock=clock,
                progress=report,
            )
        if test is not None:
            ranges[describe_norms(one)] = test
    return Preflight(
        overfit=learned,
        norms=own,
        lr=scaled_rate(recipe),
        batch=recipe.data.batch,
        ranges=ranges,
        seconds=clock() - began,
        limit=seconds,
    )


def range_test(
    recipe: Recipe,
    prepared: Prepared,
    *,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[int, int], None] | None = None,
) -> RangeTest | None:
    """The range test of the recipe's network on its own batches: fewer steps where time is short.

    None where there is no time for `LEAST_STEPS`.
    """
    deadline = clock() + seconds
    step = _steps_of(recipe, prepared)
    step(LOWEST)  # the first is slower than others: kernels are chosen, memory is got
    began = clock()
    step(LOWEST)
    now = clock()
    steps = affordable(deadline - now, now - began)
    if steps < LEAST_STEPS:
        return None
    taken = 0

    def counted(rate: float) -> float:
        nonlocal taken
        taken += 1
        if progress is not None:
            progress(taken, steps + 1)
        return step(rate)

    return run_range_test(counted, growing_rates(steps), deadline=deadline, clock=clock)


def affordable(seconds: float, seconds_a_step: float) -> int:
    """How many steps of a range test there is time for, with the one after the last; up to
    `STEPS`."""
    return int(min(STEPS, seconds / max(seconds_a_step, 1e-9) - 1))


def describe_norms(recipe: Recipe) -> str:
    """`BatchNorm`, `BatchNorm in the backbone, none in the head`, `no norm`."""
    backbone, head = (
        NAMES[cast(Norm, norm)] for norm in (recipe.model.norm_backbone, recipe.model.norm_head)
    )
    if backbone == head:
        return "no norm" if backbone == "none" else backbone
    return f"{backbone} in the backbone, {head} in the head"


def counterpart(recipe: Recipe) -> Recipe | None:
    """The same without any norm, or with BatchNorm where it has none; None if it cannot be so."""
    norm = "batch" if describe_norms(recipe) == "no norm" else "none"
    if norm not in choices_of(recipe.model.name)["norm_backbone"]:
        return None
    return differing(recipe, model={"norm_backbone": norm, "norm_head": norm})


def _steps_of(recipe: Recipe, prepared: Prepared) -> Callable[[float], float]:
    """A function that trains the network for one step at a given rate: the loss before it."""
    recipe = differing(recipe, data={"workers": 0}, run={"compile": False})
    training = build(recipe, prepared, torch.device(recipe.run.device))
    loss = make_loss(recipe.optim, training.detector)
    samples = samples_from(
        recipe,
        prepared,
        fill=zero_of(training.detector),
        ranks=Ranks(),
        console=Console(quiet=True),
    )
    batches = batches_from(recipe, samples, start=0, stop=STEPS + 3, ranks=Ranks())
    one_step = partial(
        train_step,
        training,
        loss=loss,
        precision=recipe.run.precision,
        clip_norm=recipe.optim.clip_norm,
        parts=recipe.data.accumulate,
    )
    training.detector.train()

    def step(rate: float) -> float:
        set_learning_rate(training.optimiser, rate)
        losses, _ = one_step(next(batches))
        return losses.total.item()

    return step
