"""The measured learning curves: read between their points, and never beyond them."""

import json
from pathlib import Path

import pytest

from scratchdet.analysis.learning_curves import (
    ABOUT,
    LearningCurve,
    Point,
    as_curve,
    measured_table,
    shipped_curves,
)

REPOSITORY = Path(__file__).resolve().parents[2]
ABOUT_CELLS = {
    "data": "cells",
    "classes": 3,
    "test_images": 40,
    "recipe": "small_data",
    "network": "scratchdet_nano",
    "input_size": [120, 160],
    "augment": "mild",
    "batch": 16,
    "steps": 300,
    "seed": 0,
    "commit": "abc",
    "machine": "a processor",
    "date": "2026-11-28",
}
CURVE = LearningCurve(
    ABOUT_CELLS, (Point(10, 100, 0.2, 0.1, 0.3), Point(1000, 5000, 0.6, 0.5, 0.7))
)


def test_a_measured_point_is_what_was_measured():
    assert CURVE.ap50_at(10, "images") == pytest.approx(0.2)
    assert CURVE.ap50_at(5000, "objects") == pytest.approx(0.6)


def test_between_points_ap_is_on_a_line_over_the_logarithm():
    assert CURVE.ap50_at(100, "images") == pytest.approx(0.4)  # half way from 10 to 1000


FALLING = LearningCurve(  # as the digits' is: chance moves a point by that much
    ABOUT_CELLS,
    (
        Point(50, 100, 0.62, 0.5, 0.7),
        Point(200, 400, 0.81, 0.7, 0.9),
        Point(800, 1600, 0.67, 0.6, 0.7),
        Point(2000, 4000, 0.83, 0.8, 0.9),
    ),
)


@pytest.mark.parametrize("images", [201, 500, 799])
def test_between_points_of_which_the_one_with_more_images_is_worse_only_the_range_is_told(images):
    assert FALLING.ap50_at(images, "images") is None
    assert FALLING.ap50_at(2 * images, "objects") is None
    assert FALLING.place(images, "images") == "AP50 0.67 to 0.81"


def test_beside_points_that_fall_there_is_a_figure_as_elsewhere():
    assert FALLING.place(200, "images") == "AP50 0.81"
    assert FALLING.place(800, "images") == "AP50 0.67"
    assert FALLING.ap50_at(100, "images") == pytest.approx(0.715)  # half way from 50 to 200
    assert 0.67 < FALLING.ap50_at(1000, "images") < 0.83


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (0, "fewer than any we measured (10)"),
        (9, "fewer than any we measured (10)"),
        (1001, "more than any we measured (1000)"),
    ],
)
def test_outside_of_what_was_measured_nothing_is_promised(images, said):
    assert CURVE.ap50_at(images, "images") is None
    assert CURVE.place(images, "images") == said


def test_a_single_point_is_a_curve_too():
    one = LearningCurve(ABOUT_CELLS, CURVE.points[:1])
    assert one.ap50_at(10, "images") == pytest.approx(0.2)
    assert one.ap50_at(11, "images") is None


def test_a_curve_says_what_it_was_measured_on():
    assert (
        CURVE.describe()
        == "cells (3 classes, scratchdet_nano at 120 x 160, 300 steps of 16 images)"
    )


def test_points_are_sorted_whatever_order_they_were_measured_in():
    points = [
        {"images": 100, "objects": 300, "ap50": 0.5, "interval": [0.4, 0.6]},
        {"images": 50, "objects": 150, "ap50": 0.3, "interval": [0.2, 0.4]},
    ]
    curve = as_curve({**ABOUT_CELLS, "points": points})
    assert [point.images for point in curve.points] == [50, 100]


def test_the_table_that_is_shipped_is_what_the_benchmark_measured():
    shipped = REPOSITORY / "scratchdet" / "analysis" / "learning_curves.json"
    assert json.loads(shipped.read_text()) == json.loads(measured_table(REPOSITORY))


def test_every_curve_that_is_shipped_has_its_source():
    for curve in shipped_curves():
        assert set(curve.about) == set(ABOUT)
        assert curve.points
        assert "dirty" not in curve.about["commit"]
        assert all(0 <= one.low <= one.ap50 <= one.high <= 1 for one in curve.points)
