"""Root-ResNet as the paper has it and as it was released: each is the network it claims to be."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet34

from scratchdet.models.backbones.released_resnet import CaffeRootResNet, MmdetRootResNet
from scratchdet.models.backbones.resnet import Stage
from scratchdet.models.necks.extras import SSD300_EXTRAS
from scratchdet.models.necks.released_extras import AddedExtras, PreActivationSSDExtras
from scratchdet.models.zoo import create_model

SMALL = {"root": 4, "widths": (4, 6, 8, 10), "norm": "batch"}


def shuffled_statistics(module):
    """The module in `eval()`, its norms no longer the identity."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return module.eval()


@torch.no_grad()
def test_the_stages_of_the_mmdetection_release_are_those_of_resnet_34():
    torch.manual_seed(0)
    theirs = shuffled_statistics(resnet34(weights=None))
    ours = MmdetRootResNet(
        root=64,
        widths=(64, 128, 256, 512),
        blocks=(3, 4, 6, 3),
        strides=(1, 2, 2, 2),
        norm="batch",
    ).eval()
    stages = nn.ModuleList([theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4])
    # Every block of both: convolution, norm, convolution, norm, shortcut.
    mine = [value for name, value in ours.stages.state_dict().items() if "tracked" not in name]
    other = [value for name, value in stages.state_dict().items() if "tracked" not in name]
    for value, given in zip(mine, other, strict=True):
        value.copy_(given)
    images = torch.randn(1, 3, 64, 96)
    features = ours.pool(ours.root(images))
    expected = theirs.layer2(theirs.layer1(features))
    maps = ours(images)
    torch.testing.assert_close(maps[0], theirs.layer3(expected), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        maps[1], theirs.layer4(theirs.layer3(expected)), rtol=1e-4, atol=1e-4
    )


@torch.no_grad()
def test_in_the_caffe_release_the_head_sees_what_a_stage_adds_and_the_next_stage_the_sum():
    backbone = shuffled_statistics(
        CaffeRootResNet(3, blocks=(1, 1, 1, 2), **SMALL, first_activates=True)
    )
    images = torch.randn(1, 3, 64, 48)
    third, fourth, total = backbone(images)
    features = backbone.pool(backbone.root(images))
    for stage in list(backbone.stages)[:3]:
        features, added = stage(features)
    assert torch.equal(third, added)
    assert not torch.equal(third, features)
    first, last = backbone.stages[3].blocks
    before, _ = first(features)
    torch.testing.assert_close(before + fourth, total)
    assert torch.equal(last(before)[0], total)


def test_only_root_resnet_18_normalises_the_pooled_stem_once_more():
    for activates, kind in ((True, nn.Sequential), (False, nn.Identity)):
        backbone = CaffeRootResNet(3, blocks=(2, 1, 1, 1), **SMALL, first_activates=activates)
        first, second = backbone.stages[0].blocks
        assert type(first.activate) is kind
        assert type(second.activate) is nn.Sequential
        assert type(backbone.stages[1].blocks[0].activate) is nn.Sequential


@torch.no_grad()
def test_the_released_extra_levels_are_fed_the_sum_which_is_no_source():
    maps = [torch.randn(1, channels, 9, 7) for channels in (4, 6, 6)]
    for neck in (
        AddedExtras([4, 6, 6], width=5, strides=(2, 1), norm="batch"),
        PreActivationSSDExtras([4, 6, 6], SSD300_EXTRAS[:2], norm="batch"),
    ):
        result = shuffled_statistics(neck)(maps)
        assert len(result) == 4
        assert all(one is given for one, given in zip(result, maps[:2], strict=False))
        changed = neck([maps[0], maps[1], maps[2] + 1])
        assert not torch.equal(result[2], changed[2])
        # Outputs of convolutions: neither rectified nor normalised.
        assert result[2].min() < 0
        assert result[3].min() < 0


@torch.no_grad()
def test_an_added_extra_level_goes_on_from_the_sum():
    neck = shuffled_statistics(AddedExtras([6], width=5, strides=(2, 1), norm="batch"))
    features = torch.randn(1, 6, 9, 7)
    first, second = neck([features])
    total, added = neck.extras[0](features)
    assert torch.equal(first, added)
    assert torch.equal(second, neck.extras[1](total)[1])


@pytest.mark.parametrize("stride", [1, 2])
def test_a_stage_returns_the_sum_and_what_its_last_block_added(stride):
    stage = Stage(4, 6, blocks=3, norm="batch", stride=stride).eval()
    features = torch.randn(1, 4, 9, 7)
    total, added = stage(features)
    assert total.shape == ((1, 6, 9, 7) if stride == 1 else (1, 6, 5, 4))
    *first, last = stage.blocks
    for block in first:
        features, _ = block(features)
    torch.testing.assert_close(features + added, total)
    assert torch.equal(last(features)[1], added)


def test_a_variant_that_does_not_exist_lists_those_that_do():
    with pytest.raises(ValueError, match="variant 'mmdet' of scratchdet300_r18 is not known"):
        create_model("scratchdet300_r18", variant="mmdet")
    with pytest.raises(ValueError, match="paper, caffe, mmdet"):
        create_model("scratchdet300_r34", variant="tf")
