"""What the steps that are logged tell of the network: gradients, updates, dead ReLUs, BatchNorm.

All of it is read off a step that is made anyway, and none of it changes the step.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import get_total_norm

from scratchdet.models.blocks import blocks_of
from scratchdet.models.detector import Detector
from scratchdet.train.distributed import averaged

DIGITS = 4  # that are logged


class Scalars:
    """`figures` of a step that is made inside `watching`.

    - `gradient/BLOCK`: the L2 norm of the gradient, before it is clipped.
    - `update/BLOCK`: the L2 norm of the change of the weights, over that of the weights; 0 for a
      step that fp16 left out.
    - `dead_relus`: the share of the channels of all ReLUs that were 0 everywhere in all images of
      the step. Not if `compiled`: hooks that come and go are not seen there.
    - `bn_mean_drift`, `bn_variance_drift`: see `drift`. Not without a BatchNorm.
    """

    def __init__(self, detector: Detector, *, compiled: bool) -> None:
        modules = list(detector.modules())
        self.blocks = blocks_of(detector)
        self.relus = [m for m in modules if isinstance(m, nn.ReLU | nn.ReLU6) and not compiled]
        self.norms = [
            m
            for m in modules
            if isinstance(m, _BatchNorm) and m.track_running_stats and m.momentum is not None
        ]
        self.weights: list[list[Tensor]] = []
        self.running: list[Running] = []
        self.dead: dict[nn.Module, Tensor] = {}

    @contextmanager
    def watching(self, on: bool) -> Iterator[None]:
        """Inside is a step that `figures` will be asked of, if it is `on`."""
        if not on:
            yield
            return
        self.weights = [
            [weight.detach().clone() for weight in block] for block in self.blocks.values()
        ]
        self.running = [running_statistics(self.norms)] if self.norms else []
        self.dead = {}
        with ExitStack() as hooks:
            for relu in self.relus:
                hooks.enter_context(relu.register_forward_hook(self._note))
            yield

    def _note(self, relu: nn.Module, inputs: object, output: Tensor) -> None:
        # Nothing is negative, and on a CPU a sum takes a tenth of the time of a maximum.
        dead = output.detach().sum((0, *range(2, output.ndim))) == 0
        # Of an accumulated step in every part.
        self.dead[relu] = self.dead[relu] & dead if relu in self.dead else dead

    def figures(self, gradient_norm: Tensor) -> dict[str, float]:
        """For the log; all ranks ask for them together, and get the same.

        gradient_norm: of the whole network, before clipping.
        """
        blocks, names = self.blocks.values(), list(self.blocks)
        gradients = _norms(
            [w.new_zeros(()) if w.grad is None else w.grad for w in block] for block in blocks
        )
        clipped = gradients.norm().clamp(min=torch.finfo().tiny)
        changes = _norms(
            [now.detach() - before for now, before in zip(block, old, strict=True)]
            for block, old in zip(blocks, self.weights, strict=True)
        )
        values = [*(gradients * (gradient_norm / clipped)), *(changes / _norms(blocks))]
        keys = [*(f"gradient/{name}" for name in names), *(f"update/{name}" for name in names)]
        if self.dead:
            on_all = averaged(torch.cat(list(self.dead.values())).float()) == 1
            values.append(on_all.float().mean())
            keys.append("dead_relus")
        for before in self.running:
            values += drift(before, running_statistics(self.norms), norms=self.norms)
            keys += ["bn_mean_drift", "bn_variance_drift"]
        rounded = [float(f"{value:.{DIGITS}g}") for value in torch.stack(values).tolist()]
        return dict(zip(keys, rounded, strict=True))


class Running(NamedTuple):
    """The running statistics of BatchNorms, of all channels of all of them."""

    mean: Tensor
    variance: Tensor
    batches: Tensor
    """How many they have been gathered from."""


def running_statistics(norms: Sequence[_BatchNorm]) -> Running:
    """A copy of them as they are now."""
    return Running(
        torch.cat([cast(Tensor, norm.running_mean) for norm in norms]),
        torch.cat([cast(Tensor, norm.running_var) for norm in norms]),
        torch.cat(
            [cast(Tensor, norm.num_batches_tracked).expand(norm.num_features) for norm in norms]
        ),
    )


def drift(before: Running, after: Running, *, norms: Sequence[_BatchNorm]) -> tuple[Tensor, Tensor]:
    """How far the batch's mean was from the running mean, in running standard deviations, and its
    variance from the running one, as the absolute logarithm of their ratio; means over channels.

    before, after: the running statistics around a step. What it added to them says what those of
    its images were (of several parts, a mean of theirs): no forward pass is needed.
    """
    momentum = _per_channel(norms, [cast(float, norm.momentum) for norm in norms], before.mean)
    eps = _per_channel(norms, [norm.eps for norm in norms], before.mean)
    # Of what the step saw in the new statistics. A layer that saw nothing has 0: NaN, not counted.
    share = 1 - (1 - momentum) ** (after.batches - before.batches)
    mean = (after.mean - before.mean) / share
    variance = before.variance + (after.variance - before.variance) / share
    spread = before.variance + eps  # what BatchNorm divides by, squared
    ratio = (variance.clamp(min=0) + eps) / spread
    return (mean.abs() / spread.sqrt()).nanmean(), ratio.log().abs().nanmean()


def _per_channel(norms: Sequence[_BatchNorm], values: Sequence[float], like: Tensor) -> Tensor:
    """A value for each layer, repeated for its channels."""
    return torch.cat(
        [
            like.new_full((norm.num_features,), value)
            for norm, value in zip(norms, values, strict=True)
        ]
    )


def _norms(blocks: Iterable[Sequence[Tensor]]) -> Tensor:
    """The L2 norm of all that is in each block."""
    return torch.stack([get_total_norm([one.detach() for one in block]) for block in blocks])
