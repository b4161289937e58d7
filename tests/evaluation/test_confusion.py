"""Which class objects are found as."""

import numpy as np
import pytest
from hand_made import CAT, DOG, FAR, HALF, NOTHING, TEN, THIRD, columns_of, data_of, scenes
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchdet.evaluation.confusion import confuse


def counts_of(data, *rows, threshold=0.5, ignored="difficult") -> list[list[int]]:
    found = confuse(data, columns_of(*rows), threshold=threshold, ignored=ignored)
    return found.counts.tolist()


def test_nothing_at_all_is_a_matrix_of_zeros():
    assert counts_of(data_of(), *[]) == [[0, 0, 0]] * 3
    assert counts_of(data_of([], classes=())) == [[0]]
    assert confuse(data_of([]), NOTHING, threshold=0.5, ignored="crowd").counts.sum() == 0


def test_what_is_not_found_is_missed_and_what_is_nowhere_has_no_object():
    assert counts_of(data_of([(TEN, CAT)]), (0, FAR, 0.9, DOG)) == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_an_object_is_found_as_what_the_detection_says():
    data = data_of([(TEN, CAT), (FAR, DOG)])
    rows = [(0, HALF, 0.9, DOG), (0, FAR, 0.8, DOG)]
    assert counts_of(data, *rows) == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_detections_below_the_threshold_do_not_count():
    data = data_of([(TEN, CAT)])
    assert counts_of(data, (0, TEN, 0.5, CAT))[CAT] == [1, 0, 0]
    assert counts_of(data, (0, TEN, 0.499, CAT))[CAT] == [0, 0, 1]


def test_less_than_half_an_overlap_is_no_match():
    assert counts_of(data_of([(TEN, CAT)]), (0, THIRD, 0.9, CAT)) == [[0, 0, 1], [0] * 3, [1, 0, 0]]


def test_the_best_scored_detection_takes_the_object():
    """The other, though of the right class, finds it taken."""
    rows = [(0, HALF, 0.8, CAT), (0, TEN, 0.9, DOG)]
    assert counts_of(data_of([(TEN, CAT)]), *rows) == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_of_objects_at_one_place_a_detection_takes_the_one_of_its_class():
    """The rider, though the detection overlaps the bicycle more."""
    data = data_of([(TEN, DOG), ((0, 0, 10, 8), CAT)])
    assert counts_of(data, (0, TEN, 0.9, CAT)) == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_of_objects_of_one_class_it_takes_the_one_it_overlaps_most():
    """And leaves the smaller one to a detection that covers less than half of the larger."""
    data = data_of([((0, 0, 10, 8), CAT), (TEN, CAT)])
    rows = [(0, TEN, 0.9, DOG), (0, (0, 0, 10, 4), 0.8, CAT)]
    assert counts_of(data, *rows) == [[1, 1, 0], [0] * 3, [0] * 3]


def test_ignored_objects_are_neither_missed_nor_found():
    data = data_of([(TEN, CAT, True)])
    assert counts_of(data) == [[0] * 3] * 3
    assert counts_of(data, (0, TEN, 0.9, CAT), (0, TEN, 0.8, DOG)) == [[0] * 3] * 3


def test_a_crowd_need_not_be_covered_but_a_difficult_object_must():
    data, row = data_of([((0, 0, 100, 100), CAT, True)]), (0, TEN, 0.9, CAT)
    assert counts_of(data, row, ignored="crowd") == [[0] * 3] * 3
    assert counts_of(data, row, ignored="difficult")[2] == [1, 0, 0]


@settings(deadline=None)
@given(scenes(), st.floats(0, 1), st.sampled_from(["difficult", "crowd"]))
def test_rows_sum_to_the_objects_and_columns_to_what_is_found(scene, threshold, ignored):
    data, detections = scene
    found = confuse(data, detections, threshold=threshold, ignored=ignored)
    objects = np.bincount(data.labels[~data.ignore], minlength=3)
    assert found.counts[:3].sum(axis=1).tolist() == objects.tolist()
    counted = np.bincount(detections.labels[detections.scores >= threshold], minlength=3)
    assert (found.counts[:, :3].sum(axis=0) <= counted).all()
    if not data.ignore.any():
        assert found.counts[:, :3].sum(axis=0).tolist() == counted.tolist()
    assert found.counts[3, 3] == 0


@pytest.mark.parametrize("ignored", ["difficult", "crowd"])
@settings(deadline=None)
@given(scene=scenes(), random=st.randoms(use_true_random=False))
def test_the_order_of_detections_does_not_matter(ignored, scene, random):
    data, detections = scene
    rows = random.sample(range(len(detections.scores)), len(detections.scores))
    shuffled = type(detections)(*(column[rows] for column in detections))
    first, second = (
        confuse(data, one, threshold=0.2, ignored=ignored) for one in (detections, shuffled)
    )
    assert first.counts.tolist() == second.counts.tolist()
