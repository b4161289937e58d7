"""A few images learned by heart: the smallest training that shows that everything fits together."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from rich.console import Console
from torchvision.ops import box_convert, box_iou

from scratchdet.analysis.expectations import is_small
from scratchdet.data.dataset import TrainingSamples, random_for
from scratchdet.evaluation.columns import from_detections
from scratchdet.evaluation.errors import break_down
from scratchdet.evaluation.metrics import PROTOCOLS, measure
from scratchdet.evaluation.run import detect_all, evaluate
from scratchdet.models.detector import Detector
from scratchdet.ops.boxes import normalise
from scratchdet.recipe import Recipe, differing
from scratchdet.recipes.rates import scaled_rate
from scratchdet.structures import DetectionData, Sample
from scratchdet.train.batches import batches_from, samples_from
from scratchdet.train.distributed import Ranks
from scratchdet.train.optim import set_learning_rate
from scratchdet.train.prepare import Prepared
from scratchdet.train.setup import Training, build, make_loss, zero_of
from scratchdet.train.step import train_step
from scratchdet.train.unseen import Unseen, try_unseen

IMAGES = 16
UNSEEN = 32  # other images, that what was learned is tried on
BATCH = 8  # images a step, unless the recipe has fewer: twice the steps of 16 in the same time
STEPS = 200  # at most
WARMUP = 20  # steps
EVERY = 20  # steps from one evaluation to the next
REACHED = 0.9  # AP50
CHOICE = 0x16F1  # keeps the choice of images apart from what else is drawn by the seed

Ended = Literal["reached", "steps", "time", "diverged"]


class Given(NamedTuple):
    """What the network is given to learn: what may be wrong before the first step."""

    images: int
    objects: int
    covered: float
    """Share of the objects that some prior overlaps by the recipe's `match_iou`."""
    small: float
    """Share of the objects that are small: under 8 pixels (`is_small`)."""
    flat: int
    """Images whose pixels are all alike."""


class Point(NamedTuple):
    """How far it has come."""

    step: int
    classification: float
    localisation: float
    """Both: the loss of the step's images."""
    ap50: float
    """On all images that are learned."""


class _Learned(NamedTuple):
    curve: list[Point]
    steps: int
    ended: Ended


@dataclass(frozen=True, kw_only=True)
class Overfit:
    """How a network has learned a few images."""

    given: Given
    batch: int
    lr: float
    curve: tuple[Point, ...]
    steps: int
    planned: int
    seconds: float
    ended: Ended
    errors: dict[str, float]
    """What AP50 would gain at the end without each kind of error; empty after a divergence."""
    unseen: Unseen | None
    """None where too few other images have objects, and where it was not trained to the end."""

    @property
    def ap50(self) -> float:
        """The best so far; 0 if there was nothing to evaluate."""
        return max((point.ap50 for point in self.curve), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self) | {
            "given": self.given._asdict(),
            "curve": [point._asdict() for point in self.curve],
            "ap50": self.ap50,
            "must_reach": REACHED,
            "unseen": self.unseen.to_json() if self.unseen else None,
        }


def overfit(
    recipe: Recipe,
    prepared: Prepared,
    *,
    steps: int = STEPS,
    deadline: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[int, int], None] | None = None,
) -> Overfit:
    """Trains the network of the recipe, which is resolved, on `IMAGES` of the training images.

    They are the same in every step, not augmented, and the learning rate is the recipe's, for as
    many images as a step has here. It ends as soon as AP50 is `REACHED`, after so many `steps`, or
    when the clock is past the deadline. Nothing is written.
    """
    began = clock()
    learned, unseen = choose_images(prepared.train, seed=recipe.run.seed)
    recipe = plain(recipe)
    training = build(recipe, prepared, torch.device(recipe.run.device))
    detector = training.detector
    samples = samples_from(
        recipe,
        prepared._replace(train=learned),
        fill=zero_of(detector),
        ranks=Ranks(),
        console=Console(quiet=True),
    )
    given = _given([samples[0, row].sample for row in range(len(learned))], detector, recipe)
    curve, done, ended = _learn(
        training,
        samples,
        recipe,
        steps=steps,
        stop=lambda: clock() >= deadline,
        progress=progress or (lambda done, total: None),
    )
    return Overfit(
        given=given,
        batch=recipe.data.batch,
        lr=scaled_rate(recipe),
        curve=tuple(curve),
        steps=done,
        planned=steps,
        seconds=clock() - began,
        ended=ended,
        errors={} if ended == "diverged" else _errors(detector, learned),
        unseen=try_unseen(detector, unseen) if ended in ("reached", "steps") else None,
    )


def choose_images(data: DetectionData, *, seed: int) -> tuple[DetectionData, DetectionData]:
    """Images with objects: `IMAGES` to learn, and up to `UNSEEN` others; always the same ones."""
    images = np.repeat(np.arange(len(data)), np.diff(data.offsets))
    rows = random_for(seed, CHOICE).permutation(np.unique(images[~data.ignore]))
    return data.subset(rows[:IMAGES]), data.subset(rows[IMAGES : IMAGES + UNSEEN])


def plain(recipe: Recipe) -> Recipe:
    """The recipe without augmentation, with small batches and its learning rate for those."""
    batch = min(BATCH, recipe.data.batch)
    return differing(
        recipe,
        data={
            "augment": "none",
            "mosaic": 0.0,
            "copy_paste": 0.0,
            "repeat_below": 0.0,
            "batch": batch,
            "accumulate": 1,
            "workers": 0,
        },
        optim={"lr": scaled_rate(recipe) * batch / recipe.data.batch, "reference_batch": 0},
        run={"compile": False},
    )


def _learn(
    training: Training,
    samples: TrainingSamples,
    recipe: Recipe,
    *,
    steps: int,
    stop: Callable[[], bool],
    progress: Callable[[int, int], None],
) -> _Learned:
    """Trains until one of the ends of `overfit`; the last evaluation is of the last step."""
    detector, loss = training.detector, make_loss(recipe.optim, training.detector)
    lr, curve = scaled_rate(recipe), list[Point]()
    detector.train()
    for done, batch in enumerate(
        batches_from(recipe, samples, start=0, stop=steps, ranks=Ranks()), start=1
    ):
        set_learning_rate(training.optimiser, lr * min(1.0, done / WARMUP))
        losses, gradient_norm = train_step(
            training,
            batch,
            loss,
            precision=recipe.run.precision,
            clip_norm=recipe.optim.clip_norm,
        )
        progress(done, steps)
        if not math.isfinite(losses.total.item() + gradient_norm.item()):
            return _Learned(curve, done, "diverged")
        late = stop()
        if late or done % EVERY == 0 or done == steps:
            ap50 = evaluate(detector, samples.data).ap50
            curve.append(
                Point(done, losses.classification.item(), losses.localisation.item(), ap50)
            )
            if ap50 >= REACHED:
                return _Learned(curve, done, "reached")
            if late:
                return _Learned(curve, done, "time")
    return _Learned(curve, steps, "steps")


def _given(samples: Sequence[Sample], detector: Detector, recipe: Recipe) -> Given:
    """What is known of the images before the first step, as the network is fed with them."""
    annotated = np.concatenate([one.boxes[~one.ignore] for one in samples])
    boxes, small = torch.from_numpy(annotated), torch.from_numpy(is_small(annotated))
    priors = box_convert(detector.priors.cpu(), "cxcywh", "xyxy")
    best = box_iou(normalise(boxes, detector.input_size), priors).amax(1)
    return Given(
        images=len(samples),
        objects=len(boxes),
        covered=(best >= recipe.optim.match_iou).float().mean().item(),
        small=small.float().mean().item(),
        flat=sum(bool((one.image == one.image[:1, :1]).all()) for one in samples),
    )


def _errors(detector: Detector, data: DetectionData) -> dict[str, float]:
    """What each kind of error costs in AP50."""
    _, verdicts = measure(data, from_detections(detect_all(detector, data)), protocol="voc")
    errors = break_down(data, verdicts, PROTOCOLS["voc"].points)
    return {name: cost.ap50 for name, cost in errors.kinds.items()}
