"""The picture of range tests: the loss over the learning rate, one curve for each network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scratchdet.analysis.plots import DARK, PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (PALETTE[4], PALETTE[5], PALETTE[2])
ABOVE = 1.6
"""Times the largest loss before the first step that is shown: what diverges leaves the picture."""


class RateCurve(NamedTuple):
    """One range test."""

    name: str
    rates: Sequence[float]
    losses: Sequence[float]
    """After the step at each rate; infinite ones are not drawn."""
    smoothed: Sequence[float]
    start: float
    """The loss before the first step."""
    stable: float | None
    """The largest stable rate, if there is one."""


def draw_range_test(curves: Sequence[RateCurve], *, lr: float) -> Figure:
    """Losses as points, smoothed ones as lines, the largest stable rates and the recipe's `lr`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    for place, curve in enumerate(curves):
        colour = _unit(COLOURS[place % len(COLOURS)])
        axes.plot(curve.rates, _finite(curve.losses), ".", color=colour, ms=3, alpha=0.4)
        axes.plot(curve.rates, _finite(curve.smoothed), color=colour, lw=1.6, label=curve.name)
        if curve.stable is not None:
            axes.axvline(curve.stable, color=colour, lw=1, ls="--")
            axes.annotate(
                f" {curve.stable:.2g}",
                (curve.stable, 0.98 - 0.07 * place),
                xycoords=("data", "axes fraction"),
                color=colour,
                va="top",
                fontsize="small",
            )
    axes.axvline(lr, color=_unit(DARK), lw=1, label=f"the recipe's {lr:.2g}")
    starts = [curve.start for curve in curves if np.isfinite(curve.start)]
    if starts:
        axes.set_ylim(top=ABOVE * max(starts))
    axes.set_xscale("log")
    if np.isfinite(axes.dataLim.minposy):
        axes.set_yscale("log")  # without norms it begins ten times as high
    axes.set_xlabel("learning rate, growing from step to step; dashed: the largest stable one")
    axes.set_title("loss after the step", loc="left", fontsize="medium")
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(0, -0.15), ncols=3
    )
    return figure


def _finite(values: Sequence[float]) -> np.ndarray:
    """The values, NaN for what cannot be drawn."""
    known = np.array(values, float)
    return np.where(np.isfinite(known), known, np.nan)


def _unit(colour: tuple[int, int, int]) -> tuple[float, ...]:
    """The colour as matplotlib wants it, 0 to 1."""
    return tuple(value / 255 for value in colour)
