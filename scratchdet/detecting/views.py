"""What a detector looks at, one image or one frame of a video at a time; images, read ahead."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from scratchdet.data.read_ahead import pixels_or_why, read_ahead
from scratchdet.detecting.sources import ImageFile
from scratchdet.structures import DataError, Predictor


class View(NamedTuple):
    """One image, or one frame of a video."""

    reference: str
    """The image, the video or the stream, as its results call it."""
    name: str
    """Of the file that it is, or would be, below the folder it was found in."""
    image: np.ndarray | DataError
    """The pixels, or why there are none."""
    frame: int | None = None
    """Its number in the video, from 0."""
    seconds: float | None = None
    """From the beginning of the video."""


def image_batches(
    images: Sequence[ImageFile], detector: Predictor, *, batch: int
) -> Iterator[list[View]]:
    """The images, decoded, a batch at a time; the next is decoded while one is worked on."""
    read = partial(_read, channels=detector.in_channels, dtype=detector.image_dtype)
    return read_ahead(images, read, batch=batch)


def _read(image: ImageFile, *, channels: int, dtype: str) -> View:
    pixels = pixels_or_why(image.reference, channels=channels, dtype=dtype)
    return View(image.reference, image.name, pixels)
