"""The score with the best F1, and F1 over the score."""

import math

import numpy as np
import pytest

from scratchdet.evaluation.curve import (
    NEVER,
    Curve,
    average_precision,
    best_operation,
    coco_points,
    eleven_points,
    every_hit,
    f1_from,
)

# Hit, miss, hit, miss of three objects: F1 2/4, 2/5, 4/6, 4/7.
CURVE = Curve(np.array([1, 1, 2, 2]), np.float32([0.9, 0.8, 0.7, 0.6]), num_objects=3)
NO_OBJECT = Curve(np.array([0]), np.float32([0.9]), num_objects=0)
NOTHING_FOUND = Curve(np.zeros(0, np.int64), np.zeros(0, np.float32), num_objects=3)
NEVER_RIGHT = Curve(np.array([0, 0]), np.float32([0.9, 0.8]), num_objects=3)


@pytest.mark.parametrize("curve", [NO_OBJECT, NOTHING_FOUND, NEVER_RIGHT])
def test_where_nothing_is_ever_right_no_score_is_best(curve):
    assert best_operation(curve) is NEVER


def test_the_best_score_is_that_of_the_detection_up_to_which_f1_is_highest():
    best = best_operation(CURVE)
    assert best.threshold == np.float32(0.7)
    assert (best.precision, best.recall) == (2 / 3, 2 / 3)
    assert best.f1 == pytest.approx(4 / 6)


def test_of_several_best_scores_the_highest_is_taken():
    curve = Curve(np.array([1, 1, 1, 2]), np.float32([0.9, 0.8, 0.7, 0.6]), num_objects=2)
    assert curve.f1.tolist() == pytest.approx([2 / 3, 2 / 4, 2 / 5, 4 / 6])
    assert best_operation(curve).threshold == np.float32(0.9)


def test_no_score_tells_equal_detections_apart():
    """The hit alone would have F1 1, but its equal, a miss, has the same score."""
    curve = Curve(np.array([1, 1]), np.float32([0.5, 0.5]), num_objects=1)
    best = best_operation(curve)
    assert (best.precision, best.recall) == (0.5, 1)


def test_f1_counts_what_has_the_score_or_more():
    scores = np.array([0, 0.6, 0.65, 0.75, 0.85, 0.95], np.float32)
    expected = [4 / 7, 4 / 7, 4 / 6, 2 / 5, 2 / 4, 0]
    assert f1_from(CURVE, scores).tolist() == pytest.approx(expected)
    assert np.isnan(f1_from(NO_OBJECT, scores)).all()
    assert not f1_from(NOTHING_FOUND, scores).any()


@pytest.mark.parametrize("points", [eleven_points, every_hit, coco_points])
def test_averages_of_nothing(points):
    assert math.isnan(average_precision(NO_OBJECT, points))
    assert average_precision(NOTHING_FOUND, points) == average_precision(NEVER_RIGHT, points) == 0


def test_coco_averages_over_a_hundred_and_one_points_of_recall():
    """One of three found first: 0, 0.01, … 0.33; the second with precision 2/3: … 0.66."""
    assert average_precision(CURVE, coco_points) == pytest.approx((34 + 33 * 2 / 3) / 101)
