"""What is said of data and inputs that are hardly meant so."""

import numpy as np
import pytest

from scratchdet.recipe import differing
from scratchdet.structures import Record, from_records
from scratchdet.train.notes import FEW_IMAGES, FEW_OBJECTS, warnings
from scratchdet.train.resolve import resolve


def data_of(*labels, ignore=()):
    """An image for every list of labels; of those in `ignore` every object is ignored."""
    records = []
    for number, of_it in enumerate(labels):
        boxes = np.tile(np.array([[2, 4, 10, 20]], np.float32), (len(of_it), 1))
        ignored = np.full(len(of_it), number in ignore)
        image = Record(str(number), f"{number}.jpg", (64, 64), boxes, np.array(of_it), ignored)
        records.append(image)
    return from_records(records, ("cat", "dog", "owl", "fox", "bat", "ant", "bee"))


ALL = [0, 1, 2, 3, 4, 5, 6]


def test_enough_data_of_all_classes_is_worth_no_remark():
    enough = data_of(*[ALL] * FEW_IMAGES)
    assert enough.num_objects >= FEW_OBJECTS
    parts = {"training": data_of(ALL), "validation": enough, "test": enough}
    assert list(warnings(parts)) == []


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (data_of(), "0 images with 0 objects"),
        (data_of(*[[]] * 30), "30 images with 0 objects"),
        (data_of(*[ALL] * (FEW_IMAGES - 1)), "19 images with 133 objects"),
        (data_of(*[ALL] * 7, *[[]] * 30), "37 images with 49 objects"),
        (data_of(*[ALL] * 37, ignore=range(30)), "37 images with 49 objects"),
    ],
)
def test_the_figures_of_few_images_or_objects_are_coarse(data, size):
    for use in ("validation", "test"):
        (line,) = warnings({"training": data_of(ALL), use: data})
        assert line.startswith(f"NOTE: {use} has {size}: its figures are coarse")


def test_classes_without_an_object_are_named_where_they_are_lacking():
    most = data_of(*[[0, 2, 3, 4, 5, 6]] * 30, [1], ignore={30})
    first = data_of([0])
    lines = list(warnings({"training": first, "validation": most}))
    assert lines == [
        "NOTE: training has no object of dog, owl, fox, bat, ant and 1 more: not to be learned",
        "NOTE: validation has no object of dog: without AP, and not in the mean",
    ]


@pytest.mark.parametrize(
    ("size", "remark"),
    [
        ((31, 300), "NOTE: an input of 31 x 300 is next to nothing"),
        ((32, 32), None),
        ((2048, 2048), None),
        ((300, 3000), "NOTE: an input of 300 x 3000 takes 10 times the memory and time"),
    ],
)
def test_an_input_that_is_hardly_meant_is_remarked_upon(tiny, size, remark):
    _, lines = resolve(differing(tiny, model={"input_size": size}))
    found = [line for line in lines if "an input of" in line]
    assert [line.startswith(str(remark)) for line in found] == [True] * (remark is not None)
