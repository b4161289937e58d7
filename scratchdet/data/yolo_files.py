"""YOLO's files: the images there are, and where the labels of each may be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scratchdet.data.images import EXTENSIONS
from scratchdet.data.yolo_labels import read_labels
from scratchdet.structures import DataError, Problem


def image_files(source: Path) -> list[Path]:
    """The images in a folder, with those in folders below it, or in a text file that lists them."""
    if source.is_dir():
        return [path for path in sorted(source.rglob("*")) if path.suffix.lower() in EXTENSIONS]
    if source.suffix == ".txt" and source.is_file():
        lines = source.read_text("utf-8-sig", "surrogateescape").splitlines()
        return [source.parent / line.strip() for line in lines if line.strip()]
    raise DataError(f"{source}: no such folder of images, nor a .txt file that lists them")


def label_file(image: Path) -> Path:
    """The file of an image's labels; where there is none, the one that was looked for first."""
    apart, beside = _label_files(image)
    return beside if beside.is_file() and not apart.is_file() else apart


def _label_files(image: Path) -> tuple[Path, Path]:
    """Where the labels of an image may be: in a folder apart, and beside it."""
    apart = _label_folder(image.parent) / image.name
    return apart.with_suffix(".txt"), image.with_suffix(".txt")


def _label_folder(folder: Path) -> Path:
    """`images` becomes `labels` in the path, the last time it occurs."""
    parts = list(folder.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def missing_labels(files: Sequence[Path]) -> tuple[Problem, ...]:
    """One for each label file that is not there: meant to be so, or lost."""
    what = "there is no such label file: taken as an image without objects"
    return tuple(
        Problem(str(file), what, "kept", "missing-labels") for file in files if not file.is_file()
    )


def missing_note(missing: Sequence[Problem], labels: Sequence[Path]) -> tuple[str, ...]:
    """How many label files are not there; of many it is rather the folder that is wrong."""
    if not missing:
        return ()
    says = any(file.is_file() and not file.stat().st_size for file in labels)
    other = ", while others have an empty one" if says else ""
    return (
        f"{len(missing)} of {len(labels)} images without a label file{other}, taken as images "
        f"without objects; the first: {missing[0].where}",
    )


def labels_without_image(folder: Path) -> list[Problem]:
    """The files with labels in them that no image in the folder, nor below it, is called like."""
    images = image_files(folder)
    known = {file for image in images for file in _label_files(image)}
    places = dict.fromkeys((_label_folder(folder), folder))
    texts = dict.fromkeys(file for place in places for file in sorted(place.rglob("*.txt")))
    what = "the label file has no image"
    return [
        Problem(str(file), what, "image dropped", "label-without-image")
        for file in texts
        if file not in known and read_labels(file)[0]  # else a list, or what people write
    ]
