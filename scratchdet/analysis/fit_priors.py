"""Prior sizes and aspect ratios that suit the boxes of a data set, where the network's own do not.

A search, coordinate by coordinate, for the scales that match most of the training boxes: it knows
the grids, and so that a fine map is needed for small objects. Sizes at quantiles of the boxes, the
other simple way, do not, and match fewer than the network's own (docs/priors.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from scratchdet.analysis.coverage import IOU, Coverage, Covered, coverage, percent, sizes_of
from scratchdet.analysis.prior_overlaps import Level, best_overlaps, boxes_at, levels_of
from scratchdet.models.detector import Detector
from scratchdet.ops.priors import PriorSpec, changed_specs
from scratchdet.structures import DetectionData

TRAINING = "training"
LEAST_GAIN = 0.01
"""Share of the training objects, classes balanced, that other priors must match more; our choice:
less is not worth a recipe of one's own."""
RATIO_GAIN = 0.02
"""The same, for other aspect ratios than the network's own: more priors at every location."""
ENOUGH = 0.95
"""Share of the training objects that is matched; below it, larger inputs are tried."""
INPUT_GAIN = 0.03
"""Share that a larger input must match more to be named: it takes the square of the time."""
LARGER = (1.5, 2.0)
OBJECTS = 2_000
"""That the search looks at, spread evenly."""
ZOOMS = ((0.75, 0.25), (1.0, 0.5), (1.33, 0.25))
"""Sizes in which each box counts, and how much: augmentation shows objects smaller and larger."""
FACTORS = (1.3, 1.14, 1.07, 1.03)
"""That single scales are multiplied and divided by, as long as it helps."""
SWEEPS = 8
"""With each factor, at most."""
BETTER = 1e-4
"""Least gain of a move."""
LADDER_GAIN = 0.005
"""Score that a search from a ladder over the boxes must gain on one from the network's own scales:
where it makes no difference, coarse maps keep large priors, for what augmentation enlarges."""
APART = 1.02
"""Least quotient of neighbouring scales."""
LARGEST = 1.5
"""Scale: a prior may be somewhat larger than the image, as SSD's last is."""
DIGITS = 4


class Priors(NamedTuple):
    """What a recipe says of them; the network's own where empty."""

    scales: tuple[float, ...]
    ratios: tuple[float, ...]


class Boxes(NamedTuple):
    """What the search is to match."""

    boxes: np.ndarray
    """(M, 4) in pixels of the input."""
    weights: np.ndarray
    """(M,) sum to 1."""


class Input(NamedTuple):
    """What a larger input would match."""

    size: tuple[int, int]
    covered: Covered
    """Of the training objects, with priors fitted to it."""


@dataclass(frozen=True)
class PriorFit:
    """Priors proposed for a data set, or none, and how they compare with the network's own."""

    tried: Priors
    """The best that were found for the training boxes."""
    refused: str
    """Why they are not better than those that the network has, in a sentence; empty: they are."""
    before: dict[str, Coverage]
    """By what the part is used for."""
    after: dict[str, Coverage]
    """With those tried."""
    larger: Input | None
    """An input that is worth a try."""

    @property
    def proposal(self) -> Priors | None:
        """Priors that are better than the network's own, if there are any."""
        return None if self.refused else self.tried

    @property
    def reason(self) -> str:
        """What was found, in a sentence."""
        return self.refused or _gain(self.before, self.after)

    def to_json(self) -> dict[str, Any]:
        return {
            "proposal": self.proposal and self.proposal._asdict(),
            "reason": self.reason,
            "before": {use: one.to_json() for use, one in self.before.items()},
            "after": {use: one.to_json() for use, one in self.after.items()},
            "larger_input": self.larger
            and {"input_size": self.larger.size, "share": self.larger.covered.share},
        }


def fit_priors(
    detector: Detector, parts: Mapping[str, DetectionData], *, iou: float = IOU
) -> PriorFit:
    """Priors for the training boxes of `parts`, judged on all of them.

    detector: with the priors to be improved; it may be on the meta device.
    """
    size = detector.input_size
    levels = levels_of(detector, size)
    before = {use: coverage(data, levels, input_size=size, iou=iou) for use, data in parts.items()}
    train = parts[TRAINING]
    if not before[TRAINING].all.objects:
        nothing = "there is no object to fit priors to"
        return PriorFit(Priors((), ()), nothing, before, before, None)
    found = _best_priors(detector.specs, levels, _boxes_of(train, size), side=min(size), iou=iou)
    fitted = laid(levels, detector.specs, found, side=min(size))
    after = {use: coverage(data, fitted, input_size=size, iou=iou) for use, data in parts.items()}
    refused = _refusal(before, after)
    kept = before if refused else after
    larger = None
    if kept[TRAINING].all.share < ENOUGH:
        larger = _larger_input(detector, train, found, least=kept[TRAINING].all.share, iou=iou)
    return PriorFit(found, refused, before, after, larger)


def balanced(found: Coverage) -> float:
    """Share of the objects that are matched, where a class counts by the root of its objects: a
    rare one is neither drowned nor all that matters."""
    classes = [one for one in found.per_class.values() if one.objects]
    weights = np.sqrt([one.objects for one in classes])
    return float(np.average([one.share for one in classes], weights=weights))


def _refusal(before: Mapping[str, Coverage], after: Mapping[str, Coverage]) -> str:
    """Why the priors stay as they are; empty if others are better."""
    ours, theirs = before[TRAINING], after[TRAINING]
    share = percent(ours.all.share)
    if balanced(theirs) - balanced(ours) < LEAST_GAIN or theirs.all.matched < ours.all.matched:
        return (
            f"the priors are fine as they are: {share} of the training objects are matched, and "
            "no others were found that match clearly more"
        )
    for use, found in after.items():
        if found.all.objects and balanced(found) < balanced(before[use]):
            return (
                f"the priors stay as they are: others match {percent(theirs.all.share)} of the "
                f"training objects, not {share}, but fewer of {use}, classes balanced: "
                f"{percent(balanced(found))}, not {percent(balanced(before[use]))}"
            )
    return ""


def _gain(before: Mapping[str, Coverage], after: Mapping[str, Coverage]) -> str:
    shares = [
        f"{percent(after[use].all.share)} of {use}, not {percent(before[use].all.share)}"
        for use in after
        if after[use].all.objects
    ]
    return f"other priors match more objects: {'; '.join(shares)}"


def _boxes_of(data: DetectionData, size: tuple[int, int]) -> Boxes:
    """The boxes that count, evenly spread where they are many, in all ZOOMS."""
    real = np.flatnonzero(~data.ignore)
    real = real[:: -(-len(real) // OBJECTS)]
    boxes, labels = boxes_at(data, size)[real], data.labels[real]
    counts = np.bincount(labels, minlength=len(data.classes))
    weights = 1 / np.sqrt(counts[labels])
    centres, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    zoomed = [np.hstack([centres - zoom * halves, centres + zoom * halves]) for zoom, _ in ZOOMS]
    shares = [share * weights / weights.sum() for _, share in ZOOMS]
    return Boxes(np.concatenate(zoomed), np.concatenate(shares))


def _best_priors(
    specs: Sequence[PriorSpec], levels: Sequence[Level], given: Boxes, *, side: int, iou: float
) -> Priors:
    """The best scales with the network's own ratios; others only if they are clearly better."""
    best, highest = Priors((), ()), -np.inf
    for ratios in ((), *_ratios_for(given)):
        for start, price in _starts(specs, given, side=side):
            tried = Search(specs, levels, given, ratios=ratios, side=side, iou=iou)
            score = tried.climb(start) - price - (RATIO_GAIN if ratios else 0.0)
            if score > highest:
                best, highest = Priors(tried.scales, ratios), score
    return best


def _ratios_for(given: Boxes) -> list[tuple[float, ...]]:
    """One and two aspect ratios as the boxes have them, long side : short side."""
    sides = given.boxes[:, 2:] - given.boxes[:, :2]
    long = sides.max(axis=1) / sides.min(axis=1)
    order = np.argsort(long)
    share = np.cumsum(given.weights[order])
    at = [float(long[order][np.searchsorted(share, part)]) for part in (0.5, 0.35, 0.75)]
    one, few, many = (max(1.2, round(ratio, 1)) for ratio in at)
    return [(one,), (few, many)] if few < many else [(one,)]


def _starts(
    specs: Sequence[PriorSpec], given: Boxes, *, side: int
) -> list[tuple[list[float], float]]:
    """Where the search begins, and what that costs: at the network's own scales, and at a ladder
    over the boxes."""
    own = [spec.min_size / side for spec in specs]
    last = specs[-1].max_size or specs[-1].min_size * own[-1] / own[-2]
    sizes = sizes_of(given.boxes) / side
    low, high = np.quantile(sizes, [0.02, 0.98])
    steps = len(specs)
    ladder = np.geomspace(low, min(LARGEST, max(high, low * 1.1**steps)), steps + 1)
    return [([*own, last / side], 0.0), (ladder.tolist(), LADDER_GAIN)]


class Search:
    """Scales that are moved one by one, as long as the boxes are matched better."""

    def __init__(
        self,
        specs: Sequence[PriorSpec],
        levels: Sequence[Level],
        given: Boxes,
        *,
        ratios: Sequence[float],
        side: int,
        iou: float,
    ) -> None:
        self.specs, self.levels, self.given = specs, levels, given
        self.ratios, self.side, self.iou = tuple(ratios), side, iou
        self.scales: tuple[float, ...] = ()

    def climb(self, start: Sequence[float]) -> float:
        """The score of `scales`, which are the best to be reached from `start`."""
        scales = list(start)
        overlaps = self._overlaps(scales, range(len(self.levels)))
        score = self._score(overlaps)
        for factor in FACTORS:
            for _ in range(SWEEPS):
                begun = score
                for place in range(len(scales)):
                    for times in (factor, 1 / factor):
                        moved = [*scales]
                        moved[place] *= times
                        if not self._in_order(moved):
                            continue
                        # A scale belongs to its level, and to the one before it.
                        touched = [at for at in (place - 1, place) if 0 <= at < len(self.levels)]
                        changed = overlaps.copy()
                        changed[:, touched] = self._overlaps(moved, touched)
                        if (higher := self._score(changed)) > score + BETTER:
                            scales, overlaps, score = moved, changed, higher
                if score == begun:
                    break
        self.scales = _rounded(scales)
        return score

    def _score(self, overlaps: np.ndarray) -> float:
        """Share of the boxes that are matched, and their mean overlap: how well, and how nearly."""
        best = overlaps.max(axis=1)
        return float(self.given.weights @ ((best >= self.iou) + best))

    def _overlaps(self, scales: Sequence[float], places: Sequence[int]) -> np.ndarray:
        changed = laid(self.levels, self.specs, Priors(tuple(scales), self.ratios), side=self.side)
        return best_overlaps(self.given.boxes, [changed[place] for place in places])

    def _in_order(self, scales: Sequence[float]) -> bool:
        rise = all(small * APART < large for small, large in pairwise(scales))
        return rise and scales[0] * self.side >= 1 and scales[-1] <= LARGEST


def laid(
    levels: Sequence[Level], specs: Sequence[PriorSpec], priors: Priors, *, side: int
) -> tuple[Level, ...]:
    """The same locations with other priors."""
    changed = changed_specs(specs, side=side, scales=priors.scales, ratios=priors.ratios)
    return tuple(level.with_shapes(spec) for level, spec in zip(levels, changed, strict=True))


def _rounded(scales: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(float(scale), DIGITS) for scale in scales)


def _larger_input(
    detector: Detector, train: DetectionData, found: Priors, *, least: float, iou: float
) -> Input | None:
    """The first larger input that matches clearly more objects; None if none does."""
    for times in LARGER:
        height, width = (8 * round(side * times / 8) for side in detector.input_size)
        size = (height, width)
        levels, side = levels_of(detector, size), min(size)
        search = Search(
            detector.specs, levels, _boxes_of(train, size), ratios=found.ratios, side=side, iou=iou
        )
        search.climb(found.scales)
        changed = laid(levels, detector.specs, Priors(search.scales, found.ratios), side=side)
        covered = coverage(train, changed, input_size=size, iou=iou).all
        if covered.share >= least + INPUT_GAIN:
            return Input(size, covered)
    return None
