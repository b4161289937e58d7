"""What differs is found, wherever it is; what is the same is not suspected."""

import numpy as np
import pytest
import torch

from scratchdet.export.graph import Choice, Outputs, Predictions, Rows, Whole
from scratchdet.export.onnx import make_card
from scratchdet.export.to_onnx import CHECKED, OUTPUTS
from scratchdet.export.verify import LARGEST_BOX, LARGEST_SCORE, choose, verify
from scratchdet.ops.pixels import fitted
from scratchdet.ops.postprocess import postprocess
from scratchdet.structures import Raw

CHOICES = {"min_score": 0.01, "top_per_class": 400, "nms_iou": 0.45, "keep": 200}


@pytest.fixture(scope="session")
def card(nano):
    return make_card(nano)


@pytest.fixture(scope="session")
def engine(nano):
    """The network that is exported, run by torch itself."""
    rows = Rows(nano.specs, num_classes=2, priors=nano.priors)
    network = Whole(Predictions(nano), Outputs(rows, Choice(**CHOICES)), size=(64, 96)).eval()

    @torch.no_grad()
    def run(images):
        found = network(torch.from_numpy(images))
        names = (*OUTPUTS["end-to-end"], *CHECKED)
        return {name: part.numpy().copy() for name, part in zip(names, found, strict=True)}

    return run


def with_fault(engine, name, fault):
    def run(images):
        found = engine(images)
        fault(found[name])
        return found

    return run


def test_the_same_network_passes_in_batches_of_one_and_several(nano, engine, images, card):
    batches = []

    def run(batch):
        batches.append(len(batch))
        return engine(batch)

    difference = verify(nano, run, images, card=card)
    assert batches == [1, 4]
    assert difference.images == 5
    assert difference.detections > 100
    assert difference.score < 1e-5


@pytest.mark.parametrize("count", [1, 2, 7])
def test_one_and_four_images_at_a_time_are_run_however_few_there_are(
    nano, engine, make, card, count
):
    batches, images = [], make.images(count)

    def run(batch):
        batches.append(len(batch))
        return engine(batch)

    difference = verify(nano, run, images, card=card)
    assert batches[:2] == [1, 4]
    assert sum(batches) == max(5, count)
    found = engine(fitted(images, (64, 96)))["count"]
    assert (difference.images, difference.detections) == (count, found.sum())


def test_the_detector_stays_in_training_as_it_was(make, engine, images, card):
    nano = make.nano()
    nano.train().backbone.eval()  # a frozen part
    modes = [layer.training for layer in nano.modules()]
    verify(nano, engine, images, card=card)
    assert [layer.training for layer in nano.modules()] == modes


def add(index, amount):
    def fault(array):
        array[index] += amount

    return fault


def swap_two(labels):
    labels[0, :1] = 1 - labels[0, :1]


@pytest.mark.parametrize(
    ("name", "fault", "said"),
    [
        ("all_scores", add((0, 5, 1), 1.1 * LARGEST_SCORE), "scores differ by up to 0.0011"),
        ("all_boxes", add((0, 7, 2), 1.1 * LARGEST_BOX), "boxes by up to 0.11 pixels"),
        ("all_boxes", add((0, 7, 2), np.nan), "boxes by up to nan pixels"),
        ("labels", swap_two, "not those which non-maximum suppression chooses"),
        ("boxes", add((0, 3, 0), 0.01), "not those which non-maximum suppression chooses"),
        ("scores", add((0, 0), 1e-5), "not those which non-maximum suppression chooses"),
        ("count", add(0, -1), "not those which non-maximum suppression chooses"),
    ],
)
def test_every_fault_is_found(nano, engine, images, card, name, fault, said):
    with pytest.raises(RuntimeError, match=said):
        verify(nano, with_fault(engine, name, fault), images, card=card)


@pytest.fixture(scope="session")
def raw_engine(nano):
    rows = Rows(nano.specs, num_classes=2, priors=nano.priors)
    network = Whole(Predictions(nano), Outputs(rows, None), size=(64, 96)).eval()

    @torch.no_grad()
    def run(images):
        found = network(torch.from_numpy(images))
        return {name: part.numpy().copy() for name, part in zip(OUTPUTS["raw"], found, strict=True)}

    return run


def test_differences_within_the_tolerances_are_told(nano, raw_engine, images):
    card = make_card(nano, form="raw")
    assert verify(nano, raw_engine, images, card=card) == (5, 0, 0.0, 0.0)
    moved = with_fault(raw_engine, "priors", add((216, 0), 0.05 / 96))  # in the middle
    assert verify(nano, moved, images, card=card).box == pytest.approx(0.05, rel=0.01)


@pytest.mark.parametrize(
    ("name", "fault", "said"),
    [
        ("logits", add((0, 3, 1), 1.0), "scores differ"),
        ("offsets", add((0, 3, 0), 1.0), "boxes by up to"),
        ("priors", add((3, 0), 0.01), "boxes by up to"),
    ],
)
def test_every_fault_of_the_raw_form_is_found(nano, raw_engine, images, name, fault, said):
    card = make_card(nano, form="raw")
    with pytest.raises(RuntimeError, match=said):
        verify(nano, with_fault(raw_engine, name, fault), images, card=card)


def random_outputs(seed, *, priors=500, classes=3):
    """Scores (P, C) and boxes (P, 4), some of them without area, of a 96 x 64 image."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, priors, classes + 1, generator=generator) * 3
    corners = torch.rand(1, priors, 4, generator=generator) * 60
    boxes = torch.cat([corners[..., :2], corners[..., :2] + corners[..., 2:] - 5], dim=-1)
    return logits.softmax(dim=-1)[0, :, 1:], boxes[0].clamp(min=0, max=64)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("priors", "classes"), [(1, 1), (7, 3), (500, 1), (900, 4)])
def test_the_graph_chooses_what_the_rules_choose(card, seed, priors, classes):
    scores, boxes = random_outputs(seed, priors=priors, classes=classes)
    places, values, labels, count = (
        part[0] for part in Choice(**CHOICES).chosen(scores[None], boxes[None])
    )
    expected = choose(scores, boxes, card, iou=CHOICES["nms_iou"])
    for found, wanted in zip((values, labels, places), expected, strict=True):
        torch.testing.assert_close(found[:count], wanted, rtol=0, atol=0)
        assert (found[count:] == (-1 if found is labels else 0)).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_rules_are_those_of_postprocess(nano, card, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, len(nano.priors), 3, generator=generator) * 3
    offsets = torch.randn(1, len(nano.priors), 4, generator=generator)
    (expected,) = postprocess(Raw(logits, offsets), nano.priors, image_sizes=[(64, 96)])
    rows = Choice(**CHOICES)(torch.tensor([64, 96]), logits, offsets, nano.priors)
    found = choose(rows[4][0], rows[5][0], card, iou=CHOICES["nms_iou"])
    for part, wanted in zip(found, (expected.scores, expected.labels, expected.boxes), strict=True):
        torch.testing.assert_close(part, wanted)


def test_nothing_is_chosen_where_nothing_scores(card):
    scores, boxes = torch.full((30, 2), 0.001), torch.rand(30, 4)
    assert [len(part) for part in choose(scores, boxes, card, iou=0.45)] == [0, 0, 0]
    *_, count = Choice(**CHOICES).chosen(scores[None], boxes[None])
    assert count.tolist() == [0]


def test_there_has_to_be_an_image_to_verify_on(nano, engine, card):
    with pytest.raises(ValueError, match="there is none"):
        verify(nano, engine, [], card=card)


@pytest.mark.parametrize("equal", [True, False])
def test_which_of_equal_scores_comes_first_is_for_the_engine_to_say(
    nano, engine, images, card, equal
):
    def run(batch):
        found = engine(batch)
        for number, (scores, labels) in enumerate(
            zip(found["scores"], found["labels"], strict=True)
        ):
            near = (labels[1:] == labels[:-1]) & (scores[:-1] - scores[1:] < LARGEST_SCORE / 2)
            row = int(np.flatnonzero(near)[0])
            if equal:
                of_all = found["all_scores"][number]
                of_all[of_all == scores[row + 1]] = scores[row + 1] = scores[row]
            for name in ("boxes", "scores", "labels"):
                found[name][number, [row, row + 1]] = found[name][number, [row + 1, row]]
        return found

    if equal:
        assert verify(nano, run, images, card=card).score < LARGEST_SCORE
    else:
        with pytest.raises(RuntimeError, match="non-maximum suppression"):
            verify(nano, run, images, card=card)
