"""The preflight: learns what can be learned, notices what cannot, and says what to try."""

import io
import json
from dataclasses import replace

import numpy as np
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
from scratchdet.train.preflight_text import describe_plan, show_preflight
from scratchdet.train.prepare import prepare
from scratchdet.train.range_test import STEPS
from scratchdet.train.remedies import remedies
from scratchdet.train.resolve import resolve

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def voc(scenes, tmp_path_factory):
    """40 images: 16 to learn, 24 others."""
    folder = tmp_path_factory.mktemp("preflight") / "voc"
    return write_voc(folder, {"train": scenes(40)}, classes=("a", "b"))


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


def printed(measured):
    console = Console(file=io.StringIO(), width=200)
    show_preflight(console, measured)
    return console.file.getvalue()


def test_sixteen_images_are_learned_and_the_others_show_that_boxes_are_theirs(learned):
    assert learned.ended == "reached"
    assert learned.ap50 >= REACHED
    assert learned.given.images == IMAGES
    assert learned.unseen.images == 24
    assert learned.unseen.fit == "own"
    json.dumps(learned.to_json(), allow_nan=False)


def test_boxes_shuffled_between_images_are_learned_too_but_fail(recipe, prepared):
    shuffled = prepared._replace(train=exchanged(prepared.train))
    found = overfit(recipe, shuffled)
    assert found.unseen.fit == "any"


def test_the_same_seed_learns_the_same(recipe, prepared):
    first, second = (overfit(recipe, prepared, steps=2) for _ in range(2))
    assert first.curve == second.curve


def test_it_stops_by_the_clock_and_reaches_no_verdict(recipe, prepared):
    seconds = iter(range(100))
    found = overfit(recipe, prepared, deadline=2, clock=lambda: next(seconds))
    assert found.ended == "time"
    assert found.steps == 2
    assert found.unseen is None


def test_nothing_but_noise_in_the_loss_is_a_divergence(recipe, prepared):
    found = overfit(differing(recipe, optim={"lr": 1e12}), prepared, steps=20)
    assert found.ended == "diverged"
    assert found.errors == {}
