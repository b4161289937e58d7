"""Scores that detections must be above, class by class."""

import numpy as np
import pytest

from scratchdet.detecting.thresholds import above, thresholds
from scratchdet.structures import Arrays, DataError, nothing_found

CLASSES = ("RBC", "WBC", "Platelets")


def kept(scores, labels, **wanted):
    found = Arrays(
        np.arange(4 * len(scores), dtype=np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels, np.int64),
    )
    wanted = {"min_score": 0.3, "class_scores": {}, **wanted}
    return above(found, thresholds(CLASSES, **wanted))


def test_of_nothing_nothing_is_kept():
    assert len(above(nothing_found(), np.full(3, 0.5, np.float32)).scores) == 0


def test_scores_and_boxes_stay_together():
    found = kept([0.9, 0.2, 0.4], [0, 0, 2])
    assert found.labels.tolist() == [0, 2]
    assert found.boxes[:, 0].tolist() == [0, 8]
    assert found.scores.tolist() == pytest.approx([0.9, 0.4])


def test_each_class_has_its_own_score():
    scores = {"RBC": 0.5, "WBC": 0.1}
    found = kept([0.6, 0.4, 0.4, 0.2, 0.2], [0, 0, 2, 1, 2], class_scores=scores)
    assert found.labels.tolist() == [0, 2, 1]
    least = thresholds(CLASSES, min_score=0.3, class_scores=scores)
    assert least.min() == 0.1  # what the detector is asked for


def test_a_score_that_is_just_the_least_is_not_above_it():
    assert kept([0.3, np.nextafter(np.float32(0.3), np.float32(1))], [0, 1]).labels.tolist() == [1]


def test_only_the_wanted_classes_are_kept_and_asked_for():
    scores = {"RBC": 0.05}  # of a class that is not wanted: not to be searched for
    wanted = {"class_scores": scores, "only": ("WBC", "Platelets")}
    assert kept([1.0, 0.9, 0.8], [0, 1, 2], **wanted).labels.tolist() == [1, 2]
    assert thresholds(CLASSES, min_score=0.3, **wanted).min() == 0.3


@pytest.mark.parametrize("wrong", [{"class_scores": {"rbc": 0.5}}, {"only": ("rbc",)}])
def test_a_name_that_is_no_class_is_refused_with_those_that_are(wrong):
    with pytest.raises(DataError, match="no class is called 'rbc'; there are RBC, WBC, Platelets"):
        kept([], [], **wrong)
