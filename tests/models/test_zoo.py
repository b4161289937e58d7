"""Every named detector: builds for any input, learns with all its parameters, starts untrained."""

import pytest
import torch
from torch import nn

from scratchdet.models.detector import measure
from scratchdet.models.zoo import MODELS, create_model, list_models

MODELS_OF_300 = ("ssd300_vgg16", "scratchdet300_r18", "scratchdet300_r34")
NORM_LAYERS = {"none": set(), "batch": {nn.BatchNorm2d}, "group": {nn.GroupNorm}}
SMALL = (64, 96)
# Networks of timm come with norms of their own: test_timm.py.
OURS = [name for name in MODELS if not name.endswith("_timm")]


def shape_only(name, **choices):
    """A detector without memory: shapes and counts, in an instant."""
    with torch.device("meta"):
        return create_model(name, **choices).eval()


def maps_of(detector, size):
    maps = measure(detector.neck, measure(detector.backbone, (detector.in_channels, *size)))
    return [(height, width) for _, height, width in maps]


def norms_in(*modules):
    kinds = (nn.BatchNorm2d, nn.GroupNorm)
    return {type(layer) for m in modules for layer in m.modules() if isinstance(layer, kinds)}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(1, 1), (33, 47), (160, 160), (250, 513)])
def test_any_height_and_width_gives_a_row_for_every_prior(name, size):
    detector = shape_only(name, num_classes=4, input_size=size)
    raw = detector(torch.empty(2, 3, *size, device="meta"))
    assert raw.logits.shape == (2, len(detector.priors), 5)
    assert raw.offsets.shape == (2, len(detector.priors), 4)


@pytest.mark.parametrize("name", MODELS)
def test_other_sizes_than_the_one_it_was_built_for_have_priors_too(name):
    detector = shape_only(name, input_size=SMALL)
    for size in ((96, 64), (130, 77)):
        raw = detector(torch.empty(1, 3, *size, device="meta"))
        assert raw.logits.shape[1] == len(detector.priors_for(size))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("in_channels", [1, 3, 5])
def test_any_number_of_channels_and_a_single_class_will_do(name, in_channels):
    detector = shape_only(name, num_classes=1, in_channels=in_channels, input_size=SMALL)
    assert detector(torch.empty(1, in_channels, *SMALL, device="meta")).logits.shape[-1] == 2
    assert len(detector.classes) == 1


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    detector = create_model(name, num_classes=2, input_size=SMALL)
    raw = detector(torch.randn(3, 3, *SMALL))
    # Weighed at random: the plain sum of a BatchNorm's outputs is constant.
    total = sum((values * torch.randn_like(values)).sum() for values in raw)
    total.backward()
    for parameter_name, parameter in detector.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert torch.count_nonzero(parameter.grad) > 0, parameter_name


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    ("norm_backbone", "norm_head"), [("none", "batch"), ("batch", "group"), ("group", "none")]
)
def test_norms_of_backbone_and_head_are_chosen_apart(name, norm_backbone, norm_head):
    choices = {"norm_backbone": norm_backbone, "norm_head": norm_head}
    detector = shape_only(name, input_size=SMALL, **choices)
    assert norms_in(detector.backbone) == NORM_LAYERS[norm_backbone]
    assert norms_in(detector.neck) == NORM_LAYERS[norm_backbone]
    assert norms_in(detector.head) == NORM_LAYERS[norm_head]
    biases = [layer.bias for layer in detector.head.modules() if isinstance(layer, nn.Conv2d)]
    assert all((bias is not None) == (norm_head == "none") for bias in biases)


@pytest.mark.parametrize("norm", NORM_LAYERS)
def test_every_norm_trains(norm):
    torch.manual_seed(0)
    detector = create_model("scratchdet_nano", input_size=SMALL, norm_backbone=norm, norm_head=norm)
    raw = detector(torch.randn(2, 3, *SMALL))
    total = sum((values * torch.randn_like(values)).sum() for values in raw)
    total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(parameter.grad).all() for parameter in detector.parameters())


@pytest.mark.parametrize("name", MODELS_OF_300)
def test_at_300_there_are_the_published_maps_and_priors(name):
    detector = shape_only(name)
    assert detector.input_size == (300, 300)
    assert maps_of(detector, (300, 300)) == [(side, side) for side in (38, 19, 10, 5, 3, 1)]
    assert len(detector.priors) == 8732


def test_ssd300_without_norm_has_the_published_number_of_parameters():
    # 26.29 M for 20 classes.
    detector = shape_only("ssd300_vgg16", norm_backbone="none", norm_head="none")
    assert sum(parameter.numel() for parameter in detector.parameters()) == 26_285_486


def test_nano_has_about_a_million_parameters():
    detector = shape_only("scratchdet_nano", num_classes=10)
    assert 0.5e6 < sum(parameter.numel() for parameter in detector.parameters()) < 1.5e6


@pytest.mark.parametrize("name", MODELS)
def test_weights_come_from_the_seed_and_nowhere_else(name):
    def weights(seed):
        torch.manual_seed(seed)
        detector = create_model(name, num_classes=1, input_size=SMALL)
        return {
            key: layer.weight.flatten()[:64]
            for key, layer in detector.named_modules()
            if isinstance(layer, nn.Conv2d)
        }

    first, again, other = weights(0), weights(0), weights(1)
    for key, weight in first.items():
        assert torch.equal(weight, again[key]), key
        assert not torch.isclose(weight, other[key]).all(), key


def test_one_number_means_a_square():
    assert shape_only("scratchdet_nano", input_size=96).input_size == (96, 96)


def test_names_of_classes_may_stand_for_their_number():
    detector = shape_only("scratchdet_nano", classes=["hund", "Käfer"])
    assert detector.classes == ("hund", "Käfer")
    assert detector(torch.empty(1, 3, *SMALL, device="meta")).logits.shape[-1] == 3


def test_every_model_is_listed():
    assert list_models() == list(MODELS)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match="'ssd301'; there are") as raised:
        create_model("ssd301")
    assert all(name in str(raised.value) for name in MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_an_unknown_choice_lists_the_known(name):
    with pytest.raises(ValueError, match="no choice 'depth'") as raised:
        create_model(name, depth=3)
    for choice in ("input_size", "norm_backbone", "norm_head"):
        assert choice in str(raised.value)


@pytest.mark.parametrize("choices", [{"num_classes": 0}, {"classes": []}])
def test_a_detector_of_nothing_is_refused(choices):
    with pytest.raises(ValueError, match="one foreground class at least"):
        shape_only("scratchdet_nano", **choices)
