"""The pools of the networks that Caffe ran: they round up as Caffe's, beside OpenCV's importer."""

from itertools import product
from math import ceil

import pytest
import torch
from torch import Tensor, nn

from scratchdet.models.zoo import create_model

SIDES = range(1, 21)
RELEASED = {"halving": (2, 2, 0), "same": (3, 1, 1)}  # kernel, stride, padding
NETWORKS = {
    "ssd300_vgg16": {"norm_backbone": "none"},
    "ssd512_vgg16": {},
    "scratchdet300_r18": {"variant": "caffe"},
    "scratchdet300_r34": {"variant": "caffe"},
    "dsod300": {},
    "dsod512": {},
    "grp_dsod320": {},
}
# OpenCV computes sizes without sign, and fails on windows larger than the map; Caffe does not.
CASES = [
    (kind, side)
    for (kind, (kernel, _, padding)), side in product(RELEASED.items(), SIDES)
    if kernel <= side + 2 * padding
]


def scene(side: int) -> Tensor:
    """A map of `side` rows, all below zero: a window that took padding for zeros would show."""
    generator = torch.Generator().manual_seed(side)
    return -1 - torch.rand(1, 2, side, side + 3, generator=generator)


def pools_of(network: str) -> list[tuple[str, str, nn.Module]]:
    """Place and kind of every pool of a network, and the pool; pool5 of VGG alone keeps the map."""
    with torch.device("meta"):
        detector = create_model(network, **NETWORKS[network])
    pools = [
        (place, "same" if place == "backbone.fc.0" else "halving", layer)
        for place, layer in detector.named_modules()
        if isinstance(layer, nn.MaxPool2d)
    ]
    assert pools
    return pools


@pytest.fixture(scope="module")
def pooled(opencv4) -> dict[tuple[str, int], Tensor]:
    """What the released poolings make of all maps, by one run of OpenCV."""

    def layer(kind: str, side: int) -> str:
        kernel, stride, padding = RELEASED[kind]
        return f"""layer {{
          name: "{kind}_{side}" type: "Pooling" bottom: "map_{side}" top: "{kind}_{side}"
          pooling_param {{ pool: MAX kernel_size: {kernel} stride: {stride} pad: {padding} }}
        }}"""

    blobs = opencv4(
        "\n".join(layer(kind, side) for kind, side in CASES),
        {f"map_{side}": scene(side) for side in SIDES},
        [f"{kind}_{side}" for kind, side in CASES],
    )
    return {(kind, side): blobs[f"{kind}_{side}"] for kind, side in CASES}


@pytest.mark.parametrize("network", NETWORKS)
def test_pools_compute_what_caffe_does(pooled, network):
    for place, kind, pool in pools_of(network):
        for side in (side for case, side in CASES if case == kind):
            ours, theirs = pool(scene(side)), pooled[kind, side]
            assert ours.shape == theirs.shape, (place, side)
            assert torch.equal(ours, theirs), (place, side)


@pytest.mark.parametrize("network", NETWORKS)
def test_pooled_sides_follow_the_rule_of_caffe(network):
    # PoolingLayer::Reshape of pooling_layer.cpp
    for place, kind, pool in pools_of(network):
        kernel, stride, padding = RELEASED[kind]
        for side in SIDES:
            expected = ceil((side + 2 * padding - kernel) / stride) + 1
            if padding and (expected - 1) * stride >= side + padding:
                expected -= 1
            assert pool(torch.zeros(1, 1, side, 20)).shape[2] == expected, (place, side)
