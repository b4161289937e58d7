"""Every named detector: builds for any input, learns with all its parameters, starts untrained."""

from inspect import unwrap

import numpy as np
import pytest
import torch
from torch import nn

from scratchdet.models.zoo import MODELS, create_model, list_models

NORM_LAYERS = {
    "none": set(),
    "batch": {nn.BatchNorm2d},
    "sync_batch": {nn.SyncBatchNorm},
    "group": {nn.GroupNorm},
    "group_ws": {nn.GroupNorm},
}
SMALL = (64, 96)
# Networks of timm come with norms of their own: test_timm.py.
OURS = [name for name in MODELS if not name.endswith("_timm")]


def shape_only(name, **choices):
    """A detector without memory: shapes and counts, in an instant."""
    with torch.device("meta"):
        return create_model(name, **choices).eval()


def norms_in(*modules):
    kinds = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm)
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
    ("norm_backbone", "norm_head"),
    [
        ("none", "batch"),
        ("batch", "group"),
        ("group", "none"),
        ("sync_batch", "group_ws"),
        ("group_ws", "sync_batch"),
    ],
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


def unchecked(name, **choices):
    """Without the test-suite's check of types, which users do not have."""
    with torch.device("meta"):
        return unwrap(create_model)(name, **choices)


@pytest.mark.parametrize("size", [96, (96, 96), [96, 96], np.int64(96), [np.int32(96), 96]])
def test_one_number_means_a_square_and_a_list_is_a_tuple(size):
    detector = shape_only("scratchdet_nano", input_size=size)
    assert detector.input_size == (96, 96)
    assert detector.built_as["input_size"] == (96, 96)
    assert {type(side) for side in detector.input_size} == {int}


def test_a_list_gives_the_published_priors_as_a_tuple_does():
    listed, tupled = (shape_only("dsod300", input_size=size) for size in ([300, 300], (300, 300)))
    assert listed.specs == tupled.specs
    assert listed.built_as == tupled.built_as


NO_SIZES = (None, 300.0, (300,), (300, 300, 3), (), 0, (300, 0), -300, (-1, 300), True, (True, 9))


@pytest.mark.parametrize("size", [*NO_SIZES, "300", ("300", "300"), (300.0, 300), {300}])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ValueError, match=r"input_size is .*: one positive whole number, or two as"):
        shape_only("scratchdet_nano", input_size=size)


@pytest.mark.parametrize("count", ["2", None, 2.5, 2.0, True, 0, -1, [2]])
def test_what_is_no_number_of_classes_or_channels_is_refused(count):
    with pytest.raises(ValueError, match=r"num_classes is .*: one foreground class at least"):
        unchecked("scratchdet_nano", num_classes=count)
    with pytest.raises(ValueError, match=r"in_channels is .*: one channel at least"):
        unchecked("scratchdet_nano", in_channels=count)


def test_numbers_of_numpy_are_numbers():
    detector = unchecked("scratchdet_nano", num_classes=np.int64(2), in_channels=np.uint8(1))
    assert len(detector.classes) == 2
    assert type(detector.in_channels) is type(detector.built_as["in_channels"]) is int


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


@pytest.mark.parametrize("name", [name for name in MODELS if name.endswith("_timm")])
@pytest.mark.parametrize("backbone", [None, 5, ["resnet18"]])
def test_a_backbone_that_is_no_name_is_refused(name, backbone):
    with pytest.raises(ValueError, match=f"backbone of {name} is .*: a name is expected"):
        shape_only(name, backbone=backbone)


@pytest.mark.parametrize("choices", [{"num_classes": 0}, {"classes": []}])
def test_a_detector_of_nothing_is_refused(choices):
    with pytest.raises(ValueError, match="one foreground class at least"):
        shape_only("scratchdet_nano", **choices)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_have_other_priors(name):
    own = shape_only(name, num_classes=4, input_size=SMALL)
    assert (own.built_as["prior_scales"], own.built_as["prior_ratios"]) == ((), ())
    priors = {
        "prior_scales": tuple(np.geomspace(0.05, 0.95, len(own.specs) + 1).tolist()),
        "prior_ratios": (1.3, 1.7, 2.5, 4.0),
    }
    detector = shape_only(name, num_classes=4, input_size=SMALL, **priors)
    sides = [64 * scale for scale in priors["prior_scales"]]
    assert [spec.min_size for spec in detector.specs] == pytest.approx(sides[:-1])
    assert [spec.max_size for spec in detector.specs] == pytest.approx(sides[1:])
    assert {spec.ratios for spec in detector.specs} == {(1.3, 1.7, 2.5, 4.0)}
    assert [spec.step for spec in detector.specs] == [spec.step for spec in own.specs]
    assert {key: detector.built_as[key] for key in priors} == priors
    raw = detector(torch.empty(2, 3, *SMALL, device="meta"))
    assert raw.logits.shape == (2, len(detector.priors), 5)
    assert raw.offsets.shape == (2, len(detector.priors), 4)


def test_other_priors_grow_with_the_input_as_the_model_s_own_do():
    for size in (160, 320):
        scales = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
        detector = shape_only("scratchdet_nano", input_size=(size, 2 * size), prior_scales=scales)
        assert detector.specs[1].min_size == pytest.approx(0.2 * size)


def test_what_is_built_from_one_seed_with_other_priors_differs_in_the_head_alone():
    weights = []
    for priors in ({}, {"prior_ratios": (2.0, 3.0)}):
        torch.manual_seed(0)
        detector = create_model("scratchdet_nano", 2, input_size=SMALL, **priors)
        weights.append(detector.state_dict())
    assert weights[0].keys() == weights[1].keys()
    for key, weight in weights[0].items():
        assert key.startswith("head.") or torch.equal(weight, weights[1][key]), key


def test_other_priors_keep_the_norm_of_the_head():
    detector = shape_only("scratchdet_nano", norm_head="none", prior_ratios=(3.0,))
    assert norms_in(detector.head) == set()


@pytest.mark.parametrize("given", [None, "0.1", 0.1, [None], ["x"], [[0.1]]])
@pytest.mark.parametrize("what", ["prior_scales", "prior_ratios"])
def test_what_are_no_priors_is_refused(what, given):
    with pytest.raises(ValueError, match=f"{what} "):
        unchecked("scratchdet_nano", **{what: given})
