"""Mosaic and copy-paste: whatever is put together, boxes lie where their objects are."""

from itertools import cycle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchdet.data.augment_mix import COVERED_MOST, PASTED_MOST, copy_paste, mosaic
from scratchdet.structures import Sample

SIDE = 64  # of the code of a pixel; no image is larger
MIXES = (mosaic, copy_paste)


def coded(number: int, size: tuple[int, int], *, channels=1, dtype="float32", boxes=()) -> Sample:
    """An image whose first channel says of every pixel where it is from: number, y, x.

    Labels say the number of the image and of the object: 100 * number + object.
    """
    height, width = size
    y, x = np.mgrid[:height, :width]
    code = number * SIDE * SIDE + y * SIDE + x
    image = np.repeat(code[:, :, None], channels, axis=2).astype(dtype)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    labels = 100 * number + np.arange(len(boxes))
    return Sample(image, boxes, labels, np.zeros(len(boxes), bool))


def decoded(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, y and x of where the pixels are from."""
    code = pixels[:, :, 0].astype(np.int64)
    return code // SIDE**2, code // SIDE % SIDE, code % SIDE


@st.composite
def boxes_in(draw, size, *, most=4):
    height, width = size
    boxes = []
    for _ in range(draw(st.integers(0, most))):
        left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
        shift = draw(st.sampled_from([0.0, 0.25]))
        boxes.append((left + shift, top + shift, right - shift, bottom - shift))
    return boxes


SIZES = st.tuples(st.integers(1, 30), st.integers(1, 30))


@st.composite
def images(draw, *, count=4, size=None, **more):
    """Coded images, of one size if it is given."""
    sizes = [size or draw(SIZES) for _ in range(count)]
    return [
        coded(number, one, boxes=draw(boxes_in(one)), **more) for number, one in enumerate(sizes)
    ]


def source_of(others: list[Sample]):
    """`another`: the images in turn, over and over."""
    turn = cycle(others)
    return lambda: next(turn)


def mixed(mix, images, seed=0):
    return mix(images[0], source_of(images[1:]), np.random.default_rng(seed))


def assert_sound(sample: Sample, known: list[Sample]) -> None:
    height, width = sample.image.shape[:2]
    assert len(sample.boxes) == len(sample.labels) == len(sample.ignore)
    assert sample.boxes.dtype == np.float32
    assert (sample.boxes[:, :2] >= 0).all()
    assert (sample.boxes[:, 2:] <= [width, height]).all()
    assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()
    assert set(sample.labels.tolist()) <= {label for one in known for label in one.labels.tolist()}


@pytest.mark.parametrize("mix", MIXES)
@given(images(), st.integers(0, 99))
def test_no_box_leaves_the_image_and_no_label_is_new(mix, given_images, seed):
    assert_sound(mixed(mix, given_images, seed), given_images)


@pytest.mark.parametrize("mix", MIXES)
@given(images(), st.integers(0, 99))
def test_nothing_that_is_given_is_changed(mix, given_images, seed):
    before = [(one.image.copy(), one.boxes.copy()) for one in given_images]
    for one in given_images:
        one.image.flags.writeable = False  # as images from the cache are
    mixed(mix, given_images, seed)
    for one, (image, boxes) in zip(given_images, before, strict=True):
        assert np.array_equal(one.image, image)
        assert np.array_equal(one.boxes, boxes)


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_channels_and_depth_stay_what_they_are(mix, dtype, channels):
    found = mixed(
        mix,
        [
            coded(0, (1, 1), channels=channels, dtype=dtype),
            coded(1, (1, 1), channels=channels, dtype=dtype, boxes=[(0, 0, 1, 1)]),
        ],
    )
    assert found.image.shape == (1, 1, channels)
    assert found.image.dtype == dtype
    large = [coded(number, (9, 7), channels=channels, dtype=dtype) for number in range(4)]
    found = mixed(mix, large)
    assert found.image.shape == (9, 7, channels)
    assert found.image.dtype == dtype
    assert (found.image == found.image[:, :, :1]).all()


@pytest.mark.parametrize("mix", MIXES)
def test_images_without_objects_give_one_without(mix):
    found = mixed(mix, [coded(number, (9, 7)) for number in range(4)])
    assert found.boxes.shape == (0, 4)
    assert found.labels.shape == found.ignore.shape == (0,)


@given(images(size=(24, 20)), st.integers(0, 99))
def test_a_mosaic_is_four_windows_and_shows_the_objects_whose_centre_is_in_them(four, seed):
    found = mixed(mosaic, four, seed)
    number, y, x = decoded(found.image)
    expected = {}
    for index, one in enumerate(four):
        rows, columns = np.nonzero(number == index)
        top, left = rows.min(), columns.min()
        assert len(rows) == (rows.max() + 1 - top) * (columns.max() + 1 - left)  # a rectangle
        low = np.array([x[top, left], y[top, left]])
        assert (x[rows, columns] - columns == low[0] - left).all()  # moved, nothing else
        assert (y[rows, columns] - rows == low[1] - top).all()
        high = low + np.array([columns.max() + 1 - left, rows.max() + 1 - top])
        for label, box in zip(one.labels, one.boxes, strict=True):
            centre = (box[:2] + box[2:]) / 2
            if (centre >= low).all() and (centre < high).all():
                clipped = np.concatenate([box[:2].clip(low), box[2:].clip(max=high)])
                expected[int(label)] = clipped + np.tile([left, top] - low, 2)
    assert sorted(found.labels.tolist()) == sorted(expected)
    for label, box in zip(found.labels.tolist(), found.boxes, strict=True):
        assert np.allclose(box, expected[label], atol=1e-4)


def test_the_four_images_meet_within_the_middle_of_the_mosaic():
    four = [coded(number, (50, 40)) for number in range(4)]
    corners = set()
    for seed in range(40):
        number, _, _ = decoded(mixed(mosaic, four, seed).image)
        assert [number[0, 0], number[0, -1], number[-1, 0], number[-1, -1]] == [0, 1, 2, 3]
        corners.add((int((number[:, 0] == 0).sum()), int((number[0] == 0).sum())))
    rows, columns = np.array(sorted(corners)).T
    assert 10 <= rows.min() < 15 < 35 < rows.max() <= 40
    assert 8 <= columns.min() < 12 < 28 < columns.max() <= 32


def test_images_of_other_sizes_fill_their_quarter_of_a_mosaic():
    sizes = ((40, 40), (10, 60), (3, 3), (60, 20))
    flat = [
        Sample(
            np.full((*size, 1), 50 * number, np.uint8),
            np.array([[0, 0, size[1], size[0]]], np.float32),
            np.array([number]),
            np.zeros(1, bool),
        )
        for number, size in enumerate(sizes, start=1)
    ]
    for seed in range(10):
        found = mixed(mosaic, flat, seed)
        assert set(np.unique(found.image).tolist()) == {50, 100, 150, 200}
        for label, box in zip(found.labels, found.boxes.astype(int), strict=True):
            left, top, right, bottom = box
            assert (found.image[top:bottom, left:right] == 50 * label).all()


@given(st.integers(0, 99), st.integers(0, 15), st.integers(0, 11))
def test_under_a_pasted_box_are_the_pixels_of_its_source(seed, left, top):
    target = coded(0, (20, 24), boxes=[(4, 4, 20, 8)])  # many places are not free
    box = (left, top, left + 8, top + 7)
    found = mixed(copy_paste, [target, coded(1, (20, 24), boxes=[box])], seed)
    if found.labels.tolist() == [0]:
        assert np.array_equal(found.image, target.image)
        return
    assert found.labels.tolist() == [0, 100]
    columns = slice(*found.boxes[1, [0, 2]].astype(int))
    rows = slice(*found.boxes[1, [1, 3]].astype(int))
    number, y, x = decoded(found.image[rows, columns])
    assert (number == 1).all()
    assert (y == np.arange(top, top + 7)[:, None]).all()
    assert (x == np.arange(left, left + 8)).all()
    assert (decoded(found.image)[0] == 1).sum() == 7 * 8  # and nothing else has changed


@given(images(count=2, size=(28, 28)), st.integers(0, 99))
@settings(max_examples=200)
def test_objects_stay_where_they_are_and_most_of_each_stays_visible(two, seed):
    target, _ = two
    found = mixed(copy_paste, two, seed)
    assert np.array_equal(found.boxes[: len(target.boxes)], target.boxes)
    covered = decoded(found.image)[0] == 1
    for left, top, right, bottom in target.boxes:
        y, x = np.mgrid[:28, :28]
        width = (np.minimum(x + 1, right) - np.maximum(x, left)).clip(0)
        height = (np.minimum(y + 1, bottom) - np.maximum(y, top)).clip(0)
        share = (width * height * covered).sum() / ((right - left) * (bottom - top))
        assert share <= COVERED_MOST + 1e-5


def test_an_object_within_the_pasted_rectangle_comes_with_it_clipped():
    boxes = [(0, 0, 10, 10), (8, 2, 11, 5), (9, 6, 15, 9)]  # the last one has its centre outside
    source = coded(1, (10, 20), boxes=boxes)
    source.ignore[1] = True
    seen = set()
    for seed in range(30):
        found = mixed(copy_paste, [coded(0, (12, 12)), source], seed)
        if (first := found.labels.tolist()[:1]) == [100]:
            shift = found.boxes[0, :2]
            assert found.labels.tolist()[:2] == [100, 101]
            assert found.ignore.tolist()[:2] == [False, True]
            assert np.array_equal(found.boxes[1] - np.tile(shift, 2), [8, 2, 10, 5])
        seen.update(first)
    assert seen == {100, 102}  # what is ignored is never what is chosen


def test_as_many_objects_are_pasted_as_said_and_no_more():
    boxes = [(column, 0, column + 2, 2) for column in range(0, 20, 4)]
    counts = [
        len(mixed(copy_paste, [coded(0, (60, 60)), coded(1, (4, 24), boxes=boxes)], seed).boxes)
        for seed in range(60)
    ]
    assert set(counts) == set(range(1, PASTED_MOST + 1))


def test_what_is_larger_than_the_image_or_finds_no_place_is_not_pasted():
    large = coded(1, (30, 30), boxes=[(0, 0, 30, 30)])
    target = coded(0, (20, 20))
    assert np.array_equal(mixed(copy_paste, [target, large]).image, target.image)
    full = coded(0, (10, 10), boxes=[(0, 0, 10, 10)])
    found = mixed(copy_paste, [full, coded(1, (9, 9), boxes=[(0, 0, 9, 9)])])
    assert np.array_equal(found.image, full.image)
    assert found.labels.tolist() == [0]
