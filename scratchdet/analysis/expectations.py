"""What can be expected of a data set before it is trained on: how much there is of what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchdet.analysis.learning_curves import LearningCurve
from scratchdet.analysis.prior_overlaps import boxes_at
from scratchdet.structures import DetectionData

SMALL = 8.0
"""Pixels of the input, the square root of an object's area: the distance between locations on the
finest map of most networks here."""


class ClassAmount(NamedTuple):
    """Of one class, in the training images; objects to be ignored do not count."""

    objects: int
    images: int
    """That have one."""
    small: float
    """Share of the objects under `SMALL` pixels; NaN without objects."""


class Place(NamedTuple):
    """Where an amount of data lies on the learning curve of other data."""

    curve: str
    """Which data that was, and how it was trained on."""
    by_images: str
    """In words: the AP50 that as many images gave, or that none so few or many were measured."""
    by_objects: str
    """The same, of as many objects."""
    ap50_by_images: float | None
    ap50_by_objects: float | None


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """How much there is to learn from, and to judge by."""

    images: int
    empty: int
    """Images without an object to learn."""
    input_size: tuple[int, int]
    """(height, width)"""
    classes: dict[str, ClassAmount]
    validation_objects: int | None
    """None without validation."""
    places: tuple[Place, ...]

    @property
    def objects(self) -> int:
        return sum(amount.objects for amount in self.classes.values())

    @property
    def small(self) -> float:
        """Share of all objects under `SMALL` pixels; 0 without objects."""
        known = [amount for amount in self.classes.values() if amount.objects]
        return sum(one.small * one.objects for one in known) / max(1, self.objects)

    @property
    def rarest(self) -> str | None:
        """The class with the fewest objects, of those that have any; None if none has."""
        known = {name: one.objects for name, one in self.classes.items() if one.objects}
        return min(known, key=lambda name: known[name]) if known else None

    @property
    def imbalance(self) -> float:
        """Objects of the commonest class for one of the rarest; 1 without objects."""
        if self.rarest is None:
            return 1.0
        most = max(amount.objects for amount in self.classes.values())
        return most / self.classes[self.rarest].objects

    def to_json(self) -> dict[str, Any]:
        """Plain values; undefined ones are None."""
        return {
            "images": self.images,
            "empty_images": self.empty,
            "objects": self.objects,
            "validation_objects": self.validation_objects,
            "input_size": list(self.input_size),
            "small_share": self.small,
            "small_pixels": SMALL,
            "rarest_class": self.rarest,
            "imbalance": self.imbalance,
            "classes": {
                name: amount._asdict() | {"small": amount.small if amount.objects else None}
                for name, amount in self.classes.items()
            },
            "learning_curves": [place._asdict() for place in self.places],
        }


def expect(
    train: DetectionData,
    *,
    validation: DetectionData | None,
    input_size: tuple[int, int],
    curves: Sequence[LearningCurve],
) -> Expectations:
    """What there is in the training images at this input size, and beside measured curves."""
    real = ~train.ignore
    labels, count = train.labels[real], len(train.classes)
    image = np.repeat(np.arange(len(train)), np.diff(train.offsets))[real]
    boxes = boxes_at(train, input_size)[real]
    small = is_small(boxes)
    objects = np.bincount(labels, minlength=count)
    pairs = np.unique(np.stack([image, labels]), axis=1)
    images = np.bincount(pairs[1], minlength=count)
    small_objects = np.bincount(labels[small], minlength=count)
    shares = np.divide(small_objects, objects, out=np.full(count, math.nan), where=objects > 0)
    return Expectations(
        images=len(train),
        empty=len(train) - len(np.unique(image)),
        input_size=input_size,
        classes={
            name: ClassAmount(int(objects[label]), int(images[label]), float(shares[label]))
            for label, name in enumerate(train.classes)
        },
        validation_objects=None if validation is None else int((~validation.ignore).sum()),
        places=tuple(
            place_on(curve, images=len(train), objects=int(objects.sum())) for curve in curves
        ),
    )


def is_small(boxes: np.ndarray) -> np.ndarray:
    """(M,) which boxes, in pixels of the input, are under `SMALL`."""
    return np.asarray(np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1)) < SMALL)


def place_on(curve: LearningCurve, *, images: int, objects: int) -> Place:
    """What so many images, and so many objects, gave on the curve."""
    return Place(
        curve.describe(),
        curve.place(images, "images"),
        curve.place(objects, "objects"),
        curve.ap50_at(images, "images"),
        curve.ap50_at(objects, "objects"),
    )
