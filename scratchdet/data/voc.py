"""PASCAL VOC: one XML file per image, splits as lists of ids; a single folder or a VOCdevkit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError
from xml.parsers import expat

import numpy as np
from defusedxml import ElementTree

from scratchdet.data.assemble import Found, OnBadBox, assemble
from scratchdet.data.images import EXTENSIONS, image_size
from scratchdet.data.split import chosen_splits
from scratchdet.structures import DataError, DetectionData, Problem

LAYOUT = "Annotations/*.xml with JPEGImages/ beside it, or a VOCdevkit of such folders"
IMAGE_FOLDERS = ("JPEGImages", "images", ".")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _File(NamedTuple):
    """One annotation file as it stands."""

    path: Path
    image: str
    """<filename>, which may be wrong or empty."""
    size: tuple[int, int] | None
    names: list[str]
    corners: list[list[float]]
    difficult: list[bool]


class _Folder(NamedTuple):
    """One year: everything in its Annotations, whatever the split, so that all splits agree."""

    root: Path
    files: dict[str, _File]
    broken: dict[str, Problem]
    from_zero: Path | None
    """The first file with a corner below 1, so that corners count from 0; None: they do from 1."""


def recognises(path: Path) -> bool:
    return bool(_roots(path))


def list_splits(path: Path) -> list[str]:
    """Names in ImageSets/Main, without the lists of single classes (`aeroplane_train`)."""
    names = _split_names(path)
    per_class = {
        name
        for name in names
        if name.rpartition("_")[0] and name.rpartition("_")[2] in names and _has_flags(path, name)
    }
    return [name for name in names if name not in per_class]


def read(
    path: Path | str,
    *,
    split: str | None = None,
    on_bad_box: OnBadBox = "drop",
    classes: Sequence[str] | None = None,
) -> DetectionData:
    """A VOC folder or all years of a VOCdevkit; without `split` every annotated image.

    Classes are the sorted names in all annotations, whatever the split. Corners count from 1 and
    include the last pixel, unless a corner below 1 anywhere in a year shows that they count from 0.
    Images without annotation are problems where no lists say which images are meant.
    """
    path = Path(path)
    roots = _roots(path)
    if not roots:
        raise DataError(f"{path}: no VOC data here; looked for {LAYOUT}")
    chosen = None if split is None else chosen_splits(split, _split_names(path), path)
    years = [_read_folder(root) for root in roots]
    names = sorted({name for year in years for file in year.files.values() for name in file.names})
    parts = {_name(year.root): _part(year, chosen, names) for year in years}
    return assemble(parts, classes=classes, on_bad_box=on_bad_box)


def _roots(path: Path) -> list[Path]:
    if (path / "Annotations").is_dir():
        return [path]
    return sorted(folder.parent for folder in path.glob("*/Annotations") if folder.is_dir())


def _name(root: Path) -> str:
    """The name of a year as the user has it: links may lead to folders of the same name."""
    return os.path.basename(os.path.abspath(root))


def _split_files(path: Path) -> list[Path]:
    files = (sorted((root / "ImageSets/Main").glob("*.txt")) for root in _roots(path))
    return list(chain.from_iterable(files))


def _split_names(path: Path) -> list[str]:
    return sorted({file.stem for file in _split_files(path)})


def _has_flags(path: Path, name: str) -> bool:
    lines = chain.from_iterable(_lines(file) for file in _split_files(path) if file.stem == name)
    return all(_without_flag(line) != line for line in lines)


def _lines(file: Path) -> list[str]:
    text = file.read_text("utf-8-sig", "surrogateescape")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _without_flag(line: str) -> str:
    """The id in `000005 -1`; an id may have spaces of its own."""
    head, _, flag = line.rpartition(" ")
    return head.strip() if head and flag in ("-1", "0", "1") else line


def _listed(root: Path, splits: Sequence[str]) -> list[str]:
    files = (root / "ImageSets/Main" / f"{split}.txt" for split in splits)
    lines = chain.from_iterable(_lines(file) for file in files if file.is_file())
    # `photo 1` may be an id of its own: an annotation of that name decides.
    whole = {path.stem for path in (root / "Annotations").glob("* *.xml")}
    return list(dict.fromkeys(line if line in whole else _without_flag(line) for line in lines))


def _read_folder(root: Path) -> _Folder:
    files, broken = {}, {}
    for path in sorted((root / "Annotations").glob("*.xml")):
        try:
            files[path.stem] = _read_file(path)
        except ParseError as error:
            where = f"{path}:{error.position[0]}"
            broken[path.stem] = Problem(where, f"malformed XML: {error}", "image dropped")
        # LookupError, ValueError: unknown encodings, and the document types defusedxml refuses.
        except (OSError, LookupError, ValueError) as error:
            broken[path.stem] = Problem(str(path), f"cannot be read: {error!r}", "image dropped")
    from_zero = next((file.path for file in files.values() if _counts_from_zero(file)), None)
    return _Folder(root, files, broken, from_zero)


def _counts_from_zero(file: _File) -> bool:
    """Whether a corner is below 1; of boxes with area, as others may be mere placeholders."""
    return any(
        (xmin < 1 or ymin < 1) and xmax > xmin and ymax > ymin
        for xmin, ymin, xmax, ymax in file.corners
    )


def _read_file(path: Path) -> _File:
    tree = ElementTree.fromstring(path.read_bytes(), forbid_dtd=True)
    # Only direct children: <part> and <attributes> have names and boxes of their own.
    objects = tree.findall("object")
    return _File(
        path=path,
        image=(tree.findtext("filename") or "").strip(),
        size=_size(tree),
        names=[(item.findtext("name") or "").strip() for item in objects],
        corners=[[_number(item.findtext(f"bndbox/{c}")) for c in CORNERS] for item in objects],
        difficult=[
            (item.findtext("difficult") or "").strip().lower() in ("1", "true") for item in objects
        ],
    )


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _size(tree: Element) -> tuple[int, int] | None:
    """(width, height), None where the file does not say (some tools write 0)."""
    width, height = _number(tree.findtext("size/width")), _number(tree.findtext("size/height"))
    return (int(width), int(height)) if width >= 1 and height >= 1 else None


def _part(year: _Folder, splits: Sequence[str] | None, names: Sequence[str]) -> Found:
    """The images of a year that are in `splits` and have both annotation and image."""
    annotated = sorted((*year.files, *year.broken))
    ids = annotated if splits is None else _listed(year.root, splits)
    images = _images(year.root)
    found: list[tuple[str, Path, tuple[int, int], _File]] = []
    problems = []
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
        where=lambda row: _place(*rows[row]),
        empty_side=float(first),
        problems=tuple(problems),
        notes=(_corner_note(year),),
    )


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
        Problem(str(path), "the image has no annotation", "image dropped")
        for path in left
        if path not in used
    ]


def _images(root: Path) -> dict[str, list[Path]]:
    """Image files by stem, from the first of the usual folders that exists."""
    folder = next(root / name for name in IMAGE_FOLDERS if (root / name).is_dir())
    images: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in EXTENSIONS:
            images.setdefault(path.stem, []).append(path)
    return images


def _locate(
    image_id: str, year: _Folder, images: dict[str, list[Path]]
) -> tuple[Path, tuple[int, int], _File] | Problem:
    """Image, size and annotation of an id, or what is missing.

    The image is the one called like the annotation, as the devkit has it; <filename> decides
    between several (a.jpg, a.png) and helps where there is none (it is often copied or stale).
    """
    if image_id in year.broken:
        return year.broken[image_id]
    file = year.files.get(image_id)
    if file is None:
        missing = str(year.root / "Annotations" / f"{image_id}.xml")
        return Problem(missing, "listed in the split, but there is no such file", "image dropped")
    named = [path for path in images.get(Path(file.image).stem, ()) if path.name == file.image]
    candidates = images.get(image_id, named)
    if not candidates:
        what = f"there is no image {file.image or image_id} for it in {year.root}"
        return Problem(str(file.path), what, "image dropped")
    image = named[0] if named and named[0] in candidates else candidates[0]
    try:
        return image, file.size or image_size(image), file
    except DataError as error:
        return Problem(str(file.path), str(error), "image dropped")


def _place(file: _File, index: int) -> str:
    """`path:line` of an object; the file is parsed again, because trees do not keep lines."""
    return f"{file.path}:{_object_lines(file.path.read_bytes())[index]}"


def _object_lines(text: bytes) -> Sequence[int]:
    """The lines on which the <object> children of the root begin."""
    parser = expat.ParserCreate()
    open_tags: list[str] = []
    lines: list[int] = []

    def start(tag: str, _: Iterable[str]) -> None:
        if tag == "object" and len(open_tags) == 1:
            lines.append(parser.CurrentLineNumber)
        open_tags.append(tag)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_tags.pop()
    parser.Parse(text, True)
    return lines
