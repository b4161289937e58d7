"""The priors of a recipe's network, held against the boxes that it is going to learn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scratchdet.analysis.coverage import Coverage, coverage, fast_coverage, percent
from scratchdet.analysis.fit_priors import TRAINING, PriorFit, Priors, fit_priors, laid
from scratchdet.analysis.prior_overlaps import levels_of
from scratchdet.analysis.report.words import count
from scratchdet.data.check import Part
from scratchdet.data.split import hold_out
from scratchdet.files import write_text
from scratchdet.recipe import DataRecipe, Recipe, differing
from scratchdet.recipes.short import short_toml
from scratchdet.structures import DetectionData
from scratchdet.train.gathered import as_learned
from scratchdet.train.resolve import plan
from scratchdet.train.splits import choose_splits, holds_out

VALIDATION = "validation"


def learned(recipe: DataRecipe, parts: Mapping[str, Part]) -> dict[str, DetectionData]:
    """The training images as a training has them, and those it validates on; no test images."""
    train, val = parts[TRAINING].usable, None
    if VALIDATION in parts:
        val = parts[VALIDATION].usable
    elif holds_out(recipe, choose_splits(recipe)[1], images=len(train)):
        train, val = hold_out(train, recipe.hold_out)
    train = as_learned(train, recipe)
    return {TRAINING: train} | ({} if val is None else {VALIDATION: val})


def covered(recipe: Recipe, parts: Mapping[str, DetectionData]) -> dict[str, Coverage]:
    """What the network's priors match of each part."""
    detector, size = plan(recipe.model), recipe.model.input_size
    levels, iou = levels_of(detector, size), recipe.optim.match_iou
    return {use: coverage(data, levels, input_size=size, iou=iou) for use, data in parts.items()}


def fast_covered(recipe: Recipe, train: DetectionData) -> Coverage:
    """What the priors match of the training images, or of some of very many: within a second."""
    size = recipe.model.input_size
    levels = levels_of(plan(recipe.model), size)
    return fast_coverage(train, levels, input_size=size, iou=recipe.optim.match_iou)


def fitted(recipe: Recipe, parts: Mapping[str, DetectionData]) -> PriorFit:
    """Other priors for the boxes of `parts`, where they are better."""
    return fit_priors(plan(recipe.model), parts, iou=recipe.optim.match_iou)


def write_fit(recipe: Recipe, priors: Priors, fit: PriorFit, path: Path) -> None:
    """Writes the recipe with these priors, and what they match, as short TOML."""
    height, width = recipe.model.input_size
    sides = " ".join(f"{scale * min(height, width):.1f}" for scale in priors.scales)
    lines = [
        "Priors fitted by scratchdet check --fit-priors to "
        f"{count(fit.before[TRAINING].all.objects, 'training object')} at {height} x {width}.",
        *(
            f"Matched at IoU {fit.before[use].iou:g} of {use}: "
            f"{percent(fit.after[use].all.share)}, not {percent(fit.before[use].all.share)}."
            for use in fit.after
            if fit.after[use].all.objects
        ),
        f"prior_scales are shares of the input's shorter side; in pixels: {sides}.",
    ]
    if fit.larger:
        lines.append(larger_input(fit))
    changed = differing(recipe, model=priors_of(priors))
    write_text(path, "".join(f"# {line}\n" for line in lines) + short_toml(changed))


def priors_of(priors: Priors) -> dict[str, tuple[float, ...]]:
    """The values of `ModelRecipe`."""
    return {"prior_scales": priors.scales, "prior_ratios": priors.ratios}


def larger_input(fit: PriorFit) -> str:
    """What a larger input would be good for, and how it is tried; empty if none is worth it."""
    if fit.larger is None:
        return ""
    (height, width), first = fit.larger.size, fit.before[TRAINING].input_size
    times = height * width / (first[0] * first[1])
    return (
        f"With --model.input-size {height} {width}, {times:.2g} times the time, fitted priors "
        f"match {percent(fit.larger.covered.share)} of the training objects."
    )


def draw_priors(recipe: Recipe, train: DetectionData, priors: Priors | None, path: Path) -> None:
    """Writes a picture of the boxes over the network's priors, and over others beside it."""
    from scratchdet.analysis.coverage_plot import draw_coverage, panel_of, save_coverage

    detector, size = plan(recipe.model), recipe.model.input_size
    levels = levels_of(detector, size)
    drawn = {recipe.model.name: levels}
    if priors is not None:
        drawn["fitted"] = laid(levels, detector.specs, priors, side=min(size))
    panels = [
        panel_of(title, train, one, input_size=size, iou=recipe.optim.match_iou)
        for title, one in drawn.items()
    ]
    save_coverage(draw_coverage(panels), path)
