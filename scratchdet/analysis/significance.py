"""Which of two groups of runs is better, and whether that can be told from chance.

Chance has two parts. Another seed gives another network: the spread over the seeds of a group tells
by how much. Other test images give other figures: a bootstrap over the images tells, in which all
runs that are judged by the same images have the same ones drawn, so that what makes an image easy
for all of them does not count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from scratchdet.analysis.compare import (
    Entry,
    Evaluated,
    Group,
    figure_in_words,
    figure_name,
    same_images,
)
from scratchdet.evaluation.intervals import (
    LEVEL,
    NO_INTERVAL,
    RESAMPLES,
    Interval,
    draw,
    interval,
    mean_over_classes,
    resampled,
)
from scratchdet.evaluation.metrics import PROTOCOLS

ANGLES = 100_001  # at which Student's t is summed up


class Comparison(NamedTuple):
    """The better of two groups against the other."""

    better: str
    worse: str
    """Their letters."""
    by: float
    figure: str
    """What of: AP50, or AP50:95."""
    interval: Interval
    """95 %, of `by`; NaN where chance cannot be judged."""
    over: str
    """What chance was judged by, or why it was not."""

    @property
    def told(self) -> bool:
        """Whether the difference can be told from chance."""
        return self.interval.low > 0

    def __str__(self) -> str:
        """`B is better than A by 0.012 AP50 (95 %: 0.003 to 0.021, paired over 72 images)`."""
        low, high = self.interval
        by = f"{self.by:.3f} {self.figure}"
        if math.isnan(low):
            return (
                f"{self.better} is {by} above {self.worse}; whether that is chance cannot be told: "
                f"{self.over}"
            )
        limits = f"(95 %: {low:.3f} to {high:.3f}, {self.over})"
        if self.told:
            return f"{self.better} is better than {self.worse} by {by} {limits}"
        return f"no difference can be told between {self.better} and {self.worse}: {by} {limits}"


def comparisons(groups: Sequence[Group], *, seed: int = 0) -> list[Comparison]:
    """Every two of the groups that have a figure, the better one first. seed: of the resamples."""
    known = [group for group in groups if group.settled]
    drawn = redrawn([run for group in known for run in group.settled], seed=seed)
    return [compared(one, other, drawn=drawn) for one, other in combinations(known, 2)]


def redrawn(runs: Sequence[Entry], *, seed: int) -> dict[str, np.ndarray]:
    """The figure (1 + R,) of each evaluated run, by its name: as it is, and on images drawn anew.

    Runs that are judged by the same images have the same ones drawn.
    """
    figures: dict[str, np.ndarray] = {}
    weights: list[tuple[Evaluated, np.ndarray]] = []
    for run in runs:
        one = run.evaluated
        if one is None:
            continue
        known = next((w for other, w in weights if same_images(one.data, other.data)), None)
        if known is None:
            rng = np.random.default_rng([seed, len(weights)])
            once = np.ones((len(one.data), 1), np.uint8)
            known = np.concatenate([once, draw(len(one.data), RESAMPLES, rng)], axis=1)
            weights.append((one, known))
        protocol = run.recipe.run.protocol
        precision = resampled(one.data, one.verdicts, PROTOCOLS[protocol].points, weights=known)
        levels = precision if figure_name(protocol) == "ap" else precision[:1]
        figures[run.name] = mean_over_classes(levels.mean(axis=0))
    return figures


def compared(one: Group, other: Group, *, drawn: Mapping[str, np.ndarray]) -> Comparison:
    """The two groups, both with a figure; the one that is given first is better if they are equal.

    drawn: see `redrawn`; without the runs of either group, only seeds are judged by.
    """
    means = [float(np.mean([run.ap for run in group.settled])) for group in (one, other)]
    better, worse = (one, other) if means[0] >= means[1] else (other, one)
    by = abs(means[0] - means[1])
    limits, over = _chance(better, worse, by=by, drawn=drawn)
    figure = figure_in_words([one, other])
    return Comparison(better.letter, worse.letter, by, figure, limits, over)


def _chance(
    better: Group, worse: Group, *, by: float, drawn: Mapping[str, np.ndarray]
) -> tuple[Interval, str]:
    """The interval of the difference `by`, and what it comes from."""
    sides = (better.settled, worse.settled)
    counts = [len(side) for side in sides]
    differences, images = _over_images(sides, drawn)
    if max(counts) == 1:
        if differences is None:
            return NO_INTERVAL, "there is one run of each, and they were not evaluated anew"
        return interval(differences), f"{images}; one seed each"
    over = f"{counts[0]} and {counts[1]} seeds"
    if differences is None and all(len({run.ap for run in side}) == 1 for side in sides):
        # A few that agree do not show that others would.
        return NO_INTERVAL, f"no spread is seen over {over}, and they were not evaluated anew"
    variance, uncertain = _over_seeds(sides)
    if differences is not None:
        variance += float(np.nanvar(differences[1:]))
        over = f"{over}, {images}"
    # Welch and Satterthwaite; what the images add is known well.
    freedom = variance**2 / uncertain if uncertain else math.inf
    reach = student(freedom) * math.sqrt(variance)
    return Interval(by - reach, by + reach), over


def _over_seeds(sides: Sequence[Sequence[Entry]]) -> tuple[float, float]:
    """The variance of the difference of the means with other seeds, and that of this estimate over
    two. A group of one run is taken to scatter as the other one does."""
    spreads = [spread([run.ap for run in side]) for side in sides]
    shares = [1 / len(side) for side in sides]
    if any(map(math.isnan, spreads)):
        variance = float(np.nanmax(spreads)) ** 2 * sum(shares)
        return variance, variance**2 / (max(map(len, sides)) - 1)
    variances = [value**2 * share for value, share in zip(spreads, shares, strict=True)]
    return sum(variances), sum(
        value**2 / (len(side) - 1) for value, side in zip(variances, sides, strict=True)
    )


def _over_images(
    sides: Sequence[Sequence[Entry]], drawn: Mapping[str, np.ndarray]
) -> tuple[np.ndarray | None, str]:
    """(1 + R,) differences as the images are drawn anew, and the images in words; None if they
    cannot be."""
    runs = [run for side in sides for run in side]
    evaluated = [run.evaluated for run in runs if run.evaluated is not None]
    if len(evaluated) < len(runs):
        return None, ""
    means = [np.mean([drawn[run.name] for run in side], axis=0) for side in sides]
    if all(same_images(one.data, evaluated[0].data) for one in evaluated):
        return means[0] - means[1], f"paired over {len(evaluated[0].data)} images"
    return means[0] - means[1], "not paired: over different images"


def spread(values: Sequence[float]) -> float:
    """The standard deviation of what the values are drawn from; NaN for one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def student(freedom: float) -> float:
    """How many standard errors 95 % of Student's t lie within: 1.96 with endless freedom.

    With t = sqrt(freedom) tan(a) its density is cos(a) ** (freedom - 1): summed up, and looked up.
    """
    freedom = min(freedom, 1e5)  # the angles are dense enough for that
    angles = np.linspace(0, math.pi / 2, ANGLES)[:-1]
    with np.errstate(under="ignore"):
        density = np.cos(angles) ** (freedom - 1)
    within = np.cumsum(density) - (density + density[0]) / 2
    # Of the whole: the last step, to the right angle, is a rectangle where the density is not 0.
    angle = np.interp(LEVEL, within / (within[-1] + density[-1]), angles)
    return math.sqrt(freedom) * math.tan(angle)
