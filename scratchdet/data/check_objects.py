"""What is odd about the objects of a data set: their boxes, and their classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scratchdet.data.findings import Finding
from scratchdet.structures import DetectionData

TINY = 2.0
"""Pixels of the shorter side: less is a slip of the mouse, or nothing that can be learned. Ours."""
FULL = 0.99
"""Share of the image that a box covers; ours."""
MOSTLY = 0.5
"""Share of images without objects that is worth a second look; ours."""
NOT_TO_BE_LEARNED = frozenset(
    [
        *("dontcare", "ignore", "ignored", "ignoredregion", "ignoredregions", "crowd", "void"),
        *("background", "unknown", "unlabeled", "unlabelled", "difficult"),
    ]
)
"""Names of classes, in small letters alone, that data sets have for regions to be left out."""


def check_objects(
    use: str, data: DetectionData, *, input_size: tuple[int, int] | None
) -> Iterator[Finding]:
    """What is found in one part. input_size: (height, width) that images are resized to."""
    yield from _repeated(use, data)
    sides = data.boxes[:, 2:] - data.boxes[:, :2]
    sizes = np.repeat(data.sizes, np.diff(data.offsets), axis=0)
    tiny = sides.min(axis=1, initial=np.inf) < TINY
    for row in np.flatnonzero(tiny).tolist():
        yield _of_box("tiny-box", use, data, row, f"is {_extent(sides[row])} pixels")
    if input_size is not None:
        at_input = sides * np.array(input_size[::-1]) / np.maximum(sizes, 1)
        lost = (at_input.min(axis=1, initial=np.inf) < TINY) & ~tiny
        for row in np.flatnonzero(lost).tolist():
            what = f"is {_extent(sides[row])} pixels, {_extent(at_input[row])} at the input"
            yield _of_box("lost-box", use, data, row, what)
    full = sides.prod(axis=1) >= FULL * np.maximum(sizes.prod(axis=1, dtype=np.float64), 1)
    for row in np.flatnonzero(full).tolist():
        yield _of_box("full-box", use, data, row, "covers the whole image")


def check_classes(use: str, split: str, data: DetectionData) -> Iterator[Finding]:
    """What is found about the classes of one part, and its images without objects."""
    by_name: dict[str, list[str]] = {}
    for name in data.classes:
        by_name.setdefault(name.casefold(), []).append(name)
    for names in by_name.values():
        if len(names) > 1 and use == "training":  # the classes of all parts are those of training
            yield Finding("case-classes", use, names[0], " and ".join(names))
    counts = np.bincount(data.labels[~data.ignore], minlength=len(data.classes)).tolist()
    ignored = np.bincount(data.labels[data.ignore], minlength=len(data.classes)).tolist()
    for label, name in enumerate(data.classes):
        objects = f"{counts[label]} object{'s' * (counts[label] != 1)}"
        if "".join(filter(str.isalpha, name.casefold())) in NOT_TO_BE_LEARNED and counts[label]:
            yield Finding("ignored-class", use, name, objects)
        if not counts[label] and data.num_objects:  # with no object at all, that is the matter
            but = f" but {ignored[label]} to be ignored" if ignored[label] else ""
            yield Finding("class-without-objects", use, name, f"no object in {split}{but}")
    empty = int((np.diff(data.offsets) == 0).sum())
    if empty:
        kind = "mostly-empty" if empty > MOSTLY * len(data) else "empty-images"
        images = f"{len(data)} image{'s' * (len(data) != 1)}"
        what = f"{empty} of {images} ({empty / len(data):.0%})"
        yield Finding(kind, use, split, what)


def _repeated(use: str, data: DetectionData) -> Iterator[Finding]:
    """Boxes that are there twice."""
    image = np.repeat(np.arange(len(data)), np.diff(data.offsets))
    order = np.lexsort((np.arange(len(image)), *data.boxes.T, image))
    boxes = data.boxes[order]
    same = (boxes[1:] == boxes[:-1]).all(axis=1) & (image[order[1:]] == image[order[:-1]])
    for place in np.flatnonzero(same).tolist():
        first, second = int(order[place]), int(order[place + 1])
        is_class = data.labels[first] == data.labels[second]
        number = first - data.offsets[image[first]]
        name = data.classes[data.labels[first]]
        what = f"is box {number} again" if is_class else f"is box {number} ({name}), too"
        kind = "repeated-box" if is_class else "box-of-two-classes"
        yield _of_box(kind, use, data, second, what)


def _of_box(kind: str, use: str, data: DetectionData, row: int, what: str) -> Finding:
    image = int(np.searchsorted(data.offsets, row, side="right")) - 1
    corners = " ".join(f"{value:g}" for value in data.boxes[row].tolist())
    name = data.classes[data.labels[row]]
    number = row - int(data.offsets[image])
    return Finding(kind, use, data.paths[image], f"box {number} ({name}) {what}: {corners}")


def _extent(sides: np.ndarray) -> str:
    return f"{sides[0]:.3g} x {sides[1]:.3g}"
