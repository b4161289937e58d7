"""Decoded images, kept in memory that all worker processes share."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np

from scratchdet.data.memory import SharedBytes, free_memory
from scratchdet.structures import DataError

SHARE_OF_FREE = 0.5
"""What "auto" may fill of the memory that is free: the rest is for training, batches on their way,
and whatever else runs there."""
GRAIN = 64  # bytes; images begin at multiples of it


class ImageCache:
    """Images as decoded, each stored by the process that needs it first and seen by all others."""

    def __init__(self, sizes: np.ndarray, *, channels: int, dtype: np.dtype) -> None:
        """sizes: (N, 2) width and height of every image."""
        self.sizes, self.channels, self.dtype = sizes, channels, dtype
        self.begins = _begins(sizes, channels=channels, dtype=dtype)
        self.shared = SharedBytes(int(self.begins[-1]))

    def get(self, index: int) -> np.ndarray | None:
        """The image (H, W, C), read-only and not copied; None if nobody has stored it yet."""
        # Under the lock, which orders what processors see of each other's memory: who sees the mark
        # sees all pixels too.
        with self.shared.lock:
            stored = self.shared.memory[index]
        return self._image(index) if stored else None

    def put(self, index: int, image: np.ndarray) -> None:
        """Stores the image. Two processes may do so at once: they write the same bytes."""
        slot = self._image(index, writeable=True)
        if (image.shape, image.dtype) != (slot.shape, slot.dtype):
            raise ValueError(
                f"image {index} is {image.shape} {image.dtype}, not {slot.shape} {slot.dtype}"
            )
        slot[...] = image
        with self.shared.lock:
            self.shared.memory[index] = 1

    def _image(self, index: int, *, writeable: bool = False) -> np.ndarray:
        width, height = (int(side) for side in self.sizes[index])
        image: np.ndarray = np.ndarray(
            (height, width, self.channels),
            self.dtype,
            buffer=self.shared.memory,
            offset=int(self.begins[index]),
        )
        image.flags.writeable = writeable
        return image


def _begins(sizes: np.ndarray, *, channels: int, dtype: np.dtype) -> np.ndarray:
    """(N + 1,) int64 where each image begins, after a mark for each of them; the end of all."""
    lengths = sizes.astype(np.int64).prod(axis=1) * channels * dtype.itemsize
    lengths = np.concatenate([[len(sizes)], lengths])
    return np.cumsum(-(-lengths // GRAIN) * GRAIN)


def choose_cache(
    mode: Literal["auto", "ram", "off"],
    sizes: np.ndarray,
    *,
    channels: int,
    dtype: np.dtype,
    processes: int = 1,
) -> tuple[ImageCache | None, str]:
    """The cache for images of these sizes or None, and in a line for the user why.

    processes: training processes on this machine, each of which keeps a cache of its own. Raises
    DataError if "ram" cannot be.
    """
    if mode == "off" or not len(sizes):
        return None, "decoded images are not kept in memory"
    size = int(_begins(sizes, channels=channels, dtype=dtype)[-1]) * processes
    free = free_memory() if hasattr(os, "memfd_create") else None
    needed = f"{len(sizes)} decoded images need {_readable(size)} of memory"
    if processes > 1:
        needed += f" in {processes} processes"
    found = "nobody knows how much is free" if free is None else f"{_readable(free)} are free"
    if mode == "ram" and (free is None or size > free):
        raise DataError(f"{needed}, and {found}: they cannot be kept (--cache off)")
    if mode == "auto" and (free is None or size > free * SHARE_OF_FREE):
        return None, f"{needed}, and {found}: they are not kept (at most half of it is taken)"
    return ImageCache(sizes, channels=channels, dtype=dtype), f"{needed}, {found}: they are kept"


def _readable(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
