"""The blocks of every network: each weight in one, few of them, in order."""

import pytest
import torch

from scratchdet.models.blocks import blocks_of
from scratchdet.models.zoo import MODELS, choices_of, create_model

NETWORKS = [(name, {}) for name in MODELS] + [
    (name, {"variant": variant})
    for name in MODELS
    for variant in choices_of(name).get("variant", ())
]


@pytest.mark.parametrize(("name", "choices"), NETWORKS, ids=lambda value: str(value))
def test_every_trained_weight_is_in_one_block_of_a_few(name, choices):
    with torch.device("meta"):
        detector = create_model(name, num_classes=1, **choices)
    blocks = blocks_of(detector)
    assert [id(p) for block in blocks.values() for p in block] == [
        id(p) for p in detector.parameters()
    ]
    assert 5 <= len(blocks) <= 12
    assert {"head.classes", "head.boxes"} < set(blocks)
    of_backbone = {name for name in blocks if name.startswith("backbone.")}
    assert len(of_backbone) >= 3  # its stages, not all of it
    for name, block in blocks.items():
        assert {id(p) for p in block} <= {id(p) for p in detector.get_submodule(name).parameters()}


def test_a_backbone_of_many_layers_side_by_side_is_one_block():
    pytest.importorskip("timm")
    with torch.device("meta"):
        detector = create_model("ssd300_timm", num_classes=1, backbone="vgg13_bn")
    assert list(blocks_of(detector)) == ["backbone", "neck", "head.classes", "head.boxes"]


def test_weights_that_are_not_trained_are_in_no_block():
    with torch.device("meta"):
        detector = create_model("scratchdet_nano", num_classes=1)
    detector.backbone.root.requires_grad_(False)
    assert "backbone.root" not in blocks_of(detector)
