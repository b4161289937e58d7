"""Which objects priors can learn: by hand, and held against the IoU of every pair."""

import json
import math
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_convert, box_iou

from scratchdet.analysis.coverage import (
    FAST_OBJECTS,
    Covered,
    coverage,
    fast_coverage,
    size_names,
)
from scratchdet.analysis.coverage_table import summary
from scratchdet.analysis.own_priors import largest_matching
from scratchdet.analysis.prior_overlaps import Level, best_overlaps, boxes_at, levels_of, runs_of
from scratchdet.models.zoo import create_model
from scratchdet.ops.priors import make_priors
from scratchdet.structures import Record, from_records

SIZE = (96, 128)
ONE = (Level(1, 1, 100.0, 100.0, ((20.0, 20.0),)),)
"""One prior, from 40 to 60 both ways."""


def data_of(*images, classes=("a", "b"), size=(100, 100), ignore=()):
    """A data set of images, each a list of boxes; their classes take turns."""
    records, number = [], 0
    for boxes in images:
        labels = np.arange(number, number + len(boxes)) % len(classes)
        ignored = np.array([place in ignore for place in range(number, number + len(boxes))], bool)
        array = np.array(boxes, np.float32).reshape(-1, 4)
        records.append(Record(str(len(records)), "x.png", size, array, labels, ignored))
        number += len(boxes)
    return from_records(records, classes)


def covered(*images, levels=ONE, **choices):
    return coverage(data_of(*images, **choices), levels, input_size=(100, 100))


def some_levels():
    """Levels as networks have them, and worse: steps that do not fill the image, long shapes."""
    with torch.device("meta"):
        nano = create_model("scratchdet_nano", input_size=SIZE, prior_ratios=(1.5, 3.0))
    odd = Level(2, 3, 70.0, 20.0, ((5.0, 90.0), (31.0, 30.0)))
    return (*levels_of(nano, SIZE), odd, Level(1, 1, 96.0, 128.0, ((60.0, 60.0),)))


def every_prior(levels):
    """(P, 4) xyxy, level by level, row by row."""
    return torch.tensor(
        [
            [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
            for level in levels
            for y in (np.arange(level.rows) + 0.5) * level.step_y
            for x in (np.arange(level.columns) + 0.5) * level.step_x
            for width, height in level.shapes
        ],
        dtype=torch.float64,
    )


LEVELS = some_levels()
PRIORS = every_prior(LEVELS)
FIRST = np.cumsum([0, *(level.priors for level in LEVELS)])

coordinates = st.floats(0, 1)
boxes_anywhere = st.lists(
    st.tuples(coordinates, coordinates, st.floats(0.01, 1), st.floats(0.01, 1)).map(
        lambda box: [
            box[0] * SIZE[1] * (1 - box[2]),
            box[1] * SIZE[0] * (1 - box[3]),
            box[0] * SIZE[1] * (1 - box[2]) + box[2] * SIZE[1],
            box[1] * SIZE[0] * (1 - box[3]) + box[3] * SIZE[0],
        ]
    ),
    max_size=12,
)


def test_a_box_that_is_the_prior_is_matched_and_one_of_half_its_size_is_not():
    same, half, shifted = [40, 40, 60, 60], [40, 40, 50, 54], [45, 40, 65, 60]
    found = covered([same], [half], [shifted])
    # Shifted by a quarter: 15 * 20 shared, of 2 * 400 - 300; half of it: 140 of 400.
    assert found.all == Covered(3, 2)
    assert (found.own, found.priors, found.by_priors) == (2, 1, {"0": 1, "1-2": 2, "3+": 0})
    assert found.left_iou == pytest.approx(0.35)
    assert found.mean_iou == pytest.approx((1 + 0.35 + 0.6) / 3)
    assert found.median_priors == 1
    assert found.levels[0].matched == 2
    assert found.levels[0].best == 3
    assert found.levels[0].sides == pytest.approx((20, 20))


def test_the_iou_asked_for_is_enough():
    half = [[40, 40, 60, 50]]  # in the prior, and half as large
    assert covered(half).all == Covered(1, 1)
    assert coverage(data_of(half), ONE, input_size=(100, 100), iou=0.51).all == Covered(1, 0)


def test_without_objects_there_is_nothing_to_match():
    for images in ([], [[]], [[], []]):
        found = covered(*images)
        assert found.all == Covered(0, 0)
        assert math.isnan(found.all.share)
        assert math.isnan(found.best_recall)
        assert found.idle == [0]
        report = found.to_json()
        assert report["share"] is report["left_iou"] is report["median_priors"] is None
        json.dumps(report, allow_nan=False)


def test_objects_to_be_ignored_do_not_count():
    same, other = [40, 40, 60, 60], [0, 0, 3, 3]
    found = covered([same, other, same], ignore=(1, 2))
    assert found.all == Covered(1, 1)
    assert found.per_class == {"a": Covered(1, 1), "b": Covered(0, 0)}


def test_classes_and_sizes_are_told_apart():
    found = covered([[40, 40, 60, 60], [0, 0, 7, 9]], [[0, 0, 100, 100]], classes=("a", "b", "c"))
    assert found.per_class == {"a": Covered(1, 1), "b": Covered(1, 0), "c": Covered(1, 0)}
    sizes = {name: one for name, one in found.per_size.items() if one.objects}
    assert sizes == {"< 8": Covered(1, 0), "16-32": Covered(1, 1), "64-128": Covered(1, 0)}
    assert list(found.per_size) == size_names()


def test_boxes_are_seen_as_the_network_sees_them():
    # An image of 200 x 50 is resized to 100 x 100: a box of 40 x 10 in its middle is the prior.
    data = data_of([[80, 20, 120, 30]], size=(200, 50))
    assert boxes_at(data, (100, 100)).tolist() == [[40, 40, 60, 60]]
    assert coverage(data, ONE, input_size=(100, 100)).mean_iou == pytest.approx(1)


def test_two_objects_that_want_the_only_prior_cannot_both_have_it():
    first, second = [40, 40, 60, 58], [40, 42, 60, 60]
    assert covered([first, second]).own == 1
    assert covered([first], [second]).own == 2  # in two images
    assert covered([first, second]).best_recall == 0.5
    assert covered([first, second]).all == Covered(2, 2)


def test_an_object_leaves_a_prior_to_one_that_has_no_other():
    # The second prior suits the first object alone, which has the first prior for best.
    levels = (*ONE, Level(1, 1, 100.0, 100.0, ((20.0, 10.0),)))
    wide, square = [40, 40, 60, 54], [40, 40, 60, 60]
    found = covered([wide, square, square], levels=levels)
    assert found.own == 2
    assert covered([wide, square], levels=levels).own == 2


def test_levels_that_are_of_no_use_are_named():
    levels = (Level(2, 2, 50.0, 50.0, ((2.0, 2.0),)), *ONE)
    found = covered([[40, 40, 60, 60]], levels=levels)
    assert found.idle == [0]
    assert [(use.matched, use.best) for use in found.levels] == [(0, 0), (1, 1)]


@settings(deadline=None, max_examples=60)
@given(boxes_anywhere)
def test_the_best_prior_of_every_level_is_that_of_all_pairs(boxes):
    boxes = np.array(boxes).reshape(-1, 4)
    found = best_overlaps(boxes, LEVELS)
    iou = box_iou(torch.from_numpy(boxes), PRIORS).numpy()
    expected = [iou[:, low:high].max(axis=1) for low, high in pairwise(FIRST)]
    np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(boxes_anywhere, st.sampled_from([0.2, 0.35, 0.5, 0.7]))
def test_runs_are_the_priors_that_all_pairs_give(boxes, least):
    boxes = np.array(boxes).reshape(-1, 4)
    iou = box_iou(torch.from_numpy(boxes), PRIORS).numpy()
    for level, low, high in zip(LEVELS, FIRST[:-1], FIRST[1:], strict=True):
        found = np.zeros((len(boxes), high - low), bool)
        for runs in runs_of(boxes, level, least):
            for box, shape, column, first, number in zip(*runs, strict=True):
                for row in range(first, first + number):
                    place = (row * level.columns + column) * len(level.shapes) + shape
                    assert not found[box, place], "every prior once"
                    found[box, place] = True
        pairs = iou[:, low:high]
        assert found[pairs >= least].all()
        assert not found[pairs < least * (1 - 1e-5)].any()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=5))
def test_the_largest_matching_is_the_best_of_all(lists):
    assert largest_matching(dict(enumerate(lists))) == most(lists)


def most(lists, taken=frozenset()):
    """How many can be served, trying everything."""
    if not lists:
        return 0
    first, *others = lists
    served = [1 + most(others, taken | {thing}) for thing in set(first) - taken]
    return max([most(others, taken), *served])


def test_crowds_are_matched_without_recursion():
    # A chain: the last comer pushes everybody one further.
    wanted = {one: [one - 1, one] for one in range(1, 3000)}
    assert largest_matching(wanted | {0: [0], 3000: [2999]}) == 3000


@pytest.mark.parametrize(
    ("name", "size"),
    [("scratchdet_nano", SIZE), ("ssd512_vgg16", (130, 77)), ("dsod300", (300, 300))],
)
def test_the_levels_of_a_network_are_its_priors(name, size):
    with torch.device("meta"):
        detector = create_model(name, input_size=size)
    levels = levels_of(detector, size)
    maps = [(level.rows, level.columns) for level in levels]
    expected = make_priors(detector.specs, maps, size)
    theirs = box_convert(expected.double(), "cxcywh", "xyxy") * torch.tensor([*size[::-1]] * 2)
    torch.testing.assert_close(every_prior(levels), theirs, atol=1e-4, rtol=0)


def many_objects(count):
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 90, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(2, 80, (count, 2))], axis=1)
    return data_of(*np.split(boxes, count // 8))


def test_many_objects_take_no_time_and_a_part_of_them_speaks_for_all():
    data = many_objects(2 * FAST_OBJECTS)
    began = time.process_time()
    whole = coverage(data, LEVELS, input_size=SIZE)
    assert time.process_time() - began < 5
    part = fast_coverage(data, LEVELS, input_size=SIZE)
    assert part.all.objects == FAST_OBJECTS
    told = part.to_json()
    assert (told["objects"], told["sampled"]) == (2 * FAST_OBJECTS, FAST_OBJECTS)
    assert "of a sample of 20,000 of 40,000 objects can be matched" in summary(part)
    assert " of the objects can be matched" in summary(whole)
    assert part.all.share == pytest.approx(whole.all.share, abs=0.01)
    few = many_objects(80)
    assert fast_coverage(few, LEVELS, input_size=SIZE) == coverage(few, LEVELS, input_size=SIZE)
