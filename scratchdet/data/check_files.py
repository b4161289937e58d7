"""What is odd about image files, beyond those that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scratchdet.data.findings import Finding
from scratchdet.data.references import files_of
from scratchdet.data.survey import Survey
from scratchdet.structures import DetectionData

NAMES = {
    "JPEG": (b"\xff\xd8\xff", (".jpg", ".jpeg", ".jpe", ".jfif")),
    "PNG": (b"\x89PNG\r\n\x1a\n", (".png",)),
    "TIFF": (b"II*\0", (".tif", ".tiff")),
    "TIFF ": (b"MM\0*", (".tif", ".tiff")),
    "BMP": (b"BM", (".bmp",)),
    "GIF": (b"GIF8", (".gif",)),
    "WebP": (b"RIFF", (".webp",)),
    "NumPy array": (b"\x93NUMPY", (".npy",)),
}
"""By what a file is: its first bytes, and how its name should end."""
LONGEST = max(len(start) for start, _ in NAMES.values())


def check_names(use: str, data: DetectionData) -> Iterator[Finding]:
    """The files that are something else than their names say; opens each that is not in a pack."""
    for reference in data.paths:
        for file in map(Path, files_of(reference)):
            if file.is_file() and (kind := _kind_of(file)):
                suffixes = NAMES[kind][1]
                if file.suffix.lower() not in suffixes:
                    what = f"is a {kind.strip()}, which is called {suffixes[0]}"
                    yield Finding("wrong-extension", use, str(file), what)


def _kind_of(file: Path) -> str:
    """A key of NAMES; empty for anything else."""
    with file.open("rb") as stream:
        start = stream.read(LONGEST)
    return next((kind for kind, (magic, _) in NAMES.items() if start.startswith(magic)), "")


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
