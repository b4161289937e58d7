"""From a data set to training samples, always the same ones for (seed, epoch, index)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scratchdet.data.augment import Augmentation, augment
from scratchdet.data.augment_mix import Mix
from scratchdet.data.cache import ImageCache
from scratchdet.data.images import read_image
from scratchdet.structures import DataError, DetectionData, Problem, Record, Sample

REPLACEMENTS = 100
"""Images tried in the place of one: with nine of ten unreadable, all fail once in 40,000 times."""

Key = tuple[int, int]
"""Epoch (or the number of a pass within it) and index of an image."""


def random_for(seed: int, *keys: int) -> np.random.Generator:
    """A generator of its own for every key, whatever was drawn before and in which process."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, *keys))))


class Drawn(NamedTuple):
    """One training sample, and what went wrong on the way to it."""

    sample: Sample
    unreadable: tuple[Problem, ...]
    """Images that could not be read; each is replaced by another one."""


class TrainingSamples:
    """`samples[epoch, index]`: image `index`, mixed with others and augmented as in that epoch.

    mixes: the probability of each, and what puts several images together, see `augment_mix`. An
    image that cannot be read is replaced by one drawn from all, by the seed, epoch and index alone.
    """

    def __init__(
        self,
        data: DetectionData,
        steps: Sequence[Augmentation],
        *,
        channels: int,
        seed: int,
        dtype: str = "uint8",
        mixes: Sequence[tuple[float, Mix]] = (),
        cache: ImageCache | None = None,
    ) -> None:
        self.data = data
        self.steps = tuple(steps)
        self.mixes = tuple(mixes)
        self.channels = channels
        self.seed = seed
        self.dtype = dtype
        self.cache = cache

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, key: Key) -> Drawn:
        """Raises DataError if one image after another cannot be read."""
        rng = random_for(self.seed, *key)
        unreadable: list[Problem] = []
        sample = self._usable(key[1], rng, unreadable)
        for probability, mix in self.mixes:
            if rng.random() < probability:
                sample = mix(
                    sample, lambda: self._usable(rng.integers(len(self)), rng, unreadable), rng
                )
        return Drawn(augment(sample, self.steps, rng), tuple(unreadable))

    def _usable(
        self, index: int | np.int64, rng: np.random.Generator, unreadable: list[Problem]
    ) -> Sample:
        """Image `index` as decoded, or if it cannot be read another one; `unreadable` says so."""
        for _ in range(REPLACEMENTS):
            record = self.data[int(index)]
            try:
                image = self._read(int(index), record)
                return Sample(image, record.boxes, record.labels, record.ignore)
            except DataError as error:
                where = str(record.path)
                what = str(error).removeprefix(f"{where}: ")
                unreadable.append(
                    Problem(where, what, "replaced by another image", "unreadable-image")
                )
                index = rng.integers(len(self))
        raise DataError(
            f"{REPLACEMENTS} images in turn cannot be read: is a disk or a network drive gone? "
            f"The last one is {unreadable[-1].where}: {unreadable[-1].what}"
        )

    def _read(self, index: int, record: Record) -> np.ndarray:
        cached = self.cache.get(index) if self.cache else None
        if cached is not None:
            return cached
        image = read_image(record.path, channels=self.channels, annotated_size=record.size)
        # An image that has been exchanged since the survey.
        size = image.shape[1], image.shape[0]
        if size != record.size:
            raise DataError(
                f"{record.path}: is {size[0]}x{size[1]}, not {record.size[0]}x{record.size[1]} as "
                "its boxes are"
            )
        if image.dtype != self.dtype:
            raise DataError(f"{record.path}: is {image.dtype}, not {self.dtype} as the others are")
        if self.cache:
            self.cache.put(index, image)
        return image
