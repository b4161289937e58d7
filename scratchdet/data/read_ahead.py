"""Images, decoded a batch ahead of whoever works on them."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from scratchdet.data.images import read_image
from scratchdet.structures import DataError

READERS = 4  # threads that decode: OpenCV releases the GIL

One = TypeVar("One")
Read = TypeVar("Read")


def read_ahead(
    given: Iterable[One], read: Callable[[One], Read], *, batch: int
) -> Iterator[list[Read]]:
    """What `read` makes of each, a batch at a time; the next is read while one is worked on."""
    left = iter(given)
    with ThreadPoolExecutor(READERS) as readers:
        coming = [readers.submit(read, one) for one in islice(left, batch)]
        while coming:
            following = [readers.submit(read, one) for one in islice(left, batch)]
            yield [future.result() for future in coming]
            coming = following


def pixels_or_why(
    reference: Path | str,
    *,
    channels: int,
    dtype: str,
    annotated_size: tuple[int, int] | None = None,
) -> np.ndarray | DataError:
    """As `read_image`; of an image that cannot be read, why."""
    try:
        return read_image(reference, channels=channels, dtype=dtype, annotated_size=annotated_size)
    except DataError as error:
        return error
