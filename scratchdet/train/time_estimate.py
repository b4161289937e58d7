"""How long a training will take on this machine, from some seconds of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles
from typing import Any

import torch
from rich.console import Console

from scratchdet.evaluation.run import detect_all
from scratchdet.models.detector import Detector
from scratchdet.recipe import Recipe, differing
from scratchdet.structures import DetectionData
from scratchdet.train.batches import batches_from, samples_from
from scratchdet.train.distributed import Ranks
from scratchdet.train.optim import set_learning_rate
from scratchdet.train.prepare import Prepared
from scratchdet.train.setup import Training, build, make_loss, make_schedule, zero_of
from scratchdet.train.step import train_step

SECONDS = 10.0
WARM_UP = 2  # steps that do not count: workers start, kernels are chosen, memory is got
LEAST = 2  # steps that count; for so many, the second counts where there is no time for others
MOST = 20  # steps that count: more of them would say the same
FIRST = 2  # images of the steps that tell how large a batch can be timed; one has no variance
EVALUATED = 8  # images, as many as are detected in at once to time an evaluation


@dataclass(frozen=True, kw_only=True)
class TimeEstimate:
    """What was measured, and what follows for the whole training."""

    device: str
    steps_timed: tuple[float, ...]
    """Seconds of every step that counts, its batch included; scaled up where `part` is not 1."""
    steps: int
    """Of the training."""
    seconds_an_image: float
    """Of an evaluation; 0 if there is none."""
    images: int
    """That are evaluated in all."""
    part: float = 1.0
    """Of a batch that was timed: less than 1 where a whole one would take too long."""

    @property
    def is_coarse(self) -> bool:
        """Whether fewer than `LEAST` steps were timed."""
        return len(self.steps_timed) < LEAST

    @property
    def seconds_a_step(self) -> float:
        """Of the middle one."""
        return median(self.steps_timed)

    @property
    def seconds(self) -> float:
        """The whole training, if all steps are like the middle one."""
        return self._whole(self.seconds_a_step)

    @property
    def spread(self) -> tuple[float, float]:
        """The same, if all are like the one at the lower, or the upper quartile."""
        timed = self.steps_timed
        if len(timed) < 4:
            return self._whole(min(timed)), self._whole(max(timed))
        low, _, high = quantiles(timed, n=4, method="inclusive")
        return self._whole(low), self._whole(high)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        low, high = self.spread
        return {
            **vars(self),
            "steps_timed": [round(one, 4) for one in self.steps_timed],
            "seconds": round(self.seconds, 1),
            "low": round(low, 1),
            "high": round(high, 1),
            "is_coarse": self.is_coarse,
        }

    def _whole(self, seconds_a_step: float) -> float:
        return self.steps * seconds_a_step + self.images * self.seconds_an_image


def estimate_time(
    recipe: Recipe,
    prepared: Prepared,
    *,
    device: str,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> TimeEstimate:
    """How long the recipe, which is resolved, will take, by real steps on the training images.

    Loading and augmentation are part of a step. No step is begun after so many seconds, and where a
    few would take longer, they are of a part of the batch: see `fitting`. device: as it is to be
    called. Nothing is written.
    """
    training = build(
        differing(recipe, run={"compile": False}), prepared, torch.device(recipe.run.device)
    )
    deadline = clock() + seconds
    time_steps = partial(_timed_steps, training, prepared, deadline=deadline, clock=clock)
    whole = recipe.data.batch
    batch = min(whole, FIRST)
    # Without workers, which take longer to start than these steps.
    timed = time_steps(differing(with_batch(recipe, batch), data={"workers": 0}), most=2)
    left = deadline - clock()
    if left > 0:
        batch = fitting(whole, timed[-1] / batch, seconds=left)
        timed = time_steps(with_batch(recipe, batch), most=WARM_UP + MOST)
    evaluated = prepared.test if prepared.val is None else prepared.val
    return TimeEstimate(
        device=device,
        part=batch / whole,
        steps_timed=tuple(step * whole / batch for step in counted(timed)),
        steps=recipe.schedule.steps,
        seconds_an_image=_seconds_an_image(training.detector, evaluated, clock=clock),
        images=images_evaluated(recipe, prepared),
    )


def fitting(whole: int, seconds_an_image: float, *, seconds: float) -> int:
    """The images of a step of which `LEAST` and a first one fit into `seconds`: half the batch, or
    half of that, and so on, down to `FIRST`; the whole of it, if that fits."""
    batch = whole
    while batch >= 2 * FIRST and batch * seconds_an_image * (1 + LEAST) > seconds:
        batch //= 2
    return batch


def with_batch(recipe: Recipe, batch: int) -> Recipe:
    """The recipe with so many images in a step, no more of which are worked off at a time."""
    at_a_time = -(-recipe.data.batch // recipe.data.accumulate)
    return differing(recipe, data={"batch": batch, "accumulate": -(-batch // at_a_time)})


def counted(timed: Sequence[float]) -> Sequence[float]:
    """Those of the steps that count: none of the first two, if others are enough."""
    if len(timed) >= WARM_UP + LEAST:
        return timed[WARM_UP:]
    return timed[1:] or timed


def images_evaluated(recipe: Recipe, prepared: Prepared) -> int:
    """Images of all evaluations of a training: on the way, at the end, and the test."""
    every, steps = recipe.schedule.evaluate_every, recipe.schedule.steps
    times = steps // every + (steps % every > 0) if every else 1
    validation = len(prepared.val) if prepared.val is not None else 0
    networks = 2 if recipe.optim.ema else 1  # the averaged weights and the raw ones
    # The best model is evaluated once more, on the test images or, without any, on the same.
    last = len(prepared.test) if prepared.test is not None else validation
    return times * networks * validation + last


def _timed_steps(
    training: Training,
    prepared: Prepared,
    recipe: Recipe,
    *,
    deadline: float,
    most: int,
    clock: Callable[[], float],
) -> list[float]:
    """The seconds of each step, from the first; the workers end with it.

    At least one, and `most` at most; none is begun after the deadline.
    """
    loss, rate_at = make_loss(recipe.optim, training.detector), make_schedule(recipe)
    samples = samples_from(
        recipe,
        prepared,
        fill=zero_of(training.detector),
        ranks=Ranks(),
        console=Console(quiet=True),
    )
    batches = batches_from(recipe, samples, start=0, stop=recipe.schedule.steps, ranks=Ranks())
    timed: list[float] = []
    training.detector.train()
    began = clock()
    for step, batch in enumerate(batches):
        set_learning_rate(training.optimiser, rate_at(step))
        losses, _ = train_step(
            training,
            batch,
            loss,
            precision=recipe.run.precision,
            clip_norm=recipe.optim.clip_norm,
            parts=recipe.data.accumulate,
        )
        training.ema.update(training.detector, updates=step)
        losses.total.item()  # waits for a GPU
        ended = clock()
        timed.append(ended - began)
        began = ended
        if ended >= deadline or len(timed) == most:
            break
    return timed


def _seconds_an_image(
    detector: Detector, data: DetectionData | None, *, clock: Callable[[], float]
) -> float:
    """The time that reading an image and detecting in it takes; 0 without an image.

    An untrained network finds something everywhere, and takes longer to sort it out than later.
    """
    if not data:
        return 0.0
    part = data.subset(range(min(EVALUATED, len(data))))
    began = clock()
    detect_all(detector, part)
    return (clock() - began) / len(part)
