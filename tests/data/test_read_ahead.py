"""Reading a batch ahead: everything once, in order, and no more than that ahead."""

from itertools import count, islice

import numpy as np
import pytest

from scratchdet.data.read_ahead import pixels_or_why, read_ahead
from scratchdet.structures import DataError


@pytest.mark.parametrize(("given", "sizes"), [(0, []), (1, [1]), (4, [2, 2]), (5, [2, 2, 1])])
def test_all_come_in_order_a_batch_at_a_time(given, sizes):
    batches = list(read_ahead(range(given), str, batch=2))
    assert [len(batch) for batch in batches] == sizes
    assert [one for batch in batches for one in batch] == [str(number) for number in range(given)]


def test_one_batch_is_read_ahead_and_no_more():
    begun = []
    batches = read_ahead(count(), lambda number: begun.append(number), batch=3)
    list(islice(batches, 2))
    batches.close()
    assert sorted(begun) == list(range(9))


def test_why_an_image_cannot_be_read_is_given_back(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 3, 1), np.float32))
    (tmp_path / "b.npy").touch()
    read = {
        name: pixels_or_why(tmp_path / name, channels=1, dtype="float32")
        for name in ("a.npy", "b.npy")
    }
    assert read["a.npy"].tolist() == np.ones((2, 3, 1)).tolist()
    assert isinstance(read["b.npy"], DataError)
