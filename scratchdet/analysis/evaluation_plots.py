"""Charts of a diagnosis: precision over recall, F1 over score, confusion, and what errors cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from scratchdet.analysis.plots import DARK, PALETTE
from scratchdet.evaluation.confusion import IOU, Confusion
from scratchdet.evaluation.curve import best_from_here, f1_from
from scratchdet.evaluation.diagnosis import (
    THRESHOLDS,
    ClassFigures,
    Diagnosis,
    precision_at,
)
from scratchdet.evaluation.errors import Errors
from scratchdet.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 120
FEW = 6  # lines that can be told apart by colour, as many as there are COLOURS
NAMED = 3  # of more classes, those with a colour at either end
WRITTEN = 20  # classes up to which the counts are written into the confusion
INK = tuple(value / 255 for value in DARK)
YELLOW = PALETTE[3]  # too bright for a line on white
COLOURS = [tuple(value / 255 for value in colour) for colour in PALETTE if colour != YELLOW]
BLUE, RED = COLOURS[3], COLOURS[4]


def write_plots(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """The PNG files written to `folder`."""
    charts = {
        "precision_recall.png": precision_recall(diagnosis),
        "f1.png": f1_over_score(diagnosis),
        "confusion.png": confusion(diagnosis.confusion, [one.name for one in diagnosis.classes]),
        "errors.png": error_costs(diagnosis.errors, ap50=diagnosis.metrics.ap50),
    }
    for name, figure in charts.items():
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI)
    return [folder / name for name in charts]


def precision_recall(diagnosis: Diagnosis) -> Figure:
    """Precision over recall at IoU 0.5, made monotone as AP has it; a line for each class."""
    figure, axes = _chart("recall", "precision", "Precision over recall, IoU 0.5")
    for one, style in _styled(diagnosis.classes, [one.ap50 for one in diagnosis.classes]):
        rises = np.flatnonzero(np.diff(one.curve.hits, prepend=0))
        recall = np.append(0, one.curve.recall[rises])
        best = best_from_here(one.curve.precision[rises])
        axes.step(recall, np.append(best[:1] if len(best) else 0, best), where="pre", **style)
    if (known := [one for one in diagnosis.classes if one.num_objects])[1:]:
        mean = np.mean([precision_at(one.curve, parts=100) for one in known], axis=0)
        axes.plot(np.linspace(0, 1, 101), mean, color=INK, lw=2.4, label=f"mean of {len(known)}")
    _legend(axes, "AP50")
    return figure


def f1_over_score(diagnosis: Diagnosis) -> Figure:
    """F1 of what has a score or more, at IoU 0.5, and where its mean is best."""
    figure, axes = _chart("score from which detections count", "F1", "F1 over the score, IoU 0.5")
    lines = []
    for one, style in _styled(diagnosis.classes, [one.best.f1 for one in diagnosis.classes]):
        lines.append(f1_from(one.curve, THRESHOLDS))
        axes.plot(THRESHOLDS, lines[-1], **style)
    if lines:
        mean = np.mean(lines, axis=0)
        best = int(np.argmax(mean))
        if lines[1:]:
            axes.plot(THRESHOLDS, mean, color=INK, lw=2.4, label=f"mean of {len(lines)}")
        axes.plot(THRESHOLDS[best], mean[best], "o", color=INK, ms=6)
        axes.annotate(
            f"{mean[best]:.3f} from {THRESHOLDS[best]:.2f}",
            (THRESHOLDS[best], mean[best]),
            xytext=(0, 9),
            textcoords="offset points",
            ha="left" if THRESHOLDS[best] < 0.5 else "right",
            fontweight="bold",
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
        )
    _legend(axes, "best F1")
    return figure


def confusion(found: Confusion, names: Sequence[str]) -> Figure:
    """What the objects of each class (rows) were found as (columns).

    Coloured by the share of the objects; in the last row by the share of the detections.
    """
    counts = found.counts
    size = len(counts)
    cell = 0.62 if size <= WRITTEN + 1 else 0.19  # inches
    letters = 9 if size <= WRITTEN + 1 else 7
    side = max(4.2, cell * size)
    longest = max(map(len, [*names, "no object"]), default=0) * letters * 0.0085
    figure = Figure(figsize=(side + longest + 0.9, side + longest + 0.9), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares[-1] = counts[-1] / np.maximum(counts.sum(axis=0), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    axes.set_xticks(range(size), [*names, "missed"], rotation=90, fontsize=letters)
    axes.set_yticks(range(size), [*names, "no object"], fontsize=letters)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for border in (axes.axhline, axes.axvline):
        border(size - 1.5, color=INK, lw=0.8)
    if size <= WRITTEN + 1:
        for row, column in np.argwhere(counts):
            ink = "white" if shares[row, column] > 0.55 else INK
            text = str(counts[row, column])
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=letters)
    axes.set_xlabel("found as")
    axes.set_ylabel("objects")
    axes.set_title(
        f"Confusion from score {found.threshold:.2f}, IoU {IOU}", loc="left", fontsize="large"
    )
    return figure


def error_costs(errors: Errors, *, ap50: float) -> Figure:
    """What AP50 gains without each kind of error, and how many there are of it."""
    rows = errors.rows()
    places = np.arange(len(rows)) + 0.6 * (np.arange(len(rows)) >= len(errors.kinds))
    costs = [0.0 if math.isnan(cost.ap50) else cost.ap50 for cost in rows.values()]
    colours = [BLUE] * len(errors.kinds) + [RED] * 2
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(places, costs, color=colours, height=0.72)
    axes.bar_label(
        bars,
        [
            f"{value:+.3f}   ({cost.number})"
            for value, cost in zip(costs, rows.values(), strict=True)
        ],
        padding=4,
        color=INK,
    )
    axes.set_yticks(places, list(rows))
    axes.invert_yaxis()
    axes.set_xlim(min(0, *costs) * 1.1, max(0.01, *costs) * 1.35)  # room for the numbers
    axes.set_xlabel("AP50 gained if there were none of them (number of errors)")
    known = "" if math.isnan(ap50) else f", AP50 is {ap50:.3f}"
    axes.set_title(f"What errors cost{known}", loc="left", fontsize="large")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def _chart(x: str, y: str, title: str) -> tuple[Figure, Axes]:
    """An empty square of 0 to 1 both ways."""
    figure = Figure(figsize=(7.6, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, loc="left", fontsize="large")
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _styled(
    classes: Sequence[ClassFigures], figures: Sequence[float]
) -> list[tuple[ClassFigures, dict[str, Any]]]:
    """The classes that have objects, each with how its line looks: in colour if they are few, else
    the best and the worst by their `figures`, over the others in grey."""
    known = [
        (value, one)
        for value, one in zip(np.nan_to_num(figures), classes, strict=True)
        if one.num_objects
    ]
    falling = sorted(known, key=lambda pair: -pair[0])
    named, others = falling, falling[:0]
    if len(falling) > FEW:
        named, others = falling[:NAMED] + falling[-NAMED:], falling[NAMED:-NAMED]
    # The coloured ones come last, on top of the others, in the order of the legend.
    lines: list[tuple[ClassFigures, dict[str, Any]]] = [
        (one, {"color": "0.6", "lw": 0.6, "alpha": 0.6}) for _, one in others
    ]
    for (value, one), colour in zip(named, COLOURS, strict=False):
        lines.append((one, {"color": colour, "lw": 1.6, "label": f"{one.name}  {value:.3f}"}))
    return lines


def _legend(axes: Axes, title: str) -> None:
    """The names of the lines and their figures, beside the axes."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles,
            labels,
            title=title,
            alignment="left",
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
        )
