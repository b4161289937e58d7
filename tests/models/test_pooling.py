"""Pooling that rounds up, as Caffe's does: `ceil_mode` beside OpenCV 4's Caffe importer."""

from itertools import product
from math import ceil

import pytest
import torch
from torch import Tensor, nn

SIDES = range(1, 21)
POOLINGS = {  # kernel, stride, padding
    "halving": (2, 2, 0),  # SSD, ScratchDet, DSOD, GRP-DSOD
    "same": (3, 1, 1),  # pool5 of SSD
    "overlapping": (3, 2, 0),
    "overlapping_padded": (3, 2, 1),
    # Rounded up, odd sides would get a last window that lies in the padding altogether.
    "halving_padded": (2, 2, 1),
}
# OpenCV computes sizes without sign, and fails on windows larger than the map; Caffe does not.
CASES = [
    (name, side)
    for (name, (kernel, _, padding)), side in product(POOLINGS.items(), SIDES)
    if kernel <= side + 2 * padding
]


def scene(side: int) -> Tensor:
    """A map of `side` rows, all below zero: a window that took padding for zeros would show."""
    generator = torch.Generator().manual_seed(side)
    return -1 - torch.rand(1, 2, side, side + 3, generator=generator)


def pool(name: str) -> nn.Module:
    kernel, stride, padding = POOLINGS[name]
    return nn.MaxPool2d(kernel, stride, padding=padding, ceil_mode=True)


@pytest.fixture(scope="module")
def pooled(opencv4) -> dict[str, Tensor]:
    """All poolings of all maps, by one run of OpenCV."""

    def layer(name: str, side: int) -> str:
        kernel, stride, padding = POOLINGS[name]
        return f"""layer {{
          name: "{name}_{side}" type: "Pooling" bottom: "map_{side}" top: "{name}_{side}"
          pooling_param {{ pool: MAX kernel_size: {kernel} stride: {stride} pad: {padding} }}
        }}"""

    return opencv4(
        "\n".join(layer(name, side) for name, side in CASES),
        {f"map_{side}": scene(side) for side in SIDES},
        [f"{name}_{side}" for name, side in CASES],
    )


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_rounds_up_as_caffe_does(pooled, name):
    for side in (side for case, side in CASES if case == name):
        ours, theirs = pool(name)(scene(side)), pooled[f"{name}_{side}"]
        assert ours.shape == theirs.shape, side
        assert torch.equal(ours, theirs), side


@pytest.mark.parametrize("name", POOLINGS)
def test_pooled_sides_follow_the_rule_of_caffe(name):
    # PoolingLayer::Reshape of pooling_layer.cpp
    kernel, stride, padding = POOLINGS[name]
    for side in SIDES:
        expected = ceil((side + 2 * padding - kernel) / stride) + 1
        if padding and (expected - 1) * stride >= side + padding:
            expected -= 1
        if expected > 0:  # 3x3/2 leaves nothing of a side of one, here and there
            assert pool(name)(torch.zeros(1, 1, side, 20)).shape[2] == expected, side
