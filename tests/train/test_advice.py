"""Which settings data call for: each piece of advice where it belongs, and nowhere else."""

import numpy as np
import pytest

from scratchdet.analysis.expectations import expect
from scratchdet.data.check import Counts, Hygiene
from scratchdet.data.findings import Finding
from scratchdet.recipe import Recipe, differing
from scratchdet.structures import Record, from_records
from scratchdet.train.advice import advise, leaks

FINE = differing(
    Recipe(),
    model={"input_size": (160, 160)},
    data={"batch": 16},
    schedule={"steps": 1000},
)


def image(number, boxes=((0, 0, 50, 50),), labels=(0,), size=(160, 160)):
    count = len(boxes)
    return Record(
        str(number),
        f"{number}.png",
        size,
        np.float32(boxes).reshape(-1, 4),
        np.array(labels[:count], np.int64),
        np.zeros(count, bool),
    )


PLAIN = tuple(image(number) for number in range(20))
MANY = from_records([image(number, ((0, 0, 9, 9),) * 6, (0,) * 6) for number in range(10)], "a")


def advice(records, recipe=FINE, *, classes=("a",), validation=MANY, **more):
    train = from_records(records, classes)
    expected = expect(train, validation=validation, input_size=recipe.model.input_size, curves=())
    return {one.flags: one.reason for one in advise(train, expected, recipe=recipe, **more)}


def test_ordinary_data_need_no_advice():
    assert advice(PLAIN) == {}


@pytest.mark.parametrize("records", [[], [image(0, ())]])
def test_data_without_objects_need_no_other_input(records):
    assert not [flags for flags in advice(records) if "input-size" in flags]


def test_small_objects_need_a_larger_input():
    found = advice([image(number, ((0, 0, 5, 5),)) for number in range(20)])
    # 8 pixels instead of 5 are 1.6 times 160: 256.
    assert list(found) == ["--model.input-size 256 256"]
    assert "100% of the objects are under 8 pixels" in found["--model.input-size 256 256"]
    assert "2.6 times as long" in found["--model.input-size 256 256"]


def test_the_input_is_not_made_larger_than_twice_what_it_is():
    assert list(advice([image(number, ((0, 0, 2, 2),)) for number in range(20)])) == [
        "--model.input-size 320 320"
    ]


def test_small_objects_in_huge_images_need_tiles():
    huge = [image(number, ((0, 0, 20, 20),), size=(4000, 4000)) for number in range(20)]
    found = advice(huge)
    assert list(found) == [""]
    assert "25.0 times larger" in found[""]


def test_wide_images_need_a_wide_input():
    wide = [image(number, ((0, 0, 200, 100),), size=(640, 160)) for number in range(20)]
    # The area of 160 x 160 at four to one.
    assert list(advice(wide)) == ["--model.input-size 96 320"]


@pytest.mark.parametrize(("batch", "accumulate"), [(8, 1), (32, 4)])
def test_few_images_at_a_time_need_a_group_norm(batch, accumulate):
    recipe = differing(FINE, data={"batch": batch, "accumulate": accumulate})
    assert list(advice(PLAIN, recipe)) == ["--model.norm-backbone group_ws --model.norm-head group"]
    grouped = differing(recipe, model={"norm_backbone": "group", "norm_head": "group"})
    assert advice(PLAIN, grouped) == {}


def test_a_class_that_is_in_few_images_is_repeated():
    rare = [image(20, ((0, 0, 50, 50),), (1,))]
    found = advice([*PLAIN * 2, *rare], classes=("a", "b"))
    assert list(found) == ["--data.repeat-below 0.1"]
    # sqrt(0.1 / (1 / 41))
    assert "2.0 times as often" in found["--data.repeat-below 0.1"]
    repeating = differing(FINE, data={"repeat_below": 0.05})
    assert advice([*PLAIN * 2, *rare], repeating, classes=("a", "b")) == {}


def test_a_class_that_is_to_be_merged_with_another_is_not_repeated():
    rare = [image(20, ((0, 0, 50, 50),), (1,))]
    assert advice([*PLAIN * 2, *rare], classes=("a", "A")) == {}


def test_many_classes_of_like_share_are_not_unbalanced():
    records = [image(number, ((0, 0, 50, 50),), (number % 20,)) for number in range(40)]
    assert advice(records, classes=tuple(map(str, range(20)))) == {}


def test_few_objects_to_validate_on_ask_for_more_where_they_are_held_out():
    few = MANY.subset([0])
    assert list(advice(PLAIN, validation=few, held_out=True)) == ["--data.hold-out 0.2"]
    assert "6 objects" in advice(PLAIN, validation=few)[""]
    assert advice(PLAIN, validation=None) == {}


@pytest.mark.parametrize(("alike", "images", "matters"), [(0, 0, 0), (1, 292, 0), (3, 292, 1)])
def test_a_pair_in_hundreds_of_images_is_no_reason_to_split_anew(alike, images, matters):
    counts = Counts("", images, 0, 0, 0, 0.0, 0, {}, {})
    found = (Finding("near-across", "validation", "", ""),) * alike
    assert leaks(Hygiene({"training": counts, "validation": counts}, found)) == bool(matters)


def test_frames_of_one_video_on_both_sides_are_told():
    assert "whole videos" in advice(PLAIN, leaks=True)[""]


def test_a_training_that_sees_every_image_a_few_times_is_too_short():
    recipe = differing(FINE, schedule={"steps": 5, "warmup_steps": 1})
    # Ten times twenty images in batches of 16.
    assert list(advice(PLAIN, recipe)) == ["--steps 13"]
