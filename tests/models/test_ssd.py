"""SSD equals torchvision's where torchvision has it, and its variants differ where they say so."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn
from torchvision.models.detection import ssd300_vgg16 as torchvision_ssd300

from scratchdet.models.backbones.resnet import STEMS
from scratchdet.models.layers import Norm
from scratchdet.models.zoo import MODELS, choices_of, create_model
from scratchdet.ops.priors import make_priors


def layers_of(module, *kinds):
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def shape_only(name, **choices):
    with torch.device("meta"):
        return create_model(name, **choices).eval()


@torch.no_grad()
def test_ssd300_without_norms_computes_what_torchvision_computes():
    torch.manual_seed(0)
    theirs = torchvision_ssd300(weights=None, weights_backbone=None, num_classes=21).eval()
    ours = create_model("ssd300_vgg16", norm_backbone="none", norm_head="none").eval()
    # Both list the convolutions in the order of the computation; in heads, classes come first.
    pairs = zip(layers_of(ours, nn.Conv2d), layers_of(theirs, nn.Conv2d), strict=True)
    for mine, other in pairs:
        mine.weight.copy_(other.weight)
        mine.bias.copy_(nn.init.normal_(other.bias, std=0.1))
    images = torch.randn(1, 3, 300, 300)
    features = list(theirs.backbone(images).values())
    expected = theirs.head(features)
    raw = ours(images)
    scale = expected["cls_logits"].abs().max()
    assert scale > 0.1
    torch.testing.assert_close(raw.logits, expected["cls_logits"], atol=1e-4 * scale, rtol=1e-4)
    torch.testing.assert_close(raw.offsets, expected["bbox_regression"], atol=1e-4, rtol=1e-3)


def test_with_norms_the_result_of_every_pooling_is_normalised_and_the_last_map_is_raw():
    # VGGNetBNBody of the release: 13 + 2 convolutions of VGG, 5 poolings, 8 extra layers but one.
    detector = shape_only("ssd300_vgg16", norm_head="none")
    norms = layers_of(detector, nn.BatchNorm2d)
    assert len(norms) == 15 + 5 + 7
    assert isinstance(detector.neck.extras[-1][-1], nn.Conv2d)
    assert isinstance(detector.neck.extras[-2][-1], nn.ReLU)


@pytest.mark.parametrize("norm", get_args(Norm))
def test_only_without_a_norm_are_the_features_of_conv4_3_scaled(norm):
    detector = shape_only("ssd300_vgg16", norm_backbone=norm)
    assert isinstance(detector.backbone.scale, nn.Identity) == (norm != "none")


def test_the_four_stems_leave_everything_else_as_it_is():
    states = [shape_only("ssd300_resnet18", stem=stem).state_dict() for stem in STEMS]
    rest, *others = (
        {key: value.shape for key, value in state.items() if not key.startswith("backbone.root.")}
        for state in states
    )
    assert len(others) == 3
    assert all(other == rest for other in others)


def test_the_root_stem_makes_it_scratchdet():
    ssd, ours = shape_only("ssd300_resnet18", stem="root"), shape_only("scratchdet300_r18")
    assert ssd.state_dict().keys() == ours.state_dict().keys()
    assert ssd.specs == ours.specs


@pytest.mark.parametrize("name", [name for name in MODELS if "512" in name])
@pytest.mark.parametrize("size", [(96, 96), (160, 160), (200, 400), (512, 512)])
def test_networks_of_512_have_their_coarse_priors_inside_images_of_any_size(name, size):
    detector = shape_only(name, input_size=size)
    maps = detector.neck(detector.backbone(torch.empty(1, 3, *size, device="meta")))
    sizes = [tuple(map_.shape[-2:]) for map_ in maps[-3:]]
    centres = make_priors(detector.specs[-3:], sizes, size)[:, :2]
    assert ((centres > 0) & (centres < 1)).all()


def test_at_512_the_coarse_priors_are_those_of_the_release():
    specs, maps = shape_only("ssd512_vgg16").specs[-3:], [(4, 4), (2, 2), (1, 1)]
    released = [
        replace(spec, step=step) for spec, step in zip(specs, (128.0, 256.0, 512.0), strict=True)
    ]
    size = (512, 512)
    torch.testing.assert_close(make_priors(specs, maps, size), make_priors(released, maps, size))


# min_size of every level as the scripts compute it: SSD's ssd_pascal.py, ssd_coco.py of ScratchDet,
# ssdbn_head.py of ScratchDet (which cuts them to whole pixels).
VOC_300, COCO_300 = (30, 60, 111, 162, 213, 264), (21, 45, 99, 153, 207, 261)
VOC_512 = (35.84, 76.8, 153.6, 230.4, 307.2, 384, 460.8)
COCO_512 = (20.48, 51.2, 133.12, 215.04, 296.96, 378.88, 460.8)


@pytest.mark.parametrize("name", [name for name in MODELS if "prior_sizes" in choices_of(name)])
def test_the_priors_for_voc_and_coco_have_the_sizes_of_the_releases(name):
    voc, coco = (shape_only(name, prior_sizes=sizes).specs for sizes in ("voc", "coco"))
    expected = (VOC_512, COCO_512) if "512" in name else (VOC_300, COCO_300)
    for specs, sizes in zip((voc, coco), expected, strict=True):
        assert [spec.min_size for spec in specs] == pytest.approx(sizes)
        assert [spec.max_size for spec in specs[:-1]] == pytest.approx(sizes[1:])
    assert [replace(spec, min_size=1.0, max_size=2.0) for spec in voc] == [
        replace(spec, min_size=1.0, max_size=2.0) for spec in coco
    ]
    assert shape_only(name).specs == voc
