"""Photometric distortion: hand-worked levels, and what must not change."""

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchdet.data.augment_colour import distort_colours


class Chosen:
    """In place of a Generator: the draws are given, in the order brightness to contrast first."""

    def __init__(self, *draws):
        self.randoms = [1.0 if draw is None else 0.0 for draw in draws[:4]]
        self.randoms.append(0.0 if draws[4] else 1.0)
        self.uniforms = [draw for draw in draws[:4] if draw is not None]

    def random(self):
        return self.randoms.pop(0)

    def uniform(self, low, high):
        value = self.uniforms.pop(0)
        assert low <= value <= high
        return value


def one_pixel(*levels) -> np.ndarray:
    return np.array(levels, np.uint8).reshape(1, 1, -1)


def changed(image, *, brightness=None, contrast=None, saturation=None, hue=None, first=True):
    return distort_colours(image, Chosen(brightness, contrast, saturation, hue, first))[0, 0]


def test_nothing_drawn_means_nothing_changed():
    image = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    assert (distort_colours(image, Chosen(None, None, None, None, True)) == image).all()


def test_brightness_is_added_and_saturates():
    assert changed(one_pixel(0, 100, 250), brightness=32.0).tolist() == [32, 132, 255]
    assert changed(one_pixel(0, 100, 250), brightness=-32.0).tolist() == [0, 68, 218]


def test_contrast_multiplies_after_brightness():
    pixel = changed(one_pixel(0, 100, 250), brightness=10.0, contrast=1.5)
    assert pixel.tolist() == [15, 165, 255]


@pytest.mark.parametrize("first", [True, False])
def test_contrast_multiplies_after_brightness_when_colours_change_too(first):
    """Saturation does nothing to grey, so that only the order of the other two shows."""
    pixel = changed(
        one_pixel(100, 100, 100), brightness=10.0, contrast=1.5, saturation=0.5, first=first
    )
    assert pixel.tolist() == [165, 165, 165]


@pytest.mark.parametrize("first", [True, False])
def test_saturation_moves_the_lower_channels_only(first):
    assert changed(one_pixel(200, 100, 100), saturation=0.5, first=first).tolist() == [
        200,
        150,
        150,
    ]
    assert changed(one_pixel(80, 80, 80), saturation=1.5, first=first).tolist() == [80, 80, 80]


def test_hue_goes_round_the_circle_at_red():
    """Red turned by -18 half degrees is 324 degrees, as the standard library has it."""
    expected = np.array(colorsys.hsv_to_rgb(324 / 360, 1, 1)) * 255
    assert np.abs(changed(one_pixel(255, 0, 0), hue=-18.0) - expected).max() <= 3


def test_contrast_first_or_last_gives_different_pictures():
    picture = one_pixel(250, 130, 20)
    early = changed(picture, contrast=1.5, saturation=0.5, first=True)
    late = changed(picture, contrast=1.5, saturation=0.5, first=False)
    assert early.tolist() != late.tolist()


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_other_than_three_channels_get_brightness_and_contrast_only(channels):
    pixel = one_pixel(*[100] * channels)
    result = distort_colours(pixel, Chosen(10.0, 0.5, 1.5, 18.0, True))
    assert result.shape == pixel.shape
    assert (result == 55).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 6]))
def test_shape_and_dtype_stay_the_input_stays_and_the_seed_decides(seed, channels):
    image = np.random.default_rng(seed).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    before = image.copy()
    first, again = (distort_colours(image, np.random.default_rng(seed)) for _ in range(2))
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (image == before).all()


def test_each_distortion_happens_in_half_of_the_draws():
    """A grey pixel shows brightness or contrast: untouched in a quarter of the draws."""
    rng = np.random.default_rng(0)
    grey = one_pixel(100)
    untouched = np.mean([distort_colours(grey, rng)[0, 0, 0] == 100 for _ in range(4000)])
    assert untouched == pytest.approx(0.25, abs=0.03)
