"""Photometric distortion as SSD does it: brightness, contrast, saturation, hue.

Source of the numbers and of the order: Caffe SSD, `ssd_pascal.py` (distort_param) and
`im_transforms.cpp` (ApplyDistort).
"""

from __future__ import annotations

import cv2
import numpy as np

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

LEVELS = np.arange(256, dtype=np.float32)


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
