"""The analysis of the gradient in the middle of a training (`--analyse N`): `gradients.jsonl`."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from scratchdet.analysis.gradients import MULTIPLES, Landscape, along_gradient
from scratchdet.data.loader import Batch
from scratchdet.files import write_text, writing
from scratchdet.models.blocks import blocks_of
from scratchdet.ops.losses import MultiBoxLoss
from scratchdet.recipes.rates import scaled_rate
from scratchdet.train.begin import Run
from scratchdet.train.distributed import averaged
from scratchdet.train.log import read_log
from scratchdet.train.setup import Training
from scratchdet.train.step import compute_gradient


def gradients_of(run_dir: Path) -> Path:
    """Where a run has the records of its analysis, one in a line, with the step each is of."""
    return run_dir / "gradients.jsonl"


def forget_after(run_dir: Path, step: int) -> None:
    """Removes the records of later steps, which will be made once more."""
    path = gradients_of(run_dir)
    if path.exists():
        kept = [record for record in read_log(path) if record["step"] <= step]
        write_text(path, "".join(json.dumps(record) + "\n" for record in kept))


def analyse(run: Run, training: Training, batch: Batch, loss: MultiBoxLoss, *, step: int) -> None:
    """Adds the landscape that `step` is about to be made in, on its own batch, to the records.

    Along the gradient by multiples of the highest learning rate of the run, not of the present one:
    by the same ways in a warm-up, in the middle and at the end, where it is next to 0. Nothing of
    the training changes. All ranks do it together.
    """
    highest = scaled_rate(run.recipe)
    landscape = measure_landscape(
        training,
        batch,
        loss,
        step_sizes=[highest * multiple for multiple in MULTIPLES],
        precision=run.recipe.run.precision,
        parts=run.recipe.data.accumulate,
    )
    if run.ranks.first:
        path = gradients_of(run.folder)
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **landscape.to_json()}) + "\n")
            file.flush()
            os.fsync(file.fileno())  # a checkpoint must not outlive it


def measure_landscape(
    training: Training,
    batch: Batch,
    loss: MultiBoxLoss,
    *,
    step_sizes: Sequence[float],
    precision: str,
    parts: int = 1,
) -> Landscape:
    """The landscape of the loss of the batch, as a step sees it: BatchNorm has its own statistics.

    Leaves the training as it was, but for gradients, which the next step computes anyway.
    """
    blocks = blocks_of(training.detector)
    weights = [weight for block in blocks.values() for weight in block]
    numbers = iter(range(len(weights)))

    def loss_and_gradient(values: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        with torch.no_grad():
            for weight, value in zip(weights, values, strict=True):
                weight.copy_(value)
        losses = compute_gradient(training, batch, loss, precision=precision, parts=parts)
        scale = training.scaler.get_scale()
        return averaged(losses.total).item(), [
            torch.zeros_like(weight) if weight.grad is None else weight.grad / scale
            for weight in weights
        ]

    with _put_back(training):
        return along_gradient(
            loss_and_gradient,
            [weight.detach().clone() for weight in weights],
            blocks={name: [next(numbers) for _ in block] for name, block in blocks.items()},
            step_sizes=step_sizes,
        )


@contextmanager
def _put_back(training: Training) -> Iterator[None]:
    """Afterwards weights, statistics and random numbers are what they were, and no gradient is."""
    detector, device = training.detector, training.detector.device
    tensors = [*detector.parameters(), *detector.buffers()]
    kept = [tensor.detach().clone() for tensor in tensors]
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, kept, strict=True):
                tensor.copy_(value)
        training.optimiser.zero_grad(set_to_none=True)
