"""Fitted priors: never worse on what they are fitted to, and only where they are better."""

import json

import numpy as np
import pytest
import torch

from scratchdet.analysis.coverage import coverage
from scratchdet.analysis.fit_priors import (
    DIGITS,
    LARGEST,
    Priors,
    balanced,
    fit_priors,
    laid,
)
from scratchdet.analysis.prior_overlaps import levels_of
from scratchdet.models.zoo import create_model
from scratchdet.structures import Record, from_records

SIZE = (160, 160)


@pytest.fixture(scope="module")
def nano():
    with torch.device("meta"):
        return create_model("scratchdet_nano", 1, input_size=SIZE)


def scattered(count, low, high, *, aspect=1.0, seed=0, labels=(0, 1), ignore=False):
    """One box in each of `count` images of 160 x 160, its size from low to high."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(count):
        side = rng.uniform(low, high)
        shape = np.array([side * np.sqrt(aspect), side / np.sqrt(aspect)])
        corner = rng.uniform(0, np.maximum(160 - shape, 0))
        box = np.concatenate([corner, corner + shape])[None].astype(np.float32)
        label = np.array([labels[number % len(labels)]])
        records.append(Record(str(number), "x", (160, 160), box, label, np.array([ignore])))
    return records


def data(*records):
    return from_records([one for some in records for one in some], ("a", "b"))


def test_without_objects_nothing_is_proposed(nano):
    for nothing in (data(), data(scattered(3, 20, 30, ignore=True))):
        fit = fit_priors(nano, {"training": nothing})
        assert fit.proposal is None
        assert "no object" in fit.reason
        json.dumps(fit.to_json(), allow_nan=False)


def test_one_object_is_enough_to_go_on(nano):
    fit = fit_priors(nano, {"training": data(scattered(1, 9, 9)), "validation": data()})
    assert fit.after["training"].all.matched >= fit.before["training"].all.matched


def test_priors_that_match_everything_stay(nano):
    # The objects are priors, on the first two maps.
    boxes = [
        [x - side / 2, y - side / 2, x + side / 2, y + side / 2]
        for side, places in ((16.0, (20, 76, 132)), (32.0, (24, 72, 136)))
        for x in places
        for y in places
    ]
    array, none = np.array(boxes, np.float32), np.zeros(len(boxes), bool)
    record = Record("0", "x", (160, 160), array, none.astype(int), none)
    fit = fit_priors(nano, {"training": data([record])})
    assert fit.before["training"].all.share == 1
    assert fit.before["training"].mean_iou == pytest.approx(1)
    assert fit.proposal is None
    assert "fine as they are" in fit.reason
    assert fit.larger is None


def test_small_objects_get_smaller_priors(nano):
    parts = {
        "training": data(scattered(80, 9, 11)),
        "validation": data(scattered(30, 9, 11, seed=1)),
    }
    fit = fit_priors(nano, parts)
    for use, part in parts.items():
        assert fit.before[use].all.matched == 0
        assert fit.after[use].all.share > 0.3
        levels = laid(levels_of(nano, SIZE), nano.specs, fit.proposal, side=160)
        assert coverage(part, levels, input_size=SIZE) == fit.after[use]
    assert 8 < 160 * fit.proposal.scales[0] < 12
    assert f"{100 * fit.after['training'].all.share:.0f}" in fit.reason.split("%")[0]
    assert fit_priors(nano, parts) == fit, "the same every time"
    json.dumps(fit.to_json(), allow_nan=False)


def test_what_only_the_training_boxes_have_is_not_proposed(nano):
    parts = {
        "training": data(scattered(80, 9, 13)),
        "validation": data(scattered(30, 16, 20, seed=1)),
    }
    fit = fit_priors(nano, parts)
    assert fit.proposal is None
    assert "fewer of validation" in fit.reason
    assert fit.after["training"].all.matched > fit.before["training"].all.matched


def test_long_objects_get_long_priors(nano):
    fit = fit_priors(nano, {"training": data(scattered(80, 25, 40, aspect=5.0))})
    assert max(fit.proposal.ratios) == pytest.approx(5, abs=0.5)
    assert fit.after["training"].all.share > fit.before["training"].all.share + 0.5


def test_objects_too_small_for_the_finest_map_ask_for_a_larger_input(nano):
    fit = fit_priors(nano, {"training": data(scattered(80, 4.5, 6.5))})
    assert fit.larger.size == (240, 240)
    assert fit.larger.covered.share > fit.after["training"].all.share
    # At the same input there is no point in more pixels.
    assert fit_priors(nano, {"training": data(scattered(80, 30, 60))}).larger is None


@pytest.mark.parametrize("seed", range(4))
def test_the_training_boxes_are_never_matched_less(nano, seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(4, 60)
    records = scattered(
        60, low, low * rng.uniform(1.1, 2), aspect=rng.uniform(0.3, 3), seed=seed, labels=(0, 0, 1)
    )
    fit = fit_priors(nano, {"training": data(records)})
    if fit.proposal is not None:
        before, after = fit.before["training"], fit.after["training"]
        assert after.all.matched >= before.all.matched
        assert balanced(after) > balanced(before)
        scales = fit.proposal.scales
        assert list(scales) == sorted(set(scales))
        assert 0 < scales[0] < scales[-1] <= LARGEST
        assert all(scale == round(scale, DIGITS) for scale in scales)


def test_objects_to_be_ignored_change_nothing(nano):
    real = scattered(40, 9, 13)
    with_crowd = data(real, scattered(40, 60, 90, ignore=True))
    fits = [fit_priors(nano, {"training": one}) for one in (data(real), with_crowd)]
    assert fits[0].proposal == fits[1].proposal


def test_a_class_counts_by_the_root_of_its_objects(nano):
    # 36 objects of which all are matched, and 4 of which none is: (6 * 1 + 2 * 0) / 8.
    found = coverage(
        data(scattered(36, 30, 40, labels=(0,)), scattered(4, 3, 4, labels=(1,))),
        levels_of(nano, SIZE),
        input_size=SIZE,
    )
    assert (found.per_class["a"].share, found.per_class["b"].share) == (1, 0)
    assert balanced(found) == pytest.approx(0.75)


def test_priors_laid_over_the_levels_are_those_of_a_network_built_with_them(nano):
    priors = Priors((0.06, 0.1, 0.2, 0.4, 0.6, 0.9), (1.5, 3.0))
    with torch.device("meta"):
        built = create_model(
            "scratchdet_nano",
            1,
            input_size=SIZE,
            prior_scales=priors.scales,
            prior_ratios=priors.ratios,
        )
    assert laid(levels_of(nano, SIZE), nano.specs, priors, side=160) == levels_of(built, SIZE)
