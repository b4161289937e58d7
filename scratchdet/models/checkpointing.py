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

    In training, that is; in `eval()` nothing is. For modules without randomness. The second time,
    running statistics are not updated again.
    """
    if not (module.training and torch.is_grad_enabled()):
        return cast(Tensor, module(*inputs))
    if (
        torch.compiler.is_compiling()
    ):  # which takes the updates of statistics out of what it repeats
        result = checkpoint(module, *inputs, use_reentrant=False, preserve_rng_state=False)
        return cast(Tensor, result)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(module)

    result = checkpoint(
        module, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )
    return cast(Tensor, result)


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Meanwhile, batch norms update copies of their running statistics."""
    norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    kept = [dict(norm.named_buffers()) for norm in norms]
    try:
        for norm in norms:
            for name, values in norm.named_buffers():
                setattr(norm, name, values.clone())
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            for name, values in buffers.items():
                setattr(norm, name, values)
