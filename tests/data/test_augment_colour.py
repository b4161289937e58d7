"""Photometric distortion: hand-worked levels, and what must not change."""

import colorsys
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchdet.data.augment_colour import (
    distort_bands,
    distort_colours,
    distort_deep_colours,
    distortion_for,
)


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


DEEP = ("uint16", "int16", "float32")


def deep(*levels, dtype) -> np.ndarray:
    return np.array(levels, dtype).reshape(1, 1, -1)


def drawn(image, *, brightness=None, contrast=None, saturation=None, hue=None, first=True):
    """`distort_deep_colours` of pixels whose standard deviation is 1000."""
    draws = Chosen(brightness, contrast, saturation, hue, first)
    return distort_deep_colours(image, draws, std=1000.0)[0, 0]


@pytest.mark.parametrize("dtype", DEEP)
def test_deep_colours_change_as_those_in_8_bits_do(dtype):
    """The same picture, 60 times as bright: hand-worked, and beside `distort_colours`."""
    picture = one_pixel(200, 100, 60)
    large = deep(12000, 6000, 3600, dtype=dtype)
    for first in (True, False):
        for change in ({"saturation": 0.5}, {"saturation": 1.5}, {"hue": -18.0}, {"hue": 18.0}):
            expected = changed(picture, contrast=0.7, first=first, **change).astype(float)
            found = drawn(large, contrast=0.7, first=first, **change) / 60
            assert np.abs(found - expected).max() < 2.5, (first, change)
    assert drawn(large, brightness=0.5).tolist() == [12500, 6500, 4100]
    assert drawn(large, brightness=-0.1, contrast=0.5).tolist() == [5950, 2950, 1750]


def test_deep_colours_saturate_where_their_type_ends():
    assert drawn(deep(65000, 100, 300, dtype="uint16"), contrast=1.5)[0] == 65535
    assert drawn(deep(300, 100, 300, dtype="uint16"), brightness=-0.3).tolist() == [0, 0, 0]
    assert drawn(deep(65000, 100, 300, dtype="float32"), contrast=1.5)[0] == 97500


class OneOf(Chosen):
    """Draws for `distort_bands`: brightness, contrast, then those of the single bands, if any."""

    def __init__(self, brightness, contrast, offsets=None, gains=None):
        self.randoms = [1.0 if draw is None else 0.0 for draw in (brightness, contrast, offsets)]
        self.uniforms = [draw for draw in (brightness, contrast) if draw is not None]
        self.bands = [offsets, gains]

    def uniform(self, low, high, size=None):
        if size is None:
            return super().uniform(low, high)
        values = np.array(self.bands.pop(0))
        assert len(values) == size
        assert (low <= values).all()
        assert (values <= high).all()
        return values


MEAN, STD = np.array([1000.0, -50.0]), np.array([100.0, 10.0])


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_bands_are_stretched_about_their_mean_and_shifted_in_units_of_their_spread(dtype):
    pixels = deep(1200, -50, dtype=dtype)
    change = partial(distort_bands, mean=MEAN, std=STD)
    assert change(pixels, OneOf(None, None))[0, 0].tolist() == [1200, -50]
    assert change(pixels, OneOf(0.5, None))[0, 0].tolist() == [1250, -45]
    assert change(pixels, OneOf(None, 0.5))[0, 0].tolist() == [1100, -50]
    assert change(pixels, OneOf(0.5, 0.5))[0, 0].tolist() == [1150, -45]
    single = OneOf(0.5, 0.5, [0.1, -0.1], [1.1, 0.9])
    np.testing.assert_allclose(change(pixels, single)[0, 0], [1170, -46])


def test_bands_of_8_bits_saturate_and_are_rounded():
    change = partial(distort_bands, mean=np.array([100.0, 100.0]), std=np.array([20.0, 20.0]))
    assert change(one_pixel(250, 3), OneOf(0.33, 1.5))[0, 0].tolist() == [255, 0]
    assert change(one_pixel(101, 100), OneOf(0.33, None))[0, 0].tolist() == [108, 107]


@pytest.mark.parametrize("dtype", ["uint8", *DEEP])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 10, 426])
def test_bands_of_any_number_and_type_keep_both_and_their_input(channels, dtype):
    image = np.random.default_rng(0).normal(100, 30, (5, 7, channels)).clip(0).astype(dtype)
    before = image.copy()
    for is_rgb in {False, channels == 3}:
        distort = distortion_for(
            dtype=dtype,
            is_rgb=is_rgb,
            mean=np.full(channels, 100.0),
            std=np.full(channels, 30.0),
        )
        results = [distort(image, np.random.default_rng(seed)) for seed in (*range(12), 0)]
        assert all(one.shape == image.shape for one in results)
        assert all(one.dtype == image.dtype for one in results)
        assert all(np.isfinite(one).all() for one in results)
        np.testing.assert_array_equal(results[0], results[-1])
        assert any((one != before).any() for one in results)
    np.testing.assert_array_equal(image, before)


def test_a_float_keeps_what_8_bits_would_lose():
    image = np.linspace(0.1, 0.1001, 1000, dtype=np.float32).reshape(10, 50, 2)
    changed = distort_bands(image, OneOf(0.2, 1.2), mean=np.full(2, 0.1), std=np.full(2, 1e-4))
    assert len(np.unique(changed)) > 900


def test_eight_bits_of_grey_and_rgb_are_distorted_as_ssd_does_it():
    for channels, is_rgb in ((1, False), (3, True)):
        values = np.full(channels, 100.0)
        assert (
            distortion_for(dtype="uint8", is_rgb=is_rgb, mean=values, std=values) is distort_colours
        )
    three_bands = distortion_for(dtype="uint8", is_rgb=False, mean=np.ones(3), std=np.ones(3))
    assert three_bands.func is distort_bands
