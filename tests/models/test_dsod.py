"""The DSOD family: laid out as released, and cheaper in memory on demand.

How large the networks are: test_published.py.
"""

from functools import cache

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from scratchdet.models.caffe_names import caffe_modules
from scratchdet.models.detector import measure
from scratchdet.models.layers import L2Norm
from scratchdet.models.necks.recurrent_pyramid import Doubling, Gate
from scratchdet.models.zoo import create_model
from scratchdet.ops.priors import make_priors

SMALL = (64, 96)
FAMILY = (
    "dsod300",
    "dsod300_lite",
    "dsod300_smallest",
    "dsod512",
    "grp_dsod300",
    "grp_dsod320",
)


@cache
def shape_only(name, **choices):
    with torch.device("meta"):
        return create_model(name, **choices).eval()


def maps_of(detector):
    maps = measure(detector.backbone, (detector.in_channels, *detector.input_size))
    return measure(detector.neck, maps)


def centres_of(detector):
    """x and y of all priors, as fractions of the image; the detector itself is without memory."""
    maps = [(height, width) for _, height, width in maps_of(detector)]
    return make_priors(detector.specs, maps, detector.input_size)[:, :2]


def small(name, **choices):
    torch.manual_seed(0)
    return create_model(name, num_classes=2, input_size=SMALL, **choices)


def loss_of(detector, images):
    raw = detector(images)
    return raw.logits.square().mean() + raw.offsets.square().mean()


def test_every_dense_layer_adds_its_growth():
    # 128 of the stem, 48 from each of 6, 8, 8, 8 layers, and transitions keep all.
    backbone = shape_only("dsod300").backbone
    blocks = [backbone.block1, backbone.block2, backbone.block3, backbone.block4]
    assert [block.outputs for block in blocks] == [416, 800, 1184, 1568]
    assert [layer.units[0][2].in_channels for layer in backbone.block1.layers] == [
        128,
        176,
        224,
        272,
        320,
        368,
    ]


def test_channels_of_the_maps_are_the_released_ones():
    assert [map_[0] for map_ in maps_of(shape_only("dsod300"))] == [800, 512, 512, 256, 256, 256]
    channels = [1184, 513, 258, 258, 258, 256]  # GRP_DSOD320_pascal.py, channel_nums
    assert [map_[0] for map_ in maps_of(shape_only("grp_dsod320"))] == channels


def test_at_the_released_size_the_last_priors_lie_where_the_release_puts_them():
    # 2 x 2 locations, 300 px apart: centres at 150 and 450 of 300.
    assert centres_of(shape_only("dsod300"))[-16:].unique().tolist() == [0.5, 1.5]


@pytest.mark.parametrize(("name", "side"), [("dsod300", 320), ("grp_dsod320", 640)])
def test_at_other_sizes_all_priors_lie_inside_the_image(name, side):
    # Sides that are whole numbers of the strides, up to 64 px, so that no map reaches out.
    centres = centres_of(shape_only(name, input_size=(side, side)))
    assert float(centres.min()) > 0
    assert float(centres.max()) < 1


def test_priors_for_coco_start_smaller():
    # 7 % and 15 % of 300 px (DSOD300_coco.py), where VOC has 10 % and 20 %.
    for sizes, first, second in (("voc", 30, 60), ("coco", 21, 45)):
        specs = shape_only("dsod300", prior_sizes=sizes).specs
        assert [spec.min_size for spec in specs[:2]] == pytest.approx([first, second])


@pytest.mark.parametrize(
    ("kernel", "fine", "expected"),
    [
        (2, (4, 4), [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]),
        (2, (3, 3), [[1, 1, 2], [1, 1, 2], [3, 3, 4]]),
        (1, (3, 3), [[1, 0, 2], [0, 0, 0], [3, 0, 4]]),
        (1, (4, 3), [[1, 0, 2], [0, 0, 0], [3, 0, 4], [0, 0, 0]]),
    ],
)
def test_a_doubled_map_is_fitted_to_the_finer_one(kernel, fine, expected):
    double = Doubling(1, 1, kernel, norm="none", eps=1e-4)
    nn.init.ones_(double.spread.weight)
    nn.init.zeros_(double.spread.bias)
    coarse = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert double(coarse, torch.zeros(1, 5, *fine))[0, 0].tolist() == expected


def test_a_gate_of_zeros_adds_a_quarter():
    gate = Gate(32)
    for parameter in gate.parameters():
        nn.init.zeros_(parameter)
    features = torch.rand(2, 32, 3, 5)
    torch.testing.assert_close(gate(features), 1.25 * features)  # two sigmoids of one half


@torch.no_grad()
def test_no_map_that_grp_dsod_gates_is_negative():
    # Or the ReLU of the release, which Gate leaves out, would have something to do.
    detector = small("grp_dsod320").eval()
    maps = detector.neck[1](detector.neck[0](detector.backbone(torch.randn(1, 3, *SMALL))))
    assert all(float(features.min()) >= 0 for features in maps)


def test_a_location_of_zeros_has_no_huge_gradient():
    features = torch.zeros(1, 4, 1, 1, requires_grad=True)
    L2Norm(4)(features).sum().backward()
    assert features.grad.tolist() == [[[[pytest.approx(2e6)]]] * 4]  # 20 / sqrt(1e-10)


@pytest.mark.parametrize("name", ["dsod300_smallest", "grp_dsod320"])
@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_one_step_changes_every_parameter(name, norm):
    detector = small(name, norm_backbone=norm, norm_head=norm)
    before = {key: value.detach().clone() for key, value in detector.named_parameters()}
    raw = detector(torch.randn(2, 3, *SMALL))
    sum((values * torch.randn_like(values)).sum() for values in raw).backward()
    torch.optim.SGD(detector.parameters(), lr=1.0).step()
    for key, value in detector.named_parameters():
        assert torch.isfinite(value).all(), key
        assert not torch.equal(value, before[key]), key


@pytest.mark.parametrize("name", ["dsod300_smallest", "grp_dsod320"])
def test_checkpointing_changes_neither_gradients_nor_statistics(name):
    images = torch.randn(2, 3, *SMALL)
    results = []
    for checkpointing in ("off", "blocks"):
        detector = small(name, checkpointing=checkpointing)
        loss_of(detector, images).backward()
        gradients = {key: value.grad for key, value in detector.named_parameters()}
        results.append((gradients, dict(detector.named_buffers())))
    for expected, found in zip(*results, strict=True):
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, msg=key)
    batches = [value for key, value in results[1][1].items() if "num_batches" in key]
    assert {int(value) for value in batches} == {1}


def test_checkpointing_leaves_the_statistics_where_they_were_after_an_error():
    detector = small("dsod300_smallest", checkpointing="blocks")
    buffers = {key: id(value) for key, value in detector.named_buffers()}
    loss = loss_of(detector, torch.randn(2, 3, *SMALL))

    def fail(*_):
        raise KeyboardInterrupt

    detector.backbone.block2.layers[3].units[1][2].register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        loss.backward()
    assert {key: id(value) for key, value in detector.named_buffers()} == buffers


def saved_bytes(detector, images):
    """What the backward pass needs of the forward pass, each tensor once, weights left out."""
    weights = {value.data_ptr() for value in detector.parameters()}
    saved = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = loss_of(detector, images)
    assert loss.requires_grad
    return sum(size for size, _ in saved.values())


def test_checkpointing_saves_memory():
    images = torch.randn(2, 3, *SMALL)
    kept = {
        checkpointing: saved_bytes(small("dsod300", checkpointing=checkpointing), images)
        for checkpointing in ("off", "blocks")
    }
    assert kept["blocks"] < 0.5 * kept["off"]


def test_smaller_networks_of_the_family_have_the_layers_of_the_released_files():
    names = [*caffe_modules(shape_only("dsod300"))]
    assert [*caffe_modules(shape_only("dsod300_smallest"))] == names
    assert set(caffe_modules(shape_only("dsod300_lite"))) < set(names)


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("ssd300_vgg16", {}),
        ("scratchdet_nano", {}),
        ("dsod512", {}),
        ("dsod300", {"prediction": "plain"}),
        ("dsod300", {"norm_backbone": "none"}),
        ("dsod300", {"norm_backbone": "group"}),
        ("dsod300", {"norm_backbone": "sync_batch"}),
        ("dsod300", {"norm_head": "none"}),
        ("grp_dsod320", {"norm_head": "group"}),
    ],
)
def test_a_network_that_was_never_published_for_caffe_has_no_layers_there(name, choices):
    with pytest.raises(ValueError, match=r"no \.caffemodel was published"):
        caffe_modules(shape_only(name, **choices))


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("checkpointing", ["off", "blocks"])
def test_every_one_can_be_checkpointed(name, checkpointing):
    detector = shape_only(name, checkpointing=checkpointing)
    backbone = detector.backbone
    blocks = [backbone.block1, backbone.block2, backbone.block3, backbone.block4]
    assert {block.checkpointing for block in blocks} == {checkpointing}
