"""What is worth knowing of the data before a training, in a line each."""

from collections.abc import Iterator, Mapping

import numpy as np

from scratchdet.analysis.report.words import count
from scratchdet.data.survey import Survey
from scratchdet.structures import DetectionData

FEW_IMAGES = 20
FEW_OBJECTS = 50
"""Of an evaluation. One object more or less found is then 2 % of the recall of all classes
together, and of that of a rare one much more; our choice."""
SHOWN_CLASSES = 5
"""In a line; the rest is counted."""


def describe_size(data: DetectionData) -> str:
    """`40 images, 3 of them without objects, 120 objects of 2 classes`."""
    empty = int((np.diff(data.offsets) == 0).sum())
    without = f", {empty} of them without objects" if empty else ""
    images, objects = count(len(data), "image"), count(data.num_objects, "object")
    return f"{images}{without}, {objects} of {count(len(data.classes), 'class', 'classes')}"


def describe_pixels(survey: Survey) -> str:
    """What the pixels are: `pixels: uint8, 3 channels (RGB), mean 106 98 91, std 61 60 62`."""
    channels = count(survey.channels, "channel")
    kind = f"{channels} (RGB)" if survey.is_rgb else channels
    mean, std = (_few(values) for values in (survey.mean, survey.std))
    return f"pixels: {survey.dtype}, {kind}, mean {mean}, std {std}"


def _few(values: np.ndarray) -> str:
    """The numbers, or the first and the last where there are many of them."""
    numbers = [f"{value:.4g}" for value in values]
    return " ".join(numbers if len(numbers) <= 4 else [*numbers[:2], "...", numbers[-1]])


def warnings(parts: Mapping[str, DetectionData]) -> Iterator[str]:
    """What is doubtful about the parts as they are used: too little to measure by, lacking classes.

    An object that is ignored is none to learn or to find.
    """
    for use, data in parts.items():
        counts = np.bincount(data.labels[~data.ignore], minlength=len(data.classes))
        evaluated = use != "training"
        if evaluated and (len(data) < FEW_IMAGES or counts.sum() < FEW_OBJECTS):
            images, objects = count(len(data), "image"), count(int(counts.sum()), "object")
            yield (
                f"NOTE: {use} has {images} with {objects}: its figures are "
                "coarse, and chance decides between models that are about as good"
            )
        if counts.any() and not counts.all():
            lacking = [data.classes[label] for label in np.flatnonzero(counts == 0)]
            more = f" and {len(lacking) - SHOWN_CLASSES} more" if lacking[SHOWN_CLASSES:] else ""
            what = "without AP, and not in the mean" if evaluated else "not to be learned"
            yield (
                f"NOTE: {use} has no object of {', '.join(lacking[:SHOWN_CLASSES])}{more}: {what}"
            )
