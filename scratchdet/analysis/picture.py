"""What an image of any sensor looks like: an RGB picture of it, to draw on."""

import numpy as np

from scratchdet.structures import DataError

STRETCH = (2.0, 98.0)
"""Percentiles of a band that become black and white, where its values are not 0..255: a hot spot or
a dead pixel leaves the rest of the picture to be seen."""


def as_picture(image: np.ndarray) -> np.ndarray:
    """A new (H, W, 3) uint8 picture of an image (H, W[, C]) of any type.

    One channel is grey and three are red, green and blue. Two are red and green, with their mean as
    blue: what they agree in is grey. More are three bands, the means of the first, second and last
    third of the channels, blue to red as in a spectrum. Values that are not uint8 are stretched in
    each of the three.
    """
    bands = image[..., None] if image.ndim == 2 else image
    if bands.ndim != 3 or 0 in bands.shape:
        raise DataError(f"cannot draw on an image of shape {image.shape}; give (H, W) or (H, W, C)")
    if bands.shape[2] == 2:
        bands = np.dstack([bands, _mean(bands)])
    elif bands.shape[2] > 3:
        thirds = np.array_split(np.arange(bands.shape[2]), 3)
        bands = np.dstack([_mean(bands[:, :, third]) for third in reversed(thirds)])
    if bands.dtype != np.uint8:
        bands = np.dstack([_stretched(band) for band in np.moveaxis(bands, 2, 0)])
    picks = [0, 1, 2] if bands.shape[2] == 3 else [0, 0, 0]
    return np.ascontiguousarray(bands[:, :, picks])


def _mean(bands: np.ndarray) -> np.ndarray:
    """(H, W) mean over the channels; of bytes it is one."""
    mean = bands.mean(axis=2, dtype=np.float64)
    return np.rint(mean).astype(np.uint8) if bands.dtype == np.uint8 else mean


def _stretched(band: np.ndarray) -> np.ndarray:
    """(H, W) uint8: from black to white over what most of the values are."""
    low, high = np.percentile(band, STRETCH)
    if low == high:  # a few spots on one level
        low, high = float(band.min()), float(band.max())
    shares = (band.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
    return np.rint(shares.clip(0, 1) * 255).astype(np.uint8)
