"""The sizes of boxes over those of priors: which of them a detector can learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from scratchdet.analysis.coverage import IOU
from scratchdet.analysis.plots import DARK, PALETTE
from scratchdet.analysis.prior_overlaps import Level, best_overlaps, boxes_at
from scratchdet.files import replacing
from scratchdet.structures import DetectionData

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 120
POINTS = 4_000
"""Boxes that are drawn, spread evenly over the data; more of them hide each other."""
ROOM = 1.25  # around what is drawn
TICKS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
INK = tuple(value / 255 for value in DARK)
MATCHED, LEFT = ([value / 255 for value in PALETTE[place]] for place in (4, 5))  # blue, red


class Panel(NamedTuple):
    """Boxes and priors of one chart, in pixels of the input."""

    title: str
    sides: np.ndarray
    """(M, 2) width and height of the boxes."""
    matched: np.ndarray
    """(M,) bool."""
    shapes: Sequence[Sequence[tuple[float, float]]]
    """(width, height) of the priors of each level."""


def panel_of(
    title: str,
    data: DetectionData,
    levels: Sequence[Level],
    *,
    input_size: tuple[int, int],
    iou: float = IOU,
) -> Panel:
    """The objects of `data`, at most POINTS, over the priors of `levels`."""
    real = np.flatnonzero(~data.ignore)
    boxes = boxes_at(data, input_size)[real[:: max(1, -(-len(real) // POINTS))]]
    matched = best_overlaps(boxes, levels).max(axis=1, initial=0.0) >= iou
    return Panel(title, boxes[:, 2:] - boxes[:, :2], matched, [level.shapes for level in levels])


def draw_coverage(panels: Sequence[Panel]) -> Figure:
    """Width over height on logarithmic axes, a chart for each panel: boxes as dots, priors as
    squares with the number of their level."""
    figure = Figure(figsize=(5.4 * len(panels), 5.2), layout="constrained")
    charts = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, panel in zip(charts, panels, strict=True):
        _draw(axes, panel)
    sizes = np.concatenate([one for panel in panels for one in (panel.sides, *panel.shapes)])
    low, high = sizes.min() / ROOM, sizes.max() * ROOM
    charts[0].set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    for axes in charts:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([tick for tick in TICKS if low <= tick <= high])
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        axes.set_aspect("equal")
        axes.set_xlabel("width, pixels of the input")
    charts[0].set_ylabel("height, pixels of the input")
    return figure


def save_coverage(figure: Figure, path: Path) -> None:
    """Writes the chart as PNG, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)


def _draw(axes: Axes, panel: Panel) -> None:
    groups: Mapping[str, tuple[np.ndarray, list[float]]] = {
        "matched": (panel.matched, MATCHED),
        "not matched": (~panel.matched, LEFT),
    }
    for name, (chosen, colour) in groups.items():
        label = f"{name}: {chosen.sum()}"
        axes.plot(*panel.sides[chosen].T, ".", color=colour, ms=3, alpha=0.5, label=label)
    for level, shapes in enumerate(panel.shapes):
        axes.plot(*np.array(shapes).T, "s", color="white", mec=INK, ms=9, mew=0.8)
        for width, height in shapes:
            axes.text(width, height, str(level + 1), ha="center", va="center_baseline", fontsize=6)
    axes.set_title(panel.title, loc="left", fontsize="medium")
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(loc="upper left", frameon=False, fontsize="small", markerscale=2)
    legend.set_zorder(5)
