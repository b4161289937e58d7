"""What others' data gave: measured curves of AP50 over the number of images trained on.

The table is `learning_curves.json`, each curve with what it was measured on and by what code. Add
one: `python benchmarks/learning_curve.py NAME DATA ...` measures it, and then

    python -m scratchdet.analysis.learning_curves      # in the repository

takes what is in `benchmarks/results` into the table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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

        On a straight line over the logarithm of the number; None too where that would fall: more
        data do not harm, so it is by chance that the point with more of them is the worse one.
        """
        around = self._around(number, amount)
        if around is None or around[1].ap50 < around[0].ap50:
            return None
        numbers = np.log([getattr(point, amount) for point in around])
        return float(np.interp(np.log(number), numbers, [point.ap50 for point in around]))

    def place(self, number: float, amount: Amount) -> str:
        """The AP50 there, in words, or on which side of all that was measured it is."""
        ap50 = self.ap50_at(number, amount)
        if ap50 is not None:
            return f"AP50 {ap50:.2f}"
        if around := self._around(number, amount):
            return f"AP50 {around[1].ap50:.2f} to {around[0].ap50:.2f}"
        least = getattr(self.points[0], amount)
        if number < least:
            return f"fewer than any we measured ({least})"
        return f"more than any we measured ({getattr(self.points[-1], amount)})"

    def _around(self, number: float, amount: Amount) -> tuple[Point, Point] | None:
        """The measured points on both sides of the number, one twice if it is there."""
        below = [point for point in self.points if getattr(point, amount) <= number]
        above = [point for point in self.points if getattr(point, amount) >= number]
        if not below or not above:
            return None
        here = getattr(below[-1], amount) == number
        return below[-1], below[-1] if here else above[0]


class Elsewhere(NamedTuple):
    """What one training on other data gave."""

    data: str
    images: int
    ap50: float


RESULTS = (
    Elsewhere("BCCD, blood cells", 205, 0.911),
    Elsewhere("FOD-A, debris on runways", 436, 0.217),
)
"""Of finished trainings, on test images (docs/results.md)."""
NEAR = 4.0
"""Times as many images, or as few, that are set beside each other; ours."""


def elsewhere(images: int, curves: Sequence[LearningCurve]) -> tuple[Elsewhere, ...]:
    """What trainings on about as many images of other data gave, finished and short ones."""
    short = (
        Elsewhere(curve.describe(), point.images, point.ap50)
        for curve in curves
        for point in curve.points
    )
    return tuple(one for one in (*RESULTS, *short) if images / NEAR <= one.images <= images * NEAR)


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
