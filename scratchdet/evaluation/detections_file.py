"""Detections out of a file: our own lines of JSON, COCO's result JSON, or VOC's text files."""

from __future__ import annotations

import os
import re
import reprlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchdet.data.coco_ids import Ids
from scratchdet.data.references import files_of
from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.result_json import entries_of_lines, entries_of_list, field
from scratchdet.structures import DataError, DetectionData

VOC_FILE = re.compile(r"comp\d.*?_det_(.+)")  # the stem: comp4_det_test_CLASS
LARGEST = float(np.finfo(np.float32).max)
SEVERAL = -1  # the position of a name that more than one image has


def is_detections_file(path: Path | str) -> bool:
    """Whether the path says that detections are there: NAME.jsonl, a JSON list, VOC's text files.

    What is in a file is looked at no further than its first character.
    """
    path = Path(path)
    if path.is_dir():
        return bool(_voc_files(path))
    if path.suffix.lower() == ".json" and path.is_file():
        with path.open("rb") as stream:
            return stream.read(1 << 12).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    return path.suffix.lower() == ".jsonl" and path.is_file()


def read_detections(path: Path | str, data: DetectionData, *, ids: Ids | None = None) -> Columns:
    """All detections of a file (or a folder of VOC's files) as rows, in the order of the file.

    - `detections.jsonl` of `scratchdet detect`: images are known by their path, or else by their id
      or the stem of their name, classes by name;
    - COCO's result JSON: image_id and category_id are those of the annotation file, in `ids`
      (`coco_ids.read_ids`), which it cannot be read without;
    - a folder of `comp4_det_test_CLASS.txt`: images by their id, corners from 1 on and inclusive.

    DataError, with file and line or the number of the detection, for an image or a class that
    `data` does not have, an image that two of its images could be, a box that has no extent or is
    not finite, and all that is not of the format. Nothing found is an ordinary result.
    """
    path = Path(path)
    if path.is_dir():
        return _read_voc(path, data)
    if path.suffix.lower() == ".jsonl":
        return _read_ours(path, data)
    if ids is None:
        raise DataError(
            f"{path}: a COCO result speaks of image and category ids of a COCO annotation file; "
            "evaluate it with that file as the data"
        )
    return _read_coco(path, data, ids)


class _Rows(NamedTuple):
    """Detections as they are read: forty-eight bytes each, and no object."""

    images: array[int]
    labels: array[int]
    numbers: array[float]
    """Score and box, xyxy, 0-based and half-open: five for each detection."""

    def add(self, image: int, label: int, numbers: Sequence[float], *, where: str) -> None:
        _, left, top, right, bottom = numbers
        # No comparison holds for NaN: as the score it is the first, and so what max() gives.
        if not (
            left <= right and top <= bottom and -LARGEST <= min(numbers) <= max(numbers) <= LARGEST
        ):
            raise DataError(f"{where}: {_fault(numbers)}")
        self.images.append(image)
        self.labels.append(label)
        self.numbers.extend(numbers)

    def columns(self) -> Columns:
        numbers = np.array(self.numbers, np.float64).reshape(-1, 5).astype(np.float32)
        return Columns(
            image_index=np.array(self.images, np.int64),
            boxes=np.ascontiguousarray(numbers[:, 1:]),
            scores=np.ascontiguousarray(numbers[:, 0]),
            labels=np.array(self.labels, np.int64),
        )


def _no_rows() -> _Rows:
    return _Rows(array("q"), array("q"), array("d"))


def _read_ours(path: Path, data: DetectionData) -> Columns:
    rows, find, labels = _no_rows(), _finder(data), _labels(data)
    line_of: dict[int, int] = {}
    for line, entry in entries_of_lines(path):
        where = f"{path}:{line}"
        image = find(field(entry, "image", str, where=where), where)
        if line_of.setdefault(image, line) != line:
            raise DataError(f"{where}: the image of line {line_of[image]} again: {entry['image']}")
        for number, one in enumerate(field(entry, "objects", list, where=where)):
            place = f"{where}: object {number}"
            name = field(one, "class", str, where=place)
            numbers = [field(one, "score", float, where=place), *_box(one, "box", where=place)]
            rows.add(image, _label(labels, name, place), numbers, where=place)
    return rows.columns()


def _read_coco(path: Path, data: DetectionData, ids: Ids) -> Columns:
    positions = _positions(data.ids)
    images = {key: positions.get(name) for name, key in ids.images.items()}
    names = {key: name for name, keys in ids.categories.items() for key in keys}
    rows, labels = _no_rows(), _labels(data)
    place = f"{path}: detection"
    for number, entry in enumerate(entries_of_list(path)):
        where = f"{place} {number}"
        key = field(entry, "image_id", int, str, where=where)
        image = images.get(key)
        if image is None:
            known = "was left out when the data was read" if key in images else "is not in the data"
            raise DataError(f"{where}: image id {key!r} {known}")
        category = field(entry, "category_id", int, str, where=where)
        if category not in names:
            raise DataError(f"{where}: category id {category!r} is not in the annotation file")
        left, top, width, height = _box(entry, "bbox", where=where)
        score = field(entry, "score", float, where=where)
        numbers = (score, left, top, left + width, top + height)
        rows.add(image, _label(labels, names[category], where), numbers, where=where)
    return rows.columns()


def _read_voc(folder: Path, data: DetectionData) -> Columns:
    files = _files_by_class(folder, data)
    rows, positions = _no_rows(), _positions(data.ids)
    for label, file in enumerate(files):
        place = str(file)
        for line, text in enumerate(_text_lines(file), start=1):
            where = f"{place}:{line}"
            try:
                name, *written = text.rsplit(maxsplit=5)
                score, left, top, right, bottom = map(float, written)
            except ValueError as error:
                raise DataError(
                    f"{where}: not `image_id score xmin ymin xmax ymax`: {text.rstrip()[:80]!r}"
                ) from error
            image = _only(positions.get(name.strip()), name, where)
            rows.add(image, label, (score, left - 1, top - 1, right, bottom), where=where)
    return rows.columns()


def _voc_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("comp*.txt") if VOC_FILE.fullmatch(file.stem))


def _files_by_class(folder: Path, data: DetectionData) -> list[Path]:
    """The file of each class; DataError unless there is one of each, and no other."""
    files: dict[str, Path] = {}
    for file in _voc_files(folder):
        # A class may end as another does (`cart`, `go_cart`): then it is the longer one.
        endings = [name for name in data.classes if file.stem.endswith(f"_{name}")]
        name = max(endings, key=len, default="")
        if not endings:
            raise DataError(f"{file}: named for none of the classes {', '.join(data.classes)}")
        if name in files:
            raise DataError(f"{file}: class {name} has the file {files[name].name} too; remove one")
        files[name] = file
    missing = [name for name in data.classes if name not in files]
    if missing:
        raise DataError(
            f"{folder}: no file of the class {missing[0]}, comp4_det_test_{missing[0]}.txt; "
            "an empty one says that nothing was found"
        )
    return [files[name] for name in data.classes]


def _text_lines(file: Path) -> Iterator[str]:
    """The lines; DataError if they cannot be read."""
    try:
        with file.open(encoding="utf-8", errors="surrogateescape") as stream:
            yield from stream
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error


def _finder(data: DetectionData) -> Any:
    """A function from what our lines call an image (and their place) to its position in `data`."""
    by_path = _positions(os.path.abspath(path) for path in data.paths)
    by_id = _positions(data.ids)
    by_stem = _positions(Path(files_of(path)[0]).stem for path in data.paths)

    def find(name: str, where: str) -> int:
        stem = Path(files_of(name)[0]).stem
        found = by_path.get(os.path.abspath(name), by_id.get(name, by_stem.get(stem)))
        return _only(found, name, where)

    return find


def _positions(names: Iterable[str]) -> dict[str, int]:
    """The position of each name; SEVERAL for those that are there more than once."""
    positions: dict[str, int] = {}
    for position, name in enumerate(names):
        positions[name] = SEVERAL if name in positions else position
    return positions


def _only(position: int | None, name: str, where: str) -> int:
    if position is None:
        raise DataError(
            f"{where}: image {name} is not in the data (or was left out when it was read); "
            "evaluate with the images that the detections were made for"
        )
    if position == SEVERAL:
        raise DataError(f"{where}: image {name} could be several of the data's images")
    return position


def _labels(data: DetectionData) -> dict[str, int]:
    return {name: label for label, name in enumerate(data.classes)}


def _label(labels: dict[str, int], name: str, where: str) -> int:
    if name not in labels:
        raise DataError(f"{where}: class {name!r} is none of the data's: {', '.join(labels)}")
    return labels[name]


def _box(entry: Any, key: str, *, where: str) -> list[float]:
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
