"""COCO's JSON: whether a file holds it, and its entries as what they must be."""

from __future__ import annotations

import gc
import json
import math
import reprlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from scratchdet.structures import DataError

MARKS = (b'"images"', b'"annotations"', b'"categories"')
CHUNK = 1 << 20  # bytes read at a time when looking for the marks
NO_BOX = [math.nan] * 4
LARGEST = sys.float_info.max
LONGEST_SIDE = 2**31 - 1  # pixels; sizes are kept as int32


def looks_like_coco(file: Path) -> bool:
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


def load(path: Path) -> dict[str, Any]:
    """The content, with lists of objects as images, categories and annotations (if any)."""
    try:
        content = json.loads(path.read_bytes(), object_hook=_without_outlines)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: malformed JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, numbers of thousands of digits
        raise DataError(f"{path}: not a JSON text: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: a list (of detections?), not COCO annotations")
    for key, needed in (("images", True), ("categories", True), ("annotations", False)):
        entries = content.get(key, None if needed else [])
        if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
            raise DataError(f"{path}: no list of {key} in it, so not COCO annotations")
    return content


def _without_outlines(entry: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an object: polygons are three quarters of the file, and of the memory."""
    entry.pop("segmentation", None)
    return entry


@contextmanager
def collector_paused() -> Iterator[None]:
    """Python's garbage collector rests, which would walk through all objects again and again.

    It takes more than half of the time of a million small ones, and finds nothing.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def keys(entries: Sequence[dict[str, Any]], key: str, place: str) -> list[Any]:
    """That id of every entry; DataError if one lacks it, or unless all are numbers or all texts."""
    values = [entry.get(key) for entry in entries]
    types = set(map(type, values))
    if types <= {int, float} or types == {str}:  # pandas writes ids with a decimal point
        return values
    usual = (int, float) if type(values[0]) in (int, float) else (str,)
    odd = next(entry for entry in entries if type(entry.get(key)) not in usual)
    raise DataError(_fault(odd, key, place, "ids are all numbers, or all texts"))


def texts(entries: Sequence[dict[str, Any]], key: str, place: str) -> list[str]:
    """That name of every entry; DataError if one lacks it or has something else there."""
    for entry in entries:
        if type(entry.get(key)) not in (str, int, float):
            raise DataError(_fault(entry, key, place, "it must be a text"))
    return [str(entry[key]) for entry in entries]


def _fault(entry: dict[str, Any], key: str, place: str, wanted: str) -> str:
    place = f"{place} {reprlib.repr(entry['id'])}" if "id" in entry else f"{place} without id"
    if key not in entry:
        return f"{place}: has no {key!r}"
    return f"{place}: its {key} is {reprlib.repr(entry[key])}; {wanted}"


def size(entry: dict[str, Any], place: str) -> tuple[int, int] | None:
    """(width, height) in pixels, None where the file does not say (some tools write 0)."""
    for side in ("width", "height"):
        if not entry.get(side):
            return None
        if type(entry[side]) not in (int, float) or not 1 <= entry[side] <= LONGEST_SIDE:
            raise DataError(_fault(entry, side, place, "it must be a number of pixels"))
    return int(entry["width"]), int(entry["height"])


def boxes(annotations: Sequence[dict[str, Any]]) -> np.ndarray:
    """(M, 4) float64 x, y, width, height; NaN, which no box has, if `bbox` is not four numbers."""
    found: list[Any] = [annotation.get("bbox") for annotation in annotations]
    found = [box if _is_box(box) else NO_BOX for box in found]
    numbers = np.fromiter(chain.from_iterable(found), np.float64, 4 * len(found)).reshape(-1, 4)
    numbers[~np.isfinite(numbers).all(axis=1)] = np.nan
    return numbers


def areas(annotations: Sequence[dict[str, Any]], written: np.ndarray) -> np.ndarray:
    """(M,) float64 areas of the masks; that of the box (`written`) where `area` is no number."""
    found: list[Any] = [annotation.get("area") for annotation in annotations]
    found = [area if _is_number(area) else math.nan for area in found]
    numbers = np.array(found, np.float64)
    return np.where(np.isfinite(numbers), numbers, written[:, 2] * written[:, 3])


def _is_box(box: object) -> bool:
    if type(box) is not list or len(box) != 4:
        return False
    return all(map(_is_number, box))


def _is_number(value: object) -> bool:
    # JSON has whole numbers that are too large for a float.
    return type(value) is float or (type(value) is int and abs(value) < LARGEST)
