"""Presets: what holds for every one of them, whatever they draw."""

from dataclasses import fields
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchdet.data.augment import PRESETS, augment
from scratchdet.structures import Sample

SIZE = (48, 64)


def a_sample(*, channels: int, objects: int, seed: int, shape: tuple[int, int]) -> Sample:
    rng = np.random.default_rng(seed)
    height, width = shape
    corners = np.sort(rng.uniform(0, 1, (objects, 2, 2)), axis=1) * [width, height]
    return Sample(
        image=rng.integers(0, 256, (height, width, channels), dtype=np.uint8),
        boxes=corners.reshape(-1, 4).astype(np.float32),
        labels=np.arange(objects),
        ignore=rng.random(objects) < 0.3,
    )


def same(one: Sample, other: Sample) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(Sample)
    )


samples = st.builds(
    a_sample,
    channels=st.sampled_from([1, 3, 5]),
    objects=st.integers(0, 6),
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
)


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=60, deadline=None)
@given(sample=samples, seed=st.integers(0, 2**32 - 1))
def test_every_preset_gives_a_sound_sample_and_leaves_its_input(preset, sample, seed):
    channels = sample.image.shape[2]
    steps = PRESETS[preset](SIZE, np.full(channels, 120.0))
    before = Sample(*(getattr(sample, field.name).copy() for field in fields(Sample)))
    result = augment(sample, steps, np.random.default_rng(seed))
    assert same(sample, before)
    assert same(result, augment(sample, steps, np.random.default_rng(seed)))
    assert result.image.shape == (*SIZE, channels)
    assert result.image.dtype == np.uint8
    assert result.image.flags.c_contiguous
    assert result.boxes.dtype == np.float32
    assert len(result.boxes) == len(result.labels) == len(result.ignore)
    assert (result.boxes >= 0).all()
    assert (result.boxes <= [64, 48, 64, 48]).all()
    assert (result.boxes[:, 2:] >= result.boxes[:, :2]).all()
    assert set(result.labels) <= set(sample.labels)
    assert result.ignore[sample.ignore[result.labels]].all()


@pytest.mark.parametrize("preset", PRESETS)
def test_the_result_shares_no_memory_with_the_input(preset):
    sample = a_sample(channels=3, objects=4, seed=1, shape=SIZE)
    rng = np.random.default_rng(0)
    for _ in range(20):
        result = augment(sample, PRESETS[preset](SIZE, np.zeros(3)), rng)
        assert not np.shares_memory(result.image, sample.image)


def test_none_keeps_every_object_and_scales_both_axes():
    image = np.zeros((10, 20, 3), np.uint8)
    boxes = np.array([[0, 0, 20, 10], [5, 5, 10, 10]], np.float32)
    sample = Sample(image, boxes, np.array([4, 2]), np.array([True, False]))
    steps = PRESETS["none"]((40, 40), np.zeros(3))
    result = augment(sample, steps, np.random.default_rng(0))
    assert result.boxes.tolist() == [[0, 0, 40, 40], [10, 20, 20, 40]]
    assert result.labels.tolist() == [4, 2]
    assert result.ignore.tolist() == [True, False]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_but_none_changes_colours(preset):
    colour = np.array([150, 100, 60], np.uint8)
    plain = a_sample(channels=3, objects=0, seed=0, shape=(20, 20))
    sample = Sample(np.tile(colour, (20, 20, 1)), plain.boxes, plain.labels, plain.ignore)
    steps = PRESETS[preset](SIZE, colour.astype(float))
    rng = np.random.default_rng(0)
    kept = [(augment(sample, steps, rng).image == colour).all() for _ in range(100)]
    assert all(kept) == (preset == "none")


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_can_be_sent_to_spawned_workers(preset):
    assert len(ForkingPickler.dumps(PRESETS[preset](SIZE, np.zeros(3)))) < 2000


def test_the_filled_border_is_exactly_the_mean_whatever_the_colours():
    sample = a_sample(channels=3, objects=0, seed=3, shape=(60, 80))
    sample = Sample(sample.image * 0, sample.boxes, sample.labels, sample.ignore)
    steps = PRESETS["ssd"](SIZE, np.array([123.0, 117.0, 104.0]))
    rng = np.random.default_rng(0)
    borders = [
        pixels
        for _ in range(60)
        if (pixels := augment(sample, steps, rng).image.reshape(-1, 3)).max() > 40
    ]
    assert len(borders) > 5
    for pixels in borders:
        assert {tuple(p) for p in np.unique(pixels[pixels.max(axis=1) > 40], axis=0)} == {
            (123, 117, 104)
        }


def test_any_up_shows_all_eight_orientations_equally_often():
    """A corner and one of its two sides marked: eight places for the pair."""
    image = np.full((30, 30, 1), 100, np.uint8)
    boxes = np.array([[0, 0, 20, 10]], np.float32)
    sample = Sample(image, boxes, np.zeros(1, np.int64), np.zeros(1, bool))
    rng = np.random.default_rng(0)
    only_turns = tuple(
        step for step in PRESETS["mild_any_up"]((30, 30), np.zeros(1)) if not hasattr(step, "func")
    )
    places = [tuple(augment(sample, only_turns, rng).boxes[0]) for _ in range(4000)]
    counts = np.array([places.count(place) for place in set(places)])
    assert len(counts) == 8
    assert np.abs(counts / 4000 - 1 / 8).max() < 0.025
