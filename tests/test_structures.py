"""The columns of a data set, and the views into them."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchdet.structures import DataError, Problem, Record, Strings, from_records

# What a file name can be on Linux: any bytes, those that are not UTF-8 as lone surrogates.
file_names = st.binary(max_size=12).map(lambda name: name.decode("utf-8", "surrogateescape"))
columns = st.lists(st.text(max_size=12) | file_names, max_size=12)


def record(name, boxes, *, size=(64, 48)):
    """A record of boxes given as (label, ignore, box)."""
    return Record(
        id=name,
        path=Path(f"{name}.jpg"),
        size=size,
        boxes=np.array([box for _, _, box in boxes], np.float32).reshape(-1, 4),
        labels=np.array([label for label, _, _ in boxes], np.int64),
        ignore=np.array([ignore for _, ignore, _ in boxes], bool),
    )


RECORDS = [
    record("none", []),
    record("two", [(1, False, (0, 0, 4, 4)), (0, True, (1.5, 2, 3, 9))], size=(30, 20)),
    record("one ä", [(2, False, (5, 5, 6, 6))]),
]


def assert_same_records(given, expected):
    assert len(given) == len(expected)
    for one, other in zip(given, expected, strict=True):
        assert (one.id, one.path, one.size) == (other.id, other.path, other.size)
        for column in ("boxes", "labels", "ignore"):
            ours, wanted = getattr(one, column), getattr(other, column)
            assert ours.dtype == wanted.dtype, column
            np.testing.assert_array_equal(ours, wanted)


def test_a_column_without_strings_is_empty():
    assert len(Strings()) == 0
    assert list(Strings()) == Strings()[:] == []
    with pytest.raises(IndexError):
        Strings()[0]


@settings(deadline=None)
@given(values=columns)
def test_strings_come_back_as_they_went_in(values):
    column = Strings(values)
    assert list(column) == values
    assert len(column) == len(values)
    assert list(pickle.loads(pickle.dumps(column))) == values  # noqa: S301  # as workers get it


@settings(deadline=None)
@given(values=columns, data=st.data())
def test_strings_are_indexed_and_sliced_like_a_list(values, data):
    column = Strings(values)
    chosen = data.draw(st.slices(len(values)))
    assert column[chosen] == values[chosen]
    for index in range(-len(values), len(values)):
        assert column[index] == values[index]
    for index in (len(values), -len(values) - 1):
        with pytest.raises(IndexError):
            column[index]


def test_strings_are_found_in_their_column():
    column = Strings(["a", "", "ä", "\udcff"])
    assert "ä" in column
    assert "\udcff" in column
    assert "b" not in column
    assert column.index("ä") == 2


def test_strings_made_of_a_generator_cost_no_objects():
    column = Strings(str(number) for number in range(1000))
    assert isinstance(column.text, np.ndarray)
    assert column.text.dtype == np.uint8
    assert column[999] == "999"


@settings(deadline=None)
@given(values=columns, prefix=st.text(max_size=3) | file_names, data=st.data())
def test_strings_taken_out_of_a_column_are_those_asked_for(values, prefix, data):
    plain = Strings(values)
    column = Strings.from_arrays(plain.text, plain.offsets, prefix=prefix)
    whole = [prefix + value for value in values]
    assert list(column) == [column[i] for i in range(len(values))] == column[:] == whole
    indices = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=9)) if values else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scratchdet.structures.BLOCK", 4)
        taken = column.take(np.array(indices, np.int64))
    assert list(taken) == [whole[i] for i in indices]


def test_no_records_are_an_empty_data_set():
    data = from_records([], ["a", "b"])
    assert len(data) == data.num_objects == 0
    assert list(data) == []
    assert data.classes == ("a", "b")
    assert data.sizes.shape == (0, 2)
    assert data.boxes.shape == (0, 4)
    assert data.offsets.tolist() == [0]
    assert len(data.subset([])) == 0


def test_records_come_back_as_they_went_in():
    data = from_records(RECORDS, "abc")
    assert_same_records(list(data), RECORDS)
    assert data.num_objects == 3
    assert data.offsets.tolist() == [0, 0, 2, 3]


def test_columns_have_the_types_they_promise():
    data = from_records(RECORDS, "abc")
    types = [data.sizes, data.offsets, data.boxes, data.labels, data.ignore]
    assert [column.dtype for column in types] == [
        np.int32,
        np.int64,
        np.float32,
        np.int32,
        np.bool_,
    ]


def test_a_record_is_a_view():
    data = from_records(RECORDS, "abc")
    assert np.shares_memory(data[1].boxes, data.boxes)
    assert np.shares_memory(data[1].ignore, data.ignore)


@pytest.mark.parametrize("index", [-1, 3])
def test_an_image_that_is_not_there_is_an_index_error(index):
    with pytest.raises(IndexError, match=f"image {index} of 3"):
        from_records(RECORDS, "abc")[index]


@pytest.mark.parametrize("indices", [[], [2], [2, 0, 1], [1, 1], np.array([2, 1])])
def test_a_subset_has_the_images_asked_for_in_that_order(indices):
    data = from_records(RECORDS, "abc")
    chosen = data.subset(indices)
    assert_same_records(list(chosen), [RECORDS[int(index)] for index in indices])
    assert chosen.classes == data.classes


def test_a_subset_keeps_problems_and_notes():
    problem = Problem("a.xml:3", "box 1 has no area", "dropped")
    data = replace(from_records(RECORDS, "abc"), problems=(problem,), notes=("0-based",))
    chosen = data.subset([0])
    assert chosen.problems == (problem,)
    assert chosen.notes == ("0-based",)


def test_a_problem_is_one_line():
    assert str(Problem("a.xml:3", "box 1 has no area", "dropped")) == (
        "a.xml:3: box 1 has no area [dropped]"
    )


def test_a_data_error_is_a_value_error():
    assert issubclass(DataError, ValueError)
