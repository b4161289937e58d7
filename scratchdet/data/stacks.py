"""Images of several files, which a pattern of their names puts together: which files are one image.

`{stem}_temp.jpg,{stem}_test.jpg` is one image for every stem, the channels of the first file before
those of the second. The files may be in folders: `visible/{stem}.png,infrared/{stem}.png`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from scratchdet.data.images import EXTENSIONS
from scratchdet.data.references import join
from scratchdet.structures import DataError

STEM = "{stem}"


class Stack(NamedTuple):
    """One image of several files."""

    place: Path
    """As if it were one file, called by the stem alone."""
    reference: str
    missing: tuple[str, ...]
    """Those of its files that do not exist."""


class Stacks(NamedTuple):
    """What files there are, put together."""

    images: list[Stack]
    """Those of which nothing is missing."""
    left_over: dict[Path, str]
    """Files that are part of no image, and why."""


@cache
def templates(pattern: str) -> tuple[str, ...]:
    """The parts of a pattern, one for each file of an image; DataError if it is none."""
    parts = tuple(part.strip() for part in pattern.split(","))
    for part in parts:
        if part.count(STEM) != 1 or os.path.isabs(part) or ".." in part.split("/"):
            raise DataError(
                f"data.files is {pattern!r}: names separated by commas are wanted, each with one "
                f"{STEM}, in the folder of the images or below: {STEM}_a.png,{STEM}_b.png"
            )
    return parts


def find_stack(folder: Path | str, name: str, pattern: str) -> Stack:
    """The image that an annotation calls `name`: by its stem, or by one of its files."""
    bare, suffix = os.path.splitext(name)  # an id is no file name, and may have dots of its own
    named = bare if suffix.lower() in EXTENSIONS else name
    base, stem = _belongs(name, pattern) or os.path.split(named)
    parts = templates(pattern)
    files = [os.path.join(folder, base, part.replace(STEM, stem)) for part in parts]
    place = Path(folder, base, stem + Path(parts[0]).suffix)
    return Stack(place, join(files), tuple(file for file in files if not os.path.isfile(file)))


def group(files: Iterable[Path], pattern: str) -> Stacks:
    """The images that `files` make, in their order, and the files that are left over."""
    images: dict[str, Stack] = {}
    left_over = {}
    for file in files:
        if _belongs(str(file), pattern) is None:
            left_over[file] = f"is not called like any of {', '.join(templates(pattern))}"
            continue
        stack = find_stack("", str(file), pattern)
        if stack.missing:
            left_over[file] = f"there is no {', '.join(stack.missing)} to go with it"
        else:
            images[stack.reference] = stack
    return Stacks(list(images.values()), left_over)


def _belongs(name: str, pattern: str) -> tuple[str, str] | None:
    """(folder, stem) of the image that the file is a part of; None if it is called otherwise."""
    matches = [match for part in templates(pattern) if (match := _regex(part).fullmatch(name))]
    if not matches:
        return None
    # `{stem}.jpg` matches whatever `{stem}_ir.jpg` does, and says less.
    best = min(matches, key=lambda match: len(match["stem"]))
    return best["folder"] or "", best["stem"]


@cache
def _regex(template: str) -> re.Pattern[str]:
    before, after = map(re.escape, template.split(STEM))
    return re.compile(rf"((?P<folder>.*)/)?{before}(?P<stem>[^/]+){after}", re.DOTALL)
