"""All that a training is at one moment, in one file, so that a killed run continues bit for bit."""

import json
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor

from scratchdet.models.detector import ChannelOrder, Detector
from scratchdet.models.saved import FORMAT, FROM_SCRATCH, load_weights
from scratchdet.structures import Problem
from scratchdet.tensor_file import read_tensors, write_tensors
from scratchdet.train.ema import AveragedWeights


class Progress(NamedTuple):
    """The part of a training that is not tensors."""

    step: int = 0
    """Steps done."""
    best: float = -1.0
    """Best AP50 on the validation split so far; -1 before the first evaluation."""
    seconds: float = 0.0
    """Spent on training and evaluation, over all runs of it."""
    scale: float = 0.0
    """Loss scale of fp16; 0 with the other precisions."""
    growth: int = 0
    """Steps since that scale last changed."""
    skipped: int = 0
    """Steps that fp16 left out, because their gradient overflowed."""
    data: str = ""
    """Fingerprint of the training data."""
    provenance: str = FROM_SCRATCH
    """Where the weights come from."""
    unreadable: tuple[Problem, ...] = ()
    """Images that could not be read since the run began."""


def checkpoint_of(run_dir: Path) -> Path:
    """Where a run has its last checkpoint."""
    return run_dir / "last" / "checkpoint.safetensors"


def previous_of(run_dir: Path) -> Path:
    """Where a run has the checkpoint before the last."""
    return run_dir / "last" / "previous.safetensors"


def save_checkpoint(
    path: Path,
    progress: Progress,
    *,
    detector: Detector,
    ema: AveragedWeights,
    optimiser: torch.optim.SGD,
    keep: Path | None = None,
) -> None:
    """Writes the training at `progress` to `path`, completely or not at all.

    keep: what the checkpoint that was there is called afterwards.
    """
    tensors = {
        **{f"weights.{name}": value for name, value in detector.state_dict().items()},
        **{f"ema.{name}": value for name, value in ema.detector.state_dict().items()},
        **{f"momentum.{name}": value for name, value in _momentum(detector, optimiser).items()},
        "input.mean": detector.mean,
        "input.std": detector.std,
    }
    metadata = {
        "format": FORMAT,
        "progress": json.dumps(progress._asdict()),
        "channel_order": detector.channel_order,
    }
    write_tensors(path, tensors, metadata=metadata, keep=keep)


def load_checkpoint(
    path: Path, *, detector: Detector, ema: AveragedWeights, optimiser: torch.optim.SGD
) -> Progress:
    """Puts the training saved at `path` into `detector`, `ema` and `optimiser`.

    Raises DamagedFile, or ValueError if the file is of another version or of another network.
    """
    tensors, metadata = read_tensors(path)
    try:
        _check_kind(metadata)
        load_weights(detector, _part(tensors, "weights."))
        load_weights(ema.detector, _part(tensors, "ema."))
    except ValueError as error:
        raise ValueError(f"{path} cannot be resumed from: {error}") from error
    for one in (detector, ema.detector):
        # The data may have others: fine-tuned weights expect those of their parent.
        one.mean, one.std = tensors["input.mean"].clone(), tensors["input.std"].clone()
        one.channel_order = cast(ChannelOrder, metadata["channel_order"])
    momentum = _part(tensors, "momentum.")
    for name, parameter in detector.named_parameters():
        if name in momentum:
            # As torch itself lays it out; bit-equality must not depend on the memory format.
            buffer = torch.empty_like(parameter).copy_(momentum[name])
            optimiser.state[parameter]["momentum_buffer"] = buffer.detach()
    progress = json.loads(metadata["progress"])
    unreadable = tuple(Problem(*each) for each in progress.pop("unreadable", ()))
    return Progress(**progress, unreadable=unreadable)


def _check_kind(metadata: dict[str, str]) -> None:
    if (found := metadata.get("format")) != FORMAT:
        raise ValueError(
            f"it was not written by this version of scratchdet (format {found!r}, not {FORMAT!r}): "
            "start a new run"
        )
    if "progress" not in metadata:
        raise ValueError("it was not written as a checkpoint")


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _momentum(detector: Detector, optimiser: torch.optim.SGD) -> dict[str, Tensor]:
    """The momentum of every parameter that has had a gradient, by the parameter's name."""
    return {
        name: optimiser.state[parameter]["momentum_buffer"]
        for name, parameter in detector.named_parameters()
        if optimiser.state.get(parameter, {}).get("momentum_buffer") is not None
    }
