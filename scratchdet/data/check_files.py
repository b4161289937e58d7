"""What is odd about image files, beyond those that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchdet.data.findings import Finding
from scratchdet.data.references import files_of
from scratchdet.data.survey import Survey
from scratchdet.structures import DetectionData


class Type(NamedTuple):
    """A type of image file."""

    name: str
    start: bytes
    """Its first bytes."""
    suffixes: tuple[str, ...]
    """How its name should end."""


TYPES = (
    Type("JPEG", b"\xff\xd8\xff", (".jpg", ".jpeg", ".jpe", ".jfif")),
    Type("PNG", b"\x89PNG\r\n\x1a\n", (".png",)),
    Type("TIFF", b"II*\0", (".tif", ".tiff")),
    Type("TIFF", b"MM\0*", (".tif", ".tiff")),
    Type("BMP", b"BM", (".bmp",)),
    Type("GIF", b"GIF8", (".gif",)),
    Type("WebP", b"RIFF", (".webp",)),
    Type("NumPy array", b"\x93NUMPY", (".npy",)),
)
LONGEST = max(len(type_.start) for type_ in TYPES)


def check_name(use: str, reference: str) -> Iterator[Finding]:
    """The files of an image that are something else than their names say; opens those that are not
    in a pack. What cannot be opened is passed over: the survey has told of it."""
    for file in map(Path, files_of(reference)):
        found = _type_of(file)
        if found is not None and file.suffix.lower() not in found.suffixes:
            what = f"is a {found.name}: its name should end in {found.suffixes[0]}"
            yield Finding("wrong-extension", use, str(file), what)


def _type_of(file: Path) -> Type | None:
    try:
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            start = stream.read(LONGEST)
    except OSError:
        return None
    return next((type_ for type_ in TYPES if start.startswith(type_.start)), None)


def check_files(use: str, data: DetectionData, survey: Survey) -> Iterator[Finding]:
    """Pictures with an EXIF orientation, and grey ones among those in colour.

    `data` as annotated, which the survey is of. A turned picture shows by its size; one that is
    mirrored, upside down or square does not.
    """
    for row in np.flatnonzero(survey.orientations > 1).tolist():
        orientation, (width, height) = int(survey.orientations[row]), survey.sizes[row].tolist()
        what = f"EXIF orientation {orientation}, {width}x{height}"
        if orientation < 5 or width == height:
            kind = "unsure-turn"
        else:
            kind = "turned-image"
            what += f", annotated as {data.sizes[row, 0]}x{data.sizes[row, 1]}"
        yield Finding(kind, use, data.paths[row], what)
    if survey.channels == 3 and (survey.stored == 3).any():
        for row in np.flatnonzero(survey.stored == 1).tolist():
            yield Finding("grey-among-rgb", use, data.paths[row], "1 channel, most others 3")
