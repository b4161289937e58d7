"""A detector over a data set, and the figures it gets."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from scratchdet.data.formats import list_splits, read_data
from scratchdet.data.read_ahead import READERS, pixels_or_why, read_ahead
from scratchdet.data.split import split_called
from scratchdet.data.survey import survey_images, usable_images
from scratchdet.data.voc_listed import read_listed
from scratchdet.evaluation.columns import from_detections
from scratchdet.evaluation.metrics import Metrics, evaluate_detections
from scratchdet.structures import (
    Arrays,
    DataError,
    DetectionData,
    Detections,
    Predictor,
    Problem,
    Record,
    nothing_found,
)

BATCH = 16


def detect_all(
    detector: Predictor,
    data: DetectionData,
    *,
    batch: int = BATCH,
    progress: Callable[[int], None] | None = None,
    unreadable: Callable[[Problem], None] | None = None,
) -> list[Detections | Arrays]:
    """What the detector finds in each image, in the order of `data`.

    progress: called with the number of images done. unreadable: called for an image that cannot be
    read, in which nothing is found then; without it such an image is a DataError.
    """
    found: list[Detections | Arrays] = []
    read = partial(_read, channels=detector.in_channels, dtype=detector.image_dtype)
    for images in read_ahead(data, read, batch=batch):
        in_readable = iter(detector.predict([one for one in images if isinstance(one, np.ndarray)]))
        for image in images:
            if not isinstance(image, DataError):
                found.append(next(in_readable))
                continue
            if unreadable is None:
                raise image
            where = data.paths[len(found)]
            what = str(image).removeprefix(f"{where}: ")
            unreadable(Problem(where, what, "nothing found in it", "unreadable-image"))
            found.append(nothing_found())
        if progress is not None:
            progress(len(found))
    return found


def _read(record: Record, *, channels: int, dtype: str) -> np.ndarray | DataError:
    return pixels_or_why(record.path, channels=channels, dtype=dtype, annotated_size=record.size)


def default_split(path: Path | str) -> str | None:
    """What is evaluated when nobody says: test, else val, else (None) all images."""
    available = list_splits(path)
    return split_called(available, "test") or split_called(available, "val")


def read_known(path: Path | str, *, split: str | None, detector: Predictor) -> DetectionData:
    """The data at `path` as the detector needs it: its classes in its order, no others' objects.

    Checked as training checks it: images that cannot be decoded, or are of other pixels than the
    detector takes, are dropped; boxes follow images that were resized after they were annotated;
    both are among the problems. Raises DataError if there are objects, but none of these classes,
    or images, but none that can be used.
    """
    classes = detector.classes
    data = read_data(path, split=split, classes=classes, files=detector.files)
    dropped = [problem for problem in data.problems if problem.action == "dropped"]
    if dropped and not data.num_objects:
        raise DataError(
            f"{path}: no object to evaluate on, of the classes {', '.join(classes)}. "
            f"{len(dropped)} were dropped, the first: {dropped[0]}"
        )
    return _usable(data, path=path, detector=detector)


def read_unannotated(path: Path | str, *, split: str, detector: Predictor) -> DetectionData:
    """All images of a VOC split, annotated or not, without objects: for a submission.

    What challenges test on is published without annotations, and `read_known` leaves it out.
    """
    data = read_listed(path, split=split, classes=detector.classes, files=detector.files)
    return _usable(data, path=path, detector=detector)


def _usable(data: DetectionData, *, path: Path | str, detector: Predictor) -> DetectionData:
    """The images of the detector's kind; DataError if there are images, but none that is."""
    survey = survey_images(
        data, threads=READERS, channels=detector.in_channels, dtype=detector.image_dtype
    )
    usable = usable_images(data, survey)
    if len(data) and not len(usable):
        raise DataError(f"{path}: no image that can be used; the last: {usable.problems[-1]}")
    return usable


def evaluate(
    detector: Predictor,
    data: DetectionData | Path | str,
    protocol: str = "voc",
    *,
    split: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Metrics:
    """The figures of `protocol` ("voc07", "voc", "coco") on a data set, or on the one at a path.

    Classes are matched by name, in the detector's order: see `read_known`. split: of the data at a
    path; see `default_split`.
    """
    if not isinstance(data, DetectionData):
        data = read_known(data, split=split or default_split(data), detector=detector)
    if data.classes != detector.classes:
        raise DataError(
            f"the data has the classes {', '.join(data.classes)} and the detector "
            f"{', '.join(detector.classes)}: read the data with classes=detector.classes"
        )
    found = detect_all(detector, data, progress=progress)
    return evaluate_detections(data, from_detections(found), protocol=protocol)
