"""What became of every detection and object."""

import numpy as np
import pytest
from hand_made import (
    CAT,
    DOG,
    ELSEWHERE,
    FAR,
    HALF,
    NOTHING,
    TEN,
    THIRD,
    columns_of,
    data_of,
    scenes,
)
from hypothesis import given, settings

from scratchdet.evaluation.diagnosis import diagnose
from scratchdet.evaluation.errors import KINDS
from scratchdet.evaluation.outcomes import outcomes

NAMES = list(KINDS)


def of(data, *rows, threshold=0.5, protocol="voc"):
    return outcomes(data, columns_of(*rows), protocol=protocol, threshold=threshold)


@pytest.mark.parametrize("data", [data_of(), data_of([], []), data_of([], classes=())])
def test_nothing_at_all_has_no_outcome(data):
    result = outcomes(data, NOTHING, protocol="voc", threshold=0.5)
    assert result.per_image(data).tolist() == [[0, 0, 0]] * len(data)


def test_every_detection_is_a_hit_or_an_error_of_some_kind():
    data = data_of([(TEN, CAT)], [(FAR, DOG)])
    found = of(
        data,
        (0, TEN, 0.9, CAT),
        (0, HALF, 0.8, CAT),
        (0, THIRD, 0.7, CAT),
        (1, FAR, 0.6, CAT),
        (1, ELSEWHERE, 0.5, DOG),
    )
    assert found.hit.tolist() == [True, False, False, False, False]
    kinds = [NAMES[kind] if kind >= 0 else "" for kind in found.kinds]
    assert kinds == ["", "duplicate", "localisation", "classification", "background"]
    assert found.missed.tolist() == [False, True]
    assert found.per_image(data).tolist() == [[1, 2, 0], [0, 2, 1]]


def test_what_scores_less_does_not_count_but_hints_at_the_object():
    data = data_of([(TEN, CAT), (FAR, DOG)])
    found = of(data, (0, TEN, 0.25, CAT), (0, FAR, 0.9, CAT))
    assert found.missed.tolist() == [True, True]
    assert found.hinted.tolist() == [0.25, 0]


def test_ignored_objects_are_neither_found_nor_missed():
    data = data_of([(TEN, CAT, True)])
    found = of(data, (0, TEN, 0.9, CAT))
    assert found.per_image(data).tolist() == [[0, 0, 0]]


@settings(max_examples=50, deadline=None)
@given(scenes())
def test_the_counts_are_those_of_the_diagnosis(made):
    data, rows = made
    diagnosis = diagnose(data, rows, threshold=0.0)
    found = outcomes(data, rows, protocol="voc", threshold=0.0)
    hits, wrong, missed = found.per_image(data).sum(axis=0)
    assert wrong == diagnosis.errors.false_positives.number
    assert missed == diagnosis.errors.false_negatives.number
    assert hits + missed == diagnosis.metrics.num_objects
    numbers = np.bincount(found.kinds[found.kinds >= 0], minlength=len(KINDS)).tolist()
    wanted = [cost.number for name, cost in diagnosis.errors.kinds.items() if name != "missed"]
    assert numbers[:-1] == wanted
