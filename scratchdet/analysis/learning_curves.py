"""What others' data gave: measured curves of AP50 over the number of images trained on.

The table is `learning_curves.json`, each curve with what it was measured on and by what code. Add
one: `python benchmarks/learning_curve.py NAME DATA ...` measures it, and then

    python -m scratchdet.analysis.learning_curves      # in the repository

takes what is in `benchmarks/results` into the table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from scratchdet.files import write_text

TABLE = "learning_curves.json"
MEASURED = "benchmarks/results/learning_curve_*.json"
ABOUT = (
    "data",
    "classes",
    "test_images",
    "recipe",
    "network",
    "input_size",
    "augment",
    "batch",
    "steps",
    "seed",
    "commit",
    "machine",
    "date",
)
"""What the table keeps of a measurement, besides its points."""

Amount = Literal["images", "objects"]


class Point(NamedTuple):
    """One training."""

    images: int
    objects: int
    ap50: float
    """On the test images, the same for all points of a curve."""
    low: float
    """Of the 95 % interval, as far as the test images decide; one training, one seed."""
    high: float


class LearningCurve(NamedTuple):
    """What AP50 growing amounts of one data set gave, with the same number of steps."""

    about: dict[str, Any]
    """The keys of `ABOUT`."""
    points: tuple[Point, ...]
    """By rising number of images, and of objects."""

    def describe(self) -> str:
        """`bccd (3 classes, scratchdet_nano at 120 x 160, 300 steps of 16 images)`."""
        about = self.about
        height, width = about["input_size"]
        return (
            f"{about['data']} ({about['classes']} classes, {about['network']} at {height} x "
            f"{width}, {about['steps']} steps of {about['batch']} images)"
        )

    def ap50_at(self, number: float, amount: Amount) -> float | None:
        """AP50 with so many images, or objects, between measured points; None outside of them.

        On a straight line over the logarithm of the number.
        """
        numbers = [getattr(point, amount) for point in self.points]
        if not numbers or not numbers[0] <= number <= numbers[-1]:
            return None
        values = [point.ap50 for point in self.points]
        return float(np.interp(np.log(number), np.log(numbers), values))

    def place(self, number: float, amount: Amount) -> str:
        """The AP50 there, in words, or on which side of all that was measured it is."""
        ap50 = self.ap50_at(number, amount)
        if ap50 is not None:
            return f"AP50 {ap50:.2f}"
        least = getattr(self.points[0], amount)
        if number < least:
            return f"fewer than any we measured ({least})"
        return f"more than any we measured ({getattr(self.points[-1], amount)})"


def shipped_curves() -> tuple[LearningCurve, ...]:
    """The curves of the table, by name."""
    table = json.loads(files("scratchdet.analysis").joinpath(TABLE).read_text(encoding="utf-8"))
    return tuple(as_curve(entry) for entry in table)


def as_curve(entry: Mapping[str, Any]) -> LearningCurve:
    """A curve of the table, or a result of the benchmark, which says more."""
    points = (
        Point(one["images"], one["objects"], one["ap50"], *one["interval"])
        for one in entry["points"]
    )
    return LearningCurve(
        {key: entry[key] for key in ABOUT}, tuple(sorted(points, key=lambda one: one.images))
    )


def measured_table(repository: Path) -> str:
    """The table, of all results in the repository."""
    curves = []
    for file in sorted(repository.glob(MEASURED)):
        entry = json.loads(file.read_text(encoding="utf-8"))
        kept = {key: entry[key] for key in ABOUT}
        points = [
            {key: point[key] for key in ("images", "objects", "ap50", "interval")}
            for point in entry["points"]
        ]
        curves.append({**kept, "points": points})
    return json.dumps(curves, indent=2) + "\n"


if __name__ == "__main__":
    write_text(Path(__file__).with_name(TABLE), measured_table(Path()))
