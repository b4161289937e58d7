"""Figures of how smooth the loss was along a training: of one run, or of several, overlaid.

As Santurkar et al., NeurIPS 2018, figure 4, and ScratchDet's on BatchNorm draw them. Runs come as
`{label: records}`, the records of their gradients.jsonl (`read_gradients`); none is needed.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchdet.analysis.plots import DARK, PALETTE
from scratchdet.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Records = Sequence[Mapping[str, Any]]
Runs = Mapping[str, Records]
Colour = tuple[float, ...]
Drawing = Callable[["Axes", Records, Colour, str], None]

COLOURS = [tuple(value / 255 for value in PALETTE[place]) for place in (5, 4, 2, 0, 6, 1)]
INK = tuple(value / 255 for value in DARK)
ACROSS = 4  # panels in a row
WIDTH, HEIGHT = 3.3, 2.7  # inches of a panel
DPI = 100


def read_gradients(run_dir: Path) -> list[dict[str, Any]]:
    """The records of a run's gradients.jsonl; none if it was not analysed. A last line that a crash
    cut off is left out."""
    path = run_dir / "gradients.jsonl"
    if not path.exists():
        return []
    whole = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in whole]


def write_gradients(runs: Runs, path: Path) -> None:
    """Writes `draw_gradients` as a PNG."""
    figure = draw_gradients(runs)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)


def draw_landscape(runs: Runs) -> "Figure":
    """The loss on the batch of a step, and the range it has along the gradient (figure 4a)."""
    return _alone(runs, "loss along the gradient", _landscape)


def draw_predictiveness(runs: Runs) -> "Figure":
    """The range of the distances of gradients along the step from that at its start (4b)."""
    return _alone(runs, "gradient predictiveness", _predictiveness)


def draw_smoothness(runs: Runs) -> "Figure":
    """Effective beta-smoothness: the largest distance over the way (4c). Less is smoother."""
    return _alone(runs, "effective β-smoothness", _smoothness)


def draw_gradient_norms(runs: Runs, *, block: str | None = None) -> "Figure":
    """The L2 norm of the gradient, of a block or of all, and its range along the step."""
    title = "gradient norm" if block is None else f"gradient norm: {block}"
    return _alone(runs, title, _norms_of(block))


def draw_gradients(runs: Runs) -> "Figure":
    """All of it: landscape, predictiveness, smoothness, norm, then the norms block by block."""
    from matplotlib.figure import Figure

    panels: list[tuple[str, Drawing]] = [
        ("loss along the gradient", _landscape),
        ("gradient predictiveness", _predictiveness),
        ("effective β-smoothness", _smoothness),
        ("gradient norm", _norms_of(None)),
        *((block, _norms_of(block)) for block in blocks_in(runs)),
    ]
    rows = math.ceil(len(panels) / ACROSS)
    size = (WIDTH * ACROSS, HEIGHT * rows + 0.3)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    grid = figure.subplots(rows, ACROSS, squeeze=False)
    for axes, (title, drawing) in zip(grid.flat, panels, strict=False):
        _fill(axes, runs, title, drawing)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    handles, labels = grid.flat[2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=max(1, len(runs)), frameon=False)
    return figure


def blocks_in(runs: Runs) -> list[str]:
    """The blocks that any record has, in the order of the first that has them."""
    every = (block for records in runs.values() for record in records for block in record["blocks"])
    return list(dict.fromkeys(every))


def _alone(runs: Runs, title: str, drawing: Drawing) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 * WIDTH, 1.5 * HEIGHT), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    _fill(axes, runs, title, drawing)
    if runs:
        axes.legend(frameon=False, fontsize="small")
    return figure


def _fill(axes: "Axes", runs: Runs, title: str, drawing: Drawing) -> None:
    """Draws every run in its colour, on a scale on which both fit that are powers of ten apart."""
    for number, (label, records) in enumerate(runs.items()):
        drawing(axes, records, COLOURS[number % len(COLOURS)], label)
    axes.set_title(title, loc="left", fontsize="medium")
    axes.set_xlabel("step")
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    # The least positive value is infinite where there is none. Within a decade a logarithmic scale
    # has no round numbers to show.
    if axes.dataLim.y1 >= 10 * axes.dataLim.minposy:
        axes.set_yscale("log")
    else:
        axes.ticklabel_format(axis="y", useOffset=False)


def _landscape(axes: "Axes", records: Records, colour: Colour, label: str) -> None:
    _shade(axes, records, [record["losses"] for record in records], colour)
    _line(axes, records, [record["loss"] for record in records], colour, label)


def _predictiveness(axes: "Axes", records: Records, colour: Colour, label: str) -> None:
    _shade(axes, records, [record["distances"] for record in records], colour, label=label)


def _smoothness(axes: "Axes", records: Records, colour: Colour, label: str) -> None:
    _line(axes, records, [record["smoothness"] for record in records], colour, label)


def _norms_of(block: str | None) -> Drawing:
    """The drawing of the norms in one block, or in all."""

    def draw(axes: "Axes", records: Records, colour: Colour, label: str) -> None:
        rows = [_norms(record, block) for record in records]
        _shade(axes, records, rows, colour)
        _line(axes, records, [row[0] for row in rows], colour, label)

    return draw


def _norms(record: Mapping[str, Any], block: str | None) -> np.ndarray:
    """At the weights, then at each step along the gradient; NaN where the run has no such block."""
    if block is not None:
        norms = record["blocks"].get(block)
        return np.array([np.nan] if norms is None else norms, float)
    squares = [np.square(np.array(norms, float)) for norms in record["blocks"].values()]
    return np.sqrt(np.sum(squares, axis=0))


def _line(
    axes: "Axes", records: Records, values: Sequence[float | None], colour: Colour, label: str
) -> None:
    axes.plot(_steps(records), np.array(values, float), color=colour, lw=1.2, label=label)


def _shade(
    axes: "Axes",
    records: Records,
    rows: Sequence[Sequence[float | None] | np.ndarray],
    colour: Colour,
    *,
    label: str | None = None,
) -> None:
    """Fills from the smallest to the largest value of each row; those past an overflow are out."""
    columns = [np.array(row, float) for row in rows]
    low, high = (np.array([of.reduce(row) for row in columns]) for of in (np.fmin, np.fmax))
    axes.fill_between(_steps(records), low, high, color=colour, alpha=0.3, lw=0, label=label)


def _steps(records: Records) -> list[int]:
    return [record["step"] for record in records]
