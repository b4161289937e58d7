"""The order of the images: entered anywhere it is the same, and processes share it exactly."""

from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchdet.data.order import SampleOrder, repeat_factors
from scratchdet.structures import Record, from_records


def order(images, *, batch, start=0, stop, seed=0, **more):
    return list(SampleOrder(images, batch=batch, seed=seed, start=start, stop=stop, **more))


def data_of(*labels_of_images, classes=3, ignored=()):
    """A data set by the labels of each image; all objects of the images in `ignored` are."""
    return from_records(
        [
            Record(
                id=str(number),
                path=f"{number}.jpg",
                size=(8, 8),
                boxes=np.tile(np.array([0, 0, 4, 4], np.float32), (len(labels), 1)),
                labels=np.array(labels, np.int64),
                ignore=np.full(len(labels), number in ignored),
            )
            for number, labels in enumerate(labels_of_images)
        ],
        [f"class {number}" for number in range(classes)],
    )


def test_another_seed_gives_another_order():
    assert order(20, batch=4, stop=5) != order(20, batch=4, stop=5, seed=1)


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 3))
def test_every_epoch_has_every_image_once_and_every_batch_is_full(images, batch, seed):
    steps = 3 * images
    found = order(images, batch=batch, stop=steps, seed=seed)
    assert all(len(keys) == batch for keys in found)
    counts = Counter(key for keys in found for key in keys)
    epochs = steps * batch // images
    assert counts == {(epoch, index): 1 for epoch in range(epochs) for index in range(images)}


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 8))
def test_the_order_depends_on_the_step_alone(images, batch, start):
    assert (
        order(images, batch=batch, start=start, stop=8)
        == (order(images, batch=batch, stop=8)[start:])
    )


def test_epochs_come_one_after_another_each_in_an_order_of_its_own():
    keys = [key for keys in order(30, batch=7, stop=30) for key in keys]
    assert [epoch for epoch, _ in keys] == sorted(epoch for epoch, _ in keys)
    orders = [tuple(i for e, i in keys if e == epoch) for epoch in range(7)]
    assert len(set(orders)) == 7
    assert tuple(range(30)) not in orders


def test_a_batch_larger_than_the_data_set_takes_images_of_several_epochs():
    (keys,) = order(2, batch=5, stop=1)
    assert [epoch for epoch, _ in keys] == [0, 0, 1, 1, 2]


FACTORS = st.lists(st.floats(1, 4), min_size=1, max_size=9).map(np.array)


@given(st.integers(1, 9), st.integers(1, 4), st.sampled_from([1, 2, 3, 4]), st.integers(0, 3))
def test_the_parts_of_all_processes_are_the_batch_of_one(images, share, size, start):
    alone = order(images, batch=share * size, start=start, stop=6)
    parts = [
        order(images, batch=share * size, start=start, stop=6, rank=rank, size=size)
        for rank in range(size)
    ]
    assert [list(chain(*step)) for step in zip(*parts, strict=True)] == alone


def test_a_batch_that_cannot_be_shared_evenly_is_refused_with_those_that_can():
    with pytest.raises(
        ValueError, match=r"10 images cannot be shared evenly by 4 .* take a multiple of 4"
    ):
        order(5, batch=10, stop=1, size=4)
    with pytest.raises(ValueError, match="take a multiple of 4"):
        order(5, batch=2, stop=1, size=4)


@given(FACTORS, st.integers(1, 7), st.integers(0, 12), st.sampled_from([1, 2]))
def test_with_repeats_too_the_order_depends_on_the_step_alone(repeats, share, start, size):
    asked = {"batch": share * size, "stop": 12, "repeats": repeats, "size": size}
    for rank in range(size):
        whole = order(len(repeats), rank=rank, **asked)
        assert order(len(repeats), rank=rank, start=start, **asked) == whole[start:]


@given(FACTORS, st.integers(1, 7))
def test_a_repeated_image_is_a_sample_of_its_own_and_seen_as_often_as_asked(repeats, batch):
    keys = [
        key for keys in order(len(repeats), batch=batch, stop=40, repeats=repeats) for key in keys
    ]
    assert len(set(keys)) == len(keys)
    most = int(np.ceil(repeats.max()))
    epochs = [number // most for number, _ in keys]
    assert epochs == sorted(epochs)
    for epoch in range(epochs[-1]):  # the last one may be cut off
        times = Counter(index for number, index in keys if number // most == epoch)
        for index, factor in enumerate(repeats):
            assert times[index] in (int(factor), int(factor) + (factor % 1 > 0))


def test_over_many_epochs_the_fractions_come_true():
    repeats = np.array([1.0, 1.3, 2.0, 2.5])
    keys = [key for keys in order(4, batch=68, stop=400, repeats=repeats) for key in keys]
    times = Counter(index for _, index in keys)
    seen = np.array([times[index] for index in range(4)]) / (68 * 400 / repeats.sum())
    assert np.allclose(seen, repeats, rtol=0.01)
    assert seen[2] / seen[0] == pytest.approx(2, rel=1e-3)


def test_whole_repeats_of_a_small_data_set_are_entered_at_once_however_late():
    late = 10**9  # epochs are of one length: none has to be counted
    (keys,) = order(2, batch=3, start=late, stop=late + 1, repeats=np.array([1.0, 2.0]))
    assert sorted(index for _, index in keys) == [0, 1, 1]


def test_repeat_factors_of_a_hand_worked_case():
    # Shares: class 0 in 4 of 5 images, class 1 in 1 of 5, class 2 in none.
    data = data_of([0, 0], [0], [], [0, 1, 1], [0])
    rare = np.sqrt(0.45 / 0.2)
    assert np.allclose(repeat_factors(data, below=0.45), [1, 1, 1, rare, 1])
    assert np.allclose(
        repeat_factors(data, below=0.9)[[0, 2, 3]], [np.sqrt(0.9 / 0.8), 1, np.sqrt(0.9 / 0.2)]
    )


def test_without_a_threshold_nothing_is_repeated():
    assert repeat_factors(data_of([0], [1], []), below=0.0).tolist() == [1, 1, 1]


def test_ignored_objects_are_neither_counted_nor_repeated():
    data = data_of([0], [0], [1], [1], ignored={3})
    assert np.allclose(repeat_factors(data, below=0.5), [1, 1, np.sqrt(2), 1])


@pytest.mark.parametrize("data", [data_of(), data_of([], [])], ids=["no image", "no object"])
def test_where_there_is_nothing_nothing_is_repeated(data):
    assert repeat_factors(data, below=0.5).tolist() == [1.0] * len(data)


@given(st.lists(st.lists(st.integers(0, 2), max_size=3), min_size=1, max_size=8), st.floats(0, 1))
def test_the_rarer_the_class_the_larger_the_factor(labels, below):
    data = data_of(*labels)
    factors = repeat_factors(data, below=below)
    assert (factors >= 1).all()
    shares = [sum(label in image for image in labels) / len(labels) for label in range(3)]
    rarest = [min((shares[label] for label in image), default=1.0) for image in labels]
    by_rarity = sorted(zip(rarest, factors, strict=True), reverse=True)
    assert all(left[1] <= right[1] + 1e-12 for left, right in pairwise(by_rarity))
