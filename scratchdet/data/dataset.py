"""From a data set to training samples, always the same ones for (seed, epoch, index)."""

from collections.abc import Sequence

import numpy as np

from scratchdet.data.augment import Augmentation, augment
from scratchdet.data.images import read_image
from scratchdet.structures import DetectionData, Sample

Key = tuple[int, int]
"""Epoch (or the number of a pass within it) and index of an image."""


def random_for(seed: int, *keys: int) -> np.random.Generator:
    """A generator of its own for every key, whatever was drawn before and in which process."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, *keys))))


class TrainingSamples:
    """`samples[epoch, index]`: image `index`, augmented as in that epoch."""

    def __init__(
        self,
        data: DetectionData,
        steps: Sequence[Augmentation],
        *,
        channels: int,
        seed: int,
    ) -> None:
        self.data = data
        self.steps = tuple(steps)
        self.channels = channels
        self.seed = seed

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, key: Key) -> Sample:
        epoch, index = key
        record = self.data[index]
        image = read_image(record.path, channels=self.channels, annotated_size=record.size)
        sample = Sample(image, record.boxes, record.labels, record.ignore)
        return augment(sample, self.steps, random_for(self.seed, epoch, index))
