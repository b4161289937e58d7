"""What images of any sensor look like."""

import numpy as np
import pytest

from scratchdet.analysis.picture import as_picture
from scratchdet.ops.pixels import DTYPES, saturated
from scratchdet.structures import DataError


def noise(channels, dtype="uint8") -> np.ndarray:
    """A scene that all channels see, each with some noise of its own."""
    rng = np.random.default_rng(channels)
    return saturated(rng.normal(128, 60, (9, 7, 1)) + rng.normal(0, 9, (9, 7, channels)), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 10, 426])
def test_every_image_has_a_picture_of_its_size(channels, dtype):
    image = noise(channels, dtype)
    before = image.copy()
    picture = as_picture(image)
    assert (picture.shape, picture.dtype) == ((9, 7, 3), np.uint8)
    assert picture.flags.c_contiguous
    assert np.ptp(picture) > 100
    assert not np.shares_memory(picture, image)
    np.testing.assert_array_equal(image, before)


def test_bytes_of_one_and_three_channels_are_shown_as_they_are():
    image = noise(3)
    np.testing.assert_array_equal(as_picture(image), image)
    grey = noise(1)
    for one in (grey, grey[:, :, 0]):
        np.testing.assert_array_equal(as_picture(one), np.dstack([grey] * 3))


def test_two_channels_are_grey_where_they_agree_and_coloured_where_not():
    image = np.array([[[200, 200], [200, 100], [0, 255]]], np.uint8)
    assert as_picture(image)[0].tolist() == [[200, 200, 200], [200, 100, 150], [0, 255, 128]]


def test_many_bands_are_shown_as_thirds_the_last_of_them_red():
    image = np.array([[[10, 20, 30, 40, 200]]], np.uint8)  # thirds: 10 20, 30 40, 200
    assert as_picture(image).tolist() == [[[200, 35, 15]]]
    assert as_picture(noise(4))[0, 0, 0] == noise(4)[0, 0, 3]


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_other_types_are_stretched_and_a_dead_pixel_does_not_matter(dtype):
    image = np.linspace(1000, 2000, 400).reshape(20, 20, 1).astype(dtype)
    image[3, 3] = 30000
    picture = as_picture(image)[:, :, 0]
    assert (picture[0, 0], picture[-1, -1], picture[3, 3]) == (0, 255, 255)
    assert abs(int(picture[10, 0]) - 128) < 3


def test_each_band_is_stretched_in_its_own_range():
    ramp = np.linspace(0, 1, 300).reshape(20, 15)
    image = np.dstack([ramp * 3, ramp * 4000 + 200, 1 - ramp]).astype(np.float32)
    picture = as_picture(image).astype(int)
    assert np.abs(picture[..., 0] - picture[..., 1]).max() <= 1
    assert np.abs(picture[..., 0] - (255 - picture[..., 2])).max() <= 1


def test_two_values_are_black_and_white_and_one_value_is_black():
    assert as_picture(np.array([[1000], [3000]], np.uint16))[..., 0].tolist() == [[0], [255]]
    spot = np.zeros((20, 20), np.float32)
    assert as_picture(spot).max() == 0
    spot[5, 5] = 1e-3
    assert as_picture(spot)[5, 5, 0] == 255


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 4, 0), (4,), (2, 2, 2, 2)])
def test_a_shape_that_is_no_image_is_refused(shape):
    with pytest.raises(DataError, match="shape"):
        as_picture(np.zeros(shape, np.uint8))
