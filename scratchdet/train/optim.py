"""What is optimised, how fast, and when."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn


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
) -> float:
    """The learning rate of `step` (from 0): a linear rise, then drops or half a cosine to zero."""
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
