"""What the trainings of an ablation came to, put together: a table and its figures."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scratchdet.analysis.plots import PALETTE, running_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIVERGED = "diverged"
LEARNED = 0.05  # AP50 below which a training has come to nothing; our choice
SMOOTHED = 5  # records of the log, that a point of a loss curve is the mean of
COLOURS = tuple(PALETTE[place] for place in (5, 4, 0, 2, 6, 1))  # rows, one after another
DECADE = 10.0  # times the smallest loss: a wider range is drawn on a logarithmic axis
WIDTH, HEIGHT = 3.6, 3.2  # inches of a panel


class Outcome(NamedTuple):
    """What one training of the grid came to."""

    row: str
    column: str
    """Empty where the table has but one."""
    seed: int
    ap50: float | None
    """On the test split, else the validation split; None: it diverged, or nothing is to find."""
    by_size: tuple[float | None, ...]
    """AP50 of the objects of each group of sizes, from small to large."""
    diverged_at: int | None
    """The step after which the loss was no number; None: it always was one."""
    seconds: float
    code: str = ""
    """That trained it."""

    def __str__(self) -> str:
        """`AP50 0.412 in 61 s`, or how it failed."""
        if self.diverged_at is not None:
            return f"{DIVERGED} after step {self.diverged_at}"
        figure = "not defined" if self.ap50 is None else f"{self.ap50:.3f}"
        return f"AP50 {figure} in {self.seconds:.0f} s"


class Cell(NamedTuple):
    """All trainings of one cell of the table."""

    row: str
    column: str
    ap50: tuple[float, ...]
    """Of the seeds that did not diverge."""
    by_size: np.ndarray
    """(seeds, sizes) of the same; NaN where there is no object."""
    diverged: int
    """How many seeds did."""

    @property
    def name(self) -> str:
        """`BN both, lr 0.05`."""
        return ", ".join(part for part in (self.row, self.column) if part)


def cells(outcomes: Iterable[Outcome]) -> list[Cell]:
    """The cells of the table, in the order they first occur in."""
    order: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        order.setdefault((outcome.row, outcome.column), []).append(outcome)
    return [_cell(*place, found) for place, found in order.items()]


def _cell(row: str, column: str, outcomes: Sequence[Outcome]) -> Cell:
    fine = [one for one in outcomes if one.ap50 is not None]
    sizes = max((len(one.by_size) for one in fine), default=0)
    return Cell(
        row,
        column,
        tuple(float(one.ap50) for one in fine if one.ap50 is not None),
        np.array([one.by_size for one in fine], float).reshape(len(fine), sizes),
        sum(one.diverged_at is not None for one in outcomes),
    )


def in_words(values: Sequence[float] | np.ndarray, *, diverged: int = 0) -> str:
    """`0.412 ± 0.013 (3)`: mean, standard deviation and number of seeds; and what diverged."""
    parts = []
    if len(values):
        spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        parts.append(f"{np.mean(values):.3f}{spread} ({len(values)})")
    if diverged:
        parts.append(f"{DIVERGED} ({diverged})")
    return ", ".join(parts) or "no figure"


def conclusion(table: Sequence[Cell]) -> list[str]:
    """What the table says, and how much of it is chance, in a line each."""
    lines = []
    lost = [cell.name for cell in table if cell.diverged]
    if lost:
        lines.append(f"{DIVERGED}: {'; '.join(lost)}")
    ranked = sorted((cell for cell in table if cell.ap50), key=lambda cell: -np.mean(cell.ap50))
    if not ranked:
        return [*lines, "no training came to a figure: nothing can be told"]
    best = ranked[0]
    lines.append(f"best: {best.name}, AP50 {in_words(best.ap50)}")
    if np.mean(best.ap50) < LEARNED:
        lines.append(f"nothing has been learned yet (AP50 under {LEARNED:g}): more steps")
    elif len(ranked) > 1:
        other = ranked[1]
        lines.append(f"next: {other.name}, AP50 {in_words(other.ap50)}; {_apart(best, other)}")
    return lines


def _apart(one: Cell, other: Cell) -> str:
    """Whether the means of two cells differ by more than their seeds scatter."""
    if min(len(one.ap50), len(other.ap50)) < 2:
        return "one seed of a cell: whether that is chance cannot be told"
    error = np.sqrt(sum(np.var(cell.ap50, ddof=1) / len(cell.ap50) for cell in (one, other)))
    difference = np.mean(one.ap50) - np.mean(other.ap50)
    if difference > 2 * error:
        return "apart by more than two standard errors of the seeds"
    return "no further apart than their seeds are"


def to_markdown(table: Sequence[Cell], *, sizes: Sequence[str]) -> str:
    """The table as Markdown: rows by columns; where there is one column, its groups of sizes."""
    columns = list(dict.fromkeys(cell.column for cell in table))
    if columns == [""]:
        head = ["", "AP50", *sizes]
        lines = [[cell.row, *_by_size(cell, len(sizes))] for cell in table]
    else:
        head = ["AP50", *columns]
        lines = [
            [row, *(in_words(cell.ap50, diverged=cell.diverged) for cell in of_row)]
            for row, of_row in groupby(table, key=lambda cell: cell.row)
        ]
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _by_size(cell: Cell, sizes: int) -> list[str]:
    whole = in_words(cell.ap50, diverged=cell.diverged)
    groups = cell.by_size.T if cell.by_size.size else np.zeros((sizes, 0))
    return [whole, *(in_words(group[np.isfinite(group)]) for group in groups)]


def draw_table(table: Sequence[Cell], *, sizes: Sequence[str]) -> "Figure":
    """AP50 with error bars: over the columns, a line for each row; or over sizes, for one column.

    Bars are a standard deviation over the seeds to either side, small points the seeds themselves,
    crosses at the bottom cells of which a seed diverged.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.9 * WIDTH, 1.25 * HEIGHT), dpi=110, layout="constrained")
    axes = figure.subplots()
    columns = list(dict.fromkeys(cell.column for cell in table))
    if columns == [""]:
        groups = {cell.row: [cell.ap50, *cell.by_size.T] for cell in table}
        _lines(axes, groups, ticks=["all", *sizes], diverged={})
    else:
        rows: dict[str, list[Sequence[float]]] = {cell.row: [] for cell in table}
        diverged: dict[str, list[int]] = {row: [] for row in rows}
        for cell in table:
            rows[cell.row].append(cell.ap50)
            diverged[cell.row].append(cell.diverged)
        _lines(axes, rows, ticks=columns, diverged=diverged)
    axes.set_ylabel("AP50")
    return figure


def _lines(
    axes: "Axes",
    rows: Mapping[str, Sequence[Sequence[float]]],
    *,
    ticks: Sequence[str],
    diverged: Mapping[str, Sequence[int]],
) -> None:
    """A line for each row: means with error bars, the seeds beside them."""
    for number, (row, groups) in enumerate(rows.items()):
        colour = _colour(number)
        # Side by side, so that bars of equal means can be told apart.
        places = np.arange(len(groups)) + 0.08 * (number - (len(rows) - 1) / 2)
        values = [np.asarray(group, float) for group in groups]
        values = [group[np.isfinite(group)] for group in values]
        means = [group.mean() if len(group) else np.nan for group in values]
        spreads = [group.std(ddof=1) if len(group) > 1 else np.nan for group in values]  # no bar
        axes.errorbar(places, means, spreads, fmt="o-", ms=5, capsize=4, color=colour, label=row)
        for place, group in zip(places, values, strict=True):
            axes.plot(np.full(len(group), place), group, ".", ms=3, color="black", alpha=0.6)
        lost = [place for place, count in zip(places, diverged.get(row, ()), strict=False) if count]
        axes.plot(lost, np.zeros(len(lost)), "x", ms=8, mew=2, color=colour)
    axes.set_xticks(range(len(ticks)), ticks)
    # Up to 2 LEARNED at least: differences of next to nothing must look like it.
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]), top=max(2 * LEARNED, axes.get_ylim()[1]))
    _dress(axes)
    if rows:
        axes.legend(frameon=False, fontsize="small")


def draw_losses(runs: Sequence[tuple[Outcome, Sequence[Mapping[str, Any]]]]) -> "Figure":
    """The loss over the steps: a panel for each column, a colour for each row, a line for each
    seed, which ends in a cross if it diverged.

    runs: each training, with the records of its log.jsonl.
    """
    from matplotlib.figure import Figure

    columns = list(dict.fromkeys(outcome.column for outcome, _ in runs)) or [""]
    rows = list(dict.fromkeys(outcome.row for outcome, _ in runs))
    figure = Figure(figsize=(WIDTH * len(columns), HEIGHT), dpi=110, layout="constrained")
    drawn = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    panels = dict(zip(columns, drawn, strict=True))
    for outcome, log in runs:
        records = [record for record in log if record.get("loss") is not None]
        losses = np.array([record["loss"] for record in records], float)
        if len(losses) > 4 * SMOOTHED:
            losses = running_mean(losses, SMOOTHED)
        panels[outcome.column].plot(
            [record["step"] for record in records],
            losses,
            marker="" if outcome.diverged_at is None else "x",
            markevery=[-1],
            ms=7,
            mew=2,
            lw=1.1,
            color=_colour(rows.index(outcome.row)),
            alpha=0.8,
            label=outcome.row,
        )
    for column, axes in panels.items():
        axes.set_title(column, loc="left", fontsize="medium")
        axes.set_xlabel("step")
        _dress(axes)
        if axes.dataLim.y1 > DECADE * axes.dataLim.minposy:
            axes.set_yscale("log")
        once = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend(once.values(), once.keys(), frameon=False, fontsize="small")
    panels[columns[0]].set_ylabel("loss")
    return figure


def _colour(row: int) -> tuple[float, ...]:
    return tuple(value / 255 for value in COLOURS[row % len(COLOURS)])


def _dress(axes: "Axes") -> None:
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
