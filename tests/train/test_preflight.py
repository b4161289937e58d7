"""The preflight: learns what can be learned, notices what cannot, and says what to try."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import differing
from scratchdet.structures import from_records
from scratchdet.train.overfit import IMAGES, REACHED, overfit
from scratchdet.train.preflight import (
    LEAST_STEPS,
    counterpart,
    describe_norms,
    preflight,
    range_test,
)
from scratchdet.train.prepare import prepare
from scratchdet.train.range_test import STEPS
from scratchdet.train.resolve import resolve

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def voc(scenes, tmp_path_factory):
    """24 images: 16 to learn, 8 others."""
    folder = tmp_path_factory.mktemp("preflight") / "voc"
    return write_voc(folder, {"train": scenes(24)}, classes=("a", "b"))


@pytest.fixture(scope="module")
def recipe(tiny, voc):
    return recipe_for(tiny, voc)


def recipe_for(tiny, data, **optim):
    asked = differing(
        tiny,
        data={"path": str(data), "val_split": "none", "batch": 8},
        optim={"lr": 0.05, **optim},
    )
    return resolve(asked)[0]


@pytest.fixture(scope="module")
def prepared(recipe):
    return prepared_for(recipe)


def prepared_for(recipe):
    return prepare(recipe.data, threads=1, console=QUIET)


@pytest.fixture(scope="module")
def learned(recipe, prepared):
    return overfit(recipe, prepared)


def exchanged(data):
    """Every image with the objects of the next."""
    records = list(data)
    return from_records(
        [
            replace(record, boxes=other.boxes, labels=other.labels, ignore=other.ignore)
            for record, other in zip(records, records[1:] + records[:1], strict=True)
        ],
        data.classes,
    )


def test_sixteen_images_are_learned_and_the_others_show_that_boxes_are_theirs(learned):
    assert learned.ended == "reached"
    assert learned.ap50 >= REACHED
    assert learned.given.images == IMAGES
    assert learned.unseen.images == 8
    assert learned.unseen.fit == "own"
    json.dumps(learned.to_json(), allow_nan=False)


@pytest.mark.slow
def test_boxes_shuffled_between_images_are_learned_too_but_fail(recipe, prepared):
    shuffled = prepared._replace(train=exchanged(prepared.train))
    found = overfit(recipe, shuffled)
    assert found.unseen.fit == "any"


@pytest.mark.slow
def test_the_same_seed_learns_the_same(recipe, prepared):
    first, second = (overfit(recipe, prepared, steps=2) for _ in range(2))
    assert first.curve == second.curve


def test_it_stops_by_the_clock_and_reaches_no_verdict(recipe, prepared):
    seconds = iter(range(100))
    found = overfit(recipe, prepared, deadline=2, clock=lambda: next(seconds))
    assert found.ended == "time"
    assert found.steps == 2
    assert found.unseen is None


def test_a_rate_that_nothing_survives_is_a_divergence(recipe, prepared):
    found = overfit(differing(recipe, optim={"lr": 1e12}), prepared, steps=20)
    assert found.ended == "diverged"
    assert found.errors == {}


@pytest.mark.parametrize(
    "made",
    [
        pytest.param({"count": 1}, id="one image"),
        pytest.param({"count": 3, "classes": 1}, id="one class"),
        pytest.param({"count": 3, "channels": 1}, id="one channel"),
        pytest.param({"count": 3, "empty": (0, 1)}, id="images without objects"),
    ],
)
def test_ordinary_data_of_every_kind_can_be_tried(tiny, scenes, tmp_path, made):
    classes = ("a", "b")[: made.get("classes", 2)]
    recipe = recipe_for(
        tiny, write_voc(tmp_path / "voc", {"train": scenes(**made)}, classes=classes)
    )
    found = overfit(recipe, prepared_for(recipe), steps=2)
    assert found.given.images == found.given.objects == made["count"] - len(made.get("empty", ()))
    assert found.unseen is None
    assert found.steps == 2


def test_what_the_network_is_given_is_counted_before_the_first_step(learned):
    # Rectangles of 16 to 30 pixels on noise; no two pixels of them alike.
    assert learned.given.objects == IMAGES
    assert learned.given.small == 0
    assert 0 < learned.given.covered < 1
    assert learned.given.flat == 0


def test_images_of_one_colour_are_counted(tiny, scenes, tmp_path):
    flat = [(name, replace(scene, image=scene.image * 0 + 7)) for name, scene in scenes(3)]
    recipe = recipe_for(tiny, write_voc(tmp_path / "voc", {"train": flat}, classes=("a", "b")))
    assert overfit(recipe, prepared_for(recipe), steps=1).given.flat == 3


def test_no_time_at_all_ends_unfinished(recipe, prepared):
    found = preflight(recipe, prepared, console=QUIET, seconds=0)
    assert found.verdict == "unfinished"
    assert found.ranges == {}
    assert found.overfit.ended == "time"
    assert found.overfit.steps == 1


def test_the_range_test_takes_as_many_steps_as_there_is_time_for(recipe, prepared):
    # A second for each look at the clock, so one for a step.
    recipe = differing(recipe, data={"batch": 2})
    ticks = iter(range(10_000))
    found = range_test(recipe, prepared, seconds=LEAST_STEPS + 5, clock=lambda: next(ticks))
    assert found.planned == LEAST_STEPS + 2
    assert len(found.rates) <= LEAST_STEPS + 2 < STEPS
    ticks = iter(range(10_000))
    assert range_test(recipe, prepared, seconds=LEAST_STEPS, clock=lambda: next(ticks)) is None


def test_the_counterpart_has_no_norm_or_batch_norm(recipe):
    bare = counterpart(recipe)
    assert (describe_norms(recipe), describe_norms(bare)) == ("BatchNorm", "no norm")
    assert describe_norms(counterpart(bare)) == "BatchNorm"
    mixed = differing(recipe, model={"norm_head": "none"})
    assert describe_norms(mixed) == "BatchNorm in the backbone, none in the head"
    timm = differing(recipe, model={"name": "ssd300_timm", "norm_backbone": "batch"})
    assert counterpart(timm) is None


@pytest.mark.slow
def test_batch_norm_stands_a_larger_rate_than_no_norm(recipe, prepared):
    with_norm = range_test(recipe, prepared)
    without = range_test(counterpart(recipe), prepared)
    assert with_norm.stable > 3 * without.stable
