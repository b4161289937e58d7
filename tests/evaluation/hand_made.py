"""Small data sets and detections written by hand, and drawn at random, for several tests."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from scratchdet.evaluation.columns import Columns
from scratchdet.structures import DetectionData, Record, from_records

CAT, DOG = 0, 1
TEN = (0, 0, 10, 10)
"""With `HALF`, an IoU of 0.5; with `THIRD` of 0.3; with `FAR` of 0."""
HALF, THIRD, FAR = (0, 0, 10, 5), (0, 0, 10, 3), (50, 50, 60, 60)
ELSEWHERE = (80, 80, 90, 90)


def data_of(*images, classes=("cat", "dog")) -> DetectionData:
    """Each image a list of (box, label) or (box, label, ignore)."""
    records = [
        Record(
            id=str(index),
            path=Path(f"{index}.jpg"),
            size=(100, 100),
            boxes=np.array([row[0] for row in objects], np.float32).reshape(-1, 4),
            labels=np.array([row[1] for row in objects], np.int64),
            ignore=np.array([bool(row[2:] and row[2]) for row in objects], bool),
        )
        for index, objects in enumerate(images)
    ]
    return from_records(records, classes)


def columns_of(*rows) -> Columns:
    """Each row (image, box, score, label)."""
    return Columns(
        image_index=np.array([row[0] for row in rows], np.int64),
        boxes=np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
        scores=np.array([row[2] for row in rows], np.float32),
        labels=np.array([row[3] for row in rows], np.int64),
    )


NOTHING = columns_of()


FEW = st.integers(0, 4)


@st.composite
def scenes(draw, *, images=FEW, ignored=0.2):
    """A data set of three classes, with detections near its objects and elsewhere.

    All scores differ.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    number = draw(images)
    objects = [
        [(box, int(rng.integers(3)), bool(rng.random() < ignored)) for box in boxes]
        for boxes in (_boxes(rng, int(rng.integers(5))) for _ in range(number))
    ]
    rows = []
    for image, known in enumerate(objects):
        near = [np.array(box) + rng.integers(0, 5, 4) * [0, 0, 1, 1] for box, _, _ in known * 2]
        for box in [*near, *_boxes(rng, 2)]:
            rows.append((image, box, 0.0, int(rng.integers(3))))
    scores = (rng.permutation(len(rows)) + 1) / (len(rows) + 1)
    rows = [(*row[:2], score, row[3]) for row, score in zip(rows, scores, strict=True)]
    return data_of(*objects, classes=("a", "b", "c")), columns_of(*rows)


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corners = rng.integers(0, 12, (count, 2))
    return np.concatenate([corners, corners + rng.integers(2, 12, (count, 2))], axis=1)
