"""The curves of several runs in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from scratchdet.analysis.compare import Group
from scratchdet.analysis.evaluation_plots import COLOURS, DPI
from scratchdet.analysis.plots import SMOOTHING, running_mean
from scratchdet.files import replacing

LETTERS = 150  # of a legend, across the picture
LINES = ("-", "--", ":", "-.")  # for groups beyond as many as there are colours


def draw_comparison(groups: Sequence[Group]) -> Figure:
    """AP50 in training and the smoothed loss over the steps: a colour for each group, a line for
    each of its runs."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    precision, loss = figure.subplots(1, 2)
    for at, group in enumerate(groups):
        style: dict[str, Any] = {
            "color": COLOURS[at % len(COLOURS)],
            "ls": LINES[at // len(COLOURS) % len(LINES)],
            "lw": 1.4,
        }
        for number, run in enumerate(group.runs):
            label = {} if number else {"label": _label(group)}
            tested = [record for record in run.log if "evaluation" in record]
            values = [record["evaluation"].get("ap50") for record in tested]
            precision.plot(_steps(tested), np.array(values, float), "o", ms=3, **style, **label)
            trained = [record for record in run.log if "loss" in record]
            losses = np.array([record["loss"] for record in trained], float)
            smooth = running_mean(losses, 1 + 2 * (len(losses) // SMOOTHING))
            loss.plot(_steps(trained), smooth, **style)
    for axes, title in ((precision, "AP50 in training"), (loss, "loss, smoothed")):
        axes.set_title(title, loc="left", fontsize="medium")
        axes.set_xlabel("step")
        axes.grid(alpha=0.25, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    precision.set_ylim(0, min(1.02, 1.1 * max(0.01, precision.dataLim.y1)))
    precision.sharex(loss)
    loss.set_xlim(left=0)
    if np.isfinite(loss.dataLim.minposy):  # infinite without a positive value
        loss.set_yscale("log")
    if groups:
        longest = max(len(_label(group)) for group in groups)
        columns = max(1, min(3, LETTERS // (longest + 6)))
        figure.legend(loc="outside lower left", frameon=False, ncols=columns, fontsize="small")
    return figure


def save_comparison(groups: Sequence[Group], path: Path) -> None:
    """Writes the picture as PNG, completely or not at all."""
    with replacing(path) as temporary:
        draw_comparison(groups).savefig(temporary, format="png", dpi=DPI)


def _steps(records: Sequence[Mapping[str, Any]]) -> list[int]:
    return [record["step"] for record in records]


def _label(group: Group) -> str:
    """`A  runs/one`, or `A  runs/one and 2 more seeds`."""
    first, *others = group.runs
    return f"{group.letter}  {first.name}" + (f" and {len(others)} more" if others else "")
