"""How long a training will take: counted by hand on a clock that ticks when it is looked at."""

import itertools
import json

import pytest
from rich.console import Console

from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import differing
from scratchdet.train.prepare import prepare
from scratchdet.train.resolve import resolve
from scratchdet.train.time_estimate import (
    LEAST,
    MOST,
    WARM_UP,
    TimeEstimate,
    estimate_time,
    fitting,
    images_evaluated,
    with_batch,
)
from scratchdet.train.trainability import duration

ESTIMATE = TimeEstimate(
    device="cpu", steps_timed=(1.0, 2.0, 3.0, 4.0, 5.0), steps=100, seconds_an_image=0.5, images=40
)


@pytest.fixture(scope="module")
def recipe(tiny, scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("time") / "voc"
    splits = {"train": scenes(6), "val": [(f"v{name}", one) for name, one in scenes(3)]}
    data = write_voc(folder, splits, classes=("a", "b"))
    return resolve(differing(tiny, data={"path": str(data)}, schedule={"steps": 100}))[0]


@pytest.fixture(scope="module")
def prepared(recipe):
    return prepare(recipe.data, threads=1, console=Console(quiet=True))


def clock(tick):
    seconds = itertools.count(step=tick)
    return lambda: next(seconds)


def test_the_whole_is_the_middle_step_times_all_and_the_images_evaluated():
    assert ESTIMATE.seconds == 100 * 3 + 40 * 0.5
    assert ESTIMATE.spread == (100 * 2 + 20, 100 * 4 + 20)
    json.dumps(ESTIMATE.to_json(), allow_nan=False)


def test_of_few_steps_the_spread_is_from_the_fastest_to_the_slowest():
    few = TimeEstimate(
        device="cpu", steps_timed=(1.0, 3.0), steps=10, seconds_an_image=0.0, images=0
    )
    assert (few.seconds, few.spread) == (20, (10, 30))
    assert not few.is_coarse


def test_steps_are_timed_until_the_time_is_over_and_the_first_do_not_count(recipe, prepared):
    found = estimate_time(recipe, prepared, device="cpu", seconds=10, clock=clock(1))
    # The deadline is at 10. Two steps of two images end at 3, and 4 is the time that is left; the
    # first step of a whole batch begins at 5 and ends at 6.
    assert len(found.steps_timed) == 5 - WARM_UP
    assert found.part == 1
    assert set(found.steps_timed) == {1}
    assert found.seconds_an_image == pytest.approx(1 / 3)


def test_of_three_slow_steps_the_second_counts_as_well(recipe, prepared):
    found = estimate_time(recipe, prepared, device="cpu", seconds=30, clock=clock(3))
    # Whole batches from 15 to 18, 21, 24, 27 and 30.
    assert found.steps_timed == (3,) * 3
    found = estimate_time(recipe, prepared, device="cpu", seconds=24, clock=clock(3))
    assert found.steps_timed == (3 * 2,) * LEAST  # of half a batch
    assert not found.is_coarse


def test_fast_steps_are_not_timed_longer_than_it_takes(recipe, prepared):
    found = estimate_time(recipe, prepared, device="cpu", seconds=10, clock=clock(0.001))
    assert len(found.steps_timed) == MOST


def test_a_single_very_slow_step_is_a_coarse_estimate(recipe, prepared):
    found = estimate_time(recipe, prepared, device="cpu", seconds=10, clock=clock(60))
    assert found.steps_timed == (60 * 2,)  # two of four images
    assert found.part == 0.5
    assert found.is_coarse


def test_of_a_batch_that_takes_too_long_a_half_is_timed_or_less():
    # Three steps of 64 images at a tenth of a second each are 19.2 s.
    assert fitting(64, 0.1, seconds=20) == 64
    assert fitting(64, 0.1, seconds=19) == 32
    assert fitting(64, 0.1, seconds=3) == 8
    assert fitting(64, 1000, seconds=3) == 2
    assert fitting(1, 1000, seconds=3) == 1


@pytest.mark.parametrize(("batch", "parts"), [(32, 4), (16, 2), (8, 1), (2, 1)])
def test_no_more_images_are_worked_off_at_a_time_than_in_training(recipe, batch, parts):
    whole = differing(recipe, data={"batch": 32, "accumulate": 4})
    assert with_batch(whole, batch).data.accumulate == parts


@pytest.mark.parametrize(
    ("every", "steps", "times"), [(0, 100, 1), (50, 100, 2), (40, 100, 3), (200, 100, 1)]
)
def test_evaluations_are_counted_as_the_training_has_them(recipe, prepared, every, steps, times):
    averaged = differing(recipe, schedule={"evaluate_every": every, "steps": steps})
    # 3 images each time by both weights, and once more for the best model.
    assert images_evaluated(averaged, prepared) == 3 * times * 2 + 3
    assert images_evaluated(differing(averaged, optim={"ema": 0.0}), prepared) == 3 * times + 3


def test_without_validation_and_test_nothing_is_evaluated(recipe, prepared):
    alone = prepared._replace(val=None)
    assert images_evaluated(recipe, alone) == 0
    found = estimate_time(recipe, alone, device="cpu", seconds=1, clock=clock(1))
    assert found.seconds_an_image == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.2, "1 s"), (59, "59 s"), (90, "1.5 min"), (5400, "1.5 h"), (2e7, "231 d")],
)
def test_a_duration_has_a_unit_that_suits_it(seconds, said):
    assert duration(seconds) == said
