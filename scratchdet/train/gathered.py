"""What a training would use, gathered as far as it goes: where `prepare` stops, this goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from rich.console import Console

from scratchdet.analysis.report.words import count
from scratchdet.data.check import Part
from scratchdet.data.formats import list_splits
from scratchdet.data.split import hold_out, split_called
from scratchdet.data.survey import survey_images
from scratchdet.recipe import DataRecipe
from scratchdet.structures import DataError, DetectionData
from scratchdet.terminal import progress_bar, say
from scratchdet.train.splits import choose_splits, holds_out, read_split


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
            say(console, f"decoding {count(len(annotated), 'image')} of {name}")
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
        shared = set(annotated.paths) & set(train.annotated.paths) if train else set()
        if shared and (use == "validation" or recipe.test_split):
            images = count(len(shared), f"image of {name} is", f"images of {name} are")
            refusals.append(f"{images} also trained on ({min(shared)})")
    usable = parts["training"].usable
    if not learned_objects(usable, recipe):
        refusals.append(f"{parts['training'].split}: {without_objects(usable)} to train on")
    return Gathered(parts, tuple(refusals))


def learned_objects(data: DetectionData, recipe: DataRecipe) -> int:
    """The number of objects of training images that a training by this recipe learns."""
    return int((~as_learned(data, recipe).ignore).sum())


def as_learned(data: DetectionData, recipe: DataRecipe) -> DetectionData:
    """Training images; none of their objects is ignored if the recipe has it so."""
    if recipe.ignored == "object":
        return replace(data, ignore=np.zeros_like(data.ignore))
    return data


def without_objects(data: DetectionData) -> str:
    """What is lacking where there is nothing to learn: an image, an object, or one that counts."""
    if not len(data):
        return "no usable image"
    images = count(len(data), "image")
    if not data.num_objects:
        return f"no object in {images}"
    return (
        f"no object in {images} but {count(data.num_objects, 'that is', 'that are')} to be ignored "
        "(difficult or crowd; --data.ignored object learns them)"
    )


def as_trained_on(parts: Mapping[str, Part], recipe: DataRecipe) -> dict[str, Part]:
    """The parts, the images that are held out for validation apart from those trained on.

    Objects that are learned although they are marked as ignored are not marked any more.
    """
    training = parts["training"]
    images = training.usable
    val_split = parts["validation"].split if "validation" in parts else None
    apart = {**parts}
    if holds_out(recipe, val_split, images=len(images)):
        apart |= held_out(training, hold_out(images, recipe.hold_out)[1])
    annotated = as_learned(apart["training"].annotated, recipe)
    return apart | {"training": apart["training"]._replace(annotated=annotated)}


def held_out(training: Part, val: DetectionData) -> dict[str, Part]:
    """The images that are trained on, and those of `val`, which are among them until then."""
    held = np.isin([*training.annotated.paths], [*val.paths])
    return {
        "training": training.subset(np.flatnonzero(~held)),
        "validation": training.subset(np.flatnonzero(held))._replace(split="held out"),
    }
