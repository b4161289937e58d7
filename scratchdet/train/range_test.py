"""The learning rates that a training survives: a range test (Smith 2017, section 3.3).

The rate grows from step to step, from one that changes nothing to one that nothing survives. Where
the loss turns up for good is the largest stable rate of this network, this loss and this data.
Nothing here knows of networks: a step is a function.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

LOWEST, HIGHEST = 1e-5, 10.0  # Smith's range, with room above for networks with BatchNorm
STEPS = 100
"""From `LOWEST` to `HIGHEST`: each rate is 1.15 times the one before."""
WINDOW = 5
"""Steps that a smoothed loss is the median of. A median neither lags behind a rise nor follows the
loss of a single hard batch, as a mean does."""
RISEN = 1.5
"""Times the lowest smoothed loss: what stays above has turned up. Our choice: the losses of batches
of 16 images differ by a tenth or two."""
FALLEN = 1.2
"""Times the lowest smoothed loss, that it was in the beginning: else nothing was learned."""
SLOPES = 10
"""Parts of the range that slopes are over, on either side of a rate."""
DIVERGED = 4.0
"""Times the lowest loss: the test ends, as fast.ai's does."""

Ended = Literal["diverged", "highest", "time"]


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """The loss after a step at each rate."""

    rates: tuple[float, ...]
    """Rising."""
    losses: tuple[float, ...]
    """After the step at each rate, that of the next step's batch; infinite for what is not finite.
    """
    start: float
    """The loss before the first step; NaN if there was none."""
    planned: int
    """Steps, if nothing had ended the test."""
    ended: Ended
    """By the loss, by the end of the range, or by the clock."""

    @property
    def smoothed(self) -> tuple[float, ...]:
        """The running median of the losses, fewer of them at the beginning."""
        reach = WINDOW // 2
        after = [math.inf] * reach if self.ended == "diverged" else []
        known = [*self.losses, *after]
        return tuple(
            float(np.median(known[max(0, place - reach) : place + reach + 1]))
            for place in range(len(self.losses))
        )

    @property
    def stable(self) -> float | None:
        """The largest rate after which the loss had not yet turned up, for good.

        The last one of the range where it never did; None where the loss never fell: too few steps,
        or a network that learns at no rate.
        """
        smoothed = self.smoothed
        if not smoothed or not min(smoothed) < self.beginning / FALLEN:
            return None
        return self.rates[self._last_stable(smoothed)]

    @property
    def beginning(self) -> float:
        """The loss before anything is learned: the median over the first steps; NaN without any."""
        return float(np.median([self.start, *self.losses[: WINDOW - 1]]))

    @property
    def steepest(self) -> float | None:
        """The rate around which the smoothed loss falls fastest, over the logarithm of the rate.

        From the mean of some steps before to that of as many after: a single good batch is no fall.
        """
        smoothed = self.smoothed
        if self.stable is None:
            return None
        width = max(1, self.planned // SLOPES)
        known = np.concatenate(
            [np.full(width, self.start), smoothed[: int(np.argmin(smoothed)) + 1]]
        )
        sums = np.concatenate([[0.0], np.cumsum(known)])
        means = (sums[width:] - sums[:-width]) / width
        falls = means[:-width] - means[width:]
        return self.rates[int(np.argmax(falls))] if len(falls) else self.rates[0]

    @property
    def is_limit(self) -> bool:
        """Whether a rate above `stable` was seen to be too large."""
        return self.stable is not None and self.stable < self.rates[-1]

    def to_json(self) -> dict[str, Any]:
        """Plain values; losses that are not finite are None."""
        return {
            "stable": self.stable,
            "stable_is_limit": self.is_limit,
            "steepest": self.steepest,
            "ended": self.ended,
            "steps": len(self.rates),
            "planned": self.planned,
            "start": none_if_not_finite(self.start),
            "rates": list(self.rates),
            "losses": [none_if_not_finite(loss) for loss in self.losses],
        }

    def _last_stable(self, smoothed: Sequence[float]) -> int:
        limit = RISEN * min(smoothed)
        return max(place for place, loss in enumerate(smoothed) if loss <= limit)


def growing_rates(steps: int, *, lowest: float = LOWEST, highest: float = HIGHEST) -> list[float]:
    """So many rates, each the same factor times the one before; none for 0 steps."""
    return [float(rate) for rate in np.geomspace(lowest, highest, steps)]


def run_range_test(
    step: Callable[[float], float],
    rates: Sequence[float],
    *,
    deadline: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> RangeTest:
    """The losses of a training with these learning rates, one step with each.

    step: takes one step with the rate it is given, and returns the loss before it. It is called
    once more than there are rates, to see what the last one did. deadline: on the clock, in
    seconds; no step is begun after it.
    """
    before: list[float] = []
    ended: Ended = "highest"
    for rate in [*rates, *rates[-1:]]:
        if clock() >= deadline:
            ended = "time"
            break
        loss = step(rate)
        before.append(loss if math.isfinite(loss) else math.inf)
        if not math.isfinite(loss) or loss > DIVERGED * min(before):
            ended = "diverged"
            break
    return RangeTest(
        rates=tuple(rates[: max(0, len(before) - 1)]),
        losses=tuple(before[1:]),
        start=before[0] if before else math.nan,
        planned=len(rates),
        ended=ended,
    )


def none_if_not_finite(value: float) -> float | None:
    """`value`, but None where JSON has no number for it."""
    return value if math.isfinite(value) else None
