"""From a recipe to what it means on this machine: every "auto" a value, what cannot be refused."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from scratchdet.data.augment import PRESETS
from scratchdet.data.loader import default_workers
from scratchdet.models.detector import Detector
from scratchdet.models.zoo import MODELS, choices_of, create_model, defaults_of
from scratchdet.recipe import DataRecipe, ModelRecipe, Recipe, RecipeError, differing
from scratchdet.recipes.lengths import settle
from scratchdet.recipes.rates import scaled_rate
from scratchdet.train.device import choose_device, choose_precision
from scratchdet.train.distributed import Ranks
from scratchdet.train.norms import plan_norms

SMALLEST_SIDE, LARGEST_SIDE = 32, 2048  # of an input, in pixels, without a remark; our choice


def check_names(recipe: Recipe) -> None:
    """Raises RecipeError for a network or a preset that does not exist, and lists those that do."""
    augment = settle(recipe).data.augment
    for kind, name, known in (
        ("model.name", recipe.model.name, MODELS),
        ("data.augment", augment, PRESETS),
    ):
        if name not in known:
            raise RecipeError(f"{kind} is {name!r}; choose from {', '.join(known)}")


def resolve(recipe: Recipe, *, ranks: Ranks | None = None) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with every "auto" replaced by what it means on this machine; lines that say so.

    Raises RecipeError for what cannot be: before any image is read, not hours later.
    """
    ranks = ranks or Ranks()
    recipe = settle(recipe)
    check_names(recipe)
    device = choose_device(recipe.run.device)
    _check_gpus(device, ranks)
    init, workers = recipe.model.init, recipe.data.workers
    if workers < 0:
        workers = default_workers(device.type, processes=ranks.local_size)
    recipe = differing(
        recipe,
        run={
            "device": str(device),
            "precision": choose_precision(recipe.run.precision, device),
        },
        data={"workers": workers},
        model={"init": str(Path(init).resolve()) if init else ""},
    )
    lines: tuple[str, ...] = ()
    if recipe.data.batch:
        recipe, lines = resolve_norms(recipe, ranks=ranks)
    plan(recipe.model)
    return recipe, (describe_network(recipe.model), *_unusual_size(recipe.model), *lines)


def resolve_norms(recipe: Recipe, *, ranks: Ranks) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe, whose batch is known, with its norms; lines on what they and lr are over."""
    norms = plan_norms(
        backbone=recipe.model.norm_backbone,
        head=recipe.model.norm_head,
        images=images_at_a_time(recipe.data, ranks),
        devices=ranks.size,
        device_type=torch.device(recipe.run.device).type,
        accumulate=recipe.data.accumulate,
        known=choices_of(recipe.model.name)["norm_backbone"],
    )
    recipe = differing(recipe, model={"norm_backbone": norms.backbone, "norm_head": norms.head})
    return recipe, (*norms.notes, norms.line, *_scaling(recipe))


def _check_gpus(device: torch.device, ranks: Ranks) -> None:
    """Raises RecipeError where there is not a GPU for each process of this machine."""
    if device.type != "cuda" or ranks.local_size == 1:
        return
    if device.index is not None:
        raise RecipeError(
            f"run.device is {device}, one GPU, and {ranks.local_size} processes want one each: "
            "say cuda"
        )
    if (count := torch.cuda.device_count()) < ranks.local_size:
        raise RecipeError(
            f"{ranks.local_size} processes on this machine want a GPU each, and it has {count}"
        )


def images_at_a_time(recipe: DataRecipe, ranks: Ranks) -> int:
    """How many images one device has at a time. RecipeError if the batch cannot be shared."""
    apiece = ranks.size * recipe.accumulate
    if recipe.batch % apiece:
        raise RecipeError(
            f"data.batch {recipe.batch} cannot be shared by {ranks.size} processes, each in "
            f"{recipe.accumulate} parts (data.accumulate): take a multiple of {apiece}"
        )
    return recipe.batch // apiece


def _scaling(recipe: Recipe) -> list[str]:
    """The line that tells of a learning rate that is scaled."""
    reference, batch = recipe.optim.reference_batch, recipe.data.batch
    if reference in (0, batch):
        return []
    return [
        f"lr: {scaled_rate(recipe):.4g} for {batch} images a step, from {recipe.optim.lr:g} for "
        f"{reference} (--optim.reference-batch 0: not scaled)"
    ]


def plan(recipe: ModelRecipe) -> Detector:
    """The recipe's network without memory (on the meta device), for one class.

    Raises RecipeError for choices that the network does not have.
    """
    choices = network_choices(recipe)
    try:
        with torch.device("meta"):
            return create_model(recipe.name, num_classes=1, **choices)
    except ValueError as error:
        raise RecipeError(f"model: {error}") from error


def describe_network(recipe: ModelRecipe) -> str:
    """One line: `ssd300_resnet18 (stem root), input 300 x 300 (--model.input-size)`."""
    unusual = without_defaults(recipe.name, recipe.choices)
    for what, values in (("scales", recipe.prior_scales), ("ratios", recipe.prior_ratios)):
        if values:
            unusual[f"prior {what}"] = " ".join(f"{value:.3g}" for value in values)
    choices = ", ".join(f"{choice} {value}" for choice, value in unusual.items())
    height, width = recipe.input_size
    name = f"{recipe.name} ({choices})" if choices else recipe.name
    return f"{name}, input {height} x {width} (--model.input-size)"


def _unusual_size(recipe: ModelRecipe) -> list[str]:
    """A line for an input that is hardly meant: too small to see anything, or for the memory."""
    height, width = recipe.input_size
    if min(height, width) < SMALLEST_SIDE:
        return [
            f"NOTE: an input of {height} x {width} is next to nothing after a few halvings: "
            "objects are hardly found in it"
        ]
    if max(height, width) > LARGEST_SIDE:
        times = height * width / 300**2
        return [
            f"NOTE: an input of {height} x {width} takes {times:.0f} times the memory and time of "
            "300 x 300"
        ]
    return []


def without_defaults(name: str, choices: Mapping[str, str]) -> dict[str, str]:
    """The choices of a network that are not what it is without them."""
    defaults = defaults_of(name)
    return {choice: value for choice, value in choices.items() if value != defaults[choice]}


def network_choices(recipe: ModelRecipe) -> dict[str, Any]:
    """What `create_model` is to choose."""
    settings = {entry.name for entry in fields(ModelRecipe)}
    allowed = choices_of(recipe.name)
    for choice in recipe.choices:
        if choice in settings:
            flag = f"--model.{choice.replace('_', '-')}"
            raise RecipeError(
                f"model.choices.{choice} is a setting of its own: model.{choice}, or {flag}"
            )
        if choice not in allowed:
            known = ", ".join(name for name in allowed if name not in settings) or "none"
            raise RecipeError(
                f"model.choices.{choice}: {recipe.name} has no such choice; it has {known}"
            )
    # A norm that is still open depends on the batch; until that is known it is as large as this.
    norms = {
        name: "batch" if norm == "auto" else norm
        for name, norm in (
            ("norm_backbone", recipe.norm_backbone),
            ("norm_head", recipe.norm_head),
        )
    }
    return {
        "input_size": recipe.input_size,
        "prior_scales": recipe.prior_scales,
        "prior_ratios": recipe.prior_ratios,
        **norms,
        **recipe.choices,
    }
