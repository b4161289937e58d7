"""From a recipe's paths and splits to data that can be trained on, with everything wrong listed."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchdet.data.formats import list_splits, read_data
from scratchdet.data.split import hold_out
from scratchdet.data.survey import survey_images
from scratchdet.files import write_text
from scratchdet.recipe import DataRecipe
from scratchdet.structures import DataError, DetectionData, Problem

NO_VALIDATION = "none"


class Prepared(NamedTuple):
    """Data that a run can use: every image can be decoded, every box has an area inside it."""

    train: DetectionData
    val: DetectionData | None
    test: DetectionData | None
    channels: int
    mean: np.ndarray
    """(channels,) of the training images, in 0..255."""
    std: np.ndarray
    """(channels,)"""
    notes: tuple[str, ...]
    """What was decided: splits, the readers' notes."""
    problems: tuple[Problem, ...]


def prepare(
    recipe: DataRecipe,
    *,
    seed: int,
    threads: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> Prepared:
    """Reads and checks what the recipe names; every image is decoded once.

    progress: called with (split, images done, images). Raises DataError for data that cannot be
    used, and says what there is instead.
    """
    path = Path(recipe.path)
    available = list_splits(path)
    split = recipe.split if available and recipe.split else None
    val_split = recipe.val_split if recipe.val_split in available else None
    if recipe.val_split not in ("", "val", NO_VALIDATION) and val_split is None:
        raise DataError(
            f"{path}: there is no split {recipe.val_split!r}; there are {_list(available)}"
        )

    train = read_data(path, split=split, on_bad_box=recipe.on_bad_box)

    def survey(name: str, data: DetectionData, channels: int | None = None):  # type: ignore[no-untyped-def]
        report = None if progress is None else lambda done, total: progress(name, done, total)
        return survey_images(data, threads=threads, channels=channels, progress=report)

    def another(name: str, channels: int) -> DetectionData:
        data = read_data(path, split=name, on_bad_box=recipe.on_bad_box, classes=train.classes)
        return survey(name, data, channels).data

    surveyed = survey(split or "all", train)
    train, val, test = surveyed.data, None, None
    notes = [f"training on {split or 'all images'}: {_count(train)}", *train.notes]
    if recipe.val_split == NO_VALIDATION:
        notes.append("no validation split: the last model is the result")
    elif val_split is not None:
        val = another(val_split, surveyed.channels)
        notes.append(f"validation on {val_split}: {_count(val)}")
    elif len(train) > 1:
        train, val = hold_out(train, recipe.hold_out, seed=seed)
        notes.append(
            f"no validation split among {_list(available)}: {len(val)} of the training images are "
            f"held out for it, {len(train)} are left (always the same ones; --data.hold-out)"
        )
    if recipe.test_split:
        test = another(recipe.test_split, surveyed.channels)
        notes.append(f"test on {recipe.test_split}: {_count(test)}")
    if not len(train):
        raise DataError(
            f"{path}: no usable image to train on; {len(surveyed.data.problems)} problems"
        )
    if not train.classes:
        raise DataError(f"{path}: no object of any class to learn in {len(train)} images")
    parts = [part for part in (surveyed.data, val, test) if part is not None]
    return Prepared(
        train=train,
        val=val,
        test=test,
        channels=surveyed.channels,
        mean=surveyed.mean,
        std=surveyed.std,
        notes=tuple(notes),
        # The held-out part was read with the training images: its problems are the same ones.
        problems=tuple(dict.fromkeys(problem for part in parts for problem in part.problems)),
    )


def write_problems(problems: Sequence[Problem], path: Path) -> None:
    """One line for each problem, after a line that counts them."""
    lines = [f"{len(problems)} problems", *map(str, problems)]
    write_text(path, "\n".join(lines) + "\n")


def fingerprint(data: DetectionData) -> str:
    """A short hash of what is annotated: a resumed run must go on with the same data."""
    digest = hashlib.sha256("\0".join(data.classes).encode())
    for column in (data.ids.text, data.ids.offsets, data.offsets, data.boxes, data.labels):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]


def _count(data: DetectionData) -> str:
    empty = int((np.diff(data.offsets) == 0).sum())
    without = f", {empty} of them without objects" if empty else ""
    return f"{len(data)} images{without}, {data.num_objects} objects of {len(data.classes)} classes"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "no splits at all"
