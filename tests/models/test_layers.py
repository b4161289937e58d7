"""The layers that every network is made of."""

from typing import get_args

import pytest
import torch
from torch import nn

from scratchdet.models.backbones.resnet import PreActivationBlock, RootResNet
from scratchdet.models.backbones.vgg import VGG16
from scratchdet.models.head import OUTPUT_GAIN, MultiBoxHead
from scratchdet.models.layers import (
    L2Norm,
    Norm,
    StandardisedConv,
    StridedConv,
    conv,
    initialise,
    make_conv,
    make_norm,
    pre_activation,
)
from scratchdet.models.padding import at_least

NORM_LAYERS = {
    "none": nn.Identity,
    "batch": nn.BatchNorm2d,
    "sync_batch": nn.SyncBatchNorm,
    "group": nn.GroupNorm,
    "group_ws": nn.GroupNorm,
}
NORMS = get_args(Norm)


def test_every_norm_keeps_the_shape():
    features = torch.randn(2, 12, 5, 3)
    assert set(NORM_LAYERS) == set(NORMS)
    for norm in NORMS:
        layer = make_norm(norm, 12)
        assert type(layer) is NORM_LAYERS[norm]
        assert layer(features).shape == features.shape


@pytest.mark.parametrize(
    ("channels", "groups"), [(7, 1), (24, 1), (48, 3), (56, 1), (64, 4), (512, 32)]
)
def test_groups_divide_the_channels(channels, groups):
    assert make_norm("group", channels).num_groups == groups


def test_a_group_norm_of_one_group_takes_all_channels():
    assert make_norm("group", 63, groups=1).num_groups == 1


@pytest.mark.parametrize("norm", NORMS)
def test_a_convolution_has_a_bias_only_without_a_norm(norm):
    assert (conv(3, 8, 3, norm=norm)[0].bias is None) == (norm != "none")


@pytest.mark.parametrize(
    ("kernel", "choices", "size"),
    [
        (3, {}, (9, 7)),
        (1, {}, (9, 7)),
        (3, {"dilation": 6}, (9, 7)),
        (3, {"stride": 2}, (5, 4)),
        (3, {"padding": 0}, (7, 5)),
    ],
)
def test_convolutions_keep_the_size_unless_told_otherwise(kernel, choices, size):
    layer = conv(2, 4, kernel, norm="none", **choices)
    assert layer(torch.randn(1, 2, 9, 7)).shape == (1, 4, *size)


def test_a_convolution_is_rectified():
    assert conv(2, 4, 3, norm="batch")(torch.randn(2, 2, 9, 7)).min() == 0


@pytest.mark.parametrize("norm", NORMS)
def test_pre_activation_leaves_its_input_alone(norm):
    features = torch.randn(2, 8, 4, 4)
    before = features.clone()
    assert pre_activation(8, norm)(features).min() == 0
    assert torch.equal(features, before)


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 4), (2, 2), (5, 3)])
@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (1, 0), (7, 3)])
def test_a_strided_convolution_is_pytorchs_on_the_smallest_maps_too(kernel, padding, size):
    layer = StridedConv(4, 6, kernel, stride=2, padding=padding).train()
    features = torch.randn(2, 4, *size)
    expected = nn.functional.conv2d(features, layer.weight, layer.bias, 2, padding)
    torch.testing.assert_close(layer(features), expected)


def test_a_strided_convolution_of_a_narrow_map_learns_in_bf16():
    torch.manual_seed(0)
    layer = StridedConv(64, 64, 3, stride=2, padding=1, bias=False).train()
    features = torch.randn(8, 64, 3, 1)
    layer(features).square().sum().backward()
    expected, layer.weight.grad = layer.weight.grad, None
    # What is freed here is what an unwritten gradient would be made of.
    freed = torch.full((8, 64 * 64 * 9), 1e30)
    del freed
    with torch.autocast("cpu", torch.bfloat16):
        result = layer(features)
    result.float().square().sum().backward()
    error = (layer.weight.grad - expected).abs().max()
    assert error < 0.05 * expected.abs().max()


def spread(weights):
    return weights.mean((1, 2, 3)), weights.var((1, 2, 3), correction=0)


@pytest.mark.parametrize(("inputs", "kernel"), [(1, 3), (7, 1), (16, 3)])
def test_standardised_weights_have_mean_zero_and_the_variance_of_xavier(inputs, kernel):
    torch.manual_seed(0)
    layer = StandardisedConv(inputs, 6, kernel, padding=kernel // 2, bias=False)
    nn.init.normal_(layer.weight, mean=3.0, std=0.2)
    mean, variance = spread(layer.standardised())
    fed = inputs * kernel**2
    torch.testing.assert_close(mean, torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(variance, torch.full((6,), 1 / fed), rtol=1e-4, atol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_only_group_ws_standardises_and_its_norm_cannot_tell_scale_and_mean_of_weights(norm):
    torch.manual_seed(0)
    layer = conv(4, 32, 3, norm=norm, stride=2)
    assert isinstance(layer[0], StandardisedConv) == (norm == "group_ws")
    features = torch.randn(2, 4, 9, 7)
    before = layer(features)
    with torch.no_grad():  # by another factor and mean for every output
        layer[0].weight.mul_(torch.linspace(0.5, 5, 32).view(-1, 1, 1, 1)).add_(0.3)
    same = torch.allclose(layer(features), before, atol=1e-4)
    assert same == (norm == "group_ws")


def test_standardised_weights_are_those_of_qiao_et_al_under_their_norm():
    torch.manual_seed(0)
    layer = make_conv("group_ws", 5, 32, 3, padding=1)
    features, group = torch.randn(2, 5, 8, 8), nn.GroupNorm(2, 32, eps=0.0)
    theirs = layer.weight - layer.weight.mean((1, 2, 3), keepdim=True)
    theirs = theirs / theirs.flatten(1).std(1, correction=0).view(-1, 1, 1, 1)
    expected = group(nn.functional.conv2d(features, theirs, padding=1))
    torch.testing.assert_close(group(layer(features)), expected)


def test_weights_that_are_all_alike_are_standardised_to_nothing():
    layer = make_conv("group_ws", 3, 2, 3)
    nn.init.constant_(layer.weight, 0.5)
    layer(torch.randn(1, 3, 5, 5)).square().sum().backward()
    assert torch.count_nonzero(layer.standardised()) == 0
    assert torch.isfinite(layer.weight.grad).all()


def test_a_standardised_strided_convolution_of_the_smallest_map_is_the_same_in_training():
    layer = make_conv("group_ws", 4, 6, 3, stride=2, padding=1)
    features = torch.randn(2, 4, 1, 1)
    torch.testing.assert_close(layer.train()(features), layer.eval()(features))


def test_l2_norm_scales_every_location_to_the_learned_length():
    layer = L2Norm(4)
    result = layer(torch.randn(2, 4, 3, 5))
    torch.testing.assert_close(result.norm(dim=1), torch.full((2, 3, 5), 20.0))
    by_hand = layer(torch.tensor([3.0, 0.0, 4.0, 0.0]).reshape(1, 4, 1, 1))
    torch.testing.assert_close(by_hand.flatten(), torch.tensor([12.0, 0.0, 16.0, 0.0]))


def test_l2_norm_of_nothing_is_zero_and_teaches_nothing_wild():
    features = torch.zeros(1, 4, 2, 2, requires_grad=True)
    result = L2Norm(4)(features)
    result.sum().backward()
    assert torch.count_nonzero(result) == 0
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize(
    ("size", "expected"), [((1, 1), (3, 3)), ((2, 5), (3, 5)), ((3, 3), (3, 3)), ((9, 4), (9, 4))]
)
def test_small_maps_are_padded_with_zeros_below_and_on_the_right(size, expected):
    features = torch.ones(1, 2, *size)
    padded = at_least(features, 3)
    assert padded.shape == (1, 2, *expected)
    assert torch.equal(padded[..., : size[0], : size[1]], features)
    assert padded.sum() == features.sum()


@pytest.mark.parametrize(
    ("scheme", "variance"), [("xavier", 1 / 576), ("he", 2 / 576)], ids=["xavier", "he"]
)
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(64, 128, 3),
        nn.ConvTranspose2d(128, 144, 2),  # PyTorch and Caffe: (inputs, outputs, ...) of the weight
        nn.Linear(576, 128),
    ],
    ids=["convolution", "transposed", "linear"],
)
def test_weights_have_the_published_spread_and_biases_are_zero(layer, scheme, variance):
    # 576 inputs: 64 x 3 x 3, and 144 x 2 x 2.
    torch.manual_seed(0)
    nn.init.ones_(layer.bias)
    initialise(layer, scheme)
    assert layer.weight.var().item() == pytest.approx(variance, rel=0.03)
    assert abs(layer.weight.mean().item()) < variance**0.5 / 50
    assert torch.count_nonzero(layer.bias) == 0


def test_xavier_weights_are_uniform():
    layer = nn.Conv2d(64, 128, 3)
    initialise(layer, "xavier")
    assert layer.weight.abs().max().item() == pytest.approx((3 / 576) ** 0.5, rel=0.001)


def test_what_has_weights_of_its_own_keeps_them():
    layer = nn.Conv2d(3, 4, 3)
    before = layer.weight.clone()
    initialise(layer, "own")
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("norm", ["batch", "sync_batch", "group", "group_ws"])
def test_norms_start_as_the_identity_but_those_of_predictors_start_small(norm):
    layer = make_norm(norm, 64)
    initialise(layer, "he")
    assert torch.equal(layer.weight, torch.ones(64))
    head = MultiBoxHead([8], [4], num_classes=2, norm=norm)
    initialise(head, "xavier")
    for _, normalise in (head.classes[0], head.boxes[0]):
        assert torch.equal(normalise.weight, torch.full_like(normalise.weight, OUTPUT_GAIN))
        assert torch.count_nonzero(normalise.bias) == 0


def test_a_residual_block_without_residual_passes_its_input_on():
    features = torch.randn(2, 6, 7, 5)
    for padding, expected in ((1, features), (0, features[..., 1:-1, 1:-1])):
        block = PreActivationBlock(6, 6, norm="batch", padding=padding)
        nn.init.zeros_(block.residual[-1].weight)
        assert torch.equal(block(features)[0], expected)


@pytest.mark.parametrize("norm", NORMS)
def test_a_residual_block_changes_shape_by_its_shortcut(norm):
    block = PreActivationBlock(6, 10, norm=norm, stride=2)
    features = torch.randn(2, 6, 7, 5)
    before = features.clone()
    total, added = block(features)
    assert total.shape == added.shape == (2, 10, 4, 3)
    assert torch.equal(features, before)


def test_the_root_keeps_the_resolution_of_the_image():
    network = RootResNet(5, root=4, widths=(4, 6, 8, 10), blocks=(1, 1, 1, 1), norm="batch")
    images = torch.randn(1, 5, 64, 96)
    assert network.root(images).shape == (1, 4, 64, 96)
    assert [tuple(map_.shape) for map_ in network(images)] == [(1, 8, 8, 12), (1, 10, 4, 6)]


@pytest.mark.parametrize("norm", NORMS)
def test_conv4_3_is_l2_normalised_only_without_a_norm(norm):
    with torch.device("meta"):
        scale = VGG16(norm=norm).scale
    assert isinstance(scale, L2Norm) == (norm == "none")
