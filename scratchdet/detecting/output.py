"""What is written, and where; and that nothing of the user's is overwritten."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from scratchdet.analysis.plots import draw_detections, fitted
from scratchdet.detecting.mark import is_marked, marked_png
from scratchdet.files import replacing
from scratchdet.structures import Arrays, DataError

PICTURE, VIDEO = ".png", ".mp4"

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
    """DataError if a picture or video there that might be overwritten is none of a former run."""
    if not output.pictures or not output.folder.is_dir():
        return
    for file in output.folder.iterdir():
        if file.suffix.lower() in (PICTURE, VIDEO) and not is_marked(file):
            raise DataError(
                f"{file}: is no annotated picture or video of `detect`, and might be overwritten; "
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


def save_picture(picture: np.ndarray, target: Path) -> None:
    """Writes the RGB picture as a PNG that the next run may replace, whole or not at all."""
    encoded = cv2.imencode(PICTURE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    with replacing(target) as temporary:
        temporary.write_bytes(marked_png(encoded.tobytes()))
