"""The norm planner: what "auto" means, what is told of BatchNorm's images, what is refused."""

import pytest
import torch

from scratchdet.models.zoo import create_model
from scratchdet.recipe import RecipeError
from scratchdet.train.norms import ENOUGH, FEW, check_batch_norm, plan_norms

WS = "GroupNorm with standardised weights"


def planned(norm="auto", head=None, **choices):
    return plan_norms(backbone=norm, head=head or norm, **choices)


# What "auto" means


@pytest.mark.parametrize(
    ("choices", "backbone", "head"),
    [
        ({"images": 1}, "group_ws", "group"),
        ({"images": ENOUGH - 1}, "group_ws", "group"),
        ({"images": ENOUGH}, "batch", "batch"),
        ({"images": ENOUGH, "devices": 4, "device_type": "cuda"}, "batch", "batch"),
        ({"images": 4, "devices": 4, "device_type": "cuda"}, "sync_batch", "sync_batch"),
        ({"images": 4, "devices": 3, "device_type": "cuda"}, "group_ws", "group"),
        ({"images": 4, "devices": 4, "device_type": "cpu"}, "group_ws", "group"),
        ({"images": 4, "devices": 1, "accumulate": 64}, "group_ws", "group"),
    ],
)
def test_auto_is_batch_norm_only_where_it_sees_enough_images(choices, backbone, head):
    plan = planned(**choices)
    assert (plan.backbone, plan.head) == (backbone, head)
    assert "Wu and He" in plan.notes[0]


def test_auto_takes_a_group_norm_where_a_backbone_has_no_standardised_weights():
    plan = planned(images=2, known=("batch", "sync_batch", "group"))
    assert (plan.backbone, plan.head) == ("group", "group")


def test_only_what_is_auto_is_chosen_and_what_is_chosen_needs_no_reason():
    plan = planned("none", "auto", images=2)
    assert (plan.backbone, plan.head) == ("none", "group")
    for norm in ("none", "batch", "group", "group_ws"):
        plan = planned(norm, images=32)
        assert (plan.backbone, plan.head, plan.notes) == (norm, norm, ())


# What is told


@pytest.mark.parametrize(
    ("norms", "choices", "line", "batch"),
    [
        (("batch",), {"images": 32}, "BatchNorm over 32 images (32 a step)", 32),
        (
            ("batch",),
            {"images": 8, "devices": 2},
            "BatchNorm over 8 images (16 a step: 2 devices x 8)",
            8,
        ),
        (
            ("batch",),
            {"images": 8, "devices": 2, "accumulate": 4},
            "BatchNorm over 8 images (64 a step: 2 devices x 4 parts x 8; accumulation enlarges "
            "the step, never the BN batch)",
            8,
        ),
        (
            ("sync_batch",),
            {"images": 8, "devices": 2, "device_type": "cuda"},
            "SyncBatchNorm over 16 images (16 a step: 2 devices x 8)",
            16,
        ),
        (
            ("batch", "sync_batch"),
            {"images": 8, "devices": 2, "device_type": "cuda"},
            "BatchNorm over 8 images in the backbone, SyncBatchNorm over 16 images in the head "
            "(16 a step: 2 devices x 8)",
            8,
        ),
        (("none", "batch"), {"images": 4}, "none in the backbone, BatchNorm over 4 images in", 4),
        (("group_ws", "group"), {"images": 1}, f"{WS} in the backbone, GroupNorm in the head", 0),
        (("group",), {"images": 1, "accumulate": 2}, "GroupNorm (2 a step: 2 parts x 1)", 0),
        (("none",), {"images": 1}, "none (1 a step)", 0),
    ],
)
def test_the_line_has_the_images_that_batch_norm_and_a_step_are_over(norms, choices, line, batch):
    plan = planned(*norms, **choices)
    assert plan.line.startswith(f"norm: {line}")
    assert plan.batch == batch
    assert "\n" not in plan.line
    assert "NOTE" not in plan.line


@pytest.mark.parametrize("images", [1, FEW - 1])
def test_batch_norm_over_few_images_is_warned_of_with_the_alternatives(images):
    line = planned("none", "batch", images=images).line
    assert f"NOTE: statistics of fewer than {FEW} images are poor: --model.norm-backbone" in line
    assert "sync_batch" not in line
    assert "1 image " in line or images > 1
    choices = {"images": images, "devices": 2, "device_type": "cuda"}
    assert "poor: sync_batch, --model" in planned("batch", **choices).line


# What is refused


@pytest.mark.parametrize(
    "norms", [("sync_batch",), ("batch", "sync_batch"), ("sync_batch", "auto")]
)
@pytest.mark.parametrize("devices", [1, 2])
def test_sync_batch_norm_without_cuda_is_refused_with_the_alternatives(norms, devices):
    refusal = r"CUDA devices only.* on cpu\. Take --model\.norm-backbone group_ws .* 8 images"
    with pytest.raises(RecipeError, match=refusal):
        planned(*norms, images=8, devices=devices)


def runs(detector, images):
    try:
        detector(torch.zeros(images, 3, *detector.input_size))
    except ValueError as error:
        if "Expected more than 1 value per channel" in str(error):
            return False
        raise
    return True


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("size", [64, 160, (64, 300)])
@pytest.mark.parametrize("norms", [("batch", "none"), ("none", "batch"), ("group", "none")])
@pytest.mark.parametrize("name", ["scratchdet_nano", "dsod300_smallest"])
def test_what_is_refused_is_what_pytorch_cannot_compute(name, norms, size, images):
    backbone, head = norms
    detector = create_model(name, 1, input_size=size, norm_backbone=backbone, norm_head=head)
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    try:
        check_batch_norm(detector, images=images)
        accepted = True
    except RecipeError:
        accepted = False
    assert all(torch.equal(before[key], value) for key, value in detector.state_dict().items())
    assert detector.training
    assert accepted == runs(detector.train(), images)


def test_the_refusal_names_the_layer_and_the_alternatives():
    detector = create_model("scratchdet_nano", 1, norm_backbone="none")
    refusal = r"head\.classes\.4\.1 normalises a map of 1 x 1.*--batch.*--model\.norm-head group"
    with pytest.raises(RecipeError, match=refusal):
        check_batch_norm(detector, images=1)


def test_one_image_on_each_of_two_devices_is_enough_for_sync_batch_norm_alone():
    norms = {"norm_backbone": "sync_batch", "norm_head": "sync_batch"}
    detector = create_model("scratchdet_nano", 1, **norms)
    check_batch_norm(detector, images=1, devices=2)
    with pytest.raises(RecipeError):
        check_batch_norm(detector, images=1, devices=1)
    with pytest.raises(RecipeError, match=r"head\.classes\.4"):
        check_batch_norm(
            create_model("scratchdet_nano", 1, norm_backbone="sync_batch"), images=1, devices=2
        )
