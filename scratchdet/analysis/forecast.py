"""Where the AP of a training is heading, from its evaluations so far, and how sure that is.

AP rises and saturates: as `highest * (1 - exp(-(x / scale) ** shape))` or, with a longer tail, as
`highest / (1 + (scale / x) ** shape)`; both may begin late, as AP does. x is either the steps or
the learning done, the sum of the learning rates, which stands still where a schedule ends. Which of
them is right is not known, so none is chosen: all curves of a grid count, each by how well it fits
the evaluations (with Student's t for what AP scatters by), and the limits are quantiles of what
they say. There are no random numbers: the same evaluations always give the same forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

LEVEL = 0.8
"""Of the intervals: four of five trainings should end in theirs."""
LEAST = 4
"""Evaluations before anything is said."""
LOWEST = 0.05
"""AP50 below which a curve has hardly begun, and may still lead anywhere. Our own."""
WIDEST = 0.3
"""Of an interval: a wider one says nothing, and is not told."""
SCATTER, SCATTER_WEIGHT = 0.015, 3.0
"""What AP is thought to scatter by from one evaluation to the next before any is seen, and how many
evaluations that counts as. Our own."""
INFORMATION = 8
"""Evaluations after which more of them tell no more of the end: AP follows no law that closely."""
PLATEAU = 0.01
"""AP that is left to be gained where a curve counts as flat."""
WORTH = 0.01
"""AP for which more steps would have been worth while."""
SHAPES = np.geomspace(0.4, 6, 24)
SCALES = np.geomspace(0.02, 20, 48)  # in lengths of the training
LEAST_SIZE = 1e-9  # of a curve that has not begun to rise: such a one explains nothing
NEGLIGIBLE = 1e-5  # weight of a curve, as a share of the best one's
SAMPLES = 2000  # steps at which the learning rate is looked at
NORMAL = np.array([-1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645])
"""Middles of ten equal parts of a normal distribution."""

Curve = Sequence[tuple[int, float]]
"""(steps done, AP50 then) of every evaluation in which AP50 was defined, rising in steps."""


class Forecast(NamedTuple):
    """What the AP50 at a step is expected to be."""

    ap50: float
    low: float
    high: float
    step: int
    plateau: int
    """The step from which on less than 0.01 is left to be gained until then."""

    def __str__(self) -> str:
        """`forecast for step 1200: AP50 0.712 (0.681 to 0.744), hardly rising from step 900 on`."""
        flat = f", hardly rising from step {self.plateau} on" if self.plateau < self.step else ""
        limits = f"({self.low:.3f} to {self.high:.3f})"
        return f"forecast for step {self.step}: AP50 {self.ap50:.3f} {limits}{flat}"


class Gain(NamedTuple):
    """What AP50 is expected to gain in a training that is longer."""

    ap50: float
    low: float
    high: float
    step: int
    """The length of that training."""

    def __str__(self) -> str:
        """`more steps would hardly have helped: a run of 2400 is expected to gain ...`."""
        helped = "may or may not"
        if self.low >= WORTH:
            helped = "would probably"
        elif self.high < WORTH:
            helped = "would hardly"
        gains = f"{self.ap50:.3f} AP50 ({self.low:.3f} to {self.high:.3f})"
        return f"more steps {helped} have helped: a run of {self.step} is expected to gain {gains}"


def curve_of(log: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """The curve in the records of a `log.jsonl`."""
    found = [
        (record["step"], record["evaluation"]["ap50"]) for record in log if "evaluation" in record
    ]
    return [(step, value) for step, value in found if value is not None]


def rounded(told: Forecast | Gain) -> dict[str, float | int]:
    """Plain values, as exact as they are worth."""
    return {name: round(value, 4) for name, value in told._asdict().items()}


def learning_done(rate_at: Callable[[int], float], steps: int) -> np.ndarray:
    """(steps + 1,) share of the learning of all steps that is done after 0, 1, ... of them.

    Where nothing is learned at any step, all of them count alike.
    """
    at = np.unique(np.linspace(0, steps - 1, min(steps, SAMPLES)).round().astype(int))
    rates = np.interp(np.arange(steps), at, [rate_at(int(step)) for step in at])
    if not rates.any():
        rates = np.ones(steps)
    done = np.concatenate([[0.0], np.cumsum(rates)])
    return np.asarray(done / done[-1])


def forecast(curve: Curve, *, learned: np.ndarray) -> Forecast | None:
    """What is expected of the last evaluation of the training. learned: see `learning_done`.

    None where there is nothing to be told: fewer than four evaluations, AP that does not rise or
    has hardly begun to, or limits so far apart that they say nothing.
    """
    if not _rises([value for _, value in curve]):
        return None
    steps, fits = len(learned) - 1, _fits(curve, learned)
    end = fits.at(1.0, 1.0)
    spread = (end[:, None] + fits.scatter[:, None] * NORMAL).clip(0, 1)
    low, middle, high = _limits(spread.ravel(), np.repeat(fits.weight, len(NORMAL)))
    if high - low > WIDEST:
        return None
    course = np.linspace(curve[-1][0], steps, 50).round().astype(int)
    missing = [float(fits.weight @ (end - fits.at(step / steps, learned[step]))) for step in course]
    flat = next(int(step) for step, left in zip(course, missing, strict=True) if left < PLATEAU)
    return Forecast(middle, low, high, steps, flat)


def gain_if_longer(curve: Curve, *, learned: np.ndarray, lengths: int = 2) -> Gain | None:
    """What a training `lengths` times as long would end above this one; None as for `forecast`."""
    if not _rises([value for _, value in curve]):
        return None
    fits = _fits(curve, learned)
    low, middle, high = _limits(fits.at(lengths, lengths) - fits.at(1.0, 1.0), fits.weight)
    return Gain(middle, low, high, lengths * (len(learned) - 1)) if high - low <= WIDEST else None


def outlook(curve: Curve, *, learned: np.ndarray) -> dict[str, Forecast | Gain]:
    """What is to be told after an evaluation, under its name in the log; empty: nothing.

    Before the last one that is the `forecast`, and then the gain, `if_longer`.
    """
    if not curve:
        return {}
    if curve[-1][0] < len(learned) - 1:
        told: Forecast | Gain | None = forecast(curve, learned=learned)
        return {"forecast": told} if told else {}
    told = gain_if_longer(curve, learned=learned)
    return {"if_longer": told} if told else {}


class _Fits(NamedTuple):
    """N curves that may be the true one."""

    weight: np.ndarray
    """(N,), 1 in all."""
    scatter: np.ndarray
    """(N,) of the evaluations around the curve."""
    highest: np.ndarray
    scale: np.ndarray
    shape: np.ndarray
    by_learning: np.ndarray
    """(N,) bool: over the learning done, not over the steps."""
    long_tail: np.ndarray
    """(N,) bool."""

    def at(self, steps: float, learned: float) -> np.ndarray:
        """(N,) AP50 after these shares of the steps and of the learning."""
        x = np.where(self.by_learning, learned, steps)
        course = _course(x / self.scale, self.shape)
        return self.highest * np.where(self.long_tail, course[1], course[0])


def _course(x: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What share of its highest a curve has reached, without and with a long tail."""
    power = np.maximum(x, 1e-9) ** shape
    return -np.expm1(-power), power / (1 + power)


def _fits(curve: Curve, learned: np.ndarray) -> _Fits:
    """All curves that the evaluations do not rule out.

    Of each shape and scale there are ten, that differ in how high they go: by what the evaluations,
    which scatter, leave open.
    """
    steps, values = (np.array(column, float) for column in zip(*curve, strict=True))
    axes = (steps / (len(learned) - 1), learned[steps.astype(int)])
    shape, scale = (part.ravel() for part in np.meshgrid(SHAPES, SCALES))
    freedom = len(values) + SCATTER_WEIGHT
    trust = min(1.0, INFORMATION / len(values))
    columns = []
    for by_learning, x in enumerate(axes):
        for long_tail, course in enumerate(_course(x / scale[:, None], shape[:, None])):
            size = (course**2).sum(axis=1) + LEAST_SIZE
            highest = course @ values / size
            squares = (values**2).sum() - highest**2 * size
            variance = (np.maximum(squares, 0) + SCATTER_WEIGHT * SCATTER**2) / freedom
            # The likelihood of shape and scale, whatever the height is.
            chance = -0.5 * (trust * freedom * np.log(variance) + np.log(size / variance))
            several = highest + np.sqrt(variance / size / trust) * NORMAL[:, None]
            columns.append(
                np.broadcast_arrays(
                    np.where((several > 0) & (several <= 1), chance, -np.inf),
                    np.sqrt(variance),
                    several,
                    scale,
                    shape,
                    by_learning > 0,
                    long_tail > 0,
                )
            )
    chance, *rest = (np.stack(column).ravel() for column in zip(*columns, strict=True))
    weight = np.exp(chance - chance.max())
    kept = weight > NEGLIGIBLE
    return _Fits(weight[kept] / weight[kept].sum(), *(column[kept] for column in rest))


def _rises(values: Sequence[float]) -> bool:
    """Whether there are evaluations enough, the later ones better, and the last is something."""
    half = len(values) // 2
    if len(values) < LEAST or values[-1] < LOWEST:
        return False
    return float(np.mean(values[half:])) > float(np.mean(values[:half]))


def _limits(values: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """Between which the values are, by weight: the lower limit, the middle, the upper limit."""
    order = np.argsort(values)
    reached = np.cumsum(weight[order])
    at = [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2]
    low, middle, high = values[order][np.searchsorted(reached, np.array(at) * reached[-1])]
    return float(low), float(middle), float(high)
