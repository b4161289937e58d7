"""What a training would use, gathered as far as it goes: where `prepare` stops, this goes on."""

from __future__ import annotations

from typing import NamedTuple

from rich.console import Console

from scratchdet.data.check import Part
from scratchdet.data.formats import list_splits
from scratchdet.data.split import split_called
from scratchdet.data.survey import survey_images
from scratchdet.recipe import DataRecipe
from scratchdet.structures import DataError
from scratchdet.terminal import progress_bar
from scratchdet.train.splits import choose_splits, read_split


class Gathered(NamedTuple):
    parts: dict[str, Part]
    """By what each is used for: training, validation, test; those that there are."""
    refusals: tuple[str, ...]
    """Why a training would not begin."""


def gather(recipe: DataRecipe, *, threads: int, console: Console) -> Gathered:
    """The parts that a training by this recipe reads, every image decoded once.

    The split called test is looked at, too, where the recipe names none. Raises DataError only
    where nothing can be read at all.
    """
    split, val_split = choose_splits(recipe)
    test_split = recipe.test_split or split_called(list_splits(recipe.path), "test")
    names = {"training": split or "all images", "validation": val_split, "test": test_split}
    parts: dict[str, Part] = {}
    refusals: list[str] = []
    for use, name in names.items():
        if use != "training" and not name:
            continue
        train = parts.get("training")
        classes = train.annotated.classes if train else None
        annotated = read_split(recipe, split if use == "training" else name, classes=classes)
        like = train.survey if train else None
        try:
            with progress_bar(console, f"decoding every image of {name} once") as report:
                survey = survey_images(
                    annotated,
                    threads=threads,
                    channels=like.channels if like else None,
                    dtype=like.dtype if like else None,
                    progress=report,
                )
        except DataError as error:
            refusals.append(str(error))
            survey = None
        parts[use] = Part(str(name), annotated, survey)
    return Gathered(parts, tuple(refusals))
