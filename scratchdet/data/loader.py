"""Batches for training: the images of every step, read ahead by worker processes."""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from scratchdet.data.dataset import Key, TrainingSamples
from scratchdet.data.order import SampleOrder
from scratchdet.structures import Sample, Targets


class Batch(NamedTuple):
    """What one step is trained on."""

    images: Tensor
    """(B, H, W, C) uint8."""
    targets: Targets
    keys: tuple[Key, ...]
    """(pass, index) of every image, see `SampleOrder`."""


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
    samples: TrainingSamples, *, order: SampleOrder, workers: int, pin: bool
) -> Iterator[Batch]:
    """The batch of every step of `order`; the same whatever the number of workers."""
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
