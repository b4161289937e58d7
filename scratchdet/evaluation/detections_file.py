"""Detections out of a file: our own lines of JSON, COCO's JSON, or VOC's text files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scratchdet.data.coco import categories_of
from scratchdet.data.coco_ids import Ids
from scratchdet.data.coco_json import collector_paused, keys, load, looks_like_coco, texts
from scratchdet.evaluation.detection_rows import Read, Rows, box_of
from scratchdet.evaluation.image_names import ImageNames, only, positions
from scratchdet.evaluation.result_json import entries_of_lines, entries_of_list, field
from scratchdet.structures import DataError, DetectionData

VOC_FILE = re.compile(r"comp\d.*?_det_(.+)")  # the stem: comp4_det_test_CLASS


def is_detections_file(path: Path | str) -> bool:
    """Whether the path says that detections are there: NAME.jsonl, COCO's JSON, VOC's text files.

    What is in a JSON file is looked at no further than for what tells a list, or a COCO data set.
    """
    path = Path(path)
    if path.is_dir():
        return bool(_voc_files(path))
    if path.suffix.lower() == ".json" and path.is_file():
        return _is_list(path) or looks_like_coco(path)
    return path.suffix.lower() == ".jsonl" and path.is_file()


def read_detections(path: Path | str, data: DetectionData, *, ids: Ids | None = None) -> Read:
    """All detections of a file (or a folder of VOC's files) as rows, in the order of the file.

    - `detections.jsonl` of `scratchdet detect`: images are known by their path, or else by their
      id, the end of their path or the stem of their name, classes by name;
    - `detections.coco.json` of `scratchdet detect`, a COCO data set with scores: in the same way,
      by the file_name;
    - COCO's result JSON: image_id and category_id are those of the annotation file, in `ids`
      (`coco_ids.read_ids`), which it cannot be read without;
    - a folder of `comp4_det_test_CLASS.txt`: images by their id, corners from 1 on and inclusive.

    A class that `data` does not have is added to it; images that the file says nothing about have
    no detections; the remarks tell both. DataError, with file and line or the number of the
    detection, for an image that `data` does not have, one that two of its images could be, a box
    that has no extent or is not finite, and all that is not of the format. Nothing found is an
    ordinary result.
    """
    path = Path(path)
    if path.is_dir():
        return _read_voc(path, data)
    if path.suffix.lower() == ".jsonl":
        return _read_ours(path, data)
    if not _is_list(path) and looks_like_coco(path):
        return _read_coco_data(path, data)
    if ids is None:
        raise DataError(
            f"{path}: a COCO result speaks of image and category ids of a COCO annotation file; "
            "evaluate it with that file as the data"
        )
    return _read_coco(path, data, ids)


def _is_list(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(1 << 12).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _read_ours(path: Path, data: DetectionData) -> Read:
    rows, names = Rows(data), ImageNames(data)
    line_of: dict[int, int] = {}
    for line, entry in entries_of_lines(path):
        where = f"{path}:{line}"
        image = names.find(field(entry, "image", str, where=where), where)
        if line_of.setdefault(image, line) != line:
            raise DataError(f"{where}: the image of line {line_of[image]} again: {entry['image']}")
        for number, one in enumerate(field(entry, "objects", list, where=where)):
            place = f"{where}: object {number}"
            name = field(one, "class", str, where=place)
            numbers = [field(one, "score", float, where=place), *box_of(one, "box", where=place)]
            rows.add(image, rows.label(name), numbers, where=place)
    return rows.read(entry="line", seen=line_of, remarks=names.remarks())


def _read_coco(path: Path, data: DetectionData, ids: Ids) -> Read:
    position = positions(data.ids)
    images = {key: position.get(name) for name, key in ids.images.items()}
    categories = {key: name for name, keys in ids.categories.items() for key in keys}
    rows = Rows(data)
    place = f"{path}: detection"
    for number, entry in enumerate(entries_of_list(path)):
        where = f"{place} {number}"
        key = field(entry, "image_id", int, str, where=where)
        image = images.get(key)
        if image is None:
            known = "was left out when the data was read" if key in images else "is not in the data"
            raise DataError(f"{where}: image id {key!r} {known}")
        category = field(entry, "category_id", int, str, where=where)
        if category not in categories:
            raise DataError(f"{where}: category id {category!r} is not in the annotation file")
        numbers = _coco_numbers(entry, where)
        rows.add(image, rows.label(categories[category]), numbers, where=where)
    return rows.read(entry="detection")


def _read_coco_data(path: Path, data: DetectionData) -> Read:
    with collector_paused():
        content = load(path)
    rows, names = Rows(data), ImageNames(data)
    labels = {key: rows.label(name) for key, name in categories_of(content, path).items()}
    place = f"{path}: image"
    number_of: dict[int, int] = {}
    images = {}
    listed = content["images"]
    called = texts(listed, "file_name", place)
    for number, (key, name) in enumerate(zip(keys(listed, "id", place), called, strict=True)):
        images[key] = image = names.find(name, f"{place} {number}")
        if number_of.setdefault(image, number) != number:
            raise DataError(f"{place} {number}: image {number_of[image]} again: {name}")
    for number, entry in enumerate(content.get("annotations", [])):
        where = f"{path}: annotation {number}"
        key = field(entry, "image_id", int, str, where=where)
        category = field(entry, "category_id", int, str, where=where)
        for what, wanted, there in (("image", key, images), ("category", category, labels)):
            if wanted not in there:
                raise DataError(f"{where}: {what} id {wanted!r} is not in the file")
        rows.add(images[key], labels[category], _coco_numbers(entry, where), where=where)
    return rows.read(entry="entry", seen=number_of, remarks=names.remarks())


def _coco_numbers(entry: Any, where: str) -> tuple[float, ...]:
    left, top, width, height = box_of(entry, "bbox", where=where)
    return field(entry, "score", float, where=where), left, top, left + width, top + height


def _read_voc(folder: Path, data: DetectionData) -> Read:
    rows, position = Rows(data), positions(data.ids)
    for name, file in _files_by_class(folder, data).items():
        label, place = rows.label(name), str(file)
        for line, text in enumerate(_text_lines(file), start=1):
            where = f"{place}:{line}"
            try:
                image_id, *written = text.rsplit(maxsplit=5)
                score, left, top, right, bottom = map(float, written)
            except ValueError as error:
                raise DataError(
                    f"{where}: not `image_id score xmin ymin xmax ymax`: {text.rstrip()[:80]!r}"
                ) from error
            image = only(position.get(image_id.strip()), image_id, where)
            rows.add(image, label, (score, left - 1, top - 1, right, bottom), where=where)
    return rows.read(entry="detection")


def _voc_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("comp*.txt") if VOC_FILE.fullmatch(file.stem))


def _files_by_class(folder: Path, data: DetectionData) -> dict[str, Path]:
    """The file of each class, those of the data first; DataError if one of these has none."""
    found: dict[str, Path] = {}
    paths = _voc_files(folder)
    begin = _common_begin([path.stem for path in paths], data.classes)
    for path in paths:
        name = _class_of(path, begin, data.classes)
        if name in found:
            raise DataError(f"{path}: class {name} has the file {found[name].name} too; remove one")
        found[name] = path
    missing = [name for name in data.classes if name not in found]
    if missing:
        raise DataError(
            f"{folder}: no file of the class {missing[0]}, comp4_det_test_{missing[0]}.txt; "
            "an empty one says that nothing was found"
        )
    return {name: found[name] for name in (*data.classes, *found)}


def _common_begin(stems: list[str], classes: tuple[str, ...]) -> str:
    """What most stems begin with, of what may stand before the name of a class."""
    ends = [f"_{name}" for name in classes]
    begins = {stem.removesuffix(end) for stem in stems for end in ends if stem.endswith(end)}
    shared = {
        begin: sum(stem.startswith(f"{begin}_") for stem in stems)
        for begin in begins
        if VOC_FILE.fullmatch(begin)
    }
    return max(sorted(shared), key=shared.__getitem__, default="")


def _class_of(path: Path, begin: str, classes: tuple[str, ...]) -> str:
    """The class that a file is named for, one of the data or not."""
    if begin and path.stem.startswith(f"{begin}_"):
        return path.stem.removeprefix(f"{begin}_")
    # A class may end as another does (`cart`, `go_cart`): then it is the longer one.
    known = max((name for name in classes if path.stem.endswith(f"_{name}")), key=len, default="")
    name = known or path.stem.partition("_det_")[2].partition("_")[2]
    if not name:
        raise DataError(f"{path}: named for no class, as comp4_det_test_CLASS.txt is")
    return name


def _text_lines(file: Path) -> Iterator[str]:
    """The lines; DataError if they cannot be read."""
    try:
        with file.open(encoding="utf-8", errors="surrogateescape") as stream:
            yield from stream
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
