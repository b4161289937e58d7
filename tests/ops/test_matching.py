"""Matching: equal to the Caffe release's algorithm, object by object, prior by prior."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_convert

from scratchdet.ops.matching import BACKGROUND, NEUTRAL, match, match_bipartite

NO_OVERLAP = 1e-6  # bbox_util.cpp, MatchBBox: overlaps up to this are none


def caffe_match(boxes, priors, *, real, ignore, threshold=0.5):
    """What MatchBBox of the release does, in plain loops, with our rule for ignored objects.

    boxes, priors: xyxy as lists of numbers; returns a list with one entry per prior.
    """
    result = [BACKGROUND] * len(priors)
    learnable = [g for g in range(len(boxes)) if real[g] and not ignore[g]]
    overlaps = {
        (p, g): overlap
        for p, prior in enumerate(priors)
        for g in learnable
        if (overlap := jaccard(prior, boxes[g])) > NO_OVERLAP
    }
    pool = list(learnable)
    while pool:
        best, best_pair = -1.0, None
        for p in range(len(priors)):
            if result[p] >= 0:
                continue
            for g in pool:
                if (p, g) in overlaps and overlaps[p, g] > best:
                    best, best_pair = overlaps[p, g], (p, g)
        if best_pair is None:
            break
        result[best_pair[0]] = best_pair[1]
        pool.remove(best_pair[1])
    for p, prior in enumerate(priors):
        if result[p] >= 0:
            continue
        best = -1.0
        for g in learnable:
            overlap = overlaps.get((p, g), 0.0)
            if overlap >= threshold and overlap > best:
                best, result[p] = overlap, g
        for g in range(len(boxes)):
            if result[p] == BACKGROUND and real[g] and ignore[g]:
                overlap = jaccard(prior, boxes[g])
                best = max(jaccard(other, boxes[g]) for other in priors)
                if overlap >= threshold or 0 < overlap == best or covered(prior, boxes[g]) >= 0.5:
                    result[p] = NEUTRAL
    return result


def covered(prior, box):
    """The share of the prior's area that lies on the box."""
    width = max(0, min(prior[2], box[2]) - max(prior[0], box[0]))
    height = max(0, min(prior[3], box[3]) - max(prior[1], box[1]))
    return width * height / ((prior[2] - prior[0]) * (prior[3] - prior[1]))


def jaccard(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def whole_boxes(random, count, *, side=12):
    """Boxes with corners on a coarse grid: IoUs are exact, and ties are common."""
    corners = random.integers(0, side, (count, 2))
    sizes = random.integers(1, side // 2 + 1, (count, 2))
    return np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)


def as_batch(boxes_of_images):
    """Zero-padded boxes, and which rows are real."""
    most = max(map(len, boxes_of_images), default=0)
    boxes = torch.zeros(len(boxes_of_images), most, 4)
    real = torch.zeros(len(boxes_of_images), most, dtype=torch.bool)
    for i, given in enumerate(boxes_of_images):
        boxes[i, : len(given)] = torch.as_tensor(given).reshape(-1, 4)
        real[i, : len(given)] = True
    return boxes, real


def matched(boxes_of_images, priors_xyxy, *, ignore=None, **choices):
    boxes, real = as_batch(boxes_of_images)
    priors = box_convert(torch.as_tensor(priors_xyxy, dtype=torch.float32), "xyxy", "cxcywh")
    ignore = torch.zeros_like(real) if ignore is None else torch.as_tensor(ignore)
    return match(boxes, real=real, ignore=ignore, priors=priors, **choices).tolist()


ROW_OF_PRIORS = [[x, 0, x + 4, 4] for x in (0, 4, 8, 12)]


def test_no_objects_at_all_are_background():
    assert matched([[], []], ROW_OF_PRIORS) == [[BACKGROUND] * 4] * 2


def test_no_images_are_matched():
    nothing = torch.zeros(0, 3, dtype=torch.bool)
    priors = torch.rand(5, 4)
    assert match(torch.zeros(0, 3, 4), real=nothing, ignore=nothing, priors=priors).shape == (0, 5)


def test_nothing_but_padding_is_background():
    padding = torch.zeros(1, 3, dtype=torch.bool)
    priors = box_convert(torch.tensor(ROW_OF_PRIORS).float(), "xyxy", "cxcywh")
    boxes = torch.tensor([ROW_OF_PRIORS[:3]]).float()  # it would match, were it real
    result = match(boxes, real=padding, ignore=padding, priors=priors)
    assert result.tolist() == [[BACKGROUND] * 4]


def test_a_drawn_case():
    objects = [
        [0, 0, 4, 4],  # exactly prior 0
        [7, 0, 11, 4],  # 3/4 of prior 2: IoU 0.6; 1/4 of prior 1
        [13, 1, 14, 2],  # a speck inside prior 3: IoU 1/16, but its best
    ]
    assert matched([objects], ROW_OF_PRIORS) == [[0, BACKGROUND, 1, 2]]


def test_one_object_takes_every_prior_that_reaches_the_threshold():
    assert matched([[[0, 0, 4, 4]]], [[0, 0, 4, 4], [0, 0, 4, 8], [0, 0, 4, 9]]) == [
        [0, 0, BACKGROUND]
    ]


def test_an_object_without_overlap_takes_no_prior():
    assert matched([[[90, 90, 95, 95]]], ROW_OF_PRIORS) == [[BACKGROUND] * 4]


def test_two_equal_objects_get_a_prior_each():
    twice = [[0, 0, 4, 4], [0, 0, 4, 4]]
    assert matched([twice], [[0, 0, 4, 4], [0, 0, 4, 5]]) == [[0, 1]]


def test_an_object_robbed_of_its_best_prior_gets_its_second():
    # Both want prior 0; the first overlaps it more.
    objects = [[0, 0, 4, 4], [0, 0, 4, 3]]
    assert matched([objects], [[0, 0, 4, 4], [0, 3, 4, 20]]) == [[0, BACKGROUND]]
    assert matched([objects], [[0, 0, 4, 4], [0, 2, 4, 20]]) == [[0, 1]]


def test_more_objects_than_priors_leave_some_unmatched():
    objects = [[0, 0, 4, side] for side in (1, 2, 3, 4)]
    assert matched([objects], [[0, 0, 4, 4], [0, 0, 4, 2]]) == [[3, 1]]


def test_priors_on_ignored_objects_are_neutral():
    objects = [[0, 0, 4, 4], [8, 0, 12, 4]]
    assert matched([objects], ROW_OF_PRIORS, ignore=[[False, True]]) == [
        [0, BACKGROUND, NEUTRAL, BACKGROUND]
    ]


def test_ignored_objects_take_no_prior_from_others():
    objects = [[0, 0, 4, 3], [0, 0, 4, 4]]  # the ignored one fits better
    assert matched([objects], ROW_OF_PRIORS, ignore=[[False, True]])[0][0] == 0
    speck = [[1, 1, 2, 2], [0, 0, 4, 4]]  # matched by the bipartite rule only
    assert matched([speck], ROW_OF_PRIORS, ignore=[[False, True]])[0][0] == 0


def test_an_ignored_speck_makes_its_best_prior_neutral():
    assert matched([[[1, 1, 2, 2]]], ROW_OF_PRIORS, ignore=[[True]]) == [
        [NEUTRAL, BACKGROUND, BACKGROUND, BACKGROUND]
    ]


def test_small_priors_inside_an_ignored_crowd_are_neutral():
    crowd = [[2, -20, 12, 20]]  # half of prior 0, all of 1 and 2, none of 3: IoU at most 0.04
    assert matched([crowd], ROW_OF_PRIORS, ignore=[[True]]) == [
        [NEUTRAL, NEUTRAL, NEUTRAL, BACKGROUND]
    ]


def test_an_ignored_object_far_away_makes_nothing_neutral():
    assert matched([[[90, 90, 95, 95]]], ROW_OF_PRIORS, ignore=[[True]]) == [[BACKGROUND] * 4]


@pytest.mark.parametrize("threshold", [0.35, 0.5])
def test_random_cases_equal_the_release(threshold):
    random = np.random.default_rng(0)
    for _ in range(40):
        priors = whole_boxes(random, random.integers(1, 30))
        images = [whole_boxes(random, count) for count in random.integers(0, 12, 4)]
        boxes, real = as_batch(images)
        ignore = random.random(real.shape) < 0.2
        expected = [
            caffe_match(
                boxes[i].tolist(),
                priors.tolist(),
                real=real[i],
                ignore=ignore[i],
                threshold=threshold,
            )
            for i in range(4)
        ]
        assert matched(images, priors, ignore=ignore, threshold=threshold) == expected


def test_a_crowd_on_few_priors_equals_the_release():
    random = np.random.default_rng(1)
    for _ in range(10):
        priors = whole_boxes(random, 5, side=4)
        crowd = whole_boxes(random, 25, side=4)
        nobody = [False] * 25
        expected = caffe_match(crowd.tolist(), priors.tolist(), real=[True] * 25, ignore=nobody)
        assert matched([crowd], priors) == [expected]


def test_a_batch_is_matched_like_its_images_whatever_the_padding():
    random = np.random.default_rng(2)
    priors = whole_boxes(random, 40)
    images = [whole_boxes(random, count) for count in (0, 1, 9, 4)]
    together = matched(images, priors)
    assert together == [matched([image], priors)[0] for image in images]

    boxes, real = as_batch(images)
    on_a_prior = torch.as_tensor(priors[0])
    boxes = torch.where(real[..., None], boxes, on_a_prior)  # padding that looks like objects
    priors_cxcywh = box_convert(torch.as_tensor(priors), "xyxy", "cxcywh")
    for ignore in (torch.zeros_like(real), ~real):
        assert match(boxes, real=real, ignore=ignore, priors=priors_cxcywh).tolist() == together


def test_bipartite_matching_takes_the_best_pair_first():
    overlap = torch.tensor([[[0.9, 0.8, 0.0], [0.7, 0.6, 0.0], [0.0, 0.0, 0.0]]])
    assert match_bipartite(overlap).tolist() == [[0, 1, -1]]


def test_bipartite_matching_never_gives_a_prior_twice():
    torch.manual_seed(0)
    chosen = match_bipartite(torch.rand(4, 20, 15))
    for image in chosen:
        given = image[image >= 0]
        assert len(given) == 15  # all priors are used up
        assert len(given.unique()) == 15


def test_arguments_are_not_modified():
    random = np.random.default_rng(3)
    boxes, real = as_batch([whole_boxes(random, 6)])
    priors = box_convert(torch.as_tensor(whole_boxes(random, 8)), "xyxy", "cxcywh")
    arguments = {"boxes": boxes, "real": real, "ignore": ~real, "priors": priors}
    before = {name: value.clone() for name, value in arguments.items()}
    match(**arguments)
    for name, value in arguments.items():
        assert torch.equal(value, before[name]), name
