"""Which norm a run has, over how many images BatchNorm works, and whether it can at all.

What BatchNorm sees at once are the images that one device has at a time: the batch over devices and
parts of an accumulated step. Published, and reproduced nowhere here:

- Wu and He, Group Normalization, ECCV 2018, table 2 (ImageNet, ResNet-50, error in percent at 32,
  16, 8, 4, 2 images): BatchNorm 23.6 23.7 24.8 27.3 34.7, GroupNorm 24.1 24.2 24.0 24.2 24.1.
- Shen et al., DSOD, TPAMI 2019: DSOD300 on VOC07 with BatchNorm over 4 images has 77.7 mAP, over 12
  it has 78.9.
- Qiao et al., Weight Standardization, 2019; Kolesnikov et al., BiT, ECCV 2020: GroupNorm with
  standardised weights is as good as BatchNorm over many images, or better.
"""

import copy
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from scratchdet.models.detector import Detector
from scratchdet.models.layers import Norm
from scratchdet.recipe import Norm as WantedNorm
from scratchdet.recipe import RecipeError

ENOUGH = 16  # images: from here on BatchNorm is the better one in Wu and He's table 2
FEW = 4  # images: below, BatchNorm loses several points there
NORMS: tuple[Norm, ...] = get_args(Norm)
NAMES: dict[Norm, str] = {
    "none": "none",
    "batch": "BatchNorm",
    "sync_batch": "SyncBatchNorm",
    "group": "GroupNorm",
    "group_ws": "GroupNorm with standardised weights",
}
ALTERNATIVE = "--model.norm-backbone group_ws --model.norm-head group"


Maps = dict[str, tuple[type[nn.Module], int]]
"""Of every BatchNorm, by its name: its kind, and the locations of the map that it normalises."""


class NormPlan(NamedTuple):
    """The norms of a run."""

    backbone: Norm
    head: Norm
    batch: int
    """Images that the statistics of a BatchNorm are of, the fewest; 0 where there is none."""
    line: str
    """For people: the norms, and the images that they and a step are over."""
    notes: tuple[str, ...]
    """Why "auto" means what it means here."""


def plan_norms(
    *,
    backbone: WantedNorm,
    head: WantedNorm,
    images: int,
    devices: int = 1,
    device_type: str = "cpu",
    accumulate: int = 1,
    known: Sequence[str] = NORMS,
) -> NormPlan:
    """The concrete norms of a run, and what to tell about them.

    images: that one device has at a time, batch / (devices * accumulate). known: norms that the
    backbone can have; networks of timm have fewer. Raises RecipeError for SyncBatchNorm on a CPU.
    """
    if device_type != "cuda" and "sync_batch" in (backbone, head):
        raise RecipeError(
            "sync_batch: PyTorch's SyncBatchNorm works on CUDA devices only, and this run is on "
            f"{device_type}. Take {ALTERNATIVE}, which need no batch, or batch: statistics over "
            f"the {_counted(images)} that a device has at a time"
        )
    automatic, reason = _automatic(images, devices if device_type == "cuda" else 1)
    of_backbone = backbone if backbone != "auto" else automatic if automatic in known else "group"
    # Standardised weights are for deep stacks of convolutions; a predictor is one.
    of_head = head if head != "auto" else "group" if automatic == "group_ws" else automatic
    seen: dict[Norm, int] = {"batch": images, "sync_batch": images * devices}
    over = [seen[norm] for norm in (of_backbone, of_head) if norm in seen]
    line = f"norm: {_described(of_backbone, of_head, seen)} ("
    line += _step(images, devices, accumulate)
    if over and accumulate > 1:
        line += "; accumulation enlarges the step, never the BN batch"
    line += ")"
    if over and min(over) < FEW:
        shared = "sync_batch, " if device_type == "cuda" and devices > 1 else ""
        line += (
            f". NOTE: statistics of fewer than {FEW} images are poor: {shared}{ALTERNATIVE}, or "
            "more images at a time"
        )
    notes = (f"norm auto: {reason}",) if "auto" in (backbone, head) else ()
    return NormPlan(of_backbone, of_head, min(over, default=0), line, notes)


def check_batch_norm(detector: Detector, *, images: int, devices: int = 1) -> None:
    """Raises RecipeError if a BatchNorm has one value per channel, which it cannot normalise.

    images: that one device has at a time; SyncBatchNorm has those of all `devices`.
    """
    for name, (kind, area) in _normalised_maps(detector).items():
        seen = images * devices if issubclass(kind, nn.SyncBatchNorm) else images
        if seen * area <= 1:
            raise RecipeError(
                f"BatchNorm has nothing to normalise over: one image at a time, and {name} "
                "normalises a map of 1 x 1, so one value per channel, which is its own mean. Take "
                f"more images at a time (--batch, or fewer devices or parts), or {ALTERNATIVE}"
            )


def _automatic(images: int, devices: int) -> tuple[Norm, str]:
    """What "auto" means for the backbone, and why; `devices` that can share statistics."""
    table = f"(BatchNorm loses below {ENOUGH}: Wu and He 2018, table 2; DSOD with 4 instead of 12)"
    together = images * devices
    if images >= ENOUGH:
        return "batch", f"BatchNorm, {_counted(images)} at a time are enough {table}"
    if together >= ENOUGH:
        return "sync_batch", (
            f"SyncBatchNorm, {together} images on {devices} devices are enough, {images} on one "
            f"are not {table}"
        )
    return "group_ws", f"GroupNorm, {_counted(together)} at a time are too few {table}"


def _described(backbone: Norm, head: Norm, seen: dict[Norm, int]) -> str:
    of_backbone, of_head = (
        f"{NAMES[norm]} over {_counted(seen[norm])}" if norm in seen else NAMES[norm]
        for norm in (backbone, head)
    )
    if of_backbone == of_head:
        return of_backbone
    return f"{of_backbone} in the backbone, {of_head} in the head"


def _step(images: int, devices: int, accumulate: int) -> str:
    """`64 a step: 2 devices x 4 parts x 8`."""
    factors = [
        *([f"{devices} devices"] if devices > 1 else []),
        *([f"{accumulate} parts"] if accumulate > 1 else []),
        str(images),
    ]
    total = f"{images * devices * accumulate} a step"
    return f"{total}: {' x '.join(factors)}" if len(factors) > 1 else total


def _counted(images: int) -> str:
    return "1 image" if images == 1 else f"{images} images"


def _normalised_maps(detector: Detector) -> Maps:
    probe = copy.deepcopy(detector).to("meta").eval()
    maps: Maps = {}
    for name, layer in probe.named_modules():
        if isinstance(layer, _BatchNorm):
            layer.register_forward_hook(partial(_note, maps, name))
    probe(torch.empty(1, detector.in_channels, *detector.input_size, device="meta"))
    return maps


def _note(maps: Maps, name: str, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
    maps[name] = (type(layer), inputs[0][0, 0].numel())
