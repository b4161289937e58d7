"""Which images a step is trained on: an endless, seeded stream that can be entered at any step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np

from scratchdet.data.dataset import Key, random_for
from scratchdet.structures import DetectionData

ORDER = 0x0D0E  # keeps the stream of orders apart from those of the samples
REPEATS = 0x0D0F  # and that of what is repeated from both


class SampleOrder:
    """For every step from `start` to `stop` the (pass, index) of the images of one process.

    The data set is walked through in a new order every epoch, and batches run on over the end of
    it: every batch is full, and every image is seen equally often, or `repeats` times an epoch
    (N,): a fraction is the chance of one more time, drawn anew in every epoch. The pass is the
    epoch, or where images are repeated within it, a number of its own for each of their turns.

    Process `rank` of `size` takes the `rank`-th part of each batch: all parts, one after another,
    are the batch of a single process. Depends on the step alone, so a resumed run continues exactly
    where it was.
    """

    def __init__(
        self,
        images: int,
        *,
        batch: int,
        seed: int,
        start: int,
        stop: int,
        rank: int = 0,
        size: int = 1,
        repeats: np.ndarray | None = None,
    ) -> None:
        if images < 1:
            raise ValueError("no image to train on")
        if batch % size:
            raise ValueError(
                f"a batch of {batch} images cannot be shared evenly by {size} processes: "
                f"take a multiple of {size}"
            )
        self.images, self.batch, self.seed = images, batch, seed
        self.start, self.stop = start, stop
        self.rank, self.size = rank, size
        self.repeats = np.ones(images) if repeats is None else np.asarray(repeats, np.float64)

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        share = self.batch // self.size
        epoch, begin = self._enter(self.start * self.batch)
        keys = self._epoch(epoch)
        for step in range(self.start, self.stop):
            mine = []
            first = step * self.batch + self.rank * share
            for position in range(first, first + share):
                while position >= begin + len(keys):
                    epoch, begin = epoch + 1, begin + len(keys)
                    keys = self._epoch(epoch)
                number, index = keys[position - begin]
                mine.append((int(number), int(index)))
            yield mine

    def _enter(self, position: int) -> tuple[int, int]:
        """The epoch that the `position`-th image of the stream is in, and where that begins."""
        if not (self.repeats % 1).any():  # all epochs are of one length
            epoch = position // (length := int(self.repeats.sum()))
            return epoch, epoch * length
        begin = 0
        for epoch in count():
            length = int(self._times(epoch).sum())
            if position < begin + length:
                break
            begin += length
        return epoch, begin

    def _times(self, epoch: int) -> np.ndarray:
        """(N,) int64: how often each image is seen in this epoch."""
        times = self.repeats.astype(np.int64)
        share = self.repeats - times
        if not share.any():
            return times
        return times + (random_for(self.seed, REPEATS, epoch).random(self.images) < share)

    def _epoch(self, epoch: int) -> np.ndarray:
        """(L, 2) int64: pass and index of every image of this epoch, in its order."""
        times = self._times(epoch)
        index = np.repeat(np.arange(self.images), times)
        turn = np.arange(len(index)) - np.repeat(np.cumsum(times) - times, times)
        most = int(np.ceil(self.repeats.max()))
        order = random_for(self.seed, ORDER, epoch).permutation(len(index))
        return np.stack([epoch * most + turn[order], index[order]], axis=1)


def repeat_factors(data: DetectionData, *, below: float) -> np.ndarray:
    """(N,) float64, 1 or more: how often an epoch should show each image.

    Classes that are in a smaller share of the images than `below` are shown more often: the factor
    of a class is max(1, sqrt(below / share)), that of an image the largest of its classes, 1
    without objects. Ignored objects do not count. Gupta et al. 2019 (LVIS), appendix B.
    """
    image = np.repeat(np.arange(len(data)), np.diff(data.offsets))[~data.ignore]
    label = data.labels[~data.ignore].astype(np.int64)
    image, label = np.unique(np.stack([image, label]), axis=1)
    shares = np.bincount(label, minlength=len(data.classes)) / max(len(data), 1)
    wanted = np.sqrt(below / np.maximum(shares, 1 / max(len(data), 1)))
    factors = np.ones(len(data))
    np.maximum.at(factors, image, wanted[label])
    return factors
