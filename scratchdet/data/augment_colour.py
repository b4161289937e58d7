"""Photometric distortion as SSD does it: brightness, contrast, saturation, hue.

Source of the numbers and of the order: Caffe SSD, `ssd_pascal.py` (distort_param) and
`im_transforms.cpp` (ApplyDistort). They are of grey and RGB images in 8 bits. Deeper RGB images get
the same in their own range, and all other channels the gain and offset of a sensor; nothing is
reduced to 8 bits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from scratchdet.ops.pixels import saturated

PROBABILITY = 0.5
"""Of each of the four distortions."""
BRIGHTNESS = 32.0
"""Greatest change, in grey levels of 0..255."""
CONTRAST = (0.5, 1.5)
"""Range of the factor; about black, not about the image's mean."""
SATURATION = (0.5, 1.5)
"""Range of the factor."""
HUE = 18.0
"""Greatest turn, in OpenCV's half degrees: the circle has 180."""
HALF_DEGREES = 180

BRIGHTNESS_STD = 0.5
"""Greatest change, in standard deviations of the pixels, where white is not 255. BRIGHTNESS is
about half of that of photographs in 8 bits, 57 to 58 (ImageNet's, as torchvision has it)."""
BAND_GAIN = 0.1
BAND_OFFSET = 0.1
"""Greatest change of a single band against the others, as a factor and in standard deviations: a
fifth of what all change together. Our own choice: what tells objects apart is how the bands differ
(a spectrum, a picture and its reference), and that must still be seen."""

LEVELS = np.arange(256, dtype=np.float32)

ImageStep = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""(image (H, W, C), rng) -> image of the same shape and type."""


def distortion_for(*, dtype: str, is_rgb: bool, mean: np.ndarray, std: np.ndarray) -> ImageStep:
    """The distortion that suits pixels of this type; mean, std: (C,) of them, in their units."""
    if dtype == "uint8" and (is_rgb or len(mean) == 1):
        return distort_colours
    if is_rgb:
        return partial(distort_deep_colours, std=float(np.mean(std)))
    return partial(distort_bands, mean=mean, std=std)


def distort_colours(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A new (H, W, C) uint8 image with other brightness, contrast and, if RGB, colours.

    Contrast comes before the colours or after them, by chance. Images that have not exactly three
    channels get brightness and contrast only, the same for all channels.
    """
    brightness = _levels(LEVELS + _draw(rng, -BRIGHTNESS, BRIGHTNESS, otherwise=0.0))
    contrast = _levels(LEVELS * _draw(rng, *CONTRAST, otherwise=1.0))
    saturation = _draw(rng, *SATURATION, otherwise=1.0)
    hue = _draw(rng, -HUE, HUE, otherwise=0.0)
    contrast_first = rng.random() < 0.5
    if image.shape[2] != 3 or (saturation == 1.0 and hue == 0.0):
        return _look_up(image, contrast[brightness])
    if contrast_first:
        return _shift_colours(_look_up(image, contrast[brightness]), saturation, hue)
    return _look_up(_shift_colours(_look_up(image, brightness), saturation, hue), contrast)


def _draw(rng: np.random.Generator, low: float, high: float, otherwise: float) -> float:
    return rng.uniform(low, high) if rng.random() < PROBABILITY else otherwise


def _levels(values: np.ndarray) -> np.ndarray:
    """The look-up table that turns level i into `values[i]`, saturated."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _look_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    return cv2.LUT(image, table).reshape(image.shape)  # OpenCV drops a single channel


def _shift_colours(image: np.ndarray, saturation: float, hue: float) -> np.ndarray:
    """`image` (H, W, 3) RGB with saturation multiplied and hue turned by `hue` half degrees.

    The hue goes round the circle. Caffe's saturates at 0, which gathers the reds there.
    """
    hues = np.rint(LEVELS + hue) % HALF_DEGREES
    table = np.stack([_levels(hues), _levels(LEVELS * saturation), _levels(LEVELS)], axis=-1)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    return cv2.cvtColor(cv2.LUT(hsv, table[:, None]), cv2.COLOR_HSV2RGB)


def distort_deep_colours(image: np.ndarray, rng: np.random.Generator, *, std: float) -> np.ndarray:
    """As `distort_colours`, for an RGB image (H, W, 3) of any type, whose black is 0.

    std: of the pixels; brightness is in units of it. What falls below black becomes black.
    """
    brightness = std * _draw(rng, -BRIGHTNESS_STD, BRIGHTNESS_STD, otherwise=0.0)
    contrast = _draw(rng, *CONTRAST, otherwise=1.0)
    saturation = _draw(rng, *SATURATION, otherwise=1.0)
    hue = _draw(rng, -HUE, HUE, otherwise=0.0)
    contrast_first = rng.random() < 0.5
    pixels = image.astype(np.float32) + np.float32(brightness)
    pixels *= np.float32(contrast if contrast_first else 1.0)
    if saturation != 1.0 or hue != 0.0:
        hsv = cv2.cvtColor(np.maximum(pixels, 0), cv2.COLOR_RGB2HSV)  # degrees, 0..1, brightest
        hsv[:, :, 0] = (hsv[:, :, 0] + 2 * hue) % 360
        hsv[:, :, 1] = np.minimum(hsv[:, :, 1] * saturation, 1)
        pixels = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    pixels *= np.float32(1.0 if contrast_first else contrast)
    return saturated(pixels, image.dtype)


def distort_bands(
    image: np.ndarray, rng: np.random.Generator, *, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    """A new image (H, W, C) of any type with another gain and offset in every band.

    mean, std: (C,) of the bands. The gain is about the mean, not about 0, which need not be black:
    a thermal camera counts from anywhere. Most of it all bands have in common, see BAND_GAIN.
    """
    offset = _draw(rng, -BRIGHTNESS_STD, BRIGHTNESS_STD, otherwise=0.0)
    gain = _draw(rng, *CONTRAST, otherwise=1.0)
    offsets, gains = np.full(len(mean), offset), np.full(len(mean), gain)
    if len(mean) > 1 and rng.random() < PROBABILITY:
        offsets += rng.uniform(-BAND_OFFSET, BAND_OFFSET, len(mean))
        gains *= rng.uniform(1 - BAND_GAIN, 1 + BAND_GAIN, len(mean))
    added = mean + offsets * std - gains * mean
    changed = image.astype(np.float32) * gains.astype(np.float32) + added.astype(np.float32)
    return saturated(changed, image.dtype)
