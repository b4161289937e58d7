"""How smooth the loss is where a training is: what it does along its own gradient.

Santurkar et al., How Does Batch Normalization Help Optimization?, NeurIPS 2018, section 3.1 and
figure 4, which ScratchDet (Zhu et al., CVPR 2019) follows in its figure on BatchNorm.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

MULTIPLES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)  # of a learning rate: steps along the gradient

LossAndGradient = Callable[[Sequence[Tensor]], tuple[float, Sequence[Tensor]]]
"""The loss at these weights, and its gradient by each of them, in memory of its own."""


class Landscape(NamedTuple):
    """The loss and its gradient g at the weights x, and at x - t g for every step size t."""

    step_sizes: list[float]
    """t, the learning rates that a plain step of gradient descent would have."""
    loss: float
    """At x."""
    losses: list[float]
    """At each x - t g: their range is the variation of the loss (figure 4a)."""
    gradient_norm: float
    """Of g, L2."""
    distances: list[float]
    """L2 distance of the gradient at x - t g from g: gradient predictiveness (figure 4b)."""
    smoothness: float
    """Effective beta-smoothness: the largest of the distances over the ways t ||g|| (figure 4c)."""
    blocks: dict[str, list[float]]
    """L2 norms of the gradient in each block of weights: at x, then at each x - t g."""

    def to_json(self) -> dict[str, Any]:
        """What JSON can say; numbers that are not finite, past an overflow, are None there."""
        return {name: _finite(value) for name, value in self._asdict().items()}


def along_gradient(
    loss_and_gradient: LossAndGradient,
    weights: Sequence[Tensor],
    *,
    blocks: Mapping[str, Sequence[int]],
    step_sizes: Sequence[float],
) -> Landscape:
    """The landscape at `weights`, which stay as they are.

    blocks: the numbers of the weights that are in each.
    """
    loss, gradient = loss_and_gradient(weights)
    norm = get_total_norm(gradient).item()
    norms = {name: [_norm(gradient, block)] for name, block in blocks.items()}
    losses, distances = [], []
    for size in step_sizes:
        moved = [weight - size * one for weight, one in zip(weights, gradient, strict=True)]
        loss_there, there = loss_and_gradient(moved)
        losses.append(loss_there)
        change = [one - other for one, other in zip(there, gradient, strict=True)]
        distances.append(get_total_norm(change).item())
        for name, block in blocks.items():
            norms[name].append(_norm(there, block))
    slopes = [
        distance / (size * norm) if norm else float("nan")
        for distance, size in zip(distances, step_sizes, strict=True)
    ]
    return Landscape(
        step_sizes=list(step_sizes),
        loss=loss,
        losses=losses,
        gradient_norm=norm,
        distances=distances,
        smoothness=torch.tensor(slopes).amax().item(),  # NaN if one is, unlike max()
        blocks=norms,
    )


def _norm(gradient: Sequence[Tensor], block: Sequence[int]) -> float:
    return get_total_norm([gradient[index] for index in block]).item()


def _finite(value: Any) -> Any:
    """The value to six digits, with None for every number in it that is not finite."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return float(f"{value:.6g}") if abs(value) < float("inf") else None
