"""COCO: all boxes of a split in one JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchdet.data.assemble import Found, OnBadBox, assemble
from scratchdet.data.images import image_size
from scratchdet.data.split import chosen_splits
from scratchdet.structures import DataError, DetectionData, Problem

LAYOUT = (
    "a JSON file, or a folder with annotations/instances_SPLIT.json, SPLIT/_annotations.coco.json"
    " or SPLIT.json"
)
PREFIX = "instances_"
ROBOFLOW = "_annotations.coco.json"
MARKS = (b'"images"', b'"annotations"', b'"categories"')
CHUNK = 1 << 20  # bytes read at a time when looking for the marks


class _Images(NamedTuple):
    """The images of a file that can be used."""

    positions: dict[Any, int]
    """By id; -1 for those dropped."""
    paths: list[str]
    sizes: list[tuple[int, int]]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def recognises(path: Path) -> bool:
    return bool(_files(path))


def list_splits(path: Path) -> list[str]:
    """The names of the JSON files without `instances_`, or of the folders they are in.

    Empty for a single file, which is all there is.
    """
    return sorted(_files(path)) if path.is_dir() else []


def read(
    path: Path | str,
    *,
    split: str | None = None,
    on_bad_box: OnBadBox = "drop",
    classes: Sequence[str] | None = None,
) -> DetectionData:
    """One JSON file, or those of a folder; labels in order of the category ids.

    The images may be absent altogether (boxes alone are enough to evaluate with); where there are
    some, those missing are problems. Ids are the image ids.
    """
    path = Path(path)
    files = _files(path)
    if not files:
        raise DataError(f"{path}: no COCO data here; looked for {LAYOUT}")
    chosen = chosen_splits(split, list_splits(path), path) or list(files)
    root = path if path.is_dir() else path.parent
    parts = {name: _read_file(files[name], root=root, split=name) for name in chosen}
    return assemble(parts, classes=classes, on_bad_box=on_bad_box)


def _files(path: Path) -> dict[str, Path]:
    """The annotation files by the name of their split."""
    if path.is_file():
        return {_split_name(path): path} if path.suffix.lower() == ".json" else {}
    instances = list(path.glob(f"annotations/{PREFIX}*.json"))
    nested = list(path.glob(f"*/{ROBOFLOW}"))
    loose = [*path.glob("annotations/*.json"), *path.glob("*.json")]
    # The usual names are enough: a file that was cut off is better refused than passed over.
    files = (
        instances or nested or [file for file in loose if file.is_file() and _looks_like_coco(file)]
    )
    return {_split_name(file): file for file in sorted(files)}


def _split_name(file: Path) -> str:
    return file.parent.name if file.name == ROBOFLOW else file.stem.removeprefix(PREFIX)


def _looks_like_coco(file: Path) -> bool:
    """Whether the JSON is an object that speaks of images and of annotations or categories.

    The bytes are searched for the quoted words, up to the second found: parsing takes minutes where
    this takes a moment. A file that has them deeper down is told from COCO's when it is read.
    """
    missing = set(MARKS)
    with file.open("rb") as stream:
        chunk = stream.read(CHUNK)
        if not chunk.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return False  # a list holds someone's detections
        end = b""
        while chunk and (MARKS[0] in missing or len(missing) > 1):
            window = end + chunk  # a word may lie across the border
            missing -= {mark for mark in missing if mark in window}
            end, chunk = chunk[-max(map(len, MARKS)) :], stream.read(CHUNK)
    return MARKS[0] not in missing and len(missing) <= 1


def _read_file(path: Path, *, root: Path, split: str) -> Found:
    content = _load(path)
    annotations = content.get("annotations", [])
    images = _usable_images(content["images"], path, _image_folders(path, root, split))
    categories = {
        _value(item, "id", f"{path}: category"): str(_value(item, "name", f"{path}: category"))
        for item in content["categories"]
    }
    if len(categories) < len(content["categories"]):
        raise DataError(f"{path}: two categories have the same id; ids must be unique")
    names = dict.fromkeys(categories[key] for key in sorted(categories))
    boxes, image_ids, category_ids, crowd = _columns(annotations, path)
    known = np.array([image_id in images.positions for image_id in image_ids], bool)
    position = np.array([images.positions.get(image_id, -1) for image_id in image_ids], np.int64)
    # Categories that annotations use but the file does not list are names, yet no classes.
    listed = [categories.get(key, f"category {key}") for key in category_ids]
    label = {name: index for index, name in enumerate(dict.fromkeys([*names, *listed]))}
    rows = np.flatnonzero(position >= 0)
    unknown = tuple(
        Problem(_place(path, annotations[row]), _no_image(annotations[row]), "dropped")
        for row in np.flatnonzero(~known)
    )
    return Found(
        ids=[str(key) for key, index in images.positions.items() if index >= 0],
        paths=images.paths,
        sizes=np.array(images.sizes, np.int32).reshape(-1, 2),
        images=position[rows],
        boxes=np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])[rows],
        written=boxes[rows],
        names=list(label),
        labels=np.array([label[name] for name in listed], np.int64)[rows],
        ignore=crowd[rows],
        classes=list(names),
        where=lambda row: _place(path, annotations[rows[row]]),
        problems=images.problems + unknown,
        notes=images.notes + _same_name_note(path, categories),
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: malformed JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a JSON text: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: a list (of detections?), not COCO annotations")
    for key, needed in (("images", True), ("categories", True), ("annotations", False)):
        entries = content.get(key, None if needed else [])
        if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
            raise DataError(f"{path}: no list of {key} in it, so not COCO annotations")
    return content


def _value(entry: dict[str, Any], key: str, place: str) -> Any:
    if key not in entry:
        raise DataError(f"{place} {entry.get('id', '')}: has no {key!r}")
    return entry[key]


def _columns(
    annotations: Sequence[dict[str, Any]], path: Path
) -> tuple[np.ndarray, list[Any], list[Any], np.ndarray]:
    """Boxes as x, y, width, height (M, 4); image ids; category ids; whether it is a crowd."""
    try:
        quadruples = [annotation["bbox"] for annotation in annotations]
        if any(len(box) != 4 for box in quadruples):
            raise ValueError("bbox")
        boxes = np.fromiter(chain.from_iterable(quadruples), np.float64).reshape(-1, 4)
        image_ids = [annotation["image_id"] for annotation in annotations]
        category_ids = [annotation["category_id"] for annotation in annotations]
        crowd = np.array([bool(annotation.get("iscrowd")) for annotation in annotations], bool)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(_first_fault(annotations, path)) from error
    return boxes, image_ids, category_ids, crowd


def _first_fault(annotations: Sequence[dict[str, Any]], path: Path) -> str:
    """Which annotation does not have what it must have, and what that is."""
    for annotation in annotations:
        for key in ("image_id", "category_id", "bbox"):
            if key not in annotation:
                return f"{_place(path, annotation)}: has no {key!r}"
        box = annotation["bbox"]
        numbers = isinstance(box, list) and all(isinstance(value, int | float) for value in box)
        if not numbers or len(box) != 4:
            return f"{_place(path, annotation)}: bbox is not four numbers x y width height: {box}"
    return f"{path}: the annotations cannot be read"


def _place(path: Path, annotation: dict[str, Any]) -> str:
    return f"{path}: annotation id {annotation.get('id', '(none)')}"


def _no_image(annotation: dict[str, Any]) -> str:
    return f"belongs to image id {annotation['image_id']}, which is not listed"


def _same_name_note(path: Path, categories: dict[Any, str]) -> tuple[str, ...]:
    if len(set(categories.values())) == len(categories):
        return ()
    names = sorted(categories.values())
    twice = dict.fromkeys(a for a, b in pairwise(names) if a == b)
    return (f"{path}: categories of the same name are one class: {', '.join(twice)}",)


def _image_folders(path: Path, root: Path, split: str) -> list[Path]:
    """Where the images of a JSON file usually are; those of these folders that exist."""
    # .../coco/annotations/instances_train2017.json has its images in .../coco/train2017.
    top = path.parent.parent if path.parent.name == "annotations" else root
    folders = [
        base / name
        for base in (top, root, path.parent)
        for name in (split, f"images/{split}", "images", ".")
    ]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _usable_images(
    entries: Sequence[dict[str, Any]], path: Path, folders: Sequence[Path]
) -> _Images:
    """The images that are there, with their sizes; all of them if none is there."""
    ids = [_value(entry, "id", f"{path}: image") for entry in entries]
    if len(set(ids)) < len(ids):
        twice = next(image_id for image_id in ids if ids.count(image_id) > 1)
        raise DataError(f"{path}: image id {twice} is there more than once; ids must be unique")
    names = [str(_value(entry, "file_name", f"{path}: image")) for entry in entries]
    found = [_find(name, folders) for name in names]
    absent = not any(found)
    usable, paths, sizes, problems = [], [], [], []
    for entry, name, file in zip(entries, names, found, strict=True):
        place = f"{path}: image id {entry['id']}"
        try:
            if file is None and not absent:
                looked = ", ".join(map(str, folders))
                raise DataError(f"{place}: there is no file {name}; looked in {looked}")
            file = file or str(folders[0] / name)
            sizes.append(_entry_size(entry) or image_size(file))
        except DataError as error:
            problems.append(Problem(place, str(error).removeprefix(f"{place}: "), "image dropped"))
            usable.append(False)
        else:
            usable.append(True)
            paths.append(file)
    row = np.cumsum(usable) - 1
    positions = {key: int(row[i]) if usable[i] else -1 for i, key in enumerate(ids)}
    note = f"{path}: none of the images is there: boxes only"
    return _Images(positions, paths, sizes, tuple(problems), (note,) if ids and absent else ())


def _find(name: str, folders: Sequence[Path]) -> str | None:
    # Strings, not Paths: COCO has 118,000 images.
    candidates = (os.path.join(folder, name) for folder in folders)
    return next((file for file in candidates if os.path.isfile(file)), None)


def _entry_size(entry: dict[str, Any]) -> tuple[int, int] | None:
    """(width, height), None where the file does not say."""
    width, height = entry.get("width"), entry.get("height")
    return (int(width), int(height)) if width and height else None
