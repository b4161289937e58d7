"""Statistics of BatchNorm measured on many images, in place of those gathered in training.

Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021, section 3: a running average is over weights
that have moved on since; and the average of weights (EMA) never computed any of what it averages.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from scratchdet.models.detector import Detector
from scratchdet.train.device import autocast
from scratchdet.train.distributed import averaged, together


class Moments:
    """Mean and sum of squared deviations of each channel, over everything that was added."""

    def __init__(self, channels: int, device: torch.device) -> None:
        zeros = torch.zeros(channels, dtype=torch.float64, device=device)
        self.count, self.mean, self.squares = zeros.new_zeros(()), zeros, zeros

    def add(self, features: Tensor) -> None:
        """Adds a batch (B, C, ...). Chan et al. 1979: sums of squares would cancel."""
        others = (0, *range(2, features.ndim))
        variance, mean = torch.var_mean(features.float(), others, correction=0)
        count = features.numel() // features.shape[1]
        distance, total = mean.double() - self.mean, self.count + count
        self.mean = self.mean + distance * (count / total)
        self.squares = self.squares + count * variance.double()
        self.squares = self.squares + distance.square() * (self.count * count / total)
        self.count = total

    def pooled(self) -> tuple[Tensor, Tensor]:
        """Mean and unbiased variance, as BatchNorm stores them, over what all ranks have added."""
        count = averaged(self.count)
        mean = averaged(self.count * self.mean) / count
        squares = averaged(self.squares + self.count * (self.mean - mean).square())
        return mean, squares / (count - 1 / together())


def in_parts(batches: Iterable[Tensor], parts: int) -> Iterator[Tensor]:
    """The batches as an accumulated step works them off: each in so many parts."""
    for images in batches:
        yield from images.chunk(parts)


@torch.no_grad()
def measure_statistics(detector: Detector, batches: Iterable[Tensor], *, precision: str) -> None:
    """Measures the statistics of every BatchNorm in `detector` anew, in place.

    batches: of images as they are read (B, H, W, C), as they are trained on: augmented, and as many
    as a device has at a time, since a BatchNorm normalises by those of its batch meanwhile. Means
    and variances are over all images of all batches, and of all ranks, which have equally many
    batches. Nothing else changes; without a BatchNorm, no batch is asked for. Raises ValueError
    without any batch.
    """
    layers = [
        layer
        for layer in detector.modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    if not layers:
        return
    moments = [Moments(layer.num_features, detector.device) for layer in layers]
    with _normalising_by_batch(detector, layers), ExitStack() as hooks:
        for layer, moment in zip(layers, moments, strict=True):
            hooks.enter_context(layer.register_forward_pre_hook(partial(_add, moment)))
        for images in batches:
            images = images.to(detector.device, non_blocking=True)
            with autocast(detector.device, precision):
                detector(detector.normalise(images))
    if not any(moment.count for moment in moments):
        raise ValueError("the statistics of BatchNorm cannot be measured: there is no batch")
    for layer, moment in zip(layers, moments, strict=True):
        if not moment.count:  # a layer of a timm network that no map needs
            continue
        mean, variance = moment.pooled()
        cast(Tensor, layer.running_mean).copy_(mean)
        cast(Tensor, layer.running_var).copy_(variance)


def _add(moments: Moments, layer: nn.Module, inputs: tuple[Tensor]) -> None:
    moments.add(inputs[0])


@contextmanager
def _normalising_by_batch(detector: Detector, layers: list[_BatchNorm]) -> Iterator[None]:
    """Meanwhile these layers use the statistics of the batch, and gather none; the rest evals."""
    modes = {module: module.training for module in detector.modules()}
    try:
        detector.eval()
        for layer in layers:
            layer.training, layer.track_running_stats = True, False
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
        for module, training in modes.items():
            module.training = training
