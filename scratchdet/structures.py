"""The data everybody passes around: what a data set says, what the network is fed, what comes out.

NumPy on the data side (it crosses process borders), torch on the model side. Boxes are float32
xyxy in pixels, 0-based and half-open (a box of one pixel is `x, y, x + 1, y + 1`), unless the name
says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class Strings(Sequence[str]):
    """A column of strings in two flat arrays: ten million names cost bytes, not Python objects."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        encoded = [value.encode("utf-8", "surrogateescape") for value in values]
        self.offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        self.text = np.frombuffer(b"".join(encoded), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        start, stop = self.offsets[index % len(self)], self.offsets[index % len(self) + 1]
        return self.text[start:stop].tobytes().decode("utf-8", "surrogateescape")


class Problem(NamedTuple):
    """One thing wrong with the data, and what was done about it."""

    where: str
    """`path`, `path:line` or `path: annotation id`, as precise as the format allows."""
    what: str
    """What is wrong, in words, with the values: `box 3 (RBC) has no area: 504 337 504 337`."""
    action: str
    """What was done: `dropped`, `clipped`, `image dropped`, or `kept` for a mere remark."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what} [{self.action}]"


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One image as the data set describes it: a view into `DetectionData`, cheap to make."""

    id: str
    """The name results are filed under: the stem for VOC and YOLO, the image id for COCO."""
    path: Path
    size: tuple[int, int]
    """(width, height) in pixels, as annotated."""
    boxes: np.ndarray
    """(G, 4) float32."""
    labels: np.ndarray
    """(G,) int64 in 0..C-1."""
    ignore: np.ndarray
    """(G,) bool: VOC `difficult`, COCO `iscrowd`. Neither hit nor miss in evaluation."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectionData(Sequence[Record]):
    """A data set, or one split of it: columns for all images, `data[i]` for the `Record` of one.

    Flat arrays and offsets, so that worker processes share them and a million images cost bytes.
    `boxes[offsets[i]:offsets[i + 1]]` belong to image i.
    """

    classes: tuple[str, ...]
    """Names in label order, background not among them."""
    ids: Strings
    paths: Strings
    sizes: np.ndarray
    """(N, 2) int32: width, height."""
    offsets: np.ndarray
    """(N + 1,) int64."""
    boxes: np.ndarray
    """(M, 4) float32."""
    labels: np.ndarray
    """(M,) int32."""
    ignore: np.ndarray
    """(M,) bool."""
    problems: tuple[Problem, ...] = ()
    """Everything found wrong while reading."""
    notes: tuple[str, ...] = ()
    """What the reader decided: `VOC corners are 0-based (…)`."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Record:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        rows = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return Record(
            id=self.ids[index],
            path=Path(self.paths[index]),
            size=(int(self.sizes[index, 0]), int(self.sizes[index, 1])),
            boxes=self.boxes[rows],
            labels=self.labels[rows].astype(np.int64),
            ignore=self.ignore[rows],
        )

    def __iter__(self) -> Iterator[Record]:
        return (self[index] for index in range(len(self)))

    @property
    def num_objects(self) -> int:
        return len(self.boxes)

    def subset(self, indices: Sequence[int] | np.ndarray) -> DetectionData:
        """The images at `indices`, in that order; classes, problems and notes stay."""
        chosen = [self[int(index)] for index in indices]
        return replace(from_records(chosen, self.classes), problems=self.problems, notes=self.notes)


def from_records(records: Sequence[Record], classes: Sequence[str]) -> DetectionData:
    """The columns of `records`; an empty sequence is an empty data set."""
    return DetectionData(
        classes=tuple(classes),
        ids=Strings(record.id for record in records),
        paths=Strings(str(record.path) for record in records),
        sizes=np.array([record.size for record in records], dtype=np.int32).reshape(-1, 2),
        offsets=np.cumsum([0, *(len(record.boxes) for record in records)], dtype=np.int64),
        boxes=np.concatenate(
            [np.zeros((0, 4), np.float32), *(record.boxes for record in records)]
        ).astype(np.float32),
        labels=np.concatenate(
            [np.zeros(0, np.int32), *(record.labels for record in records)]
        ).astype(np.int32),
        ignore=np.concatenate([np.zeros(0, bool), *(record.ignore for record in records)]).astype(
            bool
        ),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One decoded image with its objects, on the way through augmentation."""

    image: np.ndarray
    """(H, W, C), uint8, RGB where there are three channels."""
    boxes: np.ndarray
    """(G, 4) float32, pixels of `image`."""
    labels: np.ndarray
    """(G,) int64."""
    ignore: np.ndarray
    """(G,) bool."""


class Targets(NamedTuple):
    """The ground truth of a batch, padded to the image with most objects (G may be 0)."""

    boxes: Tensor
    """(B, G, 4) float32, xyxy pixels of the network's input; padding rows are zero."""
    labels: Tensor
    """(B, G) int64 in 0..C-1; -1 marks padding."""
    ignore: Tensor
    """(B, G) bool: objects that are neither to be learned nor background."""


class Raw(NamedTuple):
    """What the network computes."""

    logits: Tensor
    """(B, P, C + 1) float; column 0 is background."""
    offsets: Tensor
    """(B, P, 4) float: boxes encoded against the priors."""


class Detections(NamedTuple):
    """The result for one image, best score first. K may be 0."""

    boxes: Tensor
    """(K, 4) float32, xyxy pixels of the original image."""
    scores: Tensor
    """(K,) float32 in [0, 1]."""
    labels: Tensor
    """(K,) int64 in 0..C-1."""


class DataError(ValueError):
    """The user's data cannot be used as they are; the message says where, and what to do."""
