"""Which boxes are kept, clipped, dropped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchdet.data.clean import (
    FINE,
    NO_AREA,
    NOT_A_NUMBER,
    OUTSIDE,
    OVERHANGS,
    check_boxes,
)

SIZE = (100, 50)

coordinates = st.floats(width=64, allow_nan=True, allow_infinity=True) | st.floats(-200, 200)


def test_no_boxes_are_fine():
    check = check_boxes(np.zeros((0, 4)), np.zeros((0, 2)))
    assert check.boxes.shape == (0, 4)
    assert check.boxes.dtype == np.float32
    assert check.keep.shape == check.reasons.shape == (0,)


@pytest.mark.parametrize(
    ("box", "reason", "clipped"),
    [
        ((0, 0, 100, 50), FINE, (0, 0, 100, 50)),
        ((-0.9, -0.5, 100.9, 50.2), FINE, (0, 0, 100, 50)),
        ((10, 10, 101, 20), OVERHANGS, (10, 10, 100, 20)),
        ((-30, -1, 20, 20), OVERHANGS, (0, 0, 20, 20)),
        ((10, 10, 10, 20), NO_AREA, None),
        ((20, 10, 10, 20), NO_AREA, None),
        ((10, 20, 20, 10), NO_AREA, None),
        ((100, 10, 120, 20), OUTSIDE, None),
        ((10, -30, 20, -0.5), OUTSIDE, None),
        ((float("nan"), 0, 10, 10), NOT_A_NUMBER, None),
        ((0, 0, float("inf"), 10), NOT_A_NUMBER, None),
        ((50, 10, 50 + 1e-9, 20), NO_AREA, None),
    ],
)
def test_a_box_is_judged_by_its_place_in_the_image(box, reason, clipped):
    check = check_boxes(np.array([box]), np.array([SIZE]))
    assert check.reasons[0] == reason
    assert check.keep[0] == (clipped is not None)
    if clipped is not None:
        assert check.boxes[0].tolist() == list(clipped)


def test_the_smallest_side_that_counts_can_differ_between_boxes():
    boxes = np.array([[4.0, 4, 5, 9], [4, 4, 5, 9]])
    check = check_boxes(boxes, np.array([SIZE, SIZE]), empty_side=np.array([0.0, 1.0]))
    assert check.keep.tolist() == [True, False]


@given(st.lists(st.tuples(*[coordinates] * 4), max_size=8))
def test_kept_boxes_have_an_area_inside_the_image_and_the_input_is_left_alone(rows):
    boxes = np.array(rows, dtype=np.float64).reshape(-1, 4)
    before = boxes.copy()
    check = check_boxes(boxes, np.tile(SIZE, (len(boxes), 1)))
    kept = check.boxes[check.keep]
    assert (kept[:, :2] < kept[:, 2:]).all()
    assert (kept >= 0).all()
    assert (kept[:, 2:] <= SIZE).all()
    np.testing.assert_array_equal(boxes, before)
    again = check_boxes(kept, np.tile(SIZE, (len(kept), 1)))
    assert (again.reasons == FINE).all()
    np.testing.assert_array_equal(again.boxes, kept)
