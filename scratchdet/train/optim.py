"""What is optimised, how fast, and when."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import nn

from scratchdet.recipes.lengths import warmup_of


def make_sgd(
    module: nn.Module, *, lr: float, momentum: float, weight_decay: float
) -> torch.optim.SGD:
    """SGD over all parameters, with weight decay on those of more than one dimension only.

    Decaying norms and biases would pull scales to zero that nothing else bounds. On a GPU one
    kernel does all of it, and a GradScaler need not wait for it.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.SGD(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=lr,
        momentum=momentum,
        fused=True if parameters[0].is_cuda else None,
    )


def learning_rate(
    step: int,
    *,
    highest: float,
    steps: int,
    warmup_steps: int,
    shape: Literal["drops", "cosine"],
    drops: Sequence[int] = (),
    drop_factor: float = 0.1,
    extended_at: Sequence[int] = (),
) -> float:
    """The learning rate of `step` (from 0): a linear rise, then drops or half a cosine to zero.

    extended_at: the lengths, rising, that the training had before it was extended, to `steps` in
    the end. Up to the first of them the rate is that of a training of that length. From each on it
    goes in a short warm-up to what it is there in a training of the new length, and falls anew: as
    half a cosine to zero at the new end, or at drops at the same shares of the new length.
    """
    lengths = (*extended_at, steps)
    straight = partial(
        _never_extended,
        highest=highest,
        warmup_steps=warmup_steps,
        shape=shape,
        drop_factor=drop_factor,
    )

    def rate(step: int, stage: int) -> float:
        """That of `step`, before it was extended more than `stage` times."""
        end = lengths[stage]
        at = [round(drop * end / lengths[0]) for drop in drops]
        if not stage:
            return straight(step, steps=end, drops=at)
        begin = lengths[stage - 1]
        since, rise = step - begin, warmup_of(end - begin)
        peak = straight(begin, steps=end, drops=at)
        if since < rise:
            before = rate(begin - 1, stage - 1)
            return before + (peak - before) * (since + 1) / rise
        if shape == "drops":
            return straight(step, steps=end, drops=at)
        return straight(since, highest=peak, steps=end - begin, warmup_steps=rise)

    return rate(step, sum(step >= end for end in extended_at))


def _never_extended(
    step: int,
    *,
    highest: float,
    steps: int,
    warmup_steps: int,
    shape: Literal["drops", "cosine"],
    drops: Sequence[int] = (),
    drop_factor: float = 0.1,
) -> float:
    """The learning rate of a training that has the length it was begun with."""
    if step < warmup_steps:
        return highest * (step + 1) / warmup_steps
    if shape == "drops":
        return highest * drop_factor ** sum(step >= drop for drop in drops)
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return highest * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Sets the learning rate of every group, in place."""
    for group in optimiser.param_groups:
        group["lr"] = lr
