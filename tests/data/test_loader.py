"""The stream of batches: the same from wherever it is entered, and by however many processes."""

import multiprocessing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from scratchdet.data.augment import PRESETS
from scratchdet.data.augment_mix import copy_paste, mosaic
from scratchdet.data.cache import ImageCache
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
        assert left.unreadable == right.unreadable
        assert torch.equal(left.images, right.images)
        assert all(map(torch.equal, left.targets, right.targets))


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


def test_one_image_fills_every_batch(samples):
    one = TrainingSamples(samples.data.subset([0]), samples.steps, channels=3, seed=0)
    first, second = batches(one, stop=2)
    assert first.keys == ((0, 0), (1, 0), (2, 0))
    assert second.keys == ((3, 0), (4, 0), (5, 0))
    assert not torch.equal(first.images[0], first.images[1])  # augmented anew each time


def test_no_image_is_an_error(samples):
    with pytest.raises(ValueError, match="no image to train on"):
        batches(TrainingSamples(samples.data.subset([]), (), channels=3, seed=0))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory, scenes):
    """Samples of nine images, of which two are damaged; the paths of those."""
    root = tmp_path_factory.mktemp("damaged") / "voc"
    write_voc(root, {"train": scenes(9)}, classes=("a", "b"))
    data = read_data(root)
    bad = [Path(data.paths[index]) for index in (2, 5)]
    bad[0].write_bytes(b"")
    bad[1].write_bytes(bad[1].read_bytes()[:200])
    steps = PRESETS["ssd"]((32, 32), np.full(3, 40.0))
    return TrainingSamples(data, steps, channels=3, seed=7), {str(path) for path in bad}


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_with_unreadable_images_are_the_same_for_any_number_of_workers(damaged, workers):
    samples, bad = damaged
    alone = batches(samples)
    assert {problem.where for batch in alone for problem in batch.unreadable} == bad
    assert_same(batches(samples, workers=workers), alone)
    assert_same(batches(samples, workers=workers, start=4), alone[4:])


def test_a_batch_names_the_images_that_it_lacks(damaged):
    samples, bad = damaged
    for batch in batches(samples):
        wanted = {samples.data.paths[index] for _, index in batch.keys} & bad
        assert {problem.where for problem in batch.unreadable} >= wanted
        assert bool(batch.unreadable) == bool(wanted)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_set_that_has_vanished_is_an_error_from_any_process(damaged, workers):
    samples, _ = damaged
    lost = TrainingSamples(samples.data.subset([2, 5]), samples.steps, channels=3, seed=0)
    with pytest.raises(DataError, match="in turn cannot be read"):
        batches(lost, workers=workers)


@pytest.fixture
def started_by():
    """Makes processes start in the way that is asked for; spawning is the way of other systems."""
    before = multiprocessing.get_start_method()
    yield partial(multiprocessing.set_start_method, force=True)
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_cached_images_make_the_same_batches_and_are_shared_by_workers(samples, started_by, method):
    started_by(method)
    mixes = ((0.5, copy_paste), (0.5, mosaic))
    plain = TrainingSamples(samples.data, samples.steps, channels=3, seed=7, mixes=mixes)
    cache = ImageCache(samples.data.sizes, channels=3, dtype=np.dtype(np.uint8))
    kept = TrainingSamples(
        samples.data, samples.steps, channels=3, seed=7, mixes=mixes, cache=cache
    )
    assert_same(batches(kept, workers=2), batches(plain))
    assert all(cache.get(index) is not None for index in range(5))  # what the workers decoded
    assert_same(batches(kept), batches(plain))


def test_two_processes_together_have_the_batches_of_one(samples):
    alone = batches(samples, batch=4)
    shares = []
    for rank in range(2):
        order = SampleOrder(5, batch=4, seed=7, start=0, stop=6, rank=rank, size=2)
        shares.append(list(make_batches(samples, order=order, workers=0, pin=False)))
    for whole, first, second in zip(alone, *shares, strict=True):
        assert torch.equal(whole.images, torch.cat([first.images, second.images]))
        assert whole.keys == first.keys + second.keys


def test_a_gpu_is_fed_by_every_core_and_a_cpu_keeps_all_but_one_for_training(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(6)))
    assert default_workers("cuda") == 6
    assert default_workers("cpu") == 1
    assert default_workers("cuda", processes=4) == 1
    assert default_workers("cuda", processes=8) == 1
