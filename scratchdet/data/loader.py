"""Batches for training: an endless, seeded stream of images that can be entered at any step."""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from scratchdet.data.dataset import TrainingSamples, random_for
from scratchdet.structures import Sample, Targets

Key = tuple[int, int]
ORDER = 0x0D0E  # keeps the stream of orders apart from those of the samples


class Batch(NamedTuple):
    """What one step is trained on."""

    images: Tensor
    """(B, H, W, C) uint8."""
    targets: Targets
    keys: tuple[Key, ...]
    """(epoch, index) of every image."""


class SampleOrder:
    """For every step from `start` to `stop` the (epoch, index) of its images.

    The data set is walked through in a new order every epoch, and batches run on over the end of
    it: every batch is full, and every image is seen equally often. Depends on the step alone, so a
    resumed run continues exactly where it was.
    """

    def __init__(self, images: int, *, batch: int, seed: int, start: int, stop: int) -> None:
        if images < 1:
            raise ValueError("no image to train on")
        self.images, self.batch, self.seed = images, batch, seed
        self.start, self.stop = start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, order = -1, np.empty(0, np.int64)
        for step in range(self.start, self.stop):
            keys = []
            for position in range(step * self.batch, (step + 1) * self.batch):
                if position // self.images != epoch:
                    epoch = position // self.images
                    order = random_for(self.seed, ORDER, epoch).permutation(self.images)
                keys.append((epoch, int(order[position % self.images])))
            yield keys


def collate(samples: Sequence[Sample]) -> tuple[Tensor, Targets]:
    """Images stacked, objects padded to the image with most of them (none at all is fine)."""
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    most = max(len(sample.boxes) for sample in samples)
    boxes = torch.zeros(len(samples), most, 4)
    labels = torch.full((len(samples), most), -1)
    ignore = torch.zeros(len(samples), most, dtype=torch.bool)
    for row, sample in enumerate(samples):
        count = len(sample.boxes)
        boxes[row, :count] = torch.from_numpy(sample.boxes)
        labels[row, :count] = torch.from_numpy(sample.labels)
        ignore[row, :count] = torch.from_numpy(sample.ignore)
    return images, Targets(boxes, labels, ignore)


def make_batches(
    samples: TrainingSamples, *, batch: int, start: int, stop: int, workers: int, pin: bool
) -> Iterator[Batch]:
    """The batch of every step from `start` to `stop`; the same whatever the number of workers."""
    order = SampleOrder(len(samples), batch=batch, seed=samples.seed, start=start, stop=stop)
    loader: DataLoader[tuple[Tensor, Targets]] = DataLoader(
        samples,  # type: ignore[arg-type]  # indexed by (epoch, index), as the order asks
        batch_sampler=order,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        worker_init_fn=_begin_worker,
        prefetch_factor=4 if workers else None,
    )
    for keys, (images, targets) in zip(order, loader, strict=True):
        yield Batch(images, targets, tuple(keys))


def default_workers(device: str) -> int:
    """Processes that keep `device` fed: on a GPU one per core, beside CPU training only one."""
    cores = len(os.sched_getaffinity(0))
    return 1 if device == "cpu" else min(cores, 16)


def _begin_worker(worker: int) -> None:
    # Ctrl-C and `timeout` signal the whole process group. In a group of their own the workers live
    # until the training process, which they end with, has finished and saved its step.
    os.setpgrp()
    # One process per core is already all there is; OpenCV would start a thread per core in each.
    cv2.setNumThreads(0)
