"""YOLO's label files: a line for each object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scratchdet.structures import Problem


class Label(NamedTuple):
    """One line of a label file."""

    line: int
    number: int
    box: tuple[float, float, float, float]
    """Centre, width and height, as shares of the image."""
    scored: bool = False
    """Whether a sixth number, taken as a score, stands behind the box."""


def read_labels(file: Path) -> tuple[list[Label], list[Problem]]:
    """The objects in a label file and the lines that are none; both empty if there is no file."""
    labels, problems = [], []
    text = file.read_text("utf-8-sig", "replace") if file.is_file() else ""
    for line, content in enumerate(text.splitlines(), start=1):
        fields = content.split()
        if not fields:
            continue
        try:
            labels.append(_label(line, fields))
        except ValueError as error:
            problems.append(Problem(f"{file}:{line}", str(error), "dropped", "unreadable-box"))
    return labels, problems


def _label(line: int, fields: Sequence[str]) -> Label:
    """One line; ValueError if it is neither `class cx cy w h` nor `class` and a polygon.

    Detections have their score behind the box; it is passed over. A polygon that has lost a number
    looks the same: whoever reads them has to tell how many there are.
    """
    try:
        number, *values = map(float, fields)
    except ValueError as error:
        raise ValueError(f"not numbers: {' '.join(fields)}") from error
    if not number.is_integer() or number < 0:
        raise ValueError(f"the class is not a whole number from 0: {fields[0]}")
    if len(values) == 4 or (len(values) == 5 and 0 <= values[4] <= 1):
        centre_x, centre_y, width, height = values[:4]
        return Label(line, int(number), (centre_x, centre_y, width, height), len(values) == 5)
    if len(values) < 6 or len(values) % 2:
        wanted = "a box has 5 (class cx cy w h), with a score 6, a polygon 7, 9, 11 ..."
        raise ValueError(f"{len(fields)} numbers, but {wanted}")
    left, right = min(values[::2]), max(values[::2])
    top, bottom = min(values[1::2]), max(values[1::2])
    box = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
    return Label(line, int(number), box)
