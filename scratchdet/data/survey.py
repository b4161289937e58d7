"""What the image files of a data set are really like, found by decoding every one of them once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

from scratchdet.data.assemble import OnBadBox, refuse_bad
from scratchdet.data.images import read_image, stored_channels
from scratchdet.structures import DataError, DetectionData, Problem, Record, from_records

ASPECT_TOLERANCE = 0.01
"""Relative. An image that is of another size than annotated but of the same shape within this has
been resized after annotation, and its boxes are resized with it; any other is a wrong image."""

LEAST_STD = 1.0
"""Of 255. Pixels are divided by their spread, and a constant channel (a camera's unused one) has
none: one grey level, the rounding of the file, is the least that can be told from none."""

AHEAD = 8
"""Images submitted per thread before the first result is taken: enough that no thread waits, and
few enough that a huge data set is not queued as a whole."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Survey(NamedTuple):
    data: DetectionData
    """The images that can be used, with their true sizes; the problems found here are added."""
    channels: int
    """1 if every file is grey, else 3; or what was asked for."""
    mean: np.ndarray
    """(channels,) float64 over all pixels, in 0..255."""
    std: np.ndarray
    """(channels,) float64, as `mean`, at least `LEAST_STD`."""


class _Seen(NamedTuple):
    """One decoded image."""

    size: tuple[int, int]
    mean: np.ndarray
    variance: np.ndarray


def survey_images(
    data: DetectionData,
    *,
    threads: int,
    channels: int | None = None,
    on_bad_box: OnBadBox = "drop",
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Channels, mean and spread of all pixels, and the data without the images that cannot be used.

    The result is the same for any number of threads. `progress(done, total)` is called after every
    image, in the caller's thread. Without images the mean is 0 and the spread 1: no normalisation.
    With `on_bad_box="error"` images that cannot be used are a DataError.
    """
    with ThreadPoolExecutor(threads) as pool:  # OpenCV decodes without the interpreter lock
        mapped = partial(_mapped, pool, ahead=AHEAD * threads)
        if channels is None:
            channels = 1 if len(data) and all(mapped(_is_grey, data.paths)) else 3
        seen: list[_Seen | DataError] = []
        for result in mapped(partial(_look, channels=channels), data):
            seen.append(result)
            if progress is not None:
                progress(len(seen), len(data))
    usable, problems = _usable(data, seen)
    refuse_bad(problems, on_bad_box=on_bad_box)
    mean, std = _pixel_statistics([one for one in seen if isinstance(one, _Seen)], channels)
    return Survey(replace(usable, problems=data.problems + problems), channels, mean, std)


def _mapped(
    pool: ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    ahead: int,
) -> Iterator[Result]:
    """The results in the order of `items`, at most `ahead` of which are under way at any time."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _is_grey(path: str) -> bool:
    try:
        return stored_channels(path) == 1
    except DataError:
        return True  # no say in the matter: it is dropped when it cannot be decoded either


def _look(record: Record, *, channels: int) -> _Seen | DataError:
    try:
        pixels = read_image(record.path, channels=channels, annotated_size=record.size)
    except DataError as error:
        return error
    mean, std = cv2.meanStdDev(pixels)
    return _Seen((pixels.shape[1], pixels.shape[0]), mean[:, 0], std[:, 0] ** 2)


def _pixel_statistics(seen: list[_Seen], channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the pixels of all images, in image order."""
    if not seen:
        return np.zeros(channels), np.ones(channels)
    pixels = np.array([one.size[0] * one.size[1] for one in seen], np.float64)
    means = np.stack([one.mean for one in seen])
    mean = np.average(means, axis=0, weights=pixels)
    # The spread of all pixels: within the images, and of the images around the common mean.
    within = np.stack([one.variance for one in seen])
    variance = np.average(within + (means - mean) ** 2, axis=0, weights=pixels)
    return mean, np.maximum(np.sqrt(variance), LEAST_STD)


def _usable(
    data: DetectionData, seen: list[_Seen | DataError]
) -> tuple[DetectionData, tuple[Problem, ...]]:
    """The images that were decoded and are what was annotated, boxes in their true pixels."""
    if [list(one.size) for one in seen if isinstance(one, _Seen)] == data.sizes.tolist():
        return data, ()
    judged = [_judge(record, found) for record, found in zip(data, seen, strict=True)]
    problems = tuple(problem for _, problem in judged if problem is not None)
    usable = from_records([record for record, _ in judged if record is not None], data.classes)
    return replace(usable, notes=data.notes), problems


def _judge(record: Record, found: _Seen | DataError) -> tuple[Record | None, Problem | None]:
    """The record with its true size, if the image can be used; and what is wrong with it."""
    where = str(record.path)
    if isinstance(found, DataError):
        return None, Problem(where, str(found).removeprefix(f"{where}: "), "image dropped")
    if found.size == record.size:
        return record, None
    (width, height), (annotated_width, annotated_height) = found.size, record.size
    scale = width / annotated_width, height / annotated_height
    what = f"is {width}x{height}, but annotated as {annotated_width}x{annotated_height}"
    if abs(scale[0] / scale[1] - 1) > ASPECT_TOLERANCE:
        return None, Problem(where, f"{what}: another shape, another image?", "image dropped")
    resized = replace(
        record, size=found.size, boxes=(record.boxes * (scale * 2)).astype(np.float32)
    )
    return resized, Problem(where, f"{what}: its boxes are resized to fit", "kept")
