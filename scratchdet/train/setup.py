"""From a recipe's values to the objects that the loop works with."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import nn

from scratchdet.models.detector import Detector
from scratchdet.models.zoo import create_model
from scratchdet.ops.losses import MultiBoxLoss
from scratchdet.recipe import OptimRecipe, Recipe, RecipeError
from scratchdet.recipes.rates import scaled_rate
from scratchdet.train.checkpoint import Progress, load_checkpoint
from scratchdet.train.distributed import Ranks, parallel
from scratchdet.train.ema import AveragedWeights
from scratchdet.train.norms import check_batch_norm
from scratchdet.train.optim import learning_rate, make_sgd
from scratchdet.train.prepare import Prepared
from scratchdet.train.resolve import images_at_a_time, network_choices


class Training(NamedTuple):
    """What changes while training."""

    detector: Detector
    network: nn.Module
    """The detector as it is called in training: with its ranks, compiled."""
    ema: AveragedWeights
    optimiser: torch.optim.SGD
    scaler: torch.amp.GradScaler


def build(
    recipe: Recipe, prepared: Prepared, device: torch.device, *, ranks: Ranks | None = None
) -> Training:
    """The untrained network, its average and its optimiser, on the device."""
    ranks = ranks or Ranks()
    detector = make_detector(recipe, prepared, device)
    check_batch_norm(detector, images=images_at_a_time(recipe.data, ranks), devices=ranks.size)
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


def make_detector(recipe: Recipe, prepared: Prepared, device: torch.device) -> Detector:
    """The untrained network for these classes, channels and pixels, on the device."""
    torch.manual_seed(recipe.run.seed)  # of the initial weights
    detector = create_model(
        recipe.model.name,
        in_channels=prepared.channels,
        classes=prepared.train.classes,
        **network_choices(recipe.model),
    )
    detector.mean = torch.from_numpy(prepared.mean).float()
    detector.std = torch.from_numpy(prepared.std).float()
    detector.image_dtype, detector.files = prepared.dtype, recipe.data.files
    memory = torch.channels_last if recipe.run.channels_last else torch.contiguous_format
    return detector.to(device).to(memory_format=memory)


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
        saved = {"scale": progress.scale, "_growth_tracker": progress.growth}
        training.scaler.load_state_dict(training.scaler.state_dict() | saved)
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
        extended_at=schedule.extended_at,
    )


def zero_of(detector: Detector) -> np.ndarray:
    """The pixel (C,) of images as read, RGB if colour, that is zero to the detector's weights."""
    mean: np.ndarray = detector.mean.cpu().numpy()
    return mean[::-1].copy() if detector.channel_order == "bgr" else mean
