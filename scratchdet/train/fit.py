"""The largest batch that fits the memory: two small steps are measured, the rest is a line."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from scratchdet.data.memory import free_memory
from scratchdet.recipe import Recipe, RecipeError, differing
from scratchdet.structures import Targets
from scratchdet.train.device import autocast
from scratchdet.train.distributed import Ranks, gathered
from scratchdet.train.optim import make_sgd
from scratchdet.train.prepare import Prepared
from scratchdet.train.setup import make_detector, make_loss

FEW, MORE = 2, 4  # images of the steps that are measured; BatchNorm wants two at least
OBJECTS = 16  # in each of their images; what they cost is little beside the network
MOST = 128  # images in all, where the recipe has no batch of its own: no published one has more
GPU_SHARE = 0.9  # of the free memory; the rest is for fragments and for cuDNN
CPU_SHARE = 0.5  # the images wait in it too, and other programs
COPIES = 4  # of the weights: themselves, gradient, momentum, average
EIGHTS = 8  # batches of so many are a multiple of it


def fit_batch(
    recipe: Recipe, prepared: Prepared, *, ranks: Ranks, device: torch.device
) -> tuple[int, str]:
    """The images per step, of all devices together, and a line that tells how they were found.

    As many as fit, at most the recipe's reference batch: more would be another recipe. Every rank
    has to call it. Raises RecipeError if not even two images fit.
    """
    free, recipe = _free(device), _without_sync(recipe)
    few, more = (_step_bytes(recipe, prepared, device, images) for images in (FEW, MORE))
    each = max((more - few) // (MORE - FEW), 1)
    apiece = ranks.size * recipe.data.accumulate
    most = max((recipe.optim.reference_batch or MOST) // apiece, 1)
    images = min(most, FEW + (free - few) // each) if few <= free else 0
    images = min(gathered(ranks, images))
    while device.type == "cuda" and images >= FEW:
        if all(gathered(ranks, _fits(recipe, prepared, device, images))):
            break
        images = images * 3 // 4
    images = images // EIGHTS * EIGHTS if EIGHTS <= images < most else images
    what = f"{each / 2**20:.0f} MiB an image, {free / 2**30:.1f} GiB to be used on {device}"
    if images < FEW:
        raise RecipeError(f"--batch auto: fewer than {FEW} images fit, {what}: a smaller input?")
    limit = ", as many as the recipe is for" if images == most else ""
    return images * apiece, f"batch auto: {images * apiece} images a step{limit}; {what}"


def _without_sync(recipe: Recipe) -> Recipe:
    """The recipe with norms that need no other rank: each measures by itself."""
    norms = {"norm_backbone": recipe.model.norm_backbone, "norm_head": recipe.model.norm_head}
    alone = {name: "batch" for name, norm in norms.items() if norm == "sync_batch"}
    return differing(recipe, model=alone)


def _free(device: torch.device) -> int:
    """Bytes that a training may take."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return int(GPU_SHARE * torch.cuda.mem_get_info(device)[0])
    free = free_memory()
    if free is None:
        raise RecipeError("--batch auto: this system does not say how much memory is free")
    return int(CPU_SHARE * free)


def _fits(recipe: Recipe, prepared: Prepared, device: torch.device, images: int) -> bool:
    try:
        _step_bytes(recipe, prepared, device, images)
    except torch.OutOfMemoryError:
        return False
    finally:
        torch.cuda.empty_cache()
    return True


def _step_bytes(recipe: Recipe, prepared: Prepared, device: torch.device, images: int) -> int:
    """What a step with so many images on this device takes at its peak."""
    with _counting(device) as counted:
        detector = make_detector(recipe, prepared, device).train()
        average = make_detector(recipe, prepared, device)  # takes the place of the averaged weights
        optimiser = make_sgd(detector, lr=0.0, momentum=0.9, weight_decay=0.0)
        pixels, targets = _noise(recipe, prepared, device, images)
        with autocast(device, recipe.run.precision):
            raw = detector(detector.normalise(pixels))
        make_loss(recipe.optim, detector)(raw, targets).total.backward()
        optimiser.step()
        weights = sum(value.nbytes for value in average.state_dict().values())
    return counted[0] + (0 if device.type == "cuda" else COPIES * weights)


@contextlib.contextmanager
def _counting(device: torch.device) -> Iterator[list[int]]:
    """Afterwards the list has the bytes that were in use at the peak; on a CPU, where nobody keeps
    count, those that the forward pass keeps for the backward pass."""
    counted = [0]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield counted
        counted[0] = torch.cuda.max_memory_allocated(device) - before
        return
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield counted
    counted[0] = sum(kept.values())


def _noise(
    recipe: Recipe, prepared: Prepared, device: torch.device, images: int
) -> tuple[Tensor, Targets]:
    """Images of the right size and type, with objects all over them."""
    height, width = recipe.model.input_size
    shape = (images, height, width, prepared.channels)
    pixels = torch.from_numpy(np.zeros(shape, prepared.dtype)).to(device)
    corners = torch.rand(images, OBJECTS, 2, 2) * torch.tensor([width, height])
    boxes = torch.cat([corners.amin(2), corners.amax(2) + 1], dim=-1)
    labels = torch.zeros(images, OBJECTS, dtype=torch.int64)
    return pixels, Targets(boxes.to(device), labels.to(device), (labels > 0).to(device))
