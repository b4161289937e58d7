"""Detections as Caffe's DetectionOutput writes them, and whether they are the same as ours."""

import numpy as np
import torch
from torch import Tensor

from scratchdet.structures import Detections


def detections(rows: Tensor, size: tuple[int, int]) -> Detections:
    """Of Caffe's rows of image, label, score and box; rows of zeros, background, mean nothing.

    size: height, width, which the boxes are fractions of.
    """
    rows = rows.reshape(-1, 7)
    rows = rows[rows[:, 1] > 0]
    height, width = size
    scale = torch.tensor([width, height, width, height])
    return Detections(rows[:, 3:] * scale, rows[:, 2], rows[:, 1].long() - 1)


def assert_same(ours: Detections, theirs: Detections) -> None:
    """The same labels, scores and boxes, in whatever order."""
    assert len(ours.scores) == len(theirs.scores)
    # Of a label in the order of their scores, which differ by more than an error of rounding.
    orders = [
        np.lexsort((one.scores.numpy(), one.labels.numpy())).tolist() for one in (ours, theirs)
    ]
    (boxes, scores, labels), (boxes_there, scores_there, labels_there) = (
        [column[order] for column in one] for one, order in zip((ours, theirs), orders, strict=True)
    )
    assert torch.equal(labels, labels_there)
    torch.testing.assert_close(scores, scores_there, rtol=0, atol=1e-5)
    torch.testing.assert_close(boxes, boxes_there, rtol=0, atol=1e-3)
