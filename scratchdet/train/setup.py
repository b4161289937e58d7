"""From a recipe's values to the objects that the loop works with."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn

from scratchdet.data.augment import PRESETS
from scratchdet.data.dataset import TrainingSamples
from scratchdet.data.loader import Batch, default_workers, make_batches
from scratchdet.data.order import SampleOrder
from scratchdet.models.detector import Detector
from scratchdet.models.zoo import MODELS, choices_of, create_model, defaults_of
from scratchdet.ops.losses import MultiBoxLoss
from scratchdet.recipe import ModelRecipe, OptimRecipe, Recipe, RecipeError, differing
from scratchdet.train.checkpoint import Progress, load_checkpoint
from scratchdet.train.device import choose_device, choose_precision
from scratchdet.train.distributed import Ranks, parallel
from scratchdet.train.ema import AveragedWeights
from scratchdet.train.optim import learning_rate, make_sgd
from scratchdet.train.prepare import Prepared


class Training(NamedTuple):
    """What changes while training."""

    detector: Detector
    network: nn.Module
    """The detector as it is called in training: with its ranks, compiled."""
    ema: AveragedWeights
    optimiser: torch.optim.SGD
    scaler: torch.amp.GradScaler


def check_names(recipe: Recipe) -> None:
    """Raises RecipeError for a network or a preset that does not exist, and lists those that do."""
    for kind, name, known in (
        ("model.name", recipe.model.name, MODELS),
        ("data.augment", recipe.data.augment, PRESETS),
    ):
        if name not in known:
            raise RecipeError(f"{kind} is {name!r}; choose from {', '.join(known)}")


def resolve(recipe: Recipe, *, ranks: Ranks | None = None) -> Recipe:
    """The recipe with every "auto" replaced by what it means on this machine.

    Its names exist, see `check_names`. Raises RecipeError for what else cannot be: before any image
    is read, not hours later.
    """
    plan(recipe.model)
    ranks = ranks or Ranks()
    apiece = ranks.size * recipe.data.accumulate
    if recipe.data.batch % apiece:
        raise RecipeError(
            f"data.batch {recipe.data.batch} cannot be shared by {ranks.size} processes, each in "
            f"{recipe.data.accumulate} parts (data.accumulate): take a multiple of {apiece}"
        )
    if recipe.run.protocol == "coco" and find_spec("faster_coco_eval") is None:
        raise RecipeError("run.protocol coco needs one more package: pip install scratchdet[coco]")
    device = choose_device(recipe.run.device)
    workers = recipe.data.workers
    return differing(
        recipe,
        run={
            "device": str(device),
            "precision": choose_precision(recipe.run.precision, device),
        },
        data={"workers": default_workers(device.type) if workers < 0 else workers},
        model={"init": str(Path(recipe.model.init).resolve()) if recipe.model.init else ""},
    )


def plan(recipe: ModelRecipe) -> Detector:
    """The recipe's network without memory (on the meta device), for one class.

    Raises RecipeError for choices that the network does not have.
    """
    choices = _choices(recipe)
    try:
        with torch.device("meta"):
            return create_model(recipe.name, num_classes=1, **choices)
    except ValueError as error:
        raise RecipeError(f"model: {error}") from error


def describe_network(recipe: ModelRecipe) -> str:
    """One line: `ssd300_resnet18 (stem root), input 300 x 300 (--model.input-size)`."""
    unusual = without_defaults(recipe.name, recipe.choices)
    choices = ", ".join(f"{choice} {value}" for choice, value in unusual.items())
    height, width = recipe.input_size
    name = f"{recipe.name} ({choices})" if choices else recipe.name
    return f"{name}, input {height} x {width} (--model.input-size)"


def without_defaults(name: str, choices: Mapping[str, str]) -> dict[str, str]:
    """The choices of a network that are not what it is without them."""
    defaults = defaults_of(name)
    return {choice: value for choice, value in choices.items() if value != defaults[choice]}


def _choices(recipe: ModelRecipe) -> dict[str, Any]:
    """What `create_model` is to choose."""
    settings = {entry.name for entry in fields(ModelRecipe)}
    allowed = choices_of(recipe.name)
    for choice in recipe.choices:
        if choice in settings:
            flag = f"--model.{choice.replace('_', '-')}"
            raise RecipeError(
                f"model.choices.{choice} is a setting of its own: model.{choice}, or {flag}"
            )
        if choice not in allowed:
            known = ", ".join(name for name in allowed if name not in settings) or "none"
            raise RecipeError(
                f"model.choices.{choice}: {recipe.name} has no such choice; it has {known}"
            )
    return {
        "input_size": recipe.input_size,
        "norm_backbone": recipe.norm_backbone,
        "norm_head": recipe.norm_head,
        **recipe.choices,
    }


def build(recipe: Recipe, prepared: Prepared, device: torch.device) -> Training:
    """The untrained network, its average and its optimiser, on the device."""
    if recipe.data.batch == 1 and "batch" in (recipe.model.norm_backbone, recipe.model.norm_head):
        raise RecipeError(
            "BatchNorm has nothing to normalise over with data.batch 1: the coarsest map has one "
            "value per channel. Take a larger --batch, or --model.norm-backbone group "
            "--model.norm-head group"
        )
    torch.manual_seed(recipe.run.seed)  # of the initial weights
    detector = create_model(
        recipe.model.name,
        in_channels=prepared.channels,
        classes=prepared.train.classes,
        **_choices(recipe.model),
    )
    detector.mean = torch.from_numpy(prepared.mean).float()
    detector.std = torch.from_numpy(prepared.std).float()
    memory = torch.channels_last if recipe.run.channels_last else torch.contiguous_format
    detector = detector.to(device).to(memory_format=memory)
    network = parallel(detector, device)
    return Training(
        detector,
        cast(nn.Module, torch.compile(network)) if recipe.run.compile else network,
        AveragedWeights(detector, recipe.optim.ema),
        make_sgd(
            detector,
            lr=recipe.optim.lr,
            momentum=recipe.optim.momentum,
            weight_decay=recipe.optim.weight_decay,
        ),
        torch.amp.GradScaler(device.type, enabled=recipe.run.precision == "fp16"),
    )


def restore(checkpoint: Path, training: Training, fresh: Progress, *, steps: int) -> Progress:
    """The progress saved in `checkpoint`, whose tensors are put into `training`.

    Raises ValueError if it is of other data or another network, RecipeError if it is past `steps`.
    """
    progress = load_checkpoint(
        checkpoint, detector=training.detector, ema=training.ema, optimiser=training.optimiser
    )
    if progress.data != fresh.data:
        raise ValueError(
            f"{checkpoint}: the training data is not what this run began with "
            f"(fingerprint {fresh.data}, was {progress.data}): start a new run"
        )
    if progress.step > steps:
        raise RecipeError(f"{checkpoint} is of step {progress.step}; schedule.steps is {steps}")
    if training.scaler.is_enabled():
        training.scaler.load_state_dict({**training.scaler.state_dict(), "scale": progress.scale})
    return progress


def make_loss(recipe: OptimRecipe, detector: Detector) -> MultiBoxLoss:
    return MultiBoxLoss(
        detector.priors,
        input_size=detector.input_size,
        threshold=recipe.match_iou,
        negatives_per_positive=recipe.negatives_per_positive,
        mining=recipe.mining,
        min_negatives=recipe.min_negatives,
    )


def make_schedule(recipe: Recipe) -> Callable[[int], float]:
    """The learning rate of every step."""
    schedule = recipe.schedule
    return partial(
        learning_rate,
        highest=scaled_rate(recipe),
        steps=schedule.steps,
        warmup_steps=schedule.warmup_steps,
        shape=schedule.shape,
        drops=schedule.drops,
        drop_factor=schedule.drop_factor,
    )


def scaled_rate(recipe: Recipe) -> float:
    """The highest learning rate, for the batch that the recipe has (Goyal et al. 2017)."""
    scale = recipe.data.batch / recipe.optim.reference_batch if recipe.optim.reference_batch else 1
    return recipe.optim.lr * scale


def zero_of(detector: Detector) -> np.ndarray:
    """The colour (C,) of images as read, RGB in 0..255, that is zero to the detector's weights."""
    mean: np.ndarray = detector.mean.cpu().numpy()
    return mean[::-1].copy() if detector.channel_order == "bgr" else mean


def batches_from(
    recipe: Recipe, prepared: Prepared, *, fill: np.ndarray, start: int, ranks: Ranks
) -> Iterator[Batch]:
    """This rank's share of the batches of all steps from `start`.

    fill: the colour around an image made smaller.
    """
    samples = TrainingSamples(
        prepared.train,
        PRESETS[recipe.data.augment](recipe.model.input_size, fill),
        channels=prepared.channels,
        seed=recipe.run.seed,
    )
    order = SampleOrder(
        len(samples),
        batch=recipe.data.batch,
        seed=recipe.run.seed,
        start=start,
        stop=recipe.schedule.steps,
        rank=ranks.rank,
        size=ranks.size,
    )
    return make_batches(
        samples,
        order=order,
        workers=recipe.data.workers,
        pin=recipe.run.device != "cpu",
    )
