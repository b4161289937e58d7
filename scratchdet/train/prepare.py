"""From a recipe's paths and splits to data that can be trained on, with everything wrong listed."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from scratchdet.analysis.report.words import count
from scratchdet.data.check import Part, check_hygiene
from scratchdet.data.formats import list_splits
from scratchdet.data.split import hold_out, split_called
from scratchdet.data.survey import Survey, survey_images, usable_images
from scratchdet.files import write_text
from scratchdet.recipe import DataRecipe
from scratchdet.structures import DataError, DetectionData, Problem
from scratchdet.terminal import progress_bar, say, shortened
from scratchdet.train.gathered import as_learned, held_out, learned_objects, without_objects
from scratchdet.train.hygiene import notes_of
from scratchdet.train.kept_survey import Surveyed
from scratchdet.train.notes import describe_pixels, describe_size, warnings
from scratchdet.train.splits import choose_splits, holds_out, read_split

LISTED = 100
"""Findings of a kind that are kept; the others are counted."""


class Prepared(NamedTuple):
    """Data that a run can use: every image can be decoded, every box has an area inside it."""

    train: DetectionData
    val: DetectionData | None
    val_split: str
    """What `val` is called: the name of the split, or "held out"."""
    test: DetectionData | None
    channels: int
    mean: np.ndarray
    """(channels,) of the training images, in units of their pixels."""
    std: np.ndarray
    """(channels,)"""
    notes: tuple[str, ...]
    """What was decided, splits and the readers' notes, and what is doubtful."""
    problems: tuple[Problem, ...]
    dtype: str = "uint8"
    """Of the pixels, one of `ops.pixels.DTYPES`."""
    is_rgb: bool = True
    """Three channels are red, green and blue, not any three bands."""
    surveys: Mapping[str, Surveyed] = MappingProxyType({})
    """Of each part that was read, by what it is used for: to go on with the same images."""
    hygiene: Mapping[str, Any] = MappingProxyType({})
    """What is odd about the data, as `Hygiene` has it in JSON."""
    train_split: str = "all images"
    """What `train` is called: the name of the split, or "all images"."""


def prepare(
    recipe: DataRecipe,
    *,
    threads: int,
    console: Console,
    kept: Mapping[str, Surveyed] = MappingProxyType({}),
) -> Prepared:
    """Reads and checks what the recipe names; every image is decoded once.

    kept: surveys of an earlier time; those of the same annotations are taken as they are, and no
    image is decoded for them. Raises DataError for data that cannot be used, and says what there is
    instead.
    """
    split, val_split = choose_splits(recipe)
    survey = partial(_survey, threads=threads, console=console)
    annotated = read_split(recipe, split)
    surveyed = survey(annotated, kept.get("training"), like=None)
    looked_at = {"training": Part(split or "all images", annotated, surveyed.survey)}
    train = usable_images(annotated, surveyed.survey, on_bad_box=recipe.on_bad_box)
    if not learned_objects(train, recipe):
        lacking = f"{recipe.path}: {without_objects(train)} to train on"
        raise DataError("\n".join([lacking, *shortened(train.problems)]))
    parts, surveys = {"training": train}, {"training": surveyed}
    for use, name in (("validation", val_split), ("test", recipe.test_split)):
        if name:
            annotated = read_split(recipe, name, classes=train.classes)
            surveys[use] = survey(annotated, kept.get(use), like=surveyed.survey)
            looked_at[use] = Part(name, annotated, surveys[use].survey)
            part = usable_images(annotated, surveys[use].survey, on_bad_box=recipe.on_bad_box)
            if len(annotated) and not len(part):
                reasons = shortened(part.problems)
                raise DataError("\n".join([f"{name}: no usable image for {use}", *reasons]))
            parts[use] = _apart(part, train, name=name, use=use)
    problems = [problem for part in parts.values() for problem in part.problems]
    names = {"training": split or "all images", "validation": val_split, "test": recipe.test_split}
    notes = [f"{use} on {names[use]}: {describe_size(part)}" for use, part in parts.items()]
    if holds_out(recipe, val_split, images=len(train)):
        train, parts["validation"] = hold_out(train, recipe.hold_out)
        looked_at |= held_out(looked_at["training"], parts["validation"])
        notes.append(
            f"no split is for validation: {len(parts['validation'])} of the training images are "
            f"held out for it, always the same ones, and {len(train)} are left (--data.hold-out)"
        )
    elif val_split is None:
        notes.append("no validation: the last model is the result")
    if test := _passed_over(recipe, names.values()):
        notes.append(f"{test} was not looked at: scratchdet check {quote(recipe.path)}")
    notes.append(describe_pixels(surveyed.survey))
    train = as_learned(train, recipe)
    training = looked_at["training"]
    learned = training._replace(annotated=as_learned(training.annotated, recipe))
    hygiene = check_hygiene(looked_at | {"training": learned})
    if known := [use for use in surveys if surveys[use] is kept.get(use)]:
        notes.append(f"{', '.join(known)}: the images the run began with, none decoded again")
    return Prepared(
        train=train,
        val=parts.get("validation"),
        val_split=val_split or "held out",
        test=parts.get("test"),
        channels=surveyed.survey.channels,
        mean=surveyed.survey.mean,
        std=surveyed.survey.std,
        notes=(
            *notes,
            *train.notes,
            *warnings(parts | {"training": train}),
            *notes_of(hygiene, root=Path(recipe.path)),
        ),
        problems=tuple(dict.fromkeys(problems)),
        dtype=surveyed.survey.dtype,
        is_rgb=surveyed.survey.is_rgb,
        surveys=surveys,
        hygiene=hygiene.to_json(most=LISTED),
        train_split=split or "all images",
    )


def _survey(
    data: DetectionData,
    kept: Surveyed | None,
    *,
    like: Survey | None,
    threads: int,
    console: Console,
) -> Surveyed:
    """The survey of `data`: `kept`, if it is of the same annotations, or else a new one.

    like: what the pixels must be.
    """
    channels, dtype = (like.channels, like.dtype) if like else (None, None)
    annotations = fingerprint(data)
    pixels = kept and (kept.survey.channels, kept.survey.dtype)
    if kept and kept.annotations == annotations and (like is None or pixels == (channels, dtype)):
        return kept
    say(console, f"decoding {count(len(data), 'image')}")
    with progress_bar(console, "decoding every image once") as report:
        survey = survey_images(
            data, threads=threads, channels=channels, dtype=dtype, progress=report
        )
    return Surveyed(annotations, survey)


def _passed_over(recipe: DataRecipe, used: Iterable[str | None]) -> str | None:
    """The split called test, if it is not used."""
    test = split_called(list_splits(recipe.path), "test")
    return None if test in "+".join(filter(None, used)).split("+") else test


def _apart(data: DetectionData, train: DetectionData, *, name: str, use: str) -> DetectionData:
    """`data`; raises DataError if any of its images are trained on."""
    # By file: the ids of COCO and YOLO may begin anew in every split.
    if shared := set(data.paths) & set(train.paths):
        raise DataError(
            f"{count(len(shared), f'image of {name} is', f'images of {name} are')} also trained on "
            f"({min(shared)}, ...): a figure "
            f"from them would mean nothing. Choose another split for {use}, or --val-split none"
        )
    return data


def write_problems(problems: Sequence[Problem], path: Path) -> None:
    """One line for each problem, after a line that counts them."""
    lines = [f"{len(problems)} problems", *map(str, problems)]
    write_text(path, "\n".join(lines) + "\n")


def fingerprint(data: DetectionData) -> str:
    """A short hash of what is annotated: a resumed run must go on with the same data."""
    digest = hashlib.sha256("\0".join(data.classes).encode())
    images = (data.ids.text, data.ids.offsets, data.sizes, data.offsets)
    for column in (*images, data.boxes, data.labels, data.ignore):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]
