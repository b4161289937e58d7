"""Windows and rendering: boxes go where their pixels go."""

from functools import partial

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchdet.data.augment_geometry import (
    CROP_OVERLAPS,
    INTERPOLATIONS,
    MIN_SIDE,
    crop,
    expand,
    mirror,
    render,
    transpose,
    upend,
)
from scratchdet.structures import Sample

BLACK = np.zeros(1)
NO_BOXES = np.zeros((0, 4), np.float32)


def a_sample(boxes, height=40, width=60, channels=1) -> Sample:
    """Black, each object painted white."""
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    image = np.zeros((height, width, channels), np.uint8)
    for left, top, right, bottom in boxes.astype(int):
        image[top:bottom, left:right] = 255
    return Sample(image, boxes, np.arange(len(boxes)), np.zeros(len(boxes), bool))


def to_window(*window):
    """The window step that always chooses `window`."""
    return lambda _window, _boxes, _rng: np.array(window)


def seeds():
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def iou(window, box) -> float:
    """Written out for one pair: the reference for the vectorised one."""
    width = min(window[2], box[2]) - max(window[0], box[0])
    height = min(window[3], box[3]) - max(window[1], box[1])
    shared = max(width, 0) * max(height, 0)
    area = (window[2] - window[0]) * (window[3] - window[1])
    return shared / (area + (box[2] - box[0]) * (box[3] - box[1]) - shared)


@given(seeds())
def test_expand_contains_the_window_and_is_at_most_four_times_as_long(rng):
    window = np.array([3, 5, 63, 45])
    left, top, right, bottom = expand(window, NO_BOXES, rng)
    assert left <= 3
    assert top <= 5
    assert right >= 63
    assert bottom >= 45
    assert 60 <= right - left <= 240
    assert 40 <= bottom - top <= 160
    assert (right - left) / 60 == pytest.approx((bottom - top) / 40, abs=1 / 40)


def test_expand_leaves_half_of_the_images_and_its_factor_is_uniform():
    rng = np.random.default_rng(0)
    window = np.array([0, 0, 1000, 1000])
    sides = np.array([np.diff(expand(window, NO_BOXES, rng)[[0, 2]])[0] for _ in range(4000)])
    assert (sides == 1000).mean() == pytest.approx(0.5, abs=0.03)
    assert sides[sides > 1000].mean() == pytest.approx(2500, abs=75)


@given(seeds(), st.integers(1, 90), st.integers(1, 90))
def test_crop_is_a_part_of_the_window_with_at_least_one_pixel(rng, width, height):
    window = np.array([-7, 4, -7 + width, 4 + height])
    left, top, right, bottom = crop(window, np.array([[0, 10, 9, 20.0]]), rng)
    assert -7 <= left < right <= -7 + width
    assert 4 <= top < bottom <= 4 + height


@given(seeds(), st.sampled_from(CROP_OVERLAPS))
def test_crop_reaches_the_overlap_with_at_least_one_object_but_need_not_with_all(rng, overlap):
    window = np.array([0, 0, 200, 100])
    boxes = np.array([[0, 0, 120, 90], [190, 90, 200, 100]], np.float32)
    chosen = crop(window, boxes, rng, overlaps=[overlap])
    if not (chosen == window).all():
        assert max(iou(chosen, box) for box in boxes) >= overlap


def test_crop_finds_overlaps_that_only_one_of_two_distant_objects_can_reach():
    window = np.array([0, 0, 200, 100])
    boxes = np.array([[0, 0, 120, 90], [190, 90, 200, 100]], np.float32)
    rng = np.random.default_rng(0)
    chosen = [crop(window, boxes, rng, overlaps=[0.5]) for _ in range(200)]
    cropped = np.mean([(one != window).any() for one in chosen])
    assert cropped == pytest.approx(0.5, abs=0.12)  # found nearly always; then taken by half


def test_every_sampler_and_the_whole_window_are_taken_equally_often():
    """The last two overlaps are out of reach, so that five offers remain: whole and four crops."""
    rng = np.random.default_rng(0)
    window = np.array([0, 0, 100, 100])
    box = np.array([[0, 0, 100, 100]], np.float32)
    overlaps = [0.0, 0.0, 0.0, 0.0, 2.0, 2.0]
    chosen = [crop(window, box, rng, overlaps=overlaps, scale=(0.3, 0.9)) for _ in range(4000)]
    whole = np.mean([(one == window).all() for one in chosen])
    assert whole == pytest.approx(1 / 5, abs=0.02)


def test_without_objects_half_of_the_images_are_cropped_and_half_stay_whole():
    rng = np.random.default_rng(0)
    window = np.array([0, 0, 500, 375])
    whole = np.mean([(crop(window, NO_BOXES, rng) == window).all() for _ in range(2000)])
    assert whole == pytest.approx(0.5, abs=0.04)


def test_crops_have_the_scales_and_aspects_of_the_paper():
    rng = np.random.default_rng(0)
    window = np.array([0, 0, 1000, 500])
    chosen = np.array([crop(window, NO_BOXES, rng, overlaps=[0.0] * 20) for _ in range(3000)])
    shares = (chosen[:, 2:] - chosen[:, :2]) / [1000, 500]
    shares = shares[(shares < 1).any(axis=1)]
    scale, aspect = np.sqrt(shares.prod(axis=1)), shares[:, 0] / shares[:, 1]
    assert scale.min() == pytest.approx(0.3, abs=0.02)
    assert scale.max() == pytest.approx(1.0, abs=0.02)
    assert scale.mean() == pytest.approx(0.65, abs=0.02)
    assert (scale > 0.9).mean() == pytest.approx(1 / 7, abs=0.02)  # the aspect gives way, not it
    assert aspect.min() == pytest.approx(0.5, abs=0.02)
    assert aspect.max() == pytest.approx(2.0, abs=0.05)


def test_render_maps_a_crop_to_the_whole_input():
    sample = a_sample([[20, 10, 40, 30]])
    shown = render(
        sample,
        np.random.default_rng(0),
        size=(80, 120),
        fill=BLACK,
        windows=[to_window(20, 10, 50, 30)],
    )
    assert shown.boxes.tolist() == [[0, 0, 80, 80]]
    assert shown.image.shape == (80, 120, 1)
    assert (shown.image[:, :78] == 255).all()
    assert (shown.image[:, 82:] == 0).all()


def test_render_fills_with_the_mean_outside_the_image():
    sample = a_sample([[0, 0, 60, 40]], channels=3)
    shown = render(
        sample,
        np.random.default_rng(0),
        size=(20, 30),
        fill=np.array([123.2, 117.0, 103.9]),
        windows=[to_window(-60, -40, 120, 80)],
    )
    assert shown.boxes.tolist() == [[10, 7, 20, 13]]
    inside = np.zeros((20, 30), bool)
    inside[7:13, 10:20] = True
    assert (shown.image[inside] == 255).all()
    assert (shown.image[~inside] == [123, 117, 104]).all()


def test_crop_keeps_boxes_whose_centre_is_inside_and_clips_them():
    boxes = [[0, 0, 22, 10], [10, 0, 40, 10], [18, 0, 21, 10], [30, 30, 40, 40]]
    sample = a_sample(boxes)
    shown = render(
        sample,
        np.random.default_rng(0),
        size=(20, 40),
        fill=BLACK,
        windows=[to_window(20, 0, 60, 20)],
    )
    assert shown.labels.tolist() == [1]
    assert shown.boxes.tolist() == [[0, 0, 20, 10]]


def test_ignore_follows_its_box_and_tiny_objects_become_ignored():
    sample = a_sample([[0, 0, 20, 20], [0, 20, 20, 40], [50, 30, 53, 40]])
    sample = Sample(sample.image, sample.boxes, sample.labels, np.array([False, True, False]))
    shown = render(sample, np.random.default_rng(0), size=(20, 30), fill=BLACK)
    assert shown.ignore.tolist() == [False, True, True]
    assert shown.boxes[2, 2] - shown.boxes[2, 0] < MIN_SIDE


def test_a_window_beside_the_image_shows_the_fill_and_no_object():
    shown = render(
        a_sample([[0, 0, 60, 40]]),
        np.random.default_rng(0),
        size=(8, 8),
        fill=np.array([7.0]),
        windows=[to_window(60, 0, 100, 40)],
    )
    assert (shown.image == 7).all()
    assert shown.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("window", "column"), [((-999, 0, 1, 40), 9), ((59, 0, 1059, 40), 0)], ids=["right", "left"]
)
def test_a_sliver_of_the_image_is_one_pixel_of_the_result(window, column):
    shown = render(
        a_sample([[0, 0, 60, 40]]),
        np.random.default_rng(0),
        size=(8, 10),
        fill=BLACK,
        windows=[to_window(*window)],
    )
    assert np.flatnonzero(shown.image[0, :, 0]).tolist() == [column]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7, 12])
def test_any_number_of_channels_is_resized_like_each_channel_alone(channels, interpolation):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 60, channels), dtype=np.uint8)
    sample = Sample(image, NO_BOXES, np.zeros(0, np.int64), np.zeros(0, bool))
    shown = render(
        sample, rng, size=(15, 20), fill=np.zeros(channels), interpolations=[interpolation]
    )
    for channel in range(channels):
        plane = np.ascontiguousarray(image[:, :, channel])
        alone = cv2.resize(plane, (20, 15), interpolation=interpolation)
        assert np.abs(shown.image[:, :, channel].astype(int) - alone).max() <= 1


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize(
    ("flip", "pixels", "box"),
    [
        (mirror, lambda image: image[:, ::-1], [30, 5, 58, 25]),
        (upend, lambda image: image[::-1], [2, 35, 30, 55]),
        (transpose, lambda image: image.swapaxes(0, 1), [5, 2, 25, 30]),
    ],
)
def test_flips_are_their_own_inverse_and_happen_in_half_of_the_draws(flip, pixels, box, channels):
    rng = np.random.default_rng(0)
    plain = a_sample([[2, 5, 30, 25]], height=60, width=60, channels=channels)
    image = rng.integers(0, 256, plain.image.shape, dtype=np.uint8)
    sample = Sample(image, plain.boxes, plain.labels, plain.ignore)
    results = [flip(sample, rng) for _ in range(1000)]
    flipped = [result for result in results if result is not sample]
    assert len(flipped) / 1000 == pytest.approx(0.5, abs=0.05)
    assert flipped[0].image.flags.c_contiguous
    assert (flipped[0].image == pixels(image)).all()
    assert flipped[0].boxes.tolist() == [box]
    back = next(r for r in (flip(flipped[0], rng) for _ in range(99)) if r is not flipped[0])
    assert (back.image == image).all()
    assert (back.boxes == sample.boxes).all()


def test_crops_that_span_the_image_are_as_rare_as_in_the_release():
    """A draw outside the aspects that fit is not clipped to the border: 0.08 % there."""
    rng = np.random.default_rng(0)
    window = np.array([0, 0, 1000, 1000])
    crops = [crop(window, np.zeros((0, 4)), rng, overlaps=(0.0,)) for _ in range(4000)]
    parts = np.array([part for part in crops if tuple(part) != tuple(window)])
    spanning = ((parts[:, 2:] - parts[:, :2]) >= 999).any(axis=1).mean()
    assert len(parts) > 1500
    assert spanning < 0.03  # 0.23 if clipped; what is left is rounding to pixels


def test_an_oblong_image_is_never_transposed():
    rng = np.random.default_rng(0)
    sample = a_sample([[2, 5, 30, 25]], height=30, width=60)
    assert all(transpose(sample, rng) is sample for _ in range(50))


@settings(max_examples=400, deadline=None)
@given(seeds(), st.sampled_from(INTERPOLATIONS), st.data())
def test_the_moved_box_frames_the_object_s_pixels(rng, interpolation, data):
    """Through expand, crop, resize and all flips: within one pixel of the result."""
    left, right = sorted(data.draw(st.tuples(st.integers(0, 80), st.integers(90, 160))))
    top, bottom = sorted(data.draw(st.tuples(st.integers(0, 50), st.integers(60, 120))))
    sample = a_sample([[left, top, right, bottom]], height=160, width=160)
    show = partial(
        render,
        size=(150, 130),
        fill=BLACK,
        windows=(expand, crop),
        interpolations=(interpolation,),
    )
    for step in (transpose, show, mirror, upend):
        sample = step(sample, rng)
    if len(sample.boxes) == 0:
        return
    rows, columns = (np.flatnonzero((sample.image[:, :, 0] > 127).any(axis=a)) for a in (1, 0))
    seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert np.abs(sample.boxes[0] - seen).max() <= 1
