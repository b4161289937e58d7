"""Large images in tiles: every object once, with its whole box."""

from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchdet.ops.merging import joined
from scratchdet.structures import Arrays, as_arrays
from scratchdet.testing.multi_scale import MultiScale
from scratchdet.testing.tiling import BATCH, BORDER, MOST_TILES, Tiled, intervals


class Oracle:
    """Knows the truth: the pixels of an image are the numbers of its objects, and it finds what of
    each it is shown, if that is not smaller than `least` pixels when it is resized to its input.

    It is as sure of a part as of the whole, or surer: scores are drawn.
    """

    classes, in_channels, image_dtype, files = ("a", "b"), 1, "uint16", ""

    def __init__(self, *, input_size=(100, 100), least=0.0):
        self.input_size, self.least, self.asked = input_size, least, []
        self.rng = np.random.default_rng(0)

    def predict(self, images, *, input_size=None, **choices):
        self.asked.append([image.shape[:2] for image in images])
        return [self.look(image, input_size or self.input_size) for image in images]

    def look(self, image, input_size):
        image = image.reshape(image.shape[:2])
        factors = np.array(input_size[::-1]) / image.shape[::-1]
        numbers = np.unique(image[image > 0])
        boxes = np.zeros((len(numbers), 4), np.float32)
        for box, number in zip(boxes, numbers, strict=True):
            rows, columns = np.nonzero(image == number)
            box[:] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        seen = ((boxes[:, 2:] - boxes[:, :2]) * factors >= self.least).all(axis=1)
        scores = np.sort(self.rng.uniform(0.1, 1, seen.sum()))[::-1]
        return Arrays(boxes[seen], scores.astype(np.float32), numbers[seen].astype(int) % 2)


def scene(boxes, size=(300, 400)):
    """An image of these boxes, and the boxes with their labels."""
    image = np.zeros((*size, 1), np.uint16)
    for number, (left, top, right, bottom) in enumerate(boxes, start=1):
        image[top:bottom, left:right] = number
    return image


def found_in(image, **choices):
    oracle = Oracle(least=choices.pop("least", 0))
    return as_arrays(Tiled(oracle, **choices).predict([image])[0])


def boxes_of(found):
    return sorted(map(tuple, found.boxes.astype(int).tolist()))


def test_no_image_no_object_and_one_of_several_sizes_are_ordinary():
    tiled = Tiled(Oracle(), tile=100, overlap=0.2)
    assert tiled.predict([]) == []
    images = [scene([], (300, 400)), scene([(10, 10, 20, 20)], (50, 60)), scene([], (7, 900))]
    assert [len(one.scores) for one in tiled.predict(images)] == [0, 1, 0]


def test_an_image_no_larger_than_a_tile_is_what_the_detector_says_exactly():
    image = scene([(0, 0, 90, 90), (10, 10, 30, 30)], (100, 100))
    one = found_in(image, tile=100, overlap=0.5)
    (other,) = Oracle().predict([image])
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    oracle = Oracle()
    Tiled(oracle, tile=100).predict([image, image[:30]])
    assert oracle.asked == [[(100, 100)], [(30, 100)]]


@given(length=st.integers(1, 3_000), tile=st.integers(1, 700), overlap=st.floats(0, 0.9))
@settings(deadline=None)
def test_tiles_cover_a_side_from_end_to_end_and_overlap_by_what_is_asked(length, tile, overlap):
    tiles = intervals(length, tile, overlap=overlap)
    assert (tiles[0][0], tiles[-1][1]) == (0, length)
    assert all(last - first == min(tile, length) for first, last in tiles)
    overlaps = [before[1] - after[0] for before, after in pairwise(tiles)]
    assert all(shared >= min(round(tile * overlap), tile - 1) for shared in overlaps)
    assert tiles == sorted(set(tiles))
    if len(tiles) > 1:  # one less would not do
        shorter = (length - tile) / (len(tiles) - 2) if len(tiles) > 2 else np.inf
        assert shorter > max(1, tile - round(tile * overlap))


@given(length=st.integers(1, 200), tile=st.integers(1, 200), overlap=st.floats(0, 0.99))
@settings(deadline=None)
def test_no_tile_is_empty_or_reaches_outside_and_no_pixel_is_left_out(length, tile, overlap):
    pixels = np.zeros(length, int)
    for first, last in intervals(length, tile, overlap=overlap):
        assert 0 <= first < last <= length
        pixels[first:last] += 1
    assert pixels.min() > 0


@pytest.mark.parametrize(
    ("tile", "overlap", "size", "said"),
    [
        (8, 0.2, (1_200, 1_000), "--tile 8 and --overlap 0.2 cut an image of 1000 x 1200 pixels"),
        (400, 0.99, (1_000, 1_000), "into 22801 tiles, more than 10000: give larger tiles or less"),
        (1, 0.0, (101, 100), "--tile 1 and --overlap 0 cut .* into 10100 tiles"),
    ],
)
def test_an_image_of_more_tiles_than_anyone_means_is_refused_before_it_is_looked_at(
    tile, overlap, size, said
):
    oracle = Oracle()
    with pytest.raises(ValueError, match=said):
        Tiled(oracle, tile=tile, overlap=overlap).predict([scene([], size)])
    assert oracle.asked == []


def test_as_many_tiles_as_may_be_are_looked_at():
    assert MOST_TILES == 100 * 100
    oracle = Oracle()
    Tiled(oracle, tile=1, overlap=0.0).predict([scene([], (100, 100))])
    assert sum(map(len, oracle.asked)) == 1 + MOST_TILES
    largest = [intervals(2**15, side, overlap=0.2) for side in (600, 450)]
    assert len(largest[0]) * len(largest[1]) == 6_279  # as is said where the limit is


def test_tiles_of_a_low_image_are_as_wide_as_asked_and_as_low_as_the_image():
    oracle = Oracle(input_size=(240, 320))
    Tiled(oracle, tile=600, overlap=0.0).predict([scene([], (100, 3_000))])
    assert oracle.asked == [[(100, 3_000)], [(100, 600)] * 5]


def test_tiles_have_the_shape_of_the_input_and_are_asked_about_together():
    oracle = Oracle(input_size=(60, 80))
    Tiled(oracle, tile=80, overlap=0.25).predict([scene([], (150, 200))])
    # 60 pixels with strides of at most 45: 3; 80 with 60: 3.
    assert oracle.asked == [[(150, 200)], [(60, 80)] * 9]
    oracle.asked.clear()
    Tiled(oracle, tile=40, overlap=0.0).predict([scene([], (150, 200))])
    assert [len(shapes) for shapes in oracle.asked] == [1, BATCH, 25 - BATCH]


# Tiles of 100 that begin at 0, 75, 150, ...: inner borders at 75, 100, 150, 175, ...
CUT = [
    (90, 10, 110, 25),  # over the end of a tile
    (70, 60, 81, 70),  # over the beginning of one
    (100, 100, 120, 120),  # begins where a tile ends, across
    (165, 165, 186, 186),  # over a corner of four
    (230, 5, 250, 25),
    (380, 280, 400, 300),  # in the corner of the image
    (0, 140, 15, 160),  # at its border, and over an inner one
]


@pytest.mark.parametrize("overlap", [0.25, 0.4, 0.6])
def test_objects_on_inner_borders_are_found_once_and_whole(overlap):
    assert boxes_of(found_in(scene(CUT), tile=100, overlap=overlap)) == sorted(CUT)


def test_what_is_too_small_for_one_pass_is_found_in_tiles():
    image = scene(CUT)
    assert len(Oracle(least=7).predict([image])[0].scores) == 0
    assert boxes_of(found_in(image, tile=100, overlap=0.25, least=7)) == sorted(CUT)


def test_objects_longer_than_the_overlap_come_out_of_the_whole_image():
    # The last is cut off a little, or as good as that, in both tiles: 75 and 100 are borders.
    long = [(20, 20, 380, 60), (50, 80, 70, 290), (150, 100, 390, 260), (76, 276, 99, 299)]
    assert boxes_of(found_in(scene(long), tile=100, overlap=0.25)) == sorted(long)


def test_of_the_whole_image_only_those_objects_count_that_may_be_whole_in_no_tile():
    class Fanciful(Oracle):
        """Sees two objects more in large images."""

        def predict(self, images, **choices):
            found = super().predict(images, **choices)
            if images[0].shape[1] <= 100:
                return found
            more = np.array([[200, 200, 221, 221], [30, 30, 30 + 22, 50]], np.float32)
            return [Arrays(more, np.ones(2, np.float32), np.array([0, 1])) for _ in images]

    (found,) = Tiled(Fanciful(), tile=100, overlap=0.25).predict([scene(CUT)])
    assert boxes_of(found) == sorted([*CUT, (30, 30, 52, 50)])  # 25 less twice 2 is 21


def test_without_overlap_too_every_object_is_found_once():
    assert boxes_of(found_in(scene(CUT), tile=100, overlap=0.0)) == sorted(CUT)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    overlap=st.sampled_from([0.2, 0.25, 0.5]),
    size=st.tuples(st.integers(60, 350), st.integers(60, 350)),
)
def test_any_object_that_fits_the_overlap_is_found_once_and_whole(seed, overlap, size):
    rng = np.random.default_rng(seed)
    most = int(100 * overlap - 2 * 100 * BORDER)
    boxes = []
    for top in range(0, size[0] - most, most + 3):  # one in each field of a grid, apart
        for left in range(0, size[1] - most, most + 3):
            x, y = left + rng.integers(0, most // 2), top + rng.integers(0, most // 2)
            width, height = rng.integers(most // 4, most // 2 + 1, 2)
            boxes.append((int(x), int(y), int(x + width), int(y + height)))
    assert boxes_of(found_in(scene(boxes, size), tile=100, overlap=overlap)) == sorted(boxes)


def test_objects_that_one_tile_tells_apart_stay_apart():
    nested = scene([(110, 110, 140, 140)])
    nested[115:130, 115:130] = 3  # of the same class, within the other
    found = found_in(nested, tile=200, overlap=0.5)
    assert boxes_of(found) == [(110, 110, 140, 140), (115, 115, 130, 130)]


def test_a_small_object_in_a_large_one_of_its_class_is_lost_if_another_pass_is_surer_of_that():
    """What it costs that a part of an object, seen in one pass, gives way to the whole of it."""

    class SurerOfTheLarge(Oracle):
        def look(self, image, input_size):
            found = super().look(image, input_size)
            sizes = (found.boxes[:, 2:] - found.boxes[:, :2]).min(axis=1)
            order = np.argsort(-sizes)
            scores = np.linspace(0.9, 0.5, len(order), dtype=np.float32)
            scores += np.float32(0.05) * (image.shape[1] > 100)  # more yet in the whole image
            return Arrays(found.boxes[order], scores, found.labels[order])

    large, small, apart = (20, 20, 380, 280), (110, 110, 120, 120), (385, 5, 395, 15)
    image = scene([large])
    for number, (left, top, right, bottom) in ((3, small), (5, apart)):
        image[top:bottom, left:right] = number
    (found,) = Tiled(SurerOfTheLarge(), tile=100, overlap=0.25).predict([image])
    assert boxes_of(found) == [large, apart]
    image[image == 3] = 2  # of another class it stays
    (found,) = Tiled(SurerOfTheLarge(), tile=100, overlap=0.25).predict([image])
    assert boxes_of(found) == [large, small, apart]


def test_all_that_is_found_is_left_unless_it_is_said_how_many_are_to_be_kept():
    many = [(x, y, x + 4, y + 4) for x in range(0, 390, 16) for y in range(0, 290, 16)]
    image = scene(many)
    tiled = Tiled(Oracle(), tile=100, overlap=0.25)
    assert len(tiled.predict([image])[0].scores) == len(many) > 200
    (few,) = tiled.predict([image], keep=7)
    assert len(few.scores) == 7
    assert (np.diff(few.scores) <= 0).all()


def test_images_are_not_written_into_and_grey_ones_may_lack_their_channel():
    image = scene(CUT)
    before = image.copy()
    with_channel = found_in(image, tile=100)
    assert np.array_equal(image, before)
    assert boxes_of(found_in(image[:, :, 0], tile=100)) == boxes_of(with_channel)


def test_tiles_can_be_asked_about_at_several_scales():
    several = MultiScale(
        Oracle(),
        scales=(0.5, 1.0),
        smallest=(0.0, 0.0),
        largest=(1.0, 1.0),
        flip=True,
        merge="vote",
        merge_iou=0.45,
    )
    (found,) = Tiled(several, tile=100, overlap=0.25).predict([scene(CUT)])
    assert boxes_of(found._replace(boxes=found.boxes.round())) == sorted(CUT)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"tile": 0}, "tile is 0; it must be a number of pixels"),
        ({"tile": 100, "overlap": 1.0}, "overlap is 1; it must be from 0 to less than 1"),
        ({"tile": 100, "overlap": -0.1}, "overlap is -0.1"),
        ({"tile": 100, "overlap": float("nan")}, "overlap is nan"),
    ],
)
def test_what_is_no_tile_is_refused(choices, said):
    with pytest.raises(ValueError, match=said):
        Tiled(Oracle(), **choices)
    with pytest.raises(ValueError, match="a list of images is wanted"):
        Tiled(Oracle(), tile=100).predict(scene(CUT))


def test_annotated_trees_of_an_aerial_image_are_found_once_whatever_the_tiles(shared):
    """NEON's plot of 400 x 400 pixels: each tree is a band of its own, as crowns overlap."""
    objects = ElementTree.parse(shared / "data/neon_sjer_052/SJER_052.xml").iter("bndbox")
    corners = ("xmin", "ymin", "xmax", "ymax")
    boxes = [tuple(int(box.findtext(corner)) for corner in corners) for box in objects]
    assert len(boxes) == 9
    image = np.concatenate([scene([box], (400, 400)) for box in boxes], axis=2)

    class Bands(Oracle):
        in_channels = len(boxes)

        def look(self, image, input_size):
            return joined(
                [super(Bands, self).look(band, input_size) for band in np.moveaxis(image, 2, 0)]
            )

    longest = max(max(box[2] - box[0], box[3] - box[1]) for box in boxes)
    for tile in (150, 200, 250):
        overlap = (longest + 8) / tile
        (found,) = Tiled(Bands(), tile=tile, overlap=overlap).predict([image])
        assert boxes_of(found) == sorted(boxes)
