"""COCO: all boxes of a split in one JSON file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchdet.data.assemble import Found, OnBadBox, assemble
from scratchdet.data.coco_json import (
    areas,
    boxes,
    collector_paused,
    keys,
    load,
    looks_like_coco,
    size,
    texts,
)
from scratchdet.data.images import image_size
from scratchdet.data.references import JOINT, single
from scratchdet.data.split import chosen_splits
from scratchdet.data.stacks import find_stack
from scratchdet.structures import DataError, DetectionData, Problem

LAYOUT = (
    "a JSON file, or a folder with annotations/instances_SPLIT.json, SPLIT/_annotations.coco.json"
    " or SPLIT.json"
)
PREFIX = "instances_"
ROBOFLOW = "_annotations.coco.json"
YEARS = tuple(f"{top}{part}20[0-9][0-9]" for top in ("", "images/") for part in ("train", "val"))
"""COCO's own folders of images; no file name is in two of them."""


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
    files: str = "",
) -> DetectionData:
    """One JSON file, or those of a folder; labels in order of the category ids.

    A file name that leads out of the folder of the images is a problem, as is a `bbox` that is not
    four numbers; ids and sizes that make no sense are a DataError, as nothing fits together then.
    The images may be absent altogether (boxes alone are enough to evaluate with); where there are
    some, those missing are problems. Ids are the image ids. files: the pattern of the names of
    images of several files, see `stacks`; a file_name is the stem, or one of the files.
    """
    path = Path(path)
    root = path if path.is_dir() else path.parent
    with collector_paused():
        parts = {
            name: _read_file(file, root=root, split=name, files=files)
            for name, file in chosen_files(path, split).items()
        }
    return assemble(parts, classes=classes, on_bad_box=on_bad_box)


def chosen_files(path: Path, split: str | None) -> dict[str, Path]:
    """The annotation files to read, by the name of their split."""
    found = _files(path)
    if not found:
        raise DataError(f"{path}: no COCO data here; looked for {LAYOUT}")
    chosen = chosen_splits(split, list_splits(path), path) or list(found)
    return {name: found[name] for name in chosen}


def _files(path: Path) -> dict[str, Path]:
    """The annotation files by the name of their split."""
    if path.is_file():
        return {_split_name(path): path} if path.suffix.lower() == ".json" else {}
    instances = list(path.glob(f"annotations/{PREFIX}*.json"))
    nested = list(path.glob(f"*/{ROBOFLOW}"))
    loose = [*path.glob("annotations/*.json"), *path.glob("*.json")]
    # The usual names are enough: a file that was cut off is better refused than passed over.
    files = (
        instances or nested or [file for file in loose if file.is_file() and looks_like_coco(file)]
    )
    return {_split_name(file): file for file in sorted(files)}


def _split_name(file: Path) -> str:
    return file.parent.name if file.name == ROBOFLOW else file.stem.removeprefix(PREFIX)


def _read_file(path: Path, *, root: Path, split: str, files: str) -> Found:
    content = load(path)
    annotations = content.get("annotations", [])
    folders = _image_folders(path, root, split)
    images = _usable_images(content["images"], path, folders=folders, pattern=files)
    categories = categories_of(content, path)
    names = dict.fromkeys(categories[key] for key in sorted(categories))
    written = boxes(annotations)
    image_ids = keys(annotations, "image_id", f"{path}: annotation id")
    category_ids = keys(annotations, "category_id", f"{path}: annotation id")
    known = np.array([image_id in images.positions for image_id in image_ids], bool)
    position = np.array([images.positions.get(image_id, -1) for image_id in image_ids], np.int64)
    # Categories that annotations use but the file does not list are names, yet no classes.
    used = [categories.get(key, f"category {key}") for key in category_ids]
    label = {name: index for index, name in enumerate(dict.fromkeys([*names, *used]))}
    rows = np.flatnonzero(position >= 0)
    unknown = tuple(
        Problem(
            _place(path, annotations[row]), _no_image(annotations[row]), "dropped", "missing-image"
        )
        for row in np.flatnonzero(~known)
    )
    return Found(
        ids=[str(key) for key, index in images.positions.items() if index >= 0],
        paths=images.paths,
        sizes=np.array(images.sizes, np.int32).reshape(-1, 2),
        images=position[rows],
        boxes=np.hstack([written[:, :2], written[:, :2] + written[:, 2:]])[rows],
        written=written[rows],
        names=list(label),
        labels=np.array([label[name] for name in used], np.int64)[rows],
        ignore=np.array([bool(item.get("iscrowd")) for item in annotations], bool)[rows],
        classes=list(names),
        areas=areas(annotations, written)[rows],
        where=lambda row: _place(path, annotations[rows[row]]),
        problems=images.problems + unknown,
        notes=images.notes + _same_name_note(path, categories),
    )


def categories_of(content: dict[str, Any], path: Path) -> dict[Any, str]:
    """The names of the categories by their ids."""
    place = f"{path}: category"
    listed = content["categories"]
    names = dict(zip(keys(listed, "id", place), texts(listed, "name", place), strict=True))
    if len(names) < len(listed):
        raise DataError(f"{path}: two categories have the same id; ids must be unique")
    return names


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
    bases = (top, root, path.parent)
    own = [base / name for base in bases for name in (split, f"images/{split}")]
    # minival2014 and trainval35k have their images in val2014 and train2014.
    if not any(folder.is_dir() for folder in own):
        own = [folder for base in bases for part in YEARS for folder in sorted(base.glob(part))]
    folders = [*own, *(base / name for base in bases for name in ("images", "."))]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _usable_images(
    entries: Sequence[dict[str, Any]], path: Path, *, folders: Sequence[Path], pattern: str
) -> _Images:
    """The images that are there, with their sizes; all of them if none is there."""
    ids = keys(entries, "id", f"{path}: image")
    if len(set(ids)) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise DataError(f"{path}: image id {twice} is there more than once; ids must be unique")
    names = texts(entries, "file_name", f"{path}: image")
    written = [size(entry, f"{path}: image") for entry in entries]
    find = _stack_finder(folders, pattern) if pattern else _finder(list(map(str, folders)))
    found = [None if _leads_out(name) else find(name) for name in names]
    absent = not any(found)
    usable, paths, sizes, problems = [], [], [], []
    for key, name, annotated, file in zip(ids, names, written, found, strict=True):
        place = f"{path}: image id {key}"
        try:
            single(folders[0] / name)
            if _leads_out(name):
                raise DataError(f"{place}: file_name leads out of the folder of images: {name}")
            if file is None and not absent:
                raise DataError(f"{place}: {_not_found(name, folders, pattern)}")
            file = file or str(folders[0] / name)
            sizes.append(annotated or image_size(file))
        except DataError as error:
            what = str(error).removeprefix(f"{place}: ")
            kind = "missing-image" if file is None else "unreadable-image"
            problems.append(Problem(place, what, "image dropped", kind))
            usable.append(False)
        else:
            usable.append(True)
            paths.append(file)
    row = np.cumsum(usable) - 1
    positions = {key: int(row[i]) if usable[i] else -1 for i, key in enumerate(ids)}
    note = f"{path}: none of the images is there: boxes only"
    return _Images(positions, paths, sizes, tuple(problems), (note,) if ids and absent else ())


def _not_found(name: str, folders: Sequence[Path], pattern: str) -> str:
    if pattern:
        stacks = (find_stack(folder, name, pattern) for folder in folders)
        name = ", ".join(min(stacks, key=lambda stack: len(stack.missing)).missing)
    return f"there is no file {name}; looked in {', '.join(map(str, folders))}"


def _stack_finder(folders: Sequence[Path], pattern: str) -> Callable[[str], str | None]:
    """As `_finder`, for images of several files."""

    def find(name: str) -> str | None:
        stacks = (find_stack(folder, name, pattern) for folder in folders)
        return next((stack.reference for stack in stacks if not stack.missing), None)

    return find


def _leads_out(name: str) -> bool:
    """Whether a file name is more than one of the data set's: another's file may say anything."""
    return JOINT in name or os.path.isabs(name) or ".." in name.split("/")


def _finder(folders: Sequence[str]) -> Callable[[str], str | None]:
    """A function from a file name to its file, in the first of `folders` that has it.

    Each folder is listed once: a look at each of 118,000 files takes minutes on a network drive.
    """

    @cache
    def listed(folder: str) -> frozenset[str]:
        try:
            with os.scandir(folder) as entries:
                return frozenset(entry.name for entry in entries if entry.is_file())
        except OSError:
            return frozenset()

    def find(name: str) -> str | None:
        inner, last = os.path.split(name)
        for folder in folders:
            if last in listed(os.path.join(folder, inner)):
                return os.path.join(folder, name)
        # Not under this very name: a file system may not tell A from a.
        candidates = (os.path.join(folder, name) for folder in folders)
        return next((file for file in candidates if os.path.isfile(file)), None)

    return find
