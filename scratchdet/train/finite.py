"""A loss that is no number any more is noticed, and explained, before anything is saved."""

from typing import NamedTuple

import torch

from scratchdet.data.loader import Key
from scratchdet.ops.losses import Losses
from scratchdet.structures import DetectionData

LEAST_SCALE = 1.0  # of fp16: below, the loss itself overflows, whatever it is multiplied by


class NonFiniteLoss(RuntimeError):
    """The loss is NaN or infinite; the message has the step, the terms and the images."""


class _Step(NamedTuple):
    step: int
    losses: Losses
    lr: float
    keys: tuple[Key, ...]


class FiniteWatch:
    """Remembers the steps since it was last asked whether their losses were finite.

    Asking makes a GPU finish its work, so there it is done every few steps; on a CPU at each one.
    """

    def __init__(self, data: DetectionData) -> None:
        self.data = data
        self.recent: list[_Step] = []

    def see(self, step: int, losses: Losses, lr: float, keys: tuple[Key, ...]) -> None:
        """Takes note of a step; `step` counts from 1."""
        self.recent.append(_Step(step, losses, lr, keys))

    def check(self) -> None:
        """Raises NonFiniteLoss for the first noted step whose loss is not finite; forgets all."""
        recent, self.recent = self.recent, []
        if not recent:
            return
        finite = torch.stack([torch.isfinite(one.losses.total) for one in recent]).tolist()
        if not all(finite):
            raise NonFiniteLoss(self._explain(recent[finite.index(False)]))

    def _explain(self, bad: _Step) -> str:
        images = "\n  ".join(self.data.paths[index] for _, index in bad.keys)
        classification, localisation, matched = (value.item() for value in bad.losses)
        return (
            f"the loss is not finite at step {bad.step}: classification {classification}, "
            f"localisation {localisation}, {int(matched)} priors matched, lr {bad.lr:g}. A smaller "
            "--optim.lr, a longer --schedule.warmup-steps or --optim.clip-norm 5 usually cure it; "
            f"if it comes at the same images again, look at their boxes:\n  {images}"
        )
