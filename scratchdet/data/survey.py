"""What the image files of a data set are really like, found by decoding every one of them once.

A survey holds what was found, without the annotations: a run that is resumed applies the survey it
began with to annotations read again, and decodes nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np

from scratchdet.data.assemble import OnBadBox, refuse_bad
from scratchdet.data.looks import BITS, DIGEST, Look, look
from scratchdet.data.references import files_of
from scratchdet.structures import DataError, DetectionData, Problem, Record, Strings

ASPECT_TOLERANCE = 0.01
"""Relative. An image that is of another size than annotated but of the same shape within this has
been resized after annotation, and its boxes are resized with it; any other is a wrong image."""

LEAST_STD = 1.0
"""Of whole numbers, in levels. Pixels are divided by their spread, and a constant channel (a
camera's unused one) has none: one level, the rounding of the file, is the least that can be told
from none."""
LEAST_RELATIVE_STD = 1e-3
"""Of float pixels, which have no levels, in means of the channel; our choice, about a quarter of
what a level is to white in 8 bits. 1 for a channel that is nothing but 0."""

SHOWN_FILES = 5
"""In an error message, of every kind; the rest is counted."""

AHEAD = 8
"""Images submitted per thread before the first result is taken: enough that no thread waits, and
few enough that a huge data set is not queued as a whole."""

Judged = tuple[tuple[float, float] | None, list[Problem]]
"""What x and y of an image grow by, None if it is left out; and what is wrong with it."""
Item = TypeVar("Item")
Result = TypeVar("Result")


class Survey(NamedTuple):
    sizes: np.ndarray
    """(N, 2) int32: the true width and height of every image; 0 of one that is not decoded."""
    remarks: Strings
    """On every image: why it is not decoded, or how it is if not as it stands; empty for most."""
    channels: int
    """What every image has; 3 if some are grey and the others RGB; or what was asked for."""
    dtype: str
    """One of `ops.pixels.DTYPES`."""
    is_rgb: bool
    """The channels are red, green and blue, not any three bands."""
    mean: np.ndarray
    """(channels,) float64 over all pixels, in units of the pixels."""
    std: np.ndarray
    """(channels,) float64, as `mean`; at least `LEAST_STD` (or `LEAST_RELATIVE_STD`)."""
    stored: np.ndarray
    """(N,) int32: channels of each file as it is stored; 0 of one that is not decoded."""
    orientations: np.ndarray
    """(N,) uint8: as `Look` has them; 0 of an image that is not decoded."""
    digests: np.ndarray
    """(N, 8) uint8: of the pixels; 0 of an image that is not decoded."""
    prints: np.ndarray
    """(N, 32) uint8: what the image looks like, see `looks.print_of`; 0 if it cannot be said."""

    def subset(self, rows: np.ndarray) -> Survey:
        """What is known of the images at `rows`; the common values stay."""
        return self._replace(
            sizes=self.sizes[rows],
            remarks=self.remarks.take(rows),
            stored=self.stored[rows],
            orientations=self.orientations[rows],
            digests=self.digests[rows],
            prints=self.prints[rows],
        )


def survey_images(
    data: DetectionData,
    *,
    threads: int,
    channels: int | None = None,
    dtype: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """What the image files of `data` are.

    The result is the same for any number of threads. `progress(done, total)` is called after every
    image, in the caller's thread. Without images the mean is 0 and the spread 1: no normalisation.
    Images of other than the `channels` and `dtype` asked for cannot be used; if nothing is asked
    for, all must be of one type and number of channels (or grey and RGB), else a DataError lists
    those that are not.
    """
    with ThreadPoolExecutor(threads) as pool:  # OpenCV decodes without the interpreter lock
        look_at = partial(look, channels=channels, dtype=dtype)
        seen: list[Look | str] = []
        for result in _mapped(pool, look_at, data, ahead=AHEAD * threads):
            seen.append(result)
            if progress is not None:
                progress(len(seen), len(data))
    remarks = {}
    for row in _saved_as_rgb(seen, data) if channels is None else ():
        files = len(files_of(data.paths[row]))
        seen[row] = look(data[row], channels=files, dtype=dtype)
        remarks[row] = (
            f"some of its files are RGB, those of most images grey: read as {files} channels"
        )
    decoded = {row: one for row, one in enumerate(seen) if isinstance(one, Look)}
    found = _common_channels(decoded, data) if channels is None else channels
    type_ = _common_dtype(decoded, data, otherwise=dtype or "uint8")
    mean, std = _pixel_statistics(list(decoded.values()), found, type_)

    def column(values: Iterable[object], dtype: type[np.number], *shape: int) -> np.ndarray:
        """Those of the images that are decoded, in their rows; 0 in the others."""
        of_all: np.ndarray = np.zeros((len(data), *shape), dtype)
        of_all[[*decoded]] = np.array([*values], dtype).reshape(-1, *shape)
        return of_all

    looks = decoded.values()
    return Survey(
        sizes=column((one.size for one in looks), np.int32, 2),
        remarks=Strings(
            one if isinstance(one, str) else remarks.get(row, "") for row, one in enumerate(seen)
        ),
        channels=found,
        dtype=type_,
        is_rgb=found == 3 and all(one.is_rgb or len(one.mean) == 1 for one in decoded.values()),
        mean=mean,
        std=std,
        stored=column((one.stored for one in looks), np.int32),
        orientations=column((one.orientation for one in looks), np.uint8),
        digests=column((np.frombuffer(one.digest, "u1") for one in looks), np.uint8, DIGEST),
        prints=column((one.print for one in looks), np.uint8, BITS // 8),
    )


def usable_images(
    data: DetectionData, survey: Survey, *, on_bad_box: OnBadBox = "drop"
) -> DetectionData:
    """The images of `data` that can be used, by the survey of it; no file is read.

    They have their true sizes, and boxes in their true pixels; what is wrong with images is added
    to the problems. With `on_bad_box="error"` images that cannot be used are a DataError.
    """
    if not len(survey.remarks.text) and np.array_equal(survey.sizes, data.sizes):
        return data
    judged = [
        _judge(record, (width, height), remark)
        for record, (width, height), remark in zip(
            data, survey.sizes.tolist(), survey.remarks, strict=True
        )
    ]
    problems = tuple(chain.from_iterable(found for _, found in judged))
    refuse_bad(problems, on_bad_box=on_bad_box)
    kept = np.flatnonzero([scale is not None for scale, _ in judged])
    usable = data.subset(kept)
    scales = np.array([scale for scale, _ in judged if scale is not None]).reshape(-1, 2)
    factors = np.repeat(np.tile(scales, 2), np.diff(usable.offsets), axis=0)
    return replace(
        usable,
        sizes=survey.sizes[kept],
        boxes=(usable.boxes * factors).astype(np.float32),
        areas=None if usable.areas is None else usable.areas * factors[:, 0] * factors[:, 1],
        problems=(*_of_kept_images(data, judged), *problems),
    )


def _of_kept_images(data: DetectionData, judged: Sequence[Judged]) -> Iterator[Problem]:
    """What the reader has found, but for boxes of images that are left out: of another shape, say,
    which is why boxes reach out of it."""
    pairs = zip(data.paths, judged, strict=True)
    left = {path for path, (scale, _) in pairs if scale is None}
    return (problem for problem in data.problems if problem.box_of not in left)


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


def _saved_as_rgb(seen: list[Look | str], data: DetectionData) -> list[int]:
    """The images of several files with more channels than files, if most have one in each."""
    counts = {row: len(one.mean) for row, one in enumerate(seen) if isinstance(one, Look)}
    ((common, _),) = Counter(counts.values()).most_common(1) or [(0, 0)]
    odd = [row for row, count in counts.items() if count != common]
    return [row for row in odd if common == len(files_of(data.paths[row])) > 1]


def _common_channels(seen: dict[int, Look], data: DetectionData) -> int:
    """What all of the images have, 3 for grey mixed with RGB or if there is no image."""
    rows = defaultdict(list)
    for row, one in seen.items():
        rows[len(one.mean)].append(row)
    if len(rows) < 2:
        return next(iter(rows), 3)
    if set(rows) == {1, 3} and all(seen[row].is_rgb for row in rows[3]):
        return 3
    listed = _listed({f"{count} channels": of_it for count, of_it in rows.items()}, data)
    raise DataError(
        f"the images have different numbers of channels; all must have the same, or be grey and "
        f"RGB pictures{listed}"
    )


def _common_dtype(seen: dict[int, Look], data: DetectionData, *, otherwise: str) -> str:
    """The type of all pixels; `otherwise` if there is no image."""
    rows = defaultdict(list)
    for row, one in seen.items():
        rows[one.dtype].append(row)
    if len(rows) < 2:
        return next(iter(rows), otherwise)
    listed = _listed(rows, data)
    raise DataError(f"the pixels are of different types; all images must be of one{listed}")


def _listed(rows: dict[str, list[int]], data: DetectionData) -> str:
    """A line for every kind, the rarest first, with some of the files that are of it."""
    lines = []
    for kind, of_it in sorted(rows.items(), key=lambda item: len(item[1])):
        shown = ", ".join(data.paths[row] for row in of_it[:SHOWN_FILES])
        more = ", ..." if len(of_it) > SHOWN_FILES else ""
        lines.append(f"\n  {kind} ({len(of_it)}): {shown}{more}")
    return "".join(lines)


def _pixel_statistics(seen: list[Look], channels: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the pixels of all images, in image order."""
    if not seen:
        return np.zeros(channels), np.ones(channels)
    pixels = np.array([one.size[0] * one.size[1] for one in seen], np.float64)
    # A grey image among RGB ones is three equal channels.
    means = np.stack([np.broadcast_to(one.mean, channels) for one in seen])
    mean = np.average(means, axis=0, weights=pixels)
    # The spread of all pixels: within the images, and of the images around the common mean.
    within = np.stack([np.broadcast_to(one.variance, channels) for one in seen])
    variance = np.average(within + (means - mean) ** 2, axis=0, weights=pixels)
    return mean, _divisible(np.sqrt(variance), mean, dtype)


def _divisible(std: np.ndarray, mean: np.ndarray, dtype: str) -> np.ndarray:
    """`std`, where that of a constant channel can be divided by too."""
    if np.dtype(dtype).kind != "f":
        return np.maximum(std, LEAST_STD)
    least = np.maximum(std, np.abs(mean) * LEAST_RELATIVE_STD)
    return np.where(least == 0, 1.0, least)


def _judge(record: Record, size: tuple[int, int], remark: str) -> Judged:
    """What x and y grow by, if the image can be used; and what is wrong with it."""
    where = str(record.path)
    if 0 in size:
        return None, [Problem(where, remark, "image dropped", "unreadable-image")]
    problems = [Problem(where, remark, "kept", "grey-as-rgb")] if remark else []
    if size == record.size:
        return (1.0, 1.0), problems
    (width, height), (annotated_width, annotated_height) = size, record.size
    scale = width / annotated_width, height / annotated_height
    what = f"is {width}x{height}, but annotated as {annotated_width}x{annotated_height}"
    if abs(scale[0] / scale[1] - 1) > ASPECT_TOLERANCE:
        what = f"{what}: another shape, another image?"
        return None, [*problems, Problem(where, what, "image dropped", "other-shape")]
    what = f"{what}: its boxes are resized to fit"
    return scale, [*problems, Problem(where, what, "kept", "resized-image")]
