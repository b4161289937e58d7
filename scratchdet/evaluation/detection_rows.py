"""Detections on their way out of a file: checked one by one, kept in flat arrays."""

from __future__ import annotations

import reprlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.result_json import field
from scratchdet.structures import DataError, DetectionData

LARGEST = float(np.finfo(np.float32).max)


class Read(NamedTuple):
    """What a file of detections holds."""

    data: DetectionData
    """What it was read for; the classes that only the file has come after its own."""
    detections: Columns
    remarks: tuple[str, ...]
    """Lines about what was taken for granted: images and classes that are in one of the two."""


class Rows:
    """Detections as they are read, for the images of `data`: forty-eight bytes each, no object."""

    def __init__(self, data: DetectionData) -> None:
        self.data = data
        self.classes = {name: label for label, name in enumerate(data.classes)}
        self.numbers = array("d")
        """Score and box, xyxy, 0-based and half-open: five for each detection."""
        self._images, self._labels = array("q"), array("q")

    def label(self, name: str) -> int:
        """That of a class, which is a further one if the data do not have it."""
        return self.classes.setdefault(name, len(self.classes))

    def add(self, image: int, label: int, numbers: Sequence[float], *, where: str) -> None:
        _, left, top, right, bottom = numbers
        # No comparison holds for NaN: as the score it is the first, and so what max() gives.
        if not (
            left <= right and top <= bottom and -LARGEST <= min(numbers) <= max(numbers) <= LARGEST
        ):
            raise DataError(f"{where}: {_fault(numbers)}")
        self._images.append(image)
        self._labels.append(label)
        self.numbers.extend(numbers)

    def read(
        self, *, entry: str, seen: Iterable[int] | None = None, remarks: Sequence[str] = ()
    ) -> Read:
        """All of it.

        entry: what an image that is `seen` has in the file, for the remark on those that are not;
        without `seen` those are seen that have detections.
        """
        numbers = np.array(self.numbers, np.float64).reshape(-1, 5).astype(np.float32)
        columns = Columns(
            image_index=np.array(self._images, np.int64),
            boxes=np.ascontiguousarray(numbers[:, 1:]),
            scores=np.ascontiguousarray(numbers[:, 0]),
            labels=np.array(self._labels, np.int64),
        )
        counted = len(set(seen) if seen is not None else np.unique(columns.image_index))
        told = [*remarks]
        if absent := len(self.data) - counted:
            told.append(
                f"{absent} of {len(self.data)} images have no {entry} in the file: nothing was "
                "found in them"
            )
        if further := [*self.classes][len(self.data.classes) :]:
            told.append(
                f"classes that the file has and the data do not: {', '.join(further)} (without an "
                "object there is no AP)"
            )
        data = replace(self.data, classes=tuple(self.classes)) if further else self.data
        return Read(data, columns, tuple(told))


def box_of(entry: Any, key: str, *, where: str) -> list[float]:
    """Its four numbers; DataError if it has none, or others."""
    box = field(entry, key, list, where=where)
    # JSON has whole numbers that are too large for a float, and Python's has NaN.
    if len(box) != 4 or not all(
        type(value) in (int, float) and abs(value) <= LARGEST for value in box
    ):
        raise DataError(f"{where}: its {key!r} is not four finite numbers: {reprlib.repr(box)}")
    return box


def _fault(numbers: Sequence[float]) -> str:
    finite = all(-LARGEST <= number <= LARGEST for number in numbers)
    what = "the box ends before it begins" if finite else "score or box is not finite"
    return f"{what}: {reprlib.repr(list(numbers))}"
