"""A diagnosis as tables in the terminal."""

from __future__ import annotations

import math

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scratchdet.evaluation.diagnosis import Diagnosis
from scratchdet.evaluation.errors import KINDS
from scratchdet.evaluation.intervals import FEWEST_IMAGES, Interval
from scratchdet.evaluation.metrics import PROTOCOLS
from scratchdet.evaluation.verdicts import SIZES


def show_diagnosis(console: Console, diagnosis: Diagnosis, *, what: str) -> None:
    """Prints the figures of every class and their means, and the errors."""
    metrics = diagnosis.metrics
    pixels = "" if diagnosis.pixels == "devkit" else ", boxes xmax - xmin wide"
    sizes = [f"{name} {_figure(getattr(metrics, f'ap_{name}')) or 'none'}" for name in SIZES]
    recalls = [_figure(getattr(metrics, f"ar{most}")) or "none" for most in (1, 10, 100)]
    _print(
        console,
        f"{what}: {metrics.num_images} images, {metrics.num_objects} objects, "
        f"protocol {metrics.protocol}: {PROTOCOLS[metrics.protocol].average}{pixels}",
    )
    console.print(class_table(diagnosis))
    _print(console, f"AP of objects by size: {', '.join(sizes)}")
    _print(console, f"recall of the best 1, 10, 100 of an image and class: {', '.join(recalls)}")
    console.print(error_table(diagnosis))


def class_table(diagnosis: Diagnosis) -> Table:
    """AP of each class with its interval, and what the best score threshold gives."""
    metrics, intervals = diagnosis.metrics, diagnosis.intervals
    table = _table("class", "objects", "AP", "95 %", "score", "P", "R", "F1")
    table.caption = "score, P, R, F1: from where on F1 is best, precision and recall there"
    if any(not math.isnan(one.ap) and math.isnan(one.interval.low) for one in diagnosis.classes):
        table.caption += (
            f"\n95 %: needs {FEWEST_IMAGES} images with the class, and AP that depends on which"
        )
    for one in diagnosis.classes:
        best = one.best
        table.add_row(
            escape(one.name),
            str(one.num_objects),
            "no object" if math.isnan(one.ap) else f"{one.ap:.4f}",
            _range(one.interval),
            cut(best.threshold),
            *map(_figure, (best.precision, best.recall, best.f1)),
        )
    table.add_section()
    if metrics.ap is not None and metrics.ap75 is not None and intervals.ap is not None:
        table.add_row("AP50:95", "", f"{metrics.ap:.4f}", _range(intervals.ap))
        table.add_row("AP75", "", f"{metrics.ap75:.4f}")
    table.add_row("AP50", str(metrics.num_objects), f"{metrics.ap50:.4f}", _range(intervals.ap50))
    return table


def error_table(diagnosis: Diagnosis) -> Table:
    """How often each kind of error happens, and the AP50 it costs."""
    table = _table("error", "number", "AP50 cost", "what it is")
    table.columns[-1].justify = "left"
    for name, cost in diagnosis.errors.rows().items():
        if name == "false positives":
            table.add_section()
        table.add_row(name, str(cost.number), _figure(cost.ap50), KINDS.get(name, "all of them"))
    return table


def _table(first: str, *numbers: str) -> Table:
    """An empty table, its first column for names and the others for numbers."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))  # two spaces between columns
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _figure(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def _range(interval: Interval) -> str:
    return "" if math.isnan(interval.low) else f"{interval.low:.3f}-{interval.high:.3f}"


def cut(threshold: float) -> str:
    """Three digits, cut and not rounded: from the number printed on, the detection still counts."""
    return "" if math.isnan(threshold) else f"{math.floor(threshold * 1000) / 1000:.3f}"
