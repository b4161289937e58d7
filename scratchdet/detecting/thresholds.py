"""Which detections count: from which score on, class by class."""

from collections.abc import Mapping, Sequence

import numpy as np

from scratchdet.structures import Arrays, DataError

UNWANTED = 2.0  # no score is above it


def thresholds(
    classes: Sequence[str],
    *,
    min_score: float,
    class_scores: Mapping[str, float],
    only: Sequence[str] = (),
) -> np.ndarray:
    """(C,) float64: the score that a detection of each class must be above.

    class_scores: instead of `min_score`, for the classes in it. only: the classes that are wanted;
    none stands for all. DataError for a name that is no class.
    """
    for name in (*class_scores, *only):
        if name not in classes:
            raise DataError(f"no class is called {name!r}; there are {', '.join(classes)}")
    wanted = only or classes
    scores = [class_scores.get(name, min_score) if name in wanted else UNWANTED for name in classes]
    return np.array(scores)


def above(found: Arrays, least: np.ndarray) -> Arrays:
    """The detections with scores above those of their classes."""
    # A score of 0.3 in 32 bits is above 0.3 in 64; it is not meant.
    kept = found.scores > least.astype(np.float32)[found.labels]
    return Arrays(*(column[kept] for column in found))
