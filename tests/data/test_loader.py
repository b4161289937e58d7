"""The stream of batches: the same from wherever it is entered, and by however many processes."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scratchdet.data.augment import PRESETS
from scratchdet.data.dataset import TrainingSamples
from scratchdet.data.formats import read_data
from scratchdet.data.loader import collate, default_workers, make_batches
from scratchdet.data.order import SampleOrder
from scratchdet.data.voc_write import write_voc
from scratchdet.structures import DataError, Sample


@pytest.fixture(scope="module")
def samples(tmp_path_factory, scenes):
    root = tmp_path_factory.mktemp("data") / "voc"
    write_voc(root, {"train": scenes(5, empty={1, 3})}, classes=("a", "b"))
    steps = PRESETS["ssd"]((32, 32), np.full(3, 40.0))
    return TrainingSamples(read_data(root), steps, channels=3, seed=7)


def batches(samples, *, start=0, stop=6, workers=0, batch=3):
    order = SampleOrder(len(samples), batch=batch, seed=samples.seed, start=start, stop=stop)
    return list(make_batches(samples, order=order, workers=workers, pin=False))


def assert_same(one, two):
    assert len(one) == len(two)
    for left, right in zip(one, two, strict=True):
        assert left.keys == right.keys
        assert torch.equal(left.images, right.images)
        assert all(map(torch.equal, left.targets, right.targets))


def order(images, *, batch, start=0, stop, seed=0):
    return list(SampleOrder(images, batch=batch, seed=seed, start=start, stop=stop))


def sample(objects: int, size=8) -> Sample:
    rng = np.random.default_rng(objects)
    return Sample(
        rng.integers(0, 255, (size, size, 3), dtype=np.uint8),
        rng.random((objects, 4)).astype(np.float32),
        np.arange(objects) % 2,
        np.arange(objects) % 3 == 1,
    )


def test_a_batch_without_objects_has_room_for_none():
    images, targets = collate([sample(0), sample(0)])
    assert images.shape == (2, 8, 8, 3)
    assert targets.boxes.shape == (2, 0, 4)
    assert targets.labels.shape == targets.ignore.shape == (2, 0)
    assert (targets.labels.dtype, targets.ignore.dtype) == (torch.int64, torch.bool)


def test_objects_are_padded_to_the_image_with_most():
    given_samples = [sample(2), sample(0), sample(3)]
    images, (boxes, labels, ignore) = collate(given_samples)
    assert images.dtype == torch.uint8
    assert boxes.shape == (3, 3, 4)
    assert labels.tolist() == [[0, 1, -1], [-1, -1, -1], [0, 1, 0]]
    assert ignore.tolist() == [[False, True, False], [False] * 3, [False, True, False]]
    for row, one in enumerate(given_samples):
        assert np.array_equal(images[row], one.image)
        assert np.array_equal(boxes[row, : len(one.boxes)], one.boxes)
        assert not boxes[row, len(one.boxes) :].any()


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_the_same_for_any_number_of_workers(samples, workers):
    assert_same(batches(samples, workers=workers), batches(samples))


@pytest.mark.parametrize("start", [1, 4, 6])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_entered_later_gives_what_one_from_the_start_does(samples, start, workers):
    assert_same(batches(samples, start=start, workers=workers), batches(samples)[start:])


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


def test_one_image_fills_every_batch(samples):
    one = TrainingSamples(samples.data.subset([0]), samples.steps, channels=3, seed=0)
    first, second = batches(one, stop=2)
    assert first.keys == ((0, 0), (1, 0), (2, 0))
    assert second.keys == ((3, 0), (4, 0), (5, 0))
    assert not torch.equal(first.images[0], first.images[1])  # augmented anew each time


def test_no_image_is_an_error(samples):
    with pytest.raises(ValueError, match="no image to train on"):
        batches(TrainingSamples(samples.data.subset([]), (), channels=3, seed=0))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named_from_any_process(tmp_path, scenes, workers):
    root = write_voc(tmp_path / "voc", {"train": scenes(2)}, classes=("a", "b"))
    data = read_data(root)
    (root / "JPEGImages" / "001.jpg").write_bytes(b"")
    steps = PRESETS["none"]((32, 32), np.zeros(3))
    with pytest.raises(DataError, match=r"001\.jpg: the file is empty"):
        batches(TrainingSamples(data, steps, channels=3, seed=0), workers=workers)


def test_a_gpu_is_fed_by_every_core_and_a_cpu_keeps_all_but_one_for_training(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(6)))
    assert default_workers("cuda") == 6
    assert default_workers("cpu") == 1
