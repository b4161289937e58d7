"""A task that is learned in a minute of one core: windows of 64 x 64 pixels out of the digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scratchdet.data.formats import read_data
from scratchdet.data.images import read_image
from scratchdet.data.voc_write import write_voc
from scratchdet.structures import Record, Sample

SIDE = 64
IMAGES = {"train": 1000, "val": 150, "test": 200}


def write_windows(digits: Path, folder: Path) -> Path:
    """A VOC folder of one window from each of the first scenes, around one of its objects.

    digits: as `scratchdet demo --data-only` writes them.
    """
    rng = np.random.default_rng(0)
    splits, classes = {}, ()
    for split, count in IMAGES.items():
        data = read_data(digits, split=split)
        scenes = [record for record in data.subset(range(count)) if len(record.boxes)]
        splits[split] = [(record.id, window(record, rng)) for record in scenes]
        classes = data.classes
    return write_voc(folder, splits, classes=classes)


def window(record: Record, rng: np.random.Generator) -> Sample:
    """A window with some object, up to 12 pixels off its middle, and all that is half within."""
    image = read_image(record.path, annotated_size=record.size)
    box = record.boxes[rng.integers(len(record.boxes))]
    middle = (box[:2] + box[2:]) / 2 + rng.uniform(-12, 12, 2)
    left, top = np.clip(middle - SIDE / 2, 0, np.array(record.size) - SIDE).astype(int)
    boxes = record.boxes - np.array([left, top, left, top], np.float32)
    inside = boxes.clip(0, SIDE)
    kept = np.prod(inside[:, 2:] - inside[:, :2], axis=1) > 0.5 * np.prod(
        boxes[:, 2:] - boxes[:, :2], axis=1
    )
    return Sample(
        image[top : top + SIDE, left : left + SIDE],
        inside[kept],
        record.labels[kept],
        record.ignore[kept],
    )
