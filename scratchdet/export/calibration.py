"""What a network in INT8 is calibrated on, and what it is measured on."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchdet.data.formats import list_splits, read_data
from scratchdet.data.split import split_called
from scratchdet.evaluation.run import default_split, read_known
from scratchdet.export.pictures import read_some
from scratchdet.models.detector import Detector
from scratchdet.structures import DataError, DetectionData

COUNT = 128  # images to calibrate on, at most


class Material(NamedTuple):
    """Images of one data set, in two parts."""

    calibration: list[np.ndarray]
    """As read."""
    measured: DetectionData
    notes: tuple[str, ...]
    """In words, which images are for what."""


def read_material(detector: Detector, data: Path, *, trained: Collection[str] = ()) -> Material:
    """The images of `data` to calibrate on, always the same, and those to measure on.

    Measured is on the test split, else the validation split, else all, without the `trained` ones
    if that leaves any. Calibrated is on others, spread over the training split, else over all; on
    the measured ones where there are no others. DataError if none can be read, or none has objects.
    """
    split = default_split(data)
    measured = read_known(data, split=split, detector=detector)
    measured = _without(measured, trained)
    if not measured.num_objects:
        raise DataError(f"{data}, {split or 'all images'}: no object to measure INT8 on")
    splits = list_splits(data)
    train = split_called(splits, "train", "trainval") or split_called(splits, "trainval")
    candidates = read_data(data, split=train, classes=detector.classes, files=detector.files)
    own = _without(candidates, set(measured.paths))
    images = read_some(detector, own.paths, count=COUNT)
    notes = [
        f"calibrated on {len(images)} of {len(own)} images: {data}, {train or 'all images'}",
        f"measured on {len(measured)} images: {data}, {split or 'all images'}",
    ]
    if set(own.paths) & set(measured.paths):
        notes.append("NOTE: it is measured on images that it is calibrated on: there are no others")
    return Material(images, measured, tuple(notes))


def _without(images: DetectionData, paths: Collection[str]) -> DetectionData:
    """The images that are not among `paths`; all, if every one is."""
    rest = [index for index, path in enumerate(images.paths) if path not in paths]
    return images.subset(rest) if rest else images
