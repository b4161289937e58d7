"""What there is to learn from, counted by hand."""

import json

import numpy as np
import pytest

from scratchdet.analysis.expectations import SMALL, expect, place_on
from scratchdet.analysis.learning_curves import LearningCurve, Point
from scratchdet.structures import Record, from_records

CURVE = LearningCurve(
    {
        "data": "cells",
        "classes": 1,
        "network": "nano",
        "input_size": [64, 64],
        "steps": 10,
        "batch": 4,
    },
    (Point(2, 4, 0.2, 0.1, 0.3), Point(8, 64, 0.4, 0.3, 0.5)),
)


def record(name, boxes, labels, *, size=(100, 100), ignore=None):
    return Record(
        name,
        name,
        size,
        np.float32(boxes).reshape(-1, 4),
        np.array(labels, np.int64),
        np.zeros(len(labels), bool) if ignore is None else np.array(ignore),
    )


def look(records, classes=("a", "b"), *, input_size=(100, 100), validation=None, curves=()):
    return expect(
        from_records(records, classes),
        validation=validation,
        input_size=input_size,
        curves=curves,
    )


LARGE, TINY = [0, 0, 40, 40], [0, 0, 7, 7]


def test_objects_and_images_are_counted_by_class():
    found = look(
        [
            record("0", [LARGE, LARGE, TINY], [0, 0, 1]),
            record("1", [LARGE], [0]),
            record("2", [], []),
        ]
    )
    assert (found.images, found.empty, found.objects) == (3, 1, 4)
    assert (found.classes["a"].objects, found.classes["a"].images) == (3, 2)
    assert (found.classes["b"].objects, found.classes["b"].images) == (1, 1)
    assert (found.rarest, found.imbalance) == ("b", 3.0)


def test_small_is_by_the_area_at_the_size_of_the_input():
    # 20 x 20 pixels of an image of 400 x 100 are 5 x 20 of an input of 100 x 100: 10 x 10.
    records = [record("0", [[0, 0, 20, 20], [0, 0, 8, 20]], [0, 0], size=(400, 100))]
    found = look(records)
    assert SMALL == 8
    assert found.classes["a"].small == 0.5  # 2 x 20 is under 64 square pixels
    assert found.small == 0.5
    assert look(records, input_size=(200, 200)).small == 0.0


def test_objects_to_be_ignored_are_none():
    found = look([record("0", [LARGE, TINY], [0, 1], ignore=[False, True])])
    assert found.objects == 1
    assert found.classes["b"].objects == 0
    assert found.rarest == "a"
    assert found.imbalance == 1.0
    assert look([record("0", [TINY], [1], ignore=[True])]).empty == 1


@pytest.mark.parametrize("records", [[], [record("0", [], [])]])
def test_without_objects_nothing_is_undefined(records):
    found = look(records, curves=[CURVE])
    assert (found.objects, found.small, found.rarest, found.imbalance) == (0, 0.0, None, 1.0)
    json.dumps(found.to_json(), allow_nan=False)


def test_one_class_is_not_unbalanced():
    found = look([record("0", [LARGE], [0])], classes=("a",))
    assert (found.rarest, found.imbalance) == ("a", 1.0)


def test_validation_is_counted_without_what_is_ignored():
    held = from_records([record("0", [LARGE, TINY], [0, 1], ignore=[False, True])], ("a", "b"))
    assert look([record("1", [LARGE], [0])], validation=held).validation_objects == 1
    assert look([record("1", [LARGE], [0])]).validation_objects is None


def test_images_and_objects_have_their_own_place_on_a_curve():
    place = place_on(CURVE, images=4, objects=2)
    assert place.ap50_by_images == pytest.approx(0.3)
    assert place.by_images == "AP50 0.30"
    assert place.ap50_by_objects is None
    assert place.by_objects == "fewer than any we measured (4)"


def test_where_a_curve_falls_the_range_is_in_words_only():
    falling = CURVE._replace(points=tuple(p._replace(ap50=0.6 - p.ap50) for p in CURVE.points))
    place = place_on(falling, images=4, objects=4)
    assert (place.ap50_by_images, place.by_images) == (None, "AP50 0.20 to 0.40")
    assert (place.ap50_by_objects, place.by_objects) == (pytest.approx(0.4), "AP50 0.40")


def test_the_json_holds_no_nan():
    found = look([record("0", [LARGE], [0])], curves=[CURVE])
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["classes"]["b"]["small"] is None
