"""Arithmetic on images of any depth and number of channels, channel by channel."""

import cv2
import numpy as np
import pytest

from scratchdet.ops.pixels import DTYPES, flip, mean_and_variance, resize, saturated

CHANNELS = (1, 2, 3, 4, 5, 10, 426)
INTERPOLATIONS = (
    cv2.INTER_LINEAR,
    cv2.INTER_AREA,
    cv2.INTER_NEAREST,
    cv2.INTER_CUBIC,
    cv2.INTER_LANCZOS4,
)


def noise(channels, dtype) -> np.ndarray:
    values = np.random.default_rng(channels).normal(0, 9000, (12, 17, channels))
    return saturated(values, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", [(5, 8), (30, 40)])
def test_every_channel_is_resized_as_if_it_were_alone(size, interpolation, channels, dtype):
    image = noise(channels, dtype)
    resized = resize(image, size, interpolation)
    assert resized.shape == (*size, channels)
    assert resized.dtype == image.dtype
    for channel in range(channels):
        plane = np.ascontiguousarray(image[:, :, channel])
        alone = cv2.resize(plane, size[::-1], interpolation=interpolation)
        difference = np.abs(resized[:, :, channel].astype(np.float64) - alone)
        assert difference.max() <= (1.0 if dtype != "float32" else 0.1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_flips_reverse_rows_or_columns(channels, dtype):
    image = noise(channels, dtype)
    np.testing.assert_array_equal(flip(image, 0), image[:, ::-1])
    np.testing.assert_array_equal(flip(image, 1), image[::-1])
    assert flip(image, 0).flags.c_contiguous
    assert flip(image, 1).dtype == image.dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_mean_and_variance_are_those_of_float64(channels, dtype):
    image = noise(channels, dtype)
    mean, variance = mean_and_variance(image)
    wide = image.reshape(-1, channels).astype(np.float64)
    assert (mean.shape, mean.dtype) == ((channels,), np.float64)
    np.testing.assert_allclose(mean, wide.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(variance, wide.var(axis=0), rtol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("uint8", [0, 3, 255]),
        ("uint16", [0, 3, 65535]),
        ("int16", [-32768, 3, 32767]),
        ("float32", [-1e5, 2.75, 1e5]),
    ],
)
def test_values_saturate_where_their_type_ends(dtype, expected):
    found = saturated(np.array([-1e5, 2.75, 1e5]), dtype)
    assert found.dtype == np.dtype(dtype)
    assert found.tolist() == expected
