"""Fine-tuning starts where the parent stopped: by class name, channel and size, or not at all."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from scratchdet.models.detector import Detector, build_detector
from scratchdet.models.dsod import dsod300_priors
from scratchdet.models.grp_dsod import grp_dsod320_priors
from scratchdet.models.transfer import Transferred, class_rows, match_classes, transfer
from scratchdet.models.zoo import MODELS, create_model
from scratchdet.ops.priors import ssd_specs

SYNONYMS = {"airplane": "aeroplane", "dining table": "diningtable"}
SIZE = (64, 64)


def detector_of(classes, *, seed: int, channels: int = 3, **choices) -> Detector:
    """A detector whose statistics, mean and std are those of a trained one."""
    torch.manual_seed(seed)
    chosen = {"input_size": SIZE, **choices}
    detector = create_model("scratchdet_nano", in_channels=channels, classes=classes, **chosen)
    for _ in range(5):
        detector(torch.randn(4, channels, *detector.input_size))
    detector.mean = torch.full((channels,), 100.0)
    detector.std = 50 + 10 * torch.rand(channels)
    return detector.eval()


def outputs(detector: Detector, images: torch.Tensor):
    with torch.no_grad():
        return detector(detector.normalise(images))


def noise(channels: int, size=SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, *size, channels), dtype=torch.uint8, generator=generator)


# Classes and their rows


@pytest.mark.parametrize(
    ("classes", "known", "expected"),
    [
        ((), (), []),
        (("a",), (), [None]),
        (("a", "b"), ("b", "a"), [1, 0]),
        (("a", "new"), ("a", "b"), [0, None]),
        (("Dog", "CAT"), ("cat", "dog"), [1, 0]),
        (("aeroplane", "diningtable"), ("dining table", "airplane"), [1, 0]),
        (("Airplane", "dining table"), ("diningtable", "AEROPLANE"), [1, 0]),
        (("aeroplane",), ("airplane", "Aeroplane", "aeroplane"), [2]),
        (("aeroplane",), ("airplane", "Aeroplane"), [1]),
        (("airplane", "aeroplane"), ("aeroplane",), [0, 0]),
        (("a", "b"), ("b", "b", "a"), [2, 0]),
        (("a", "a"), ("a", "a"), [0, 1]),
        (("a", "a"), ("b", "a"), [1, 1]),
    ],
)
def test_classes_are_found_by_name_then_case_then_synonym(classes, known, expected):
    assert match_classes(classes, known, synonyms=SYNONYMS) == expected


def test_rows_of_two_priors_go_where_their_class_goes():
    # The parent's columns: background, cat, dog. Here: background, dog, new, cat.
    parent = torch.tensor([10.0, 11, 12, 20, 21, 22])
    fresh = -torch.arange(8.0)
    rows = class_rows(fresh, parent, labels=[1, None, 0], columns=3)
    assert rows.tolist() == [10, 12, -2, 11, 20, 22, -6, 21]
    assert fresh.tolist() == (-torch.arange(8.0)).tolist()


def test_rows_of_a_convolution_are_taken_whole():
    parent = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 2, 3, 3)
    fresh = torch.full((4, 2, 3, 3), -1.0)
    rows = class_rows(fresh, parent, labels=[1], columns=3)
    assert rows[:, 0, 0, 0].tolist() == [0, 2, 3, 5]
    assert torch.equal(rows[:, 1, 2, 2], rows[:, 0, 0, 0])


@pytest.mark.parametrize("norm_head", ["batch", "none"])
def test_shared_classes_are_scored_as_by_the_parent_and_new_ones_as_before(norm_head):
    parent = detector_of(("cat", "airplane", "dog"), seed=0, norm_head=norm_head)
    fresh = detector_of(("dog", "new", "Aeroplane"), seed=1, norm_head=norm_head)
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    done = transfer(fresh, parent, synonyms=SYNONYMS)
    assert done.classes == (("dog", "dog"), ("new", None), ("Aeroplane", "airplane"))
    assert done.repeated == ()
    theirs, ours = (outputs(one, noise(3)) for one in (parent, fresh))
    torch.testing.assert_close(ours.logits[..., [0, 1, 3]], theirs.logits[..., [0, 3, 2]])
    assert torch.equal(ours.offsets, theirs.offsets)
    for name, value in fresh.state_dict().items():
        if name.startswith("head.classes") and value.ndim:
            assert torch.equal(value[2::4], before[name][2::4]), name
            assert torch.equal(value[3::4], parent.state_dict()[name][2::4]), name


def test_nothing_but_background_is_taken_where_no_class_is_known():
    parent, fresh = detector_of(("a", "b"), seed=0), detector_of(("x",), seed=1)
    done = transfer(fresh, parent, synonyms={})
    assert done.classes == (("x", None),)
    theirs, ours = (outputs(one, noise(3)) for one in (parent, fresh))
    torch.testing.assert_close(ours.logits[..., 0], theirs.logits[..., 0])
    assert not torch.allclose(ours.logits[..., 1], theirs.logits[..., 1])


def test_names_that_several_classes_have_are_told():
    parent, fresh = detector_of(("a", "b", "a"), seed=0), detector_of(("b", "a"), seed=1)
    done = transfer(fresh, parent, synonyms={})
    assert done.repeated == ("a",)
    theirs, ours = (outputs(one, noise(3)) for one in (parent, fresh))
    torch.testing.assert_close(ours.logits, theirs.logits[..., [0, 2, 1]])


def test_the_same_classes_make_the_same_detector_with_the_parent_s_normalisation():
    parent, fresh = detector_of(("a", "a"), seed=0), detector_of(("a", "a"), seed=1)
    parent.channel_order = "bgr"
    done = transfer(fresh, parent, synonyms={})
    assert done == Transferred((("a", "a"), ("a", "a")), ("a",), (3, 3), (SIZE, SIZE))
    assert fresh.channel_order == "bgr"
    for ours, theirs in zip(*(outputs(one, noise(3)) for one in (fresh, parent)), strict=True):
        assert torch.equal(ours, theirs)


def test_the_parent_stays_as_it_was_and_shares_nothing():
    parent, fresh = detector_of(("a", "b"), seed=0), detector_of(("b", "c"), seed=1)
    before = {name: value.clone() for name, value in parent.state_dict().items()}
    mean = parent.mean.clone()
    transfer(fresh, parent, synonyms={})
    with torch.no_grad():
        for value in (*fresh.state_dict().values(), fresh.mean, fresh.std):
            value.zero_()
    assert all(torch.equal(parent.state_dict()[name], before[name]) for name in before)
    assert torch.equal(parent.mean, mean)


# Channels and size


@pytest.mark.parametrize("norms", ["batch", "none", "group"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_a_grey_image_is_to_one_channel_what_it_was_to_three(norms, order):
    choices = {"norm_backbone": norms, "norm_head": norms}
    parent = detector_of(("a",), seed=0, **choices)
    parent.channel_order = order
    fresh = detector_of(("a",), seed=1, channels=1, **choices)
    assert transfer(fresh, parent, synonyms={}).channels == (3, 1)
    grey = noise(1)
    theirs, ours = outputs(parent, grey.expand(-1, -1, -1, 3)), outputs(fresh, grey)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(ours.offsets, theirs.offsets, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("norms", ["batch", "none", "group"])
def test_a_grey_image_is_to_three_channels_what_it_was_to_one(norms):
    choices = {"norm_backbone": norms, "norm_head": norms}
    parent = detector_of(("a",), seed=0, channels=1, **choices)
    fresh = detector_of(("a",), seed=1, **choices)
    assert transfer(fresh, parent, synonyms={}).channels == (1, 3)
    grey = noise(1)
    theirs, ours = outputs(parent, grey), outputs(fresh, grey.expand(-1, -1, -1, 3))
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(ours.offsets, theirs.offsets, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_the_start_of_one_for_grey_images_and_other_classes(name):
    torch.manual_seed(0)
    parent = create_model(name, classes=("a", "b"), input_size=SIZE).eval()
    fresh = create_model(name, classes=("b",), in_channels=1, input_size=SIZE).eval()
    transfer(fresh, parent, synonyms={})
    grey = noise(1)
    theirs, ours = outputs(parent, grey.expand(-1, -1, -1, 3)), outputs(fresh, grey)
    torch.testing.assert_close(ours.logits, theirs.logits[..., [0, 2]], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(ours.offsets, theirs.offsets, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("norms", ["batch", "none"])
def test_means_that_differ_by_channel_are_made_up_for_but_at_the_border(norms):
    parent = detector_of(("a",), seed=0, norm_backbone=norms)
    parent.mean = torch.tensor([123.0, 117.0, 104.0])
    fresh = detector_of(("a",), seed=1, channels=1, norm_backbone=norms)
    transfer(fresh, parent, synonyms={})
    torch.testing.assert_close(fresh.mean, torch.tensor([344.0 / 3]))
    grey = noise(1)
    with torch.no_grad():
        theirs = parent.backbone.root[0](parent.normalise(grey.expand(-1, -1, -1, 3)))
        ours = fresh.backbone.root[0](fresh.normalise(grey))
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(ours[inside], theirs[inside], atol=1e-4, rtol=0)
    assert not torch.allclose(ours, theirs, atol=1e-4)  # what it cannot make up for


@pytest.mark.parametrize("size", [(96, 64), (128, 160)])
def test_another_input_size_takes_the_weights_as_they_are(size):
    parent = detector_of(("a", "b"), seed=0)
    fresh = detector_of(("a", "b"), seed=1, input_size=size)
    assert transfer(fresh, parent, synonyms={}).input_sizes == (SIZE, size)
    for ours, theirs in zip(*(outputs(d, noise(3, size)) for d in (fresh, parent)), strict=True):
        assert torch.equal(ours, theirs)
    assert len(fresh.priors) > len(parent.priors)


# What does not fit


def small(
    width: int = 8, ratios=(2.0,), channels: int = 3, depth: int = 1, folded: int = 1
) -> Detector:
    """One convolution and one map. folded: pixels of a side that become channels before it."""
    fold = [nn.PixelUnshuffle(folded)] if folded > 1 else []
    layers = [*fold, nn.Conv2d(channels * folded**2, width, 3, stride=16 // folded)]
    layers += [nn.Conv2d(width, width, 1) for _ in range(depth - 1)]
    return build_detector(
        Maps(layers),
        lambda channels: nn.Identity(),
        ssd_specs(64, ratios=(ratios,), steps=(None,)),
        input_size=SIZE,
        in_channels=channels,
        num_classes=2,
        norm_head="batch",
    )


class Maps(nn.Sequential):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__(*layers)

    def forward(self, images):
        return [super().forward(images)]


@pytest.mark.parametrize(
    ("detector", "parent", "said"),
    [
        ({"width": 8}, {"width": 4}, r"backbone\.0\.weight is \(8, 3, 3, 3\) here, .*\(4, 3, 3, 3"),
        (
            {"ratios": (2.0, 3.0)},
            {},
            r"head\.classes\.0\.0\.weight is \(18, 8, 3, 3\) here, for 2 classes, and "
            r"\(12, 8, 3, 3\) in the parent, for 2: .* priors per location",
        ),
        ({"depth": 2}, {}, r"the parent has no backbone\.1\.weight: fine-tune the parent's own"),
        ({}, {"depth": 2}, r"only the parent has backbone\.1\.weight: fine-tune"),
        ({"channels": 4}, {}, "images of 3 channels, and these have 4: only between grey"),
        ({"channels": 1}, {"channels": 2}, "images of 2 channels, and these have 1"),
        (
            {"channels": 1, "folded": 4},
            {"folded": 4},
            r"^backbone\.1\.weight is \(8, 16, 3, 3\) here, for images of 1 channel, and "
            r"\(8, 48, 3, 3\) in the parent, for 3: .* Train on images of 3 channels$",
        ),
        ({"folded": 4}, {"channels": 1, "folded": 4}, "for 1: .* Train on images of 1 channel$"),
        (
            {"channels": 1, "width": 4},
            {},
            r"backbone\.0\.weight is \(4, 1, 3, 3\) here, .* the parent's own network, with its",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(detector, parent, said):
    fresh = small(**detector)
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    mean = fresh.mean.clone()
    with pytest.raises(ValueError, match=said):
        transfer(fresh, small(**parent), synonyms={})
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())
    assert torch.equal(fresh.mean, mean)


@pytest.mark.parametrize(("priors", "side"), [(dsod300_priors, 300), (grp_dsod320_priors, 320)])
def test_the_guide_names_the_models_whose_last_offsets_do_not_fit_at_another_size(priors, side):
    levels = zip(priors((side, side)), priors((side + 64, side + 64)), strict=True)
    moved = [place for place, (here, there) in enumerate(levels, 1) if here.step != there.step]
    assert moved == [5, 6]
    guide = (Path(__file__).resolve().parents[2] / "docs/fine_tuning.md").read_text("utf-8")
    (paragraph,) = (part for part in guide.split("\n\n") if part.startswith("**Input size.**"))
    with_these = {name for name in MODELS if name.startswith(("dsod300", "grp_dsod"))}
    assert set(re.findall(r"`(\w+)`", paragraph)) == with_these


def test_a_parent_of_pixels_of_another_type_does_not_fit():
    parent, fresh = detector_of(("a",), seed=1), detector_of(("a",), seed=2)
    fresh.image_dtype, before = "uint16", fresh.mean.clone()
    with pytest.raises(ValueError, match="takes images of uint8, and these are uint16"):
        transfer(fresh, parent, synonyms={})
    assert torch.equal(fresh.mean, before)
