"""Writes docs/recipes.md: python -m scratchdet.analysis.recipes_page

Values come from the recipes, figures from `models.published`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from scratchdet.files import write_text
from scratchdet.models.published import Published, published
from scratchdet.recipe import ModelRecipe, Recipe
from scratchdet.recipes import GROUPS
from scratchdet.recipes.lengths import augment_of, ema_of, warmup_of
from scratchdet.recipes.shipped import Shipped

LENGTHS = (100, 300, 1_200, 2_500, 4_000, 12_000, 40_000, 100_000, 325_000)

INTRODUCTION = """\
# Recipes

<!-- Written by `python -m scratchdet.analysis.recipes_page`; a test holds it to the recipes. -->

A recipe is all that a training depends on. `scratchdet recipes` lists them, `scratchdet recipes
show NAME` prints every value and where it is from, and `scratchdet recipes NAME > mine.toml` a file
to change. `scratchdet train DATA` alone chooses among those for your own data.

Batches are those of all devices together; the learning rate is for the batch beside it and scaled
for another one (`--batch`, linearly); one that is given, `--lr`, is meant as it stands. With
`--steps` the drops move along.

**Published** are mean average precisions in percent out of papers and releases, with their sources
below: VOC07 and VOC12 are the test images of those years at IoU 0.5, COCO is test-dev over IoU 0.5
to 0.95. **None of these recipes for VOC and COCO was run here**: they need GPUs for days. What was
measured of the others stands in [results.md](results.md).

VOC is expected as one `VOCdevkit` with `VOC2007` and `VOC2012`, COCO as a folder with `train2017`,
`val2017` and `annotations`. "07+12" is trainval of both years, tested on the test images of 2007;
"07++12" has those of 2007 in the training too; "comp3" is VOC 2012 alone. For "+COCO" a model of
your own, trained on COCO, is given with `--init`.
"""

BY_LENGTH = """\
## By the number of steps

Where a recipe says -1 or "auto" (`recipes/lengths.py`), and for your own with
`--schedule.warmup-steps -1 --optim.ema -1 --data.augment auto` (or `auto_any_up`,
`auto_no_mirror`): a twentieth of the steps is warm-up, at most 500; the weights are averaged over a
tenth of the steps, in shorter trainings over 500 steps or 40 %; and the augmentation is gentle
below 2,500 steps.
"""

NO_RECIPE = "There is no recipe for `dsod512`: nothing was published of its training."


def figures(shipped: Shipped) -> tuple[Published, ...]:
    """What has been published of a training by these values, on these images."""
    if not shipped.reported:
        return ()
    known = published(shipped.recipe.model.name, choices_of(shipped.recipe.model))
    return tuple(one for one in known if one.trained_on == shipped.data.name)


def choices_of(recipe: ModelRecipe) -> Mapping[str, object]:
    """What is chosen of the network, as `models.published` says it."""
    norms = {"norm_backbone": recipe.norm_backbone, "norm_head": recipe.norm_head}
    return {**recipe.choices, **{key: norm for key, norm in norms.items() if norm != "batch"}}


def recipes_page() -> str:
    """docs/recipes.md as it has to be now."""
    parts = [INTRODUCTION]
    for title, group in GROUPS.items():
        parts += [f"## {title}", "", *_table(group), ""]
        if lines := [line for name, shipped in group.items() for line in _sources(name, shipped)]:
            parts += ["Published, not measured here:", "", *lines, ""]
        if title == "DSOD":
            parts += [NO_RECIPE, ""]
    parts += [BY_LENGTH, *_lengths()]
    return "\n".join(parts).rstrip() + "\n"


def _table(group: Mapping[str, Shipped]) -> Iterator[str]:
    yield from _header(
        "recipe", "what", "data", "network", "steps", "batch", "lr", "lr drops at", "published"
    )
    for name, shipped in group.items():
        recipe = shipped.recipe
        marks = ", ".join(figure.mark for figure in figures(shipped)) or "-"
        drops = ", ".join(f"{drop:,}" for drop in recipe.schedule.drops) or recipe.schedule.shape
        row = (
            f"`{name}`",
            shipped.what.rstrip("."),
            shipped.data.name,
            describe_network(recipe.model),
            f"{recipe.schedule.steps:,}",
            f"{recipe.data.batch}",
            _rate(recipe),
            drops,
            marks,
        )
        yield f"| {' | '.join(row)} |"


def _rate(recipe: Recipe) -> str:
    """The learning rate; and for what batch, if that is another one than the recipe's."""
    reference = recipe.optim.reference_batch
    return f"{recipe.optim.lr:g}{'' if reference == recipe.data.batch else f' for {reference}'}"


def describe_network(recipe: ModelRecipe) -> str:
    """One cell: the name, what is chosen of it, and the input size."""
    height, width = recipe.input_size
    chosen = "".join(f", {key} {value}" for key, value in choices_of(recipe).items())
    return f"{recipe.name}{chosen}, {height} x {width}"


def _sources(name: str, shipped: Shipped) -> Iterator[str]:
    for figure in figures(shipped):
        remark = f" ({figure.remark})" if figure.remark else ""
        yield f"- `{name}`: {figure.percent} on {figure.test}{remark}. Source: {figure.source}."


def _lengths() -> Iterator[str]:
    yield from _header("steps", "warm-up", "averaged over", "augmentation")
    for steps in LENGTHS:
        over = round(1 / (1 - ema_of(steps)))
        yield f"| {steps:,} | {warmup_of(steps):,} | {over:,} | {augment_of('auto', steps)} |"


def _header(*columns: str) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"


if __name__ == "__main__":
    write_text(Path("docs/recipes.md"), recipes_page())
