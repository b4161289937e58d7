"""One step of the training: forward, loss, backward, and the change of the weights."""

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from scratchdet.data.loader import Batch
from scratchdet.ops.losses import Losses, MultiBoxLoss
from scratchdet.structures import Targets
from scratchdet.train.device import autocast
from scratchdet.train.distributed import averaged, together
from scratchdet.train.profile import StepClock
from scratchdet.train.setup import Training


def train_step(
    training: Training,
    batch: Batch,
    loss: MultiBoxLoss,
    *,
    precision: str,
    clip_norm: float,
    parts: int = 1,
    clock: StepClock | None = None,
) -> tuple[Losses, Tensor]:
    """One step of SGD: the losses before it, and the L2 norm of the gradient before clipping.

    See `compute_gradient` for `parts`.
    """
    detector, _, _, optimiser, scaler = training
    clock = clock or StepClock(detector.device, on=False)
    losses = compute_gradient(training, batch, loss, precision=precision, parts=parts, clock=clock)
    with clock.part("optimiser"):
        scaler.unscale_(optimiser)
        gradient_norm = torch.nn.utils.clip_grad_norm_(
            detector.parameters(), clip_norm if clip_norm > 0 else float("inf")
        )
        scaler.step(optimiser)
        scaler.update()
    return losses, gradient_norm


def compute_gradient(
    training: Training,
    batch: Batch,
    loss: MultiBoxLoss,
    *,
    precision: str,
    parts: int = 1,
    clock: StepClock | None = None,
) -> Losses:
    """The losses of the batch; their gradient is left at the weights, scaled by the scaler.

    The batch, this rank's share of the step, is worked off in `parts`; the gradient is that of the
    images of all ranks, but for BatchNorm, which sees one part.
    """
    detector, network, _, optimiser, scaler = training
    device = detector.device
    clock = clock or StepClock(device, on=False)
    with clock.part("transfer"):
        images = batch.images.to(device, non_blocking=True)
        targets = [
            Targets(*(column.to(device, non_blocking=True) for column in part))
            for part in zip(*(column.chunk(parts) for column in batch.targets), strict=True)
        ]
    with clock.part("loss"):
        assigned = [loss.assign(part) for part in targets]
        # Of all images of the step: parts add up, and DDP takes the mean of the ranks' gradients.
        counts = averaged(torch.stack([part.counts for part in assigned]).sum(0))
        divisors = counts.clamp(min=1 / together())
    optimiser.zero_grad(set_to_none=True)
    seen = []
    for part, pixels in enumerate(images.chunk(parts)):
        with _exchanging(network, part == parts - 1):
            with clock.part("forward"), autocast(device, precision):
                raw = network(detector.normalise(pixels))
            with clock.part("loss"):
                losses = loss(raw, targets[part], assigned=assigned[part], divisors=divisors)
            with clock.part("backward"):
                scaler.scale(losses.total).backward()
        seen.append(Losses(*(value.detach() for value in losses)))
    terms = (torch.stack(values).sum(0) for values in zip(*seen, strict=True))
    return Losses(*terms)


def _exchanging(network: nn.Module, last: bool) -> AbstractContextManager[None]:
    """The ranks exchange their gradients once a step, after its last part."""
    if last or together() == 1:
        return nullcontext()
    # Of DistributedDataParallel, also where that is compiled.
    return cast(DistributedDataParallel, network).no_sync()
