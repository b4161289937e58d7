"""What is written, and where; and that nothing of the user's is overwritten."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchdet.analysis.plots import draw_detections, fitted
from scratchdet.data.images import EXTENSIONS
from scratchdet.detecting.sources import VIDEOS
from scratchdet.structures import Arrays, DataError

LEAST_PICTURE = 320
"""Pixels of the longer side; smaller images are enlarged, or their tags would hide them."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is wanted."""

    folder: Path
    formats: Sequence[str] = ("jsonl",)
    """Of the results, out of WRITERS."""
    pictures: bool = True
    """Annotated ones, and annotated videos."""


def check_folder(output: Output) -> None:
    """DataError if there are pictures in the folder, but no results that they could be part of."""
    folder = output.folder
    if not output.pictures or not folder.is_dir() or any(folder.glob("detections.*")):
        return
    if any(file.suffix.lower() in (*EXTENSIONS, *VIDEOS) for file in folder.iterdir()):
        raise DataError(
            f"{folder}: holds pictures that are no results, and might be overwritten; "
            "give another --out"
        )


def check_target(target: Path, sources: Sequence[str]) -> None:
    """DataError if `target` is one of the files that are looked at."""
    if target.resolve() in [Path(source).resolve() for source in sources]:
        raise DataError(f"{target} would be overwritten by its result; give another --out")


def drawn(image: np.ndarray, found: Arrays, classes: Sequence[str]) -> np.ndarray:
    """An RGB picture of the image, of its size, with what was found."""
    return draw_detections(image, *found, classes=classes)


def drawn_large(image: np.ndarray, found: Arrays, classes: Sequence[str]) -> np.ndarray:
    """As `drawn`, with at least LEAST_PICTURE pixels on the longer side."""
    if max(image.shape[:2]) >= LEAST_PICTURE:
        return drawn(image, found, classes)
    picture, factors = fitted(image, LEAST_PICTURE)
    return drawn(picture, found._replace(boxes=found.boxes * factors), classes)
