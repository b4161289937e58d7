"""Which images a recipe trains on: its split, without what is held out. Without torch."""

from collections.abc import Sequence

from scratchdet.data.formats import list_splits, read_data
from scratchdet.data.split import hold_out, split_called
from scratchdet.recipe import DataRecipe
from scratchdet.structures import DataError, DetectionData

NO_VALIDATION = "none"


def choose_splits(recipe: DataRecipe) -> tuple[str | None, str | None]:
    """The names of the splits to train on and to validate on.

    None for the first: all images, as there are no splits. None for the second: no split is for
    validation, so images are held out for it, unless the recipe says "none".
    """
    available = list_splits(recipe.path)
    split, val_split = recipe.split or None, recipe.val_split or None
    if available and split is None:
        split = split_called(available, "train", but="trainval")
        split = split or split_called(available, "trainval")
        if split is None and len(available) == 1:
            split = available[0]
        if split is None:
            raise DataError(
                f"{recipe.path}: which split is to be trained on? There are "
                f"{', '.join(available)}: say --split NAME"
            )
    # trainval, VOC2007/val and valminusminival2014 have images of val, under names of their own.
    if val_split is None and "val" not in (split or ""):
        same_year = (split or "").replace("train", "val")  # train2014: val2014, not minival2014
        known = same_year.startswith("val") and same_year in available
        val_split = same_year if known else split_called(available, "val")
    return split, None if val_split == NO_VALIDATION else val_split


def read_train(recipe: DataRecipe) -> DetectionData:
    """The training images as annotated, none of them decoded yet."""
    return read_split(recipe, choose_splits(recipe)[0])


def trained_paths(recipe: DataRecipe) -> set[str]:
    """The files that a training by this recipe learns from."""
    split, val_split = choose_splits(recipe)
    train = read_split(recipe, split)
    if holds_out(recipe, val_split, images=len(train)):
        train, _ = hold_out(train, recipe.hold_out)
    return set(train.paths)


def read_split(
    recipe: DataRecipe, split: str | None, *, classes: Sequence[str] | None = None
) -> DetectionData:
    return read_data(
        recipe.path,
        split=split,
        on_bad_box=recipe.on_bad_box,
        classes=classes,
        files=recipe.files,
    )


def holds_out(recipe: DataRecipe, val_split: str | None, *, images: int) -> bool:
    """Whether some of the training images are kept back for validation."""
    return val_split is None and recipe.val_split != NO_VALIDATION and images > 1
