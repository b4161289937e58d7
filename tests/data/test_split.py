"""Holding images out."""

import numpy as np
import pytest

from scratchdet.data.split import chosen_splits, hold_out
from scratchdet.structures import DataError, Record, from_records


def images(ids):
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
    return from_records([Record(str(i), f"{i}.png", (8, 8), *nothing) for i in ids], ("a",))


def test_no_images_can_be_held_out_of_none():
    train, held = hold_out(images([]))
    assert (len(train), len(held)) == (0, 0)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_both_sides_have_images_and_none_is_on_both(count, share):
    train, held = hold_out(images(range(count)), share)
    assert len(train) > 0
    assert len(held) > 0
    assert sorted([*train.ids, *held.ids]) == sorted(map(str, range(count)))


def test_about_the_share_is_held_out_and_the_seed_chooses_which():
    _, held = hold_out(images(range(5000)), 0.1)
    assert 420 < len(held) < 580
    _, other = hold_out(images(range(5000)), 0.1, seed=1)
    assert set(other.ids) != set(held.ids)


def test_more_images_do_not_move_the_others():
    train, held = hold_out(images(range(500)), 0.1)
    more_train, more_held = hold_out(images(reversed(range(900))), 0.1)
    assert set(train.ids) <= set(more_train.ids)
    assert set(held.ids) <= set(more_held.ids)


def test_a_share_outside_zero_to_one_is_refused():
    with pytest.raises(DataError, match="between 0 and 1"):
        hold_out(images(range(4)), 10)


def test_splits_are_chosen_once_each_in_the_order_given():
    assert chosen_splits("b + a+b", ["a", "b", "c"], "data") == ["b", "a"]
    assert chosen_splits(None, ["a", "b"], "data") == ["a", "b"]
