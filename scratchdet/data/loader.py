"""Batches for training: the images of every step, read ahead by worker processes."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from scratchdet.data.dataset import Drawn, Key, TrainingSamples
from scratchdet.data.order import SampleOrder
from scratchdet.structures import Problem, Sample, Targets


class Batch(NamedTuple):
    """What one step is trained on."""

    images: Tensor
    """(B, H, W, C), the type of the pixels in the files."""
    targets: Targets
    keys: tuple[Key, ...]
    """(pass, index) of every image, see `SampleOrder`."""
    unreadable: tuple[Problem, ...] = ()
    """Images that could not be read, and were replaced by others."""


class _Collated(NamedTuple):
    """What a worker sends: a batch without its keys."""

    images: Tensor
    targets: Targets
    unreadable: tuple[Problem, ...]


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
    loader: DataLoader[_Collated] = DataLoader(
        samples,  # type: ignore[arg-type]  # indexed by (epoch, index), as the order asks
        batch_sampler=order,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin,
        worker_init_fn=_begin_worker,
        prefetch_factor=4 if workers else None,
    )
    for keys, (images, targets, unreadable) in zip(order, loader, strict=True):
        yield Batch(images, targets, tuple(keys), unreadable)


def default_workers(device: str, *, processes: int = 1) -> int:
    """Workers that keep `device` fed: on a GPU one per core, beside CPU training only one.

    processes: training processes on this machine, which share its cores.
    """
    everywhere = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if everywhere else os.cpu_count() or 1
    return 1 if device == "cpu" else min(max(cores // processes, 1), 16)


def _collate(drawn: Sequence[Drawn]) -> _Collated:
    images, targets = collate([one.sample for one in drawn])
    return _Collated(images, targets, tuple(chain.from_iterable(one.unreadable for one in drawn)))


def _begin_worker(worker: int) -> None:
    # Ctrl-C and `timeout` signal the whole process group. In a group of their own the workers live
    # until the training process, which they end with, has finished and saved its step.
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    # One process per core is already all there is; OpenCV would start a thread per core in each.
    cv2.setNumThreads(0)
