"""The data everybody passes around: what a data set says, what the network is fed, what comes out.

NumPy on the data side (it crosses process borders), torch on the model side. Boxes are float32
xyxy in pixels, 0-based and half-open (a box of one pixel is `x, y, x + 1, y + 1`), unless the name
says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, overload

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


BLOCK = 1 << 16  # strings that are taken out of a column at a time


class Strings(Sequence[str]):
    """A column of strings in two flat arrays: ten million names cost bytes, not Python objects.

    `prefix` begins every one of them, and is kept once: the folder that all paths are in.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        encoded = [value.encode("utf-8", "surrogateescape") for value in values]
        self.offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        self.text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self.prefix = ""

    @classmethod
    def from_arrays(cls, text: np.ndarray, offsets: np.ndarray, *, prefix: str = "") -> Strings:
        """The column that these arrays are: string i is `text[offsets[i]:offsets[i + 1]]`."""
        column = cls.__new__(cls)
        column.text, column.offsets, column.prefix = text, offsets, prefix
        return column

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
        return self.prefix + self.text[start:stop].tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        # Not index by index: NumPy's numbers are slow one at a time.
        text, offsets = self.text.tobytes(), self.offsets.tolist()
        for start, stop in pairwise(offsets):
            yield self.prefix + text[start:stop].decode("utf-8", "surrogateescape")

    def take(self, indices: np.ndarray) -> Strings:
        """The strings at `indices`, in that order."""
        offsets = np.concatenate([[0], np.cumsum(np.diff(self.offsets)[indices])]).astype(np.int64)
        text = np.empty(offsets[-1], np.uint8)
        for start in range(0, len(indices), BLOCK):  # a row number takes eight times its character
            rows, within = rows_of(self.offsets, indices[start : start + BLOCK])
            text[offsets[start] : offsets[start] + within[-1]] = self.text[rows]
        return Strings.from_arrays(text, offsets, prefix=self.prefix)


def rows_of(offsets: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the groups at `indices`, group after group, and the offsets they then have.

    Group i is the rows `offsets[i]` to `offsets[i + 1]`.
    """
    counts = np.diff(offsets)[indices]
    chosen = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    shift = np.repeat(offsets[:-1][indices] - chosen[:-1], counts)
    return shift + np.arange(chosen[-1]), chosen


class Problem(NamedTuple):
    """One thing wrong with the data, and what was done about it."""

    where: str
    """`path`, `path:line` or `path: annotation id`, as precise as the format allows."""
    what: str
    """What is wrong, in words, with the values: `box 3 (RBC) has no area: 504 337 504 337`."""
    action: str
    """What was done: `dropped`, `clipped`, `image dropped`, or `kept` for a mere remark."""
    kind: str = ""
    """A key of `data.findings.KINDS`, for scripts; empty in lists that older versions wrote."""
    box_of: str = ""
    """The reference of the image whose box it is about; empty for anything else."""

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
    areas: np.ndarray | None = None
    """(M,) float64, pixels that the objects fill: COCO's masks. None: only boxes are known."""

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
        chosen = np.asarray(indices, dtype=np.int64)
        if len(wrong := chosen[(chosen < 0) | (chosen >= len(self))]):
            raise IndexError(f"image {wrong[0]} of {len(self)}")
        rows, offsets = rows_of(self.offsets, chosen)
        return replace(
            self,
            ids=self.ids.take(chosen),
            paths=self.paths.take(chosen),
            sizes=self.sizes[chosen],
            offsets=offsets,
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            ignore=self.ignore[rows],
            areas=None if self.areas is None else self.areas[rows],
        )


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
    """(H, W, C) of one of `ops.pixels.DTYPES`; RGB if it is a picture in colour."""
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


class Arrays(NamedTuple):
    """Detections in NumPy: of a network that runs without torch, or merged from several passes."""

    boxes: np.ndarray
    """(K, 4) float32, xyxy pixels of the original image."""
    scores: np.ndarray
    """(K,) float32 in [0, 1], falling."""
    labels: np.ndarray
    """(K,) int64 in 0..C-1."""


def as_arrays(found: Detections | Arrays) -> Arrays:
    """The detections in NumPy, wherever they are."""
    if isinstance(found, Arrays):
        return found
    return Arrays(*(part.numpy(force=True) for part in found))


def nothing_found() -> Arrays:
    """No detection at all."""
    return Arrays(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


class Predictor(Protocol):
    """What finds objects in images: a `Detector`, an exported one, or one asked several times."""

    classes: tuple[str, ...]
    in_channels: int
    image_dtype: str
    files: str
    """The pattern of the names of images of several files; empty: one file each."""
    input_size: tuple[int, int]
    """(height, width) that images are resized to."""

    def predict(
        self,
        images: Sequence[np.ndarray],
        *,
        input_size: tuple[int, int] | None = None,
        **choices: float | int,
    ) -> Sequence[Detections | Arrays]:
        """As `Detector.predict`."""
        ...


class DataError(ValueError):
    """The user's data cannot be used as they are; the message says where, and what to do."""
