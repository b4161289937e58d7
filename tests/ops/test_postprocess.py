"""From logits and offsets to detections."""

import pytest
import torch
from torchvision.ops import box_convert, nms

from scratchdet.ops import postprocess as module
from scratchdet.ops.coding import decode, encode
from scratchdet.ops.postprocess import empty_detections, postprocess
from scratchdet.structures import Raw

SIZE = (120, 200)  # height, width
SCALE = torch.tensor([200.0, 120.0, 200.0, 120.0])


def random_case(*, batch=1, priors=60, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(priors, 2, generator=generator)
    sizes = torch.rand(priors, 2, generator=generator) * 0.4 + 0.1
    logits = torch.randn(batch, priors, classes + 1, generator=generator) * 2
    offsets = torch.randn(batch, priors, 4, generator=generator)
    return Raw(logits, offsets), torch.cat([centres, sizes], dim=1)


def raw_for(boxes, scores, priors, *, classes=2):
    """Raw outputs that decode to exactly these boxes (pixels) with these (label, score)."""
    logits = torch.full((1, len(priors), classes + 1), -30.0)
    logits[..., 0] = 0.0
    for row, (label, score) in enumerate(scores):
        # Softmax over background (0), this class and others that are as good as absent.
        logits[0, row, 1 + label] = torch.logit(torch.tensor(score))
    return Raw(logits, encode(torch.tensor(boxes) / SCALE, priors)[None])


def slow(raw, priors, size, *, min_score, top_per_class, nms_iou, keep):
    """(score, label, box) of one image, class by class with torchvision's nms."""
    height, width = size
    scores = raw.logits[0].softmax(-1)
    boxes = decode(raw.offsets, priors)[0] * torch.tensor([width, height, width, height])
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
    found = []
    for label in range(scores.shape[1] - 1):
        order = scores[:, label + 1].argsort(descending=True)[:top_per_class]
        order = order[scores[order, label + 1] > min_score]
        for index in order[nms(boxes[order], scores[order, label + 1], nms_iou)]:
            found.append((scores[index, label + 1].item(), label, boxes[index].tolist()))
    return sorted(found, key=lambda one: -one[0])[:keep]


def test_no_images_have_no_detections():
    raw, priors = random_case(batch=0)
    assert postprocess(raw, priors, image_sizes=[]) == []


def test_nothing_above_the_score_gives_empty_detections():
    raw, priors = random_case()
    (found,) = postprocess(raw, priors, image_sizes=[SIZE], min_score=1.0)
    nothing = empty_detections()
    assert [value.shape for value in found] == [value.shape for value in nothing]
    assert [value.dtype for value in found] == [value.dtype for value in nothing]


def test_by_hand():
    priors = torch.tensor([[0.5, 0.5, 0.5, 0.5]] * 5)
    boxes = [
        [10.0, 10.0, 50.0, 50.0],
        [12.0, 10.0, 52.0, 50.0],  # overlaps the first by 0.905
        [12.0, 10.0, 52.0, 50.0],  # the same, of another class
        [100.0, 60.0, 140.0, 100.0],
        [150.0, 60.0, 190.0, 100.0],  # below the score
    ]
    raw = raw_for(boxes, [(0, 0.9), (0, 0.8), (1, 0.7), (0, 0.95), (0, 0.005)], priors)
    (found,) = postprocess(raw, priors, image_sizes=[SIZE])
    assert found.labels.tolist() == [0, 0, 1]
    assert found.scores.tolist() == pytest.approx([0.95, 0.9, 0.7], abs=1e-5)
    torch.testing.assert_close(found.boxes, torch.tensor([boxes[3], boxes[0], boxes[2]]))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "choices",
    [
        {"min_score": 0.01, "top_per_class": 400, "nms_iou": 0.45, "keep": 200},
        {"min_score": 0.2, "top_per_class": 400, "nms_iou": 0.2, "keep": 200},
        {"min_score": 0.01, "top_per_class": 7, "nms_iou": 0.7, "keep": 10},
    ],
)
def test_every_class_is_suppressed_as_torchvision_does(choices, seed):
    raw, priors = random_case(seed=seed)
    (found,) = postprocess(raw, priors, image_sizes=[SIZE], **choices)
    expected = slow(raw, priors, SIZE, **choices)
    assert len(expected) > 3
    assert found.labels.tolist() == [label for _, label, _ in expected]
    assert found.scores.tolist() == pytest.approx([score for score, _, _ in expected])
    torch.testing.assert_close(found.boxes, torch.tensor([box for _, _, box in expected]))


@pytest.mark.parametrize("seed", range(3))
def test_best_score_first_inside_the_image_and_no_more_than_kept(seed):
    raw, priors = random_case(batch=2, seed=seed)
    sizes = [(120, 200), (33, 57)]
    results = postprocess(raw, priors, image_sizes=sizes, keep=12)
    for found, (height, width) in zip(results, sizes, strict=True):
        assert len(found.scores) == len(found.boxes) == len(found.labels) == 12
        assert (found.scores.diff() <= 0).all()
        assert (found.boxes >= 0).all()
        assert (found.boxes <= torch.tensor([width, height, width, height])).all()
        assert (found.boxes[:, 2:] >= found.boxes[:, :2]).all()
    # Detections do reach outside before they are clipped, or this would show nothing.
    reached = decode(raw.offsets, priors)
    assert (reached < 0).any()
    assert (reached > 1).any()


def test_an_untrained_network_costs_no_more_than_the_bound(monkeypatch):
    entered = []

    def counting(boxes, scores, labels, iou):
        entered.append(labels.bincount().tolist())
        return torch.arange(len(scores))

    monkeypatch.setattr(module, "batched_nms", counting)
    raw, priors = random_case(priors=500)
    even = Raw(torch.zeros_like(raw.logits), raw.offsets)  # every score is 0.25
    postprocess(even, priors, image_sizes=[SIZE], top_per_class=40)
    postprocess(raw, priors, image_sizes=[SIZE])
    assert entered[0] == [40, 40, 40]
    assert max(entered[1]) <= 400


def test_a_batch_is_processed_like_its_images():
    raw, priors = random_case(batch=3)
    sizes = [(50, 60), (300, 200), (75, 75)]
    together = postprocess(raw, priors, image_sizes=sizes)
    for i, size in enumerate(sizes):
        alone = Raw(raw.logits[i : i + 1], raw.offsets[i : i + 1])
        (expected,) = postprocess(alone, priors, image_sizes=[size])
        for value, wanted in zip(together[i], expected, strict=True):
            torch.testing.assert_close(value, wanted)


def test_one_class_and_half_precision_are_processed():
    raw, priors = random_case(classes=1)
    half = Raw(raw.logits.bfloat16(), raw.offsets.bfloat16())
    (found,) = postprocess(half, priors, image_sizes=[SIZE])
    assert len(found.scores) > 0
    assert found.scores.dtype == found.boxes.dtype == torch.float32
    assert set(found.labels.tolist()) == {0}


def test_sizes_and_images_must_be_as_many():
    raw, priors = random_case(batch=2)
    with pytest.raises(ValueError, match="argument"):
        postprocess(raw, priors, image_sizes=[SIZE])


def test_arguments_are_not_modified():
    raw, priors = random_case()
    before = [value.clone() for value in (*raw, priors)]
    postprocess(raw, priors, image_sizes=[SIZE])
    for value, kept in zip((*raw, priors), before, strict=True):
        assert torch.equal(value, kept)


def test_priors_alone_are_found_where_they_stand():
    priors = torch.tensor([[0.25, 0.5, 0.1, 0.2]])
    raw = Raw(torch.tensor([[[0.0, 5.0]]]), torch.zeros(1, 1, 4))
    (found,) = postprocess(raw, priors, image_sizes=[SIZE])
    torch.testing.assert_close(found.boxes, box_convert(priors, "cxcywh", "xyxy") * SCALE)
