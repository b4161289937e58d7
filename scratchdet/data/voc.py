"""PASCAL VOC: one XML file per image, splits as lists of ids; a single folder or a VOCdevkit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import ParseError

import numpy as np

from scratchdet.data.assemble import Found, OnBadBox, assemble
from scratchdet.data.images import EXTENSIONS, image_size
from scratchdet.data.references import single
from scratchdet.data.split import chosen_splits
from scratchdet.data.stacks import find_stack, group
from scratchdet.data.voc_xml import (
    Annotation,
    counts_from_zero,
    place_of_object,
    read_annotation,
    text_of_object,
)
from scratchdet.structures import DataError, DetectionData, Problem

LAYOUT = "Annotations/*.xml with JPEGImages/ beside it, or a VOCdevkit of such folders"
IMAGE_FOLDERS = ("JPEGImages", "images", ".")


class _Folder(NamedTuple):
    """One year: everything in its Annotations, whatever the split, so that all splits agree."""

    root: Path
    files: dict[str, Annotation]
    broken: dict[str, Problem]
    from_zero: Path | None
    """The first file with a corner below 1, so that corners count from 0; None: they do from 1."""
    pattern: str
    """Of the names of the files of an image, see `stacks`; empty: one file is one image."""


def recognises(path: Path) -> bool:
    return bool(_roots(path))


def list_splits(path: Path) -> list[str]:
    """Names in ImageSets/Main, without the lists of single classes (`aeroplane_train`).

    Each stands for all years of a devkit; `read` takes those of one year too: `VOC2007/train`.
    """
    lists = _lists(_roots(path))
    names = {name for name in lists if "/" not in name}
    per_class = {
        name
        for name in names
        if name.rpartition("_")[0]
        and name.rpartition("_")[2] in names
        and all(without_flag(line) != line for file in lists[name] for line in lines_of(file))
    }
    return sorted(names - per_class)


def read(
    path: Path | str,
    *,
    split: str | None = None,
    on_bad_box: OnBadBox = "drop",
    classes: Sequence[str] | None = None,
    files: str = "",
) -> DetectionData:
    """A VOC folder or all years of a VOCdevkit; without `split` every annotated image.

    `VOC2007/trainval+VOC2007/test+VOC2012/trainval` joins splits of single years.
    Classes are the sorted names in all annotations, whatever the split. Corners count from 1 and
    include the last pixel, unless a corner below 1 anywhere in a year shows that they count from 0.
    Images without annotation are problems where no lists say which images are meant. files: the
    pattern of the names of images of several files, see `stacks`; the stem is that of the
    annotation.
    """
    path = Path(path)
    roots = _roots(path)
    if not roots:
        raise DataError(f"{path}: no VOC data here; looked for {LAYOUT}")
    lists = None if split is None else chosen_lists(path, split)
    years = [_read_folder(root, files) for root in roots]
    names = sorted({name for year in years for file in year.files.values() for name in file.names})
    parts = {_name(year.root): _part(year, lists, names) for year in years}
    return assemble(parts, classes=classes, on_bad_box=on_bad_box)


def _roots(path: Path) -> list[Path]:
    if (path / "Annotations").is_dir():
        return [path]
    return sorted(folder.parent for folder in path.glob("*/Annotations") if folder.is_dir())


def _name(root: Path) -> str:
    """The name of a year as the user has it: links may lead to folders of the same name."""
    return os.path.basename(os.path.abspath(root))


def _lists(roots: Sequence[Path]) -> dict[str, list[Path]]:
    """The lists of images by the name of their split: `train` of all years, `VOC2007/train`."""
    lists: dict[str, list[Path]] = {}
    for root in roots:
        for file in sorted((root / "ImageSets/Main").glob("*.txt")):
            for name in (file.stem, f"{_name(root)}/{file.stem}"):
                lists.setdefault(name, []).append(file)
    return lists


def list_year_splits(path: Path) -> list[str]:
    """The splits of single years, `VOC2007/train`; empty if there is but one year."""
    roots = _roots(path)
    names = list_splits(path)
    several = _lists(roots) if len(roots) > 1 else {}
    return [name for name in several if "/" in name and Path(name).name in names]


def chosen_lists(path: Path, split: str) -> list[Path]:
    """The files ROOT/ImageSets/Main/NAME.txt that a split stands for."""
    lists = _lists(_roots(path))
    offered = list_splits(path) + list_year_splits(path)
    chosen = chosen_splits(split, offered, path, also=lists)
    return list(dict.fromkeys(file for name in chosen for file in lists[name]))


def lines_of(file: Path) -> list[str]:
    """The lines that are not blank."""
    text = file.read_text("utf-8-sig", "surrogateescape")
    return [line.strip() for line in text.splitlines() if line.strip()]


def without_flag(line: str) -> str:
    """The id in `000005 -1`; an id may have spaces of its own."""
    head, _, flag = line.rpartition(" ")
    return head.strip() if head and flag in ("-1", "0", "1") else line


def _listed(file: Path, year: _Folder) -> list[str]:
    # `photo 1` may be an id of its own: an annotation of that name decides.
    known = year.files.keys() | year.broken.keys()
    return [line if line in known else without_flag(line) for line in lines_of(file)]


def _read_folder(root: Path, pattern: str) -> _Folder:
    files, broken = {}, {}
    for path in sorted((root / "Annotations").glob("*.xml")):
        try:
            files[path.stem] = read_annotation(path)
        except ParseError as error:
            where = f"{path}:{error.position[0]}"
            what = f"malformed XML: {error}"
            broken[path.stem] = _unreadable(where, what)
        # LookupError, ValueError: unknown encodings, and the document types defusedxml refuses.
        except (OSError, LookupError, ValueError) as error:
            broken[path.stem] = _unreadable(str(path), f"cannot be read: {error!r}")
    from_zero = next((file.path for file in files.values() if counts_from_zero(file)), None)
    return _Folder(root, files, broken, from_zero, pattern)


def _unreadable(where: str, what: str) -> Problem:
    return Problem(where, what, "image dropped", "unreadable-annotation")


def _part(year: _Folder, lists: Sequence[Path] | None, names: Sequence[str]) -> Found:
    """The images of a year that are in `lists` and have both annotation and image."""
    annotated = sorted((*year.files, *year.broken))
    ids, problems = (annotated, []) if lists is None else _wanted(lists, year)
    images = images_by_stem(year.root, year.pattern)
    found: list[tuple[str, Path, tuple[int, int], Annotation]] = []
    for image_id in ids:
        located = _locate(image_id, year, images)
        if isinstance(located, Problem):
            problems.append(located)
        else:
            found.append((image_id, *located))
    if not list((year.root / "ImageSets/Main").glob("*.txt")):
        used = {path for _, path, *_ in found}
        problems += _unannotated(set(annotated), images, used)
    first = 1 if year.from_zero is None else 0
    files = [file for *_, file in found]
    label = {name: index for index, name in enumerate(names)}
    written = np.array([c for f in files for c in f.corners], np.float64).reshape(-1, 4)
    rows = [(file, index) for file in files for index in range(len(file.names))]
    return Found(
        ids=[image_id for image_id, *_ in found],
        paths=[str(path) for _, path, *_ in found],
        sizes=np.array([size for _, _, size, _ in found], np.int32).reshape(-1, 2),
        images=np.repeat(np.arange(len(files)), [len(file.names) for file in files]),
        boxes=written - first * np.array([1, 1, 0, 0]),
        written=written,
        names=names,
        labels=np.array([label[n] for f in files for n in f.names], np.int64),
        ignore=np.array([d for f in files for d in f.difficult], bool),
        classes=[name for name in names if name],
        where=lambda row: place_of_object(*rows[row]),
        text=lambda row: text_of_object(*rows[row]),
        empty_side=float(first),
        problems=tuple(problems),
        notes=(_corner_note(year),),
    )


def _wanted(lists: Sequence[Path], year: _Folder) -> tuple[list[str], list[Problem]]:
    """The ids in those of `lists` that are of this year, each once.

    A list of which nothing is annotated is one problem, not thousands.
    """
    wanted: list[str] = []
    problems: list[Problem] = []
    for file in lists:
        if year.root not in file.parents:
            continue
        ids = _listed(file, year)
        if ids and not (year.files.keys() | year.broken.keys()).intersection(ids):
            what = f"none of its {len(ids)} images has an annotation in {year.root / 'Annotations'}"
            hint = " (challenges publish their test images without)"
            problems.append(Problem(str(file), what + hint, "image dropped", "missing-annotation"))
        else:
            wanted += ids
    return list(dict.fromkeys(wanted)), problems


def _corner_note(year: _Folder) -> str:
    name = _name(year.root)
    if year.from_zero is None:
        return f"{name}: VOC corners count from 1 (no box has one below 1)"
    return f"{name}: VOC corners count from 0 (one in {year.from_zero.name} is below 1)"


def _unannotated(
    annotated: set[str], images: dict[str, list[Path]], used: set[Path]
) -> list[Problem]:
    """The images that no annotation is called like, nor names."""
    left = chain.from_iterable(paths for stem, paths in images.items() if stem not in annotated)
    return [
        Problem(str(path), "the image has no annotation", "image dropped", "unannotated-image")
        for path in left
        if path not in used
    ]


def _image_folder(root: Path) -> Path:
    return next(root / name for name in IMAGE_FOLDERS if (root / name).is_dir())


def images_by_stem(root: Path, pattern: str) -> dict[str, list[Path]]:
    """References of images by stem, from the first of the usual folders that exists."""
    folder = _image_folder(root)
    images: dict[str, list[Path]] = {}
    if pattern:
        files = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in EXTENSIONS)
        stacks = group(files, pattern).images
        return {stack.place.stem: [Path(stack.reference)] for stack in stacks}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in EXTENSIONS:
            images.setdefault(path.stem, []).append(path)
    return images


def _locate(
    image_id: str, year: _Folder, images: dict[str, list[Path]]
) -> tuple[Path, tuple[int, int], Annotation] | Problem:
    """Image, size and annotation of an id, or what is missing.

    The image is the one called like the annotation, as the devkit has it; <filename> decides
    between several (a.jpg, a.png) and helps where there is none (it is often copied or stale).
    """
    if image_id in year.broken:
        return year.broken[image_id]
    file = year.files.get(image_id)
    if file is None:
        missing = str(year.root / "Annotations" / f"{image_id}.xml")
        what = "listed in the split, but there is no such file"
        return Problem(missing, what, "image dropped", "missing-annotation")
    if year.pattern:
        return _locate_stack(image_id, file, year)
    named = [path for path in images.get(Path(file.image).stem, ()) if path.name == file.image]
    candidates = images.get(image_id, named)
    if not candidates:
        what = f"there is no image {file.image or image_id} for it in {year.root}"
        return Problem(str(file.path), what, "image dropped", "missing-image")
    image = named[0] if named and named[0] in candidates else candidates[0]
    try:
        single(image)
        return image, file.size or image_size(image), file
    except DataError as error:
        return Problem(str(file.path), str(error), "image dropped", "unreadable-image")


def _locate_stack(
    image_id: str, file: Annotation, year: _Folder
) -> tuple[Path, tuple[int, int], Annotation] | Problem:
    """As `_locate`, for images of several files, all of which are needed."""
    folder = _image_folder(year.root)
    names = dict.fromkeys((image_id, file.image or image_id))
    stack = min(
        (find_stack(folder, name, year.pattern) for name in names),
        key=lambda found: len(found.missing),
    )
    try:
        single(stack.place)
        if stack.missing:
            raise DataError(f"there is no {', '.join(stack.missing)} for it")
        return Path(stack.reference), file.size or image_size(stack.reference), file
    except DataError as error:
        return Problem(str(file.path), str(error), "image dropped", "unreadable-image")
