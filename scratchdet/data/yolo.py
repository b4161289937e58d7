"""YOLO: one text file of normalised boxes per image, class names in a YAML or classes.txt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from scratchdet.data.assemble import Found, OnBadBox, assemble
from scratchdet.data.images import EXTENSIONS, image_size
from scratchdet.data.references import files_of, single
from scratchdet.data.split import chosen_splits
from scratchdet.data.stacks import find_stack
from scratchdet.data.yolo_files import (
    image_files,
    label_file,
    labels_without_image,
    missing_labels,
    missing_note,
)
from scratchdet.data.yolo_labels import read_labels
from scratchdet.structures import DataError, DetectionData, Problem

LAYOUT = (
    "data.yaml with `names`, or images/SPLIT with labels/SPLIT and classes.txt, or classes.txt and"
    " images with their .txt files all in one folder"
)
YAML_KEYS = ("train", "val", "test")
CLASS_FILES = ("classes.txt", "labels/classes.txt")


class _Source(NamedTuple):
    """What the YAML file or the folders say."""

    names: dict[int, str]
    """Class names by the number in the label files."""
    splits: dict[str, list[Path]]
    """Folders of images, or text files that list images, by split; empty if there is but one."""
    images: Path
    """Where the images are if there are no splits."""


class _Image(NamedTuple):
    """One image that is named."""

    place: Path
    """Its file; of several files as if they were one, called by their stem."""
    reference: str
    labels: Path
    """Its label file, which need not exist."""


def recognises(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() in (".yaml", ".yml")
    if _yaml_file(path) is not None:
        return True
    return _has_class_file(path) and ((path / "labels").is_dir() or _is_flat(path))


def list_splits(path: Path) -> list[str]:
    return sorted(_source(path).splits)


def read(
    path: Path | str,
    *,
    split: str | None = None,
    on_bad_box: OnBadBox = "drop",
    classes: Sequence[str] | None = None,
    files: str = "",
) -> DetectionData:
    """A YOLO folder or its data.yaml; labels in order of the class numbers.

    Polygons (segmentation labels) become their bounding boxes. An image with an empty label file,
    or none, has no objects; those with none are listed, as are labels without an image. The YAML
    file and the lists it names may hold absolute paths, as those of training tools do: only
    read data that you trust to name its own files. files: the pattern of the names of images of
    several files, see `stacks`; labels are called by the stem, or like one of the files.
    """
    path = Path(path)
    source = _source(path)
    chosen = chosen_splits(split, sorted(source.splits), path)
    folders = {name: source.splits[name] for name in chosen} or {"images": [source.images]}
    parts = {name: _part(places, source.names, files) for name, places in folders.items()}
    return assemble(parts, classes=classes, on_bad_box=on_bad_box)


def faults(path: Path) -> list[str]:
    """What is wrong with the YAML files of a folder that cannot be read, one line for each."""
    return [str(content) for _, content in _yaml_files(path) if isinstance(content, DataError)]


def _yaml_files(root: Path) -> Iterator[tuple[Path, dict[str, Any] | DataError]]:
    """The YAML files of a folder with their contents, data.yaml first."""
    for file in sorted([*root.glob("*.yaml"), *root.glob("*.yml")], key=lambda f: f.stem != "data"):
        try:
            yield file, _load(file)
        except DataError as error:  # anyone's file, unless no other is YOLO's
            yield file, error


def _yaml_file(root: Path) -> Path | None:
    contents = _yaml_files(root)
    return next(
        (f for f, content in contents if isinstance(content, dict) and "names" in content), None
    )


def _has_class_file(root: Path) -> bool:
    return any((root / name).is_file() for name in CLASS_FILES)


def _is_flat(root: Path) -> bool:
    """Whether an image has its label file beside it, as labelImg writes them."""
    images = (path for path in root.glob("*") if path.suffix.lower() in EXTENSIONS)
    return any(path.with_suffix(".txt").is_file() for path in images)


def _load(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_bytes())
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: the 31st of June
        raise DataError(f"{file}: malformed YAML: {' '.join(str(error).split())}") from error
    return content if isinstance(content, dict) else {}


def _source(path: Path) -> _Source:
    file = path if path.is_file() else _yaml_file(path)
    if file is not None:
        content = _load(file)
        names = _names(content.get("names"), file)
        return _Source(names, _yaml_splits(content, file), file.parent / "images")
    for name in CLASS_FILES:
        if (path / name).is_file():
            lines = (path / name).read_text("utf-8-sig").splitlines()
            listed = [line.strip() for line in lines if line.strip()]
            folders = sorted(entry for entry in (path / "images").glob("*") if entry.is_dir())
            splits = {folder.name: [folder] for folder in folders}
            images = path if _is_flat(path) else path / "images"
            return _Source(dict(enumerate(listed)), splits, images)
    unread = "".join(f"\n  {fault}" for fault in faults(path))
    raise DataError(f"{path}: no YOLO class names here; looked for {LAYOUT}{unread}")


def _names(names: Any, file: Path) -> dict[int, str]:
    if isinstance(names, list):
        numbered = dict(enumerate(names))
    elif isinstance(names, dict) and all(_is_number(key) for key in names):
        numbered = {int(key): names[key] for key in sorted(names, key=int)}
    else:
        raise DataError(f"{file}: `names` must be a list of class names, or number: name pairs")
    for number, name in numbered.items():
        if type(name) not in (str, int, float):  # YAML reads a bare no as False
            raise DataError(
                f"{file}: the name of class {number} is read as {type(name).__name__}, not as text;"
                " put it in quotes"
            )
    return {number: str(name) for number, name in numbered.items()}


def _is_number(key: Any) -> bool:
    return isinstance(key, int | str) and str(key).isdecimal()


def _yaml_splits(content: dict[str, Any], file: Path) -> dict[str, list[Path]]:
    splits = {}
    for key in YAML_KEYS:
        entries = content.get(key) or []
        entries = [entries] if isinstance(entries, str) else entries
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise DataError(f"{file}: `{key}` must be a folder of images, a list file, or a list")
        if entries:
            splits[key] = [_resolve(entry, content, file) for entry in entries]
    return splits


def _resolve(entry: str, content: dict[str, Any], file: Path) -> Path:
    """The folder or list that an entry means.

    `path` is often that of another machine; and exports say `../train/images` for train/images.
    """
    path = content.get("path") or "."
    if not isinstance(path, str):
        raise DataError(f"{file}: `path` must be the name of a folder")
    bases = (file.parent / path, file.parent)
    tried = [base / name for base in bases for name in (entry, entry.removeprefix("../"))]
    return next((path for path in tried if path.exists()), tried[0])


def _part(sources: Sequence[Path], names: dict[int, str], pattern: str) -> Found:
    problems: list[Problem] = []
    images, sizes, labels = [], [], []
    named = (path for source in sources for path in image_files(source))
    for image in dict.fromkeys(_image(path, pattern) for path in named):
        if isinstance(image, Problem):
            problems.append(image)
            continue
        try:
            single(image.place)
            size = image_size(image.reference)
        except DataError as error:
            problems.append(
                Problem(str(image.place), str(error), "image dropped", "unreadable-image")
            )
            continue
        images.append(image)
        sizes.append(size)
        found, faults = read_labels(image.labels)
        labels.append(found)
        problems.extend(faults)
    files = [image.labels for image in images]
    missing = missing_labels(files)
    folders = (source for source in sources if not pattern and source.is_dir())
    unseen = dict.fromkeys(chain.from_iterable(map(labels_without_image, folders)))
    rows = [(file, label) for file, group in zip(files, labels, strict=True) for label in group]
    in_image = np.repeat(np.arange(len(images)), [len(group) for group in labels])
    written = np.array([label.box for _, label in rows], np.float64).reshape(-1, 4)
    extents = np.array(sizes, np.int32).reshape(-1, 2)
    half = written[:, 2:] / 2
    numbers = dict.fromkeys((*names, *(label.number for _, label in rows)))
    index = {number: position for position, number in enumerate(numbers)}
    return Found(
        ids=_ids([image.place for image in images]),
        paths=[image.reference for image in images],
        sizes=extents,
        images=in_image,
        boxes=np.hstack([written[:, :2] - half, written[:, :2] + half])
        * np.tile(extents[in_image], 2),
        written=written,
        names=[names.get(number, f"class {number}") for number in numbers],
        labels=np.array([index[label.number] for _, label in rows], np.int64),
        ignore=np.zeros(len(rows), bool),
        classes=list(names.values()),
        where=lambda row: f"{rows[row][0]}:{rows[row][1].line}",
        problems=(*problems, *missing, *unseen),
        notes=(
            *_score_note([f"{file}:{label.line}" for file, label in rows if label.scored]),
            *missing_note(missing, files),
        ),
    )


def _score_note(places: Sequence[str]) -> tuple[str, ...]:
    """How many boxes have a score, which may be a polygon's number as well."""
    if not places:
        return ()
    boxes = "1 box has" if len(places) == 1 else f"{len(places)} boxes have"
    return (f"{boxes} a sixth number, a score, which is passed over; the first is {places[0]}",)


def _image(path: Path, pattern: str) -> _Image | Problem:
    """The image that a file is, or is a part of."""
    if not pattern:
        return _Image(path, str(path), label_file(path))
    stack = find_stack("", str(path), pattern)
    if stack.missing:
        missing = ", ".join(stack.missing)
        what = f"there is no {missing} to go with it"
        return Problem(str(path), what, "image dropped", "missing-image")
    members = map(Path, files_of(stack.reference))
    labels = [label_file(place) for place in (stack.place, *members)]
    existing = next((file for file in labels if file.is_file()), labels[0])
    return _Image(stack.place, stack.reference, existing)


def _ids(images: Sequence[Path]) -> list[str]:
    """The stems; where one occurs twice, the whole path tells the images apart."""
    counts = Counter(image.stem for image in images)
    return [image.stem if counts[image.stem] == 1 else image.as_posix() for image in images]
