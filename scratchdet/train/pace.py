"""How fast a training goes on this machine, measured on the images and the network that it is of.

Nothing is learned meanwhile, and nothing is written.
"""

import time
from statistics import median
from typing import NamedTuple

import torch
from rich.console import Console

from scratchdet.evaluation.run import BATCH, detect_all
from scratchdet.recipe import Recipe
from scratchdet.train.batches import batches_from, samples_from
from scratchdet.train.distributed import Ranks
from scratchdet.train.optim import set_learning_rate
from scratchdet.train.prepare import Prepared
from scratchdet.train.setup import build, make_loss, zero_of
from scratchdet.train.step import train_step

FEWEST = 2  # steps that are measured, however long they take
FOR_IMAGES = 0.2  # share of the time that evaluation is measured in


class Pace(NamedTuple):
    """Seconds."""

    step: float
    """Of a step, with reading and augmenting its images: the median of those measured."""
    slowest_step: float
    steps: int
    """How many were measured."""
    image: float
    """Of an image in an evaluation."""

    def of(self, recipe: Recipe, *, val: int, test: int) -> float:
        """The seconds of a training, with evaluations on so many images."""
        schedule = recipe.schedule
        every = schedule.evaluate_every or schedule.steps
        evaluations = -(-schedule.steps // every)
        return self.step * schedule.steps + self.image * (val * evaluations + test)


def measure_pace(recipe: Recipe, prepared: Prepared, *, seconds: float) -> Pace:
    """The pace of a training by the recipe, all of whose values are settled, measured in about so
    many seconds; at least two steps after the first, which is not counted, are made."""
    end = time.monotonic() + seconds * (1 - FOR_IMAGES)
    training = build(recipe, prepared, torch.device(recipe.run.device))
    detector, loss = training.detector.train(), make_loss(recipe.optim, training.detector)
    set_learning_rate(training.optimiser, 0.0)  # an untrained network must not diverge here
    samples = samples_from(
        recipe, prepared, fill=zero_of(detector), ranks=Ranks(), console=Console(quiet=True)
    )
    batches = batches_from(recipe, samples, start=0, stop=recipe.schedule.steps, ranks=Ranks())
    took, before = [], time.monotonic()
    for batch in batches:
        losses, _ = train_step(
            training,
            batch,
            loss,
            precision=recipe.run.precision,
            clip_norm=0.0,
            parts=recipe.data.accumulate,
        )
        losses.total.item()  # a GPU has then done its work
        took.append(time.monotonic() - before)
        before = time.monotonic()
        if len(took) > FEWEST and before > end:
            break
    measured = took[1:] or took  # the first step warms up
    images = prepared.val or prepared.test or prepared.train
    few = images.subset(range(min(BATCH, len(images))))
    detector.eval()
    detect_all(detector, few)  # warms up
    began = time.monotonic()
    detect_all(detector, few)
    return Pace(
        step=median(measured),
        slowest_step=max(measured),
        steps=len(measured),
        image=(time.monotonic() - began) / max(len(few), 1),
    )
