"""Gradient checkpointing: less memory for more computing, and nothing else changed."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

Checkpointing = Literal["off", "blocks"]


def recomputed(module: nn.Module, *inputs: Tensor) -> Tensor:
    """`module(*inputs)`, of which only `inputs` are kept: the backward pass computes it once more.

    For modules without randomness. The second time, no running statistics are updated.
    """
    if not torch.is_grad_enabled():
        return cast(Tensor, module(*inputs))

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_frozen(module)

    result = checkpoint(
        module, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )
    return cast(Tensor, result)


@contextmanager
def _statistics_frozen(module: nn.Module) -> Iterator[None]:
    """Batch norms go on normalising by the batch, but their running statistics stand still."""
    norms = [
        layer
        for layer in module.modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
