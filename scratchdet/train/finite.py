"""A loss that is no number any more is noticed, and explained, before anything is saved."""

from typing import NamedTuple

import torch
from torch import Tensor

from scratchdet.data.loader import Key
from scratchdet.ops.losses import Losses
from scratchdet.structures import DetectionData

LEAST_SCALE = 1.0  # of fp16: when the loss overflows unscaled, no scale helps


class NonFiniteLoss(RuntimeError):
    """The loss is NaN or infinite; the message has the step, the terms and the images."""

    follows = False
    """Whether the loss of these images is finite, and the gradient is not: due to other ranks."""


class _Step(NamedTuple):
    step: int
    losses: Losses
    gradient_norm: Tensor
    lr: float
    keys: tuple[Key, ...]


class FiniteWatch:
    """Remembers the steps since it was last asked whether they were finite.

    Asking makes a GPU finish its work, so there it is done every few steps; on a CPU at each one.
    """

    def __init__(self, data: DetectionData) -> None:
        self.data = data
        self.recent: list[_Step] = []

    def see(
        self,
        step: int,
        losses: Losses,
        gradient_norm: Tensor,
        *,
        lr: float,
        keys: tuple[Key, ...],
    ) -> None:
        """Takes note of a step; `step` counts from 1."""
        self.recent.append(_Step(step, losses, gradient_norm, lr, keys))

    def check(self, *, scale: float | None = None) -> int:
        """Forgets the noted steps; how many of them changed nothing.

        scale: of the loss, in fp16: steps whose gradient overflows are left out, and the scale gets
        smaller. Raises NonFiniteLoss for the first step that was not finite; in fp16 once the scale
        is below `LEAST_SCALE`.
        """
        recent, self.recent = self.recent, []
        if not recent:
            return 0
        sums = torch.stack([one.losses.total + one.gradient_norm for one in recent])
        finite = torch.isfinite(sums).tolist()
        if all(finite):
            return 0
        if scale is not None and scale >= LEAST_SCALE:
            return finite.count(False)
        bad = recent[finite.index(False)]
        error = NonFiniteLoss(self._explain(bad, scaled=scale is not None))
        error.follows = bool(torch.isfinite(bad.losses.total))
        raise error

    def _explain(self, bad: _Step, *, scaled: bool) -> str:
        images = "\n  ".join(self.data.paths[index] for _, index in bad.keys)
        classification, localisation, matched = (value.item() for value in bad.losses)
        cure = "--run.precision bf16 or fp32, which reach further than fp16, " if scaled else ""
        return (
            f"the loss is not finite at step {bad.step}: classification {classification}, "
            f"localisation {localisation}, {int(matched)} priors matched, gradient "
            f"{bad.gradient_norm.item()}, lr {bad.lr:g}. {cure}A smaller --optim.lr, a longer "
            "--schedule.warmup-steps or --optim.clip-norm 5 usually cure it; if it comes at the "
            f"same images again, look at their boxes:\n  {images}"
        )
