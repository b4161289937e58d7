"""The presets on images of any number of channels and any depth."""

import numpy as np
import pytest

from scratchdet.data.augment import PRESETS, augment
from scratchdet.data.augment_colour import distortion_for
from scratchdet.data.augment_geometry import INTERPOLATIONS, render
from scratchdet.ops.pixels import DTYPES, saturated
from scratchdet.structures import Sample

CHANNELS = (1, 2, 3, 4, 10, 426)
SIZE = (24, 32)
BOX = np.array([[10, 8, 30, 24]], np.float32)


def a_sample(channels, dtype, *, level=100.0, spread=20.0) -> Sample:
    """Noise about `level`, an object 8 spreads above it."""
    pixels = np.random.default_rng(0).normal(level, spread, (30, 40, channels))
    pixels[8:24, 10:30] += 8 * spread
    labels = np.zeros(1, np.int64)
    return Sample(saturated(pixels, dtype), BOX, labels, np.zeros(1, bool))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_takes_images_of_every_kind(preset, channels, dtype):
    sample = a_sample(channels, dtype)
    mean, std = np.full(channels, 100.0), np.full(channels, 20.0)
    for is_rgb in {False, channels == 3}:
        distort = distortion_for(dtype=dtype, is_rgb=is_rgb, mean=mean, std=std)
        steps = PRESETS[preset](SIZE, mean, distort)
        for seed in range(3):
            result = augment(sample, steps, np.random.default_rng(seed))
            assert result.image.shape == (*SIZE, channels)
            assert result.image.dtype == np.dtype(dtype)
            assert result.image.flags.c_contiguous
            assert np.isfinite(result.image).all()


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_what_lies_around_an_image_is_the_mean_of_its_bands(interpolation, channels, dtype):
    sample = a_sample(channels, dtype, level=3000.0)
    mean = np.linspace(2000.25, 2500.25, channels)
    shown = render(
        sample,
        np.random.default_rng(0),
        size=(60, 80),
        fill=mean,
        windows=[lambda *_: np.array([-20, -15, 60, 45])],
        interpolations=[interpolation],
    )
    border = mean.astype(np.float32) if dtype == "float32" else np.rint(mean)
    np.testing.assert_array_equal(shown.image[2, 2], border)
    np.testing.assert_array_equal(shown.image[15:45, 20:60], sample.image)
    assert shown.boxes.tolist() == [[30, 23, 50, 39]]


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_levels_that_8_bits_do_not_have_reach_the_network(dtype):
    """A thermal image: 1200 levels far from 0, of which 8 bits would leave five."""
    levels = np.arange(6000, 7200).reshape(30, 40, 1).astype(dtype)
    sample = Sample(levels, BOX, np.zeros(1, np.int64), np.zeros(1, bool))
    steps = PRESETS["none"]((30, 40), np.array([6600.0]), lambda image, _: image)
    assert len(np.unique(augment(sample, steps, np.random.default_rng(0)).image)) == 1200
