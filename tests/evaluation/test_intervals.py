"""Bootstrap intervals: against AP of images that really are there several times."""

import math
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hand_made import CAT, DOG, FAR, TEN, columns_of, data_of, scenes
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchdet.evaluation import intervals
from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.intervals import (
    NO_INTERVAL,
    as_json,
    bootstrap,
    draw,
    interval,
    resampled,
)
from scratchdet.evaluation.metrics import PROTOCOLS, measure, precisions
from scratchdet.structures import DetectionData, Strings


def intervals_of(data, detections, *, protocol="voc", seed=0, resamples=200):
    _, verdicts = measure(data, detections, protocol=protocol)
    return bootstrap(
        data,
        verdicts,
        PROTOCOLS[protocol].points,
        rng=np.random.default_rng(seed),
        resamples=resamples,
    )


def copies(data: DetectionData, detections: Columns, times: np.ndarray):
    """Image i `times[i]` times over, and what was found in it as often."""
    chosen = np.repeat(np.arange(len(data)), times)
    rows = [np.flatnonzero(detections.image_index == image) for image in chosen]
    flat = np.concatenate([np.zeros(0, int), *rows])
    image_index = np.repeat(np.arange(len(chosen)), [len(one) for one in rows])
    found = Columns(image_index, *(column[flat] for column in detections[1:]))
    numbers = Strings(str(index) for index in range(len(chosen)))
    return replace(data.subset(chosen), ids=numbers), found


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(deadline=None, max_examples=40)
@given(scene=scenes(images=st.integers(1, 4)), seed=st.integers(0, 999))
def test_a_resample_has_the_ap_of_images_that_are_there_as_often(protocol, scene, seed):
    data, detections = scene
    times = np.random.default_rng(seed).integers(0, 4, len(data))
    points = PROTOCOLS[protocol].points
    _, verdicts = measure(data, detections, protocol=protocol)
    weights = np.stack([np.ones(len(data)), times], axis=1).astype(np.float32)
    once, repeated = np.moveaxis(resampled(data, verdicts, points, weights=weights), 2, 0)
    np.testing.assert_allclose(once, precisions(verdicts, points), atol=1e-6)
    _, verdicts = measure(*copies(data, detections, times), protocol=protocol)
    np.testing.assert_allclose(repeated, precisions(verdicts, points), atol=1e-6)


def test_resamples_worked_on_in_blocks_are_the_same(monkeypatch):
    data, detections = scene_of(images=30)
    _, verdicts = measure(data, detections, protocol="coco")
    weights, points = draw(30, 50, np.random.default_rng(0)), PROTOCOLS["coco"].points
    whole = resampled(data, verdicts, points, weights=weights)
    monkeypatch.setattr(intervals, "BLOCK", 200)
    np.testing.assert_array_equal(whole, resampled(data, verdicts, points, weights=weights))


def test_every_resample_draws_as_many_images_as_there_are():
    weights = draw(7, 100, np.random.default_rng(0))
    assert weights.shape == (7, 100)
    assert (weights.sum(axis=0) == 7).all()
    assert weights.mean(axis=1) == pytest.approx(np.ones(7), abs=0.3)
    assert draw(0, 5, np.random.default_rng(0)).shape == (0, 5)


def test_images_drawn_one_after_another_are_those_that_are_drawn_at_once():
    drawn = np.random.default_rng(0).integers(70, size=(70, 30))
    for resample, counts in enumerate(draw(70, 30, np.random.default_rng(0)).T):
        np.testing.assert_array_equal(counts, np.bincount(drawn[:, resample], minlength=70))


def test_draws_take_a_byte_an_image_and_resample():
    """With numbers of eight bytes, all at once, a million images took 28 GB."""
    tracemalloc.start()
    draw(4000, 500, np.random.default_rng(0))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.5 * 4000 * 500


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_where_there_is_no_figure_there_is_no_interval(protocol):
    for data in (data_of(), data_of([]), data_of([(TEN, CAT, True)])):
        found = intervals_of(data, columns_of(), protocol=protocol)
        assert all(math.isnan(limit) for limit in found.ap50)
        assert all(math.isnan(limit) for one in found.per_class for limit in one)
        assert (found.ap is not None) == (protocol == "coco")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("hits", [0, 30])
def test_what_is_the_same_in_every_image_says_nothing_of_other_images(protocol, hits):
    data = data_of(*([[(TEN, CAT)]] * 30))
    detections = columns_of(*((image, TEN, 0.9, CAT) for image in range(hits)))
    found = intervals_of(data, detections, protocol=protocol)
    for one in (found.ap50, found.ap or NO_INTERVAL, *found.per_class):
        assert as_json(one) is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_of_few_images_there_is_no_interval(protocol):
    """Half of the cats are found: drawn from one image alone, that would be 0.5 to 0.5."""
    for images, told in ((1, False), (9, False), (10, True)):
        data = data_of(*([[(TEN, CAT), (FAR, CAT)]] * images))
        detections = columns_of(*((image, TEN, 0.9, CAT) for image in range(0, images, 2)))
        found = intervals_of(data, detections, protocol=protocol)
        assert (found.ap is not None) == (protocol == "coco")
        for one in (found.ap50, found.ap or found.ap50, found.per_class[CAT]):
            assert (as_json(one) is not None) == told


def test_a_class_in_few_images_has_no_interval_and_the_others_have():
    """However many of its objects are in each: they are not drawn apart."""
    few = [[(TEN, CAT), (TEN, DOG), (FAR, DOG)]] * 9
    ignored = [[(TEN, CAT), (TEN, DOG, True)]]
    detections = columns_of(
        *((image, TEN, 0.9, label) for image in range(0, 20, 2) for label in (CAT, DOG))
    )
    without = intervals_of(data_of(*few, *(ignored * 11)), detections).per_class
    assert [as_json(one) is not None for one in without] == [True, False]
    enough = data_of(*few, *([[(TEN, CAT), (TEN, DOG)]] * 11))
    assert all(as_json(one) for one in intervals_of(enough, detections).per_class)


def test_few_images_give_a_wide_interval_and_many_a_narrow_one():
    widths = []
    for images in (10, 100, 1000):
        low, high = intervals_of(*scene_of(images=images)).ap50
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2] > 0


def test_the_interval_is_about_two_standard_errors_to_either_side():
    """One object an image, 280 of 400 found, nothing else: AP is the recall, a plain mean."""
    data = data_of(*([[(TEN, CAT)]] * 400))
    detections = columns_of(*((image, TEN, 0.9, CAT) for image in range(280)))
    low, high = intervals_of(data, detections, resamples=1000).ap50
    standard_error = math.sqrt(0.7 * 0.3 / 400)
    assert low == pytest.approx(0.7 - 1.96 * standard_error, abs=0.01)
    assert high == pytest.approx(0.7 + 1.96 * standard_error, abs=0.01)


def test_the_same_seed_gives_the_same_interval():
    scene = scene_of(images=20)
    assert intervals_of(*scene, seed=1) == intervals_of(*scene, seed=1)
    assert intervals_of(*scene, seed=1) != intervals_of(*scene, seed=2)


def test_resamples_that_are_all_higher_move_the_limits_down():
    """Half above and half below: the plain percentiles. Three quarters above: lower limits."""
    resamples = np.linspace(0, 1, 1001)
    low, high = interval(np.append(0.5, resamples))
    assert (low, high) == pytest.approx((0.025, 0.975), abs=1e-3)
    lower = interval(np.append(0.25, resamples))
    assert lower.low < low / 5
    assert lower.high == pytest.approx(0.7296, abs=1e-3)  # normal cdf of 2 x -0.6745 + 1.96
    assert interval(np.append(math.nan, resamples)) is NO_INTERVAL
    assert interval(np.array([0.5, math.nan])) is NO_INTERVAL


@settings(deadline=None, max_examples=30)
@given(scene=scenes(images=st.integers(10, 13)))
def test_limits_are_in_order_and_within_zero_and_one(scene):
    found = intervals_of(*scene, protocol="voc07", resamples=50)
    for low, high in (found.ap50, *found.per_class):
        assert math.isnan(low) or 0 <= low <= high <= 1 + 1e-6


def scene_of(*, images: int) -> tuple[DetectionData, Columns]:
    """A cat or a dog in every image; four fifths of them found, in the others something else."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, images)
    boxes = np.where(rng.random((images, 1)) < 0.8, TEN, FAR).astype(np.float32)
    scores = rng.permutation(images).astype(np.float32) / images
    rows = Columns(np.arange(images), boxes, scores, labels)
    return data_of(*([(TEN, label)] for label in labels)), rows


def test_a_thousand_resamples_of_five_hundred_images_take_seconds():
    """20 classes, 100 detections an image: measured at a tenth of a second on one core."""
    rng = np.random.default_rng(0)
    objects = rng.uniform(0, 400, (500, 7, 2))
    objects = np.concatenate([objects, objects + rng.uniform(20, 200, (500, 7, 2))], axis=2)
    labels = rng.integers(0, 20, (500, 7))
    names = tuple("abcdefghijklmnopqrst")
    data = data_of(
        *([*zip(*one, strict=True)] for one in zip(objects, labels, strict=True)), classes=names
    )
    which = rng.integers(0, 7, (500, 100))
    image = np.repeat(np.arange(500), 100)
    boxes = objects[image, which.ravel()] + rng.normal(0, 12, (50_000, 4))
    rows = Columns(
        image,
        boxes.astype(np.float32),
        rng.random(50_000, dtype=np.float32),
        labels[image, which.ravel()],
    )
    _, verdicts = measure(data, rows, protocol="voc")
    start = time.process_time()
    bootstrap(data, verdicts, PROTOCOLS["voc"].points, rng=rng)
    assert time.process_time() - start < 3
