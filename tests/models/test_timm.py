"""Backbones of timm: the maps that SSD stands on, trained from nothing, exported; or refused."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from scratchdet.models.detector import measure
from scratchdet.models.saved import load_model, save_model
from scratchdet.models.zoo import create_model
from scratchdet.ops.losses import MultiBoxLoss
from scratchdet.structures import Targets

timm = pytest.importorskip("timm", reason="timm is not installed")

from scratchdet.models.backbones.timm import TimmBackbone  # noqa: E402

SMALL = (96, 96)
# One of every kind: plain convolutions, squeeze and excitation, residual, LayerNorm with a stem
# that rounds down, channels last, hooks, layers that none of the maps needs, multiples of 32 only.
ASKED_FOR = ("mobilenetv4_conv_small", "efficientnet_b0", "resnet50d", "convnext_atto")
OTHERS = ("regnety_002", "mambaout_femto", "legacy_xception", "hrnet_w18_small", "dla34")
SSD_MAPS = {
    "ssd300_timm": (38, 19, 10, 5, 3, 1),
    "ssd512_timm": (64, 32, 16, 8, 4, 2, 1),
    "scratchdet300_timm": (38, 19, 10, 5, 3, 1),
}
PRIORS = {"ssd300_timm": 8732, "ssd512_timm": 24564, "scratchdet300_timm": 8732}


def shape_only(model="ssd300_timm", **choices):
    with torch.device("meta"):
        return create_model(model, **choices).eval()


def kinds_in(module, *kinds):
    return {type(layer) for layer in module.modules() if isinstance(layer, kinds)}


@pytest.mark.parametrize(
    ("model", "backbone"),
    [
        *(("ssd300_timm", backbone) for backbone in ASKED_FOR + OTHERS),
        *((model, ASKED_FOR[0]) for model in ("ssd512_timm", "scratchdet300_timm")),
    ],
)
def test_every_backbone_gives_the_maps_and_priors_of_ssd(model, backbone):
    detector = shape_only(model, backbone=backbone)
    maps = measure(detector.neck, measure(detector.backbone, (3, *detector.input_size)))
    assert [(height, width) for _, height, width in maps] == [(n, n) for n in SSD_MAPS[model]]
    assert len(detector.priors) == PRIORS[model]


def test_extra_levels_are_those_of_ssd_or_residual_ones_of_128_channels():
    maps = {model: measured_channels(shape_only(model)) for model in SSD_MAPS}
    assert maps["ssd300_timm"][3:] == [256, 256, 256]
    assert maps["ssd512_timm"][3:] == [256, 256, 256, 256]
    assert maps["scratchdet300_timm"][3:] == [128, 128, 128]


def measured_channels(detector):
    maps = measure(detector.neck, measure(detector.backbone, (3, *detector.input_size)))
    return [channels for channels, _, _ in maps]


@pytest.mark.parametrize("backbone", ASKED_FOR + OTHERS)
@pytest.mark.parametrize(("size", "in_channels"), [((1, 1), 1), ((33, 47), 5), ((250, 300), 1)])
def test_any_size_and_channels_give_maps_rounded_up(backbone, size, in_channels):
    with torch.device("meta"):
        network = TimmBackbone(backbone, in_channels).eval()
    height, width = size
    assert [shape[1:] for shape in measure(network, (in_channels, *size))] == [
        (-(-height // reduction), -(-width // reduction)) for reduction in (8, 16, 32)
    ]


def test_what_is_beyond_the_image_counts_as_zeros():
    torch.manual_seed(0)
    network = TimmBackbone("resnet10t", 3).eval()
    image = torch.randn(1, 3, 40, 72)
    padded = torch.zeros(1, 3, 64, 96)
    padded[..., :40, :72] = image
    with torch.no_grad():
        for cut, whole in zip(network(image), network(padded), strict=True):
            torch.testing.assert_close(cut, whole[..., : cut.shape[2], : cut.shape[3]])


def test_maps_are_timms_own_whatever_the_order_of_its_axes():
    torch.manual_seed(0)
    network = TimmBackbone("test_mambaout", 3).eval()
    assert str(network.network.output_fmt) == "Format.NHWC"
    images = torch.randn(2, 3, 32, 64)
    with torch.no_grad():
        for ours, theirs in zip(network(images), network.network(images), strict=True):
            assert torch.equal(ours, theirs.permute(0, 3, 1, 2))


@pytest.mark.parametrize("backbone", [*ASKED_FOR, "regnety_002", "hrnet_w18_small"])
def test_a_training_step_has_a_finite_loss_and_reaches_every_parameter(backbone):
    torch.manual_seed(0)
    detector = create_model("ssd300_timm", 1, input_size=SMALL, backbone=backbone)
    targets = Targets(
        torch.tensor([[[4.0, 8.0, 60.0, 70.0]], [[30.0, 20.0, 90.0, 90.0]]]),
        torch.zeros(2, 1, dtype=torch.long),
        torch.zeros(2, 1, dtype=torch.bool),
    )
    raw = detector(torch.randn(2, 3, *SMALL))
    loss = MultiBoxLoss(detector.priors, input_size=SMALL)(raw, targets).total
    loss.backward()
    assert torch.isfinite(loss)
    for name, parameter in detector.named_parameters():
        # Distributed training waits for the gradient of whatever asks for one.
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    frozen = [name for name, p in detector.named_parameters() if not p.requires_grad]
    assert bool(frozen) == (backbone == "hrnet_w18_small"), frozen


@pytest.mark.parametrize(
    "backbone",
    [
        "resnet10t",
        *(pytest.param(name, marks=pytest.mark.slow) for name in (*ASKED_FOR, "regnety_002")),
    ],
)
def test_exported_to_onnx_it_computes_the_same(tmp_path, backbone):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    torch.manual_seed(0)
    size = (70, 96)
    detector = create_model("ssd300_timm", 3, input_size=size, backbone=backbone)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        detector.train()(images)  # moves the statistics of BatchNorm
        expected = detector.eval()(images)
    path = tmp_path / "model.onnx"
    torch.onnx.export(detector, (images,), path, dynamo=True, verbose=False)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    for ours, theirs in zip(expected, given, strict=True):
        assert ours.abs().max() > 0.01
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-3)


@pytest.mark.parametrize("model", SSD_MAPS)
def test_a_saved_model_knows_its_backbone(tmp_path, model):
    torch.manual_seed(0)
    detector = create_model(
        model, 1, in_channels=5, input_size=SMALL, backbone="resnet10t", norm_backbone="group"
    ).eval()
    save_model(detector, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    images = torch.randn(1, 5, *SMALL)
    with torch.no_grad():
        for ours, theirs in zip(loaded(images), detector(images), strict=True):
            assert torch.equal(ours, theirs)


# Untrained


def test_weights_come_from_the_seed_and_are_timms_own_initial_ones():
    torch.manual_seed(5)
    network = timm.create_model("resnet10t", features_only=True, out_indices=(2, 3, 4))
    torch.manual_seed(5)
    ours = create_model("ssd300_timm", 1, input_size=SMALL, backbone="resnet10t").backbone.network
    weights = network.state_dict()
    assert weights.keys() == ours.state_dict().keys()
    assert all(torch.equal(weights[key], value) for key, value in ours.state_dict().items())


def test_timm_is_never_asked_for_weights(monkeypatch):
    asked = []
    create = timm.create_model

    def recording(*arguments, **choices):
        asked.append((arguments, choices))
        return create(*arguments, **choices)

    monkeypatch.setattr(timm, "create_model", recording)
    shape_only(backbone="resnet14t")
    assert {choices["pretrained"] for _, choices in asked} == {False}
    assert {len(arguments) for arguments, _ in asked} == {1}  # the name; `pretrained` is the second
    weights = {"pretrained_cfg", "checkpoint_path", "pretrained_cfg_overlay"}
    assert not [key for _, choices in asked for key in choices if key in weights]


@pytest.mark.parametrize(
    "backbone",
    ["resnet50.a1_in1k", "hf-hub:timm/resnet18.a1_in1k", "timm/resnet18", "local-dir:/tmp", ""],
)
def test_names_of_weights_are_refused_before_timm_sees_them(backbone, monkeypatch):
    def fails(*arguments, **choices):
        pytest.fail("timm was asked")

    monkeypatch.setattr(timm, "create_model", fails)
    with pytest.raises(ValueError, match="nothing pre-trained is loaded"):
        shape_only(backbone=backbone)


def test_a_name_that_timm_does_not_know_lists_similar_ones():
    with pytest.raises(ValueError, match=r"'resnet19'.*similar: .*resnet18"):
        shape_only(backbone="resnet19")


# What cannot be a backbone


@pytest.mark.parametrize(
    ("backbone", "reason"),
    [
        ("vit_tiny_patch16_224", "reduction 16, 16, 16; a backbone here needs 8, 16, 32"),
        ("shvit_s1", "reduction 16, 32, 64; a backbone here needs 8, 16, 32"),
        ("swin_tiny_patch4_window7_224", r"not take images of every size.* at 32 x 64 .*\(224\)"),
        ("gcvit_xxtiny", "not take images of every size"),
        ("mobilevitv2_050", r"makes maps of \(4, 8\), \(2, 4\), \(2, 2\)"),
    ],
)
def test_networks_without_the_maps_or_made_for_one_size_are_refused(backbone, reason):
    with pytest.raises(ValueError, match=f"timm's {backbone} .*{reason}"):
        shape_only(backbone=backbone)


def test_without_timm_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # makes its import fail
    with pytest.raises(ImportError, match=r"comes with timm: pip install timm"):
        create_model("ssd300_timm", backbone="resnet10t")


# Norms


@pytest.mark.parametrize("backbone", ["mobilenetv4_conv_small", "resnet10t", "convnext_atto"])
def test_batch_leaves_the_norms_of_the_network(backbone):
    ours = shape_only(backbone=backbone).backbone.network
    with torch.device("meta"):
        theirs = timm.create_model(backbone, features_only=True, out_indices=(-3, -2, -1))
    kinds = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
    assert kinds_in(ours, *kinds) == kinds_in(theirs, *kinds)


@pytest.mark.parametrize("backbone", ["mobilenetv4_conv_small", "efficientnet_b0", "resnet10t"])
def test_group_makes_group_norms_of_all_batch_norms_and_keeps_what_follows_them(backbone):
    torch.manual_seed(0)
    detector = create_model(
        "ssd300_timm", input_size=SMALL, backbone=backbone, norm_backbone="group", norm_head="group"
    )
    assert kinds_in(detector, nn.modules.batchnorm._BatchNorm) == set()
    activations = (nn.ReLU, nn.SiLU)
    plain = TimmBackbone(backbone, 3)
    count = [
        sum(isinstance(m, activations) for m in n.modules()) for n in (plain, detector.backbone)
    ]
    assert count[0] == count[1] > 0
    # Without batch statistics, an image's result does not depend on the others of its batch.
    images = torch.randn(2, 3, *SMALL)
    with torch.no_grad():
        together, alone = detector(images), detector(images[:1])
    torch.testing.assert_close(together.logits[:1], alone.logits, rtol=1e-3, atol=1e-4)


def test_scales_that_start_at_zero_still_do_as_group_norms():
    def scales(norm):
        network = TimmBackbone("resnet10t", 3, norm=norm)
        kinds = (nn.BatchNorm2d, nn.GroupNorm)
        return [m.weight.sum().item() for m in network.modules() if isinstance(m, kinds)]

    assert scales("group") == scales("batch")
    assert 0.0 in scales("group")


@pytest.mark.parametrize(
    ("backbone", "norm", "reason"),
    [
        ("resnet10t", "none", "norm_backbone 'none' .* choose from batch, sync_batch, group"),
        ("nextvit_small", "group", "BatchNorm1d. Choose batch"),
    ],
)
def test_norms_that_cannot_be_had_are_refused(backbone, norm, reason):
    with pytest.raises(ValueError, match=reason):
        shape_only(backbone=backbone, norm_backbone=norm)
