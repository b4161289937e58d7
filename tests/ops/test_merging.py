"""Detections of several passes as one list: NMS, box voting, parts and wholes."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import batched_nms

from scratchdet.ops.merging import BLOCK, MERGES, joined, nms, nms_between, taken, vote
from scratchdet.structures import Arrays, nothing_found


def found(*rows):
    """Detections out of (label, score, box)."""
    if not rows:
        return nothing_found()
    labels, scores, boxes = zip(*rows, strict=True)
    return Arrays(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels))


def rows_of(merged):
    return [
        (int(label), round(float(score), 4), [round(float(side), 3) for side in box])
        for box, score, label in zip(*merged, strict=True)
    ]


def some(count, *, classes=3, seed=0):
    """Boxes with whole corners, many of them overlapping, and scores of which many are equal."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 40, (count, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 25, (count, 2))], axis=1)
    scores = rng.integers(1, 20, count) / 20
    return Arrays(
        boxes.astype(np.float32), scores.astype(np.float32), rng.integers(0, classes, count)
    )


LEFT, RIGHT = [0, 0, 10, 10], [2, 0, 12, 10]  # IoU 80 / 120
APART = [50, 50, 60, 60]


@pytest.mark.parametrize("merge", MERGES)
def test_of_nothing_nothing_is_left(merge):
    merged = MERGES[merge](nothing_found(), iou=0.5)
    assert [part.shape for part in merged] == [(0, 4), (0,), (0,)]
    assert [part.dtype for part in merged] == [part.dtype for part in nothing_found()]
    assert len(nms_between(nothing_found(), np.zeros(0, int), share=0.5).scores) == 0


@pytest.mark.parametrize("merge", MERGES)
def test_boxes_without_overlap_stay_as_they_are_best_first(merge):
    rows = [(0, 0.2, [1 / 3, 0, 10, 10]), (1, 0.9, [1 / 3, 0, 10, 10]), (0, 0.5, APART)]
    merged = MERGES[merge](found(*rows), iou=0.45)
    expected = found(rows[1], rows[2], rows[0])
    assert all(np.array_equal(one, other) for one, other in zip(merged, expected, strict=True))
    assert [part.dtype for part in merged] == [np.float32, np.float32, np.int64]


def test_nms_keeps_the_best_of_a_class_and_says_nothing_about_others():
    merged = nms(found((0, 0.4, LEFT), (0, 0.8, RIGHT), (1, 0.3, LEFT)), iou=0.5)
    assert rows_of(merged) == [(0, 0.8, RIGHT), (1, 0.3, LEFT)]


def test_nms_takes_what_overlaps_by_more_than_the_threshold_and_voting_by_as_much():
    pair = found((0, 0.9, [0, 0, 10, 10]), (0, 0.3, [0, 0, 10, 5]))  # IoU 1 / 2, exactly
    assert len(nms(pair, iou=0.5).scores) == 2
    assert rows_of(vote(pair, iou=0.5)) == [(0, 0.9, [0, 0, 10, 8.75])]


def test_a_voted_box_is_the_mean_weighted_by_score_with_the_best_score():
    three = found((0, 0.6, LEFT), (0, 0.2, RIGHT), (0, 0.1, APART), (1, 0.7, LEFT))
    # 2 px to the right with the weight 0.2 of 0.8.
    assert rows_of(vote(three, iou=0.5)) == [
        (1, 0.7, LEFT),
        (0, 0.6, [0.5, 0, 10.5, 10]),
        (0, 0.1, APART),
    ]


def test_a_box_votes_once_for_the_best_that_it_overlaps():
    # The second overlaps both by 80 / 120; first and third overlap each other by 60 / 140.
    chain = found((0, 0.9, [0, 0, 10, 10]), (0, 0.1, [2, 0, 12, 10]), (0, 0.5, [4, 0, 14, 10]))
    assert rows_of(vote(chain, iou=0.5)) == [(0, 0.9, [0.2, 0, 10.2, 10]), (0, 0.5, [4, 0, 14, 10])]


def test_scores_of_zero_vote_alike():
    assert rows_of(vote(found((0, 0, LEFT), (0, 0, RIGHT)), iou=0.5)) == [(0, 0, [1, 0, 11, 10])]


@pytest.mark.parametrize("merge", MERGES)
def test_boxes_without_area_are_of_no_object_but_themselves(merge):
    flat = found((0, 0.9, [5, 5, 5, 5]), (0, 0.8, [5, 5, 5, 5]), (0, 0.7, LEFT))
    assert len(MERGES[merge](flat, iou=0.5).scores) == 3


def test_voting_does_not_write_into_what_it_is_given():
    given = some(50)
    before = [part.copy() for part in given]
    vote(given, iou=0.3)
    assert all(np.array_equal(one, other) for one, other in zip(given, before, strict=True))


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(0, 3 * BLOCK),
    classes=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    iou=st.sampled_from([0.1, 0.3, 0.45, 0.5, 0.9]),  # many pairs have exactly one of these
)
def test_nms_equals_torchvisions(count, classes, seed, iou):
    given = some(count, classes=classes, seed=seed)
    kept = batched_nms(*map(torch.from_numpy, given), iou).numpy()
    for one, other in zip(nms(given, iou=iou), taken(given, kept), strict=True):
        assert np.array_equal(one, other)


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 2 * BLOCK), seed=st.integers(0, 10**6))
def test_voting_leaves_one_box_for_each_that_nms_would_leave(count, seed):
    given = some(count, seed=seed)
    iou = 0.37  # of no pair exactly
    voted, kept = vote(given, iou=iou), nms(given, iou=iou)
    assert np.array_equal(voted.scores, kept.scores)
    assert sorted(voted.labels) == sorted(kept.labels)
    assert np.all(voted.boxes.min(axis=0) >= given.boxes.min(axis=0) - 1e-4)
    assert np.all(voted.boxes.max(axis=0) <= given.boxes.max(axis=0) + 1e-4)


WHOLE, PART = [0, 0, 100, 100], [60, 0, 100, 100]  # IoU 0.4, but all of the part


def test_a_part_is_suppressed_by_the_whole_that_another_pass_has_found():
    given = found((0, 0.9, WHOLE), (0, 0.5, PART), (1, 0.4, PART), (0, 0.3, APART))
    merged = nms_between(given, np.array([0, 1, 1, 1]), share=0.5)
    assert rows_of(merged) == [(0, 0.9, WHOLE), (1, 0.4, PART)]
    assert len(nms(given, iou=0.45).scores) == 4


def test_what_one_pass_has_told_apart_stays_apart():
    given = found((0, 0.9, WHOLE), (0, 0.5, PART))
    assert len(nms_between(given, np.array([3, 3]), share=0.5).scores) == 2


def test_what_is_suppressed_suppresses_nothing():
    # The middle one of a chain is dropped; the last, which only that one overlaps, is not.
    chain = found((0, 0.9, [0, 0, 10, 10]), (0, 0.5, [4, 0, 14, 10]), (0, 0.4, [8, 0, 18, 10]))
    merged = nms_between(chain, np.array([0, 1, 2]), share=0.5)
    assert [round(float(score), 1) for score in merged.scores] == [0.9, 0.4]


def test_parts_are_joined_in_order_and_taken_by_number_mask_or_slice():
    both = joined([found((0, 0.9, LEFT)), nothing_found(), found((1, 0.2, APART))])
    assert rows_of(both) == [(0, 0.9, LEFT), (1, 0.2, APART)]
    for rows in (np.array([1]), np.array([False, True]), slice(1, None)):
        assert rows_of(taken(both, rows)) == [(1, 0.2, APART)]


def test_no_torch_is_needed():
    code = "import sys, scratchdet.testing.multi_scale, scratchdet.testing.tiling\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
