"""A comparison of runs, in the terminal and as plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from scratchdet.analysis.compare import (
    Entry,
    Group,
    Setting,
    best_validation,
    figure_in_words,
    figure_name,
    remarks,
    settings_that_differ,
)
from scratchdet.analysis.significance import Comparison, spread
from scratchdet.evaluation.intervals import as_json
from scratchdet.evaluation.metrics import none_if_nan

MANY = 6  # comparisons; of more, only those with the best group are printed


def figures_table(groups: Sequence[Group]) -> Table:
    """A line for each run, and one for the mean of several seeds."""
    table = _table("", "run", "seed", "steps", "best val.", figure_in_words(groups), "time")
    for group in groups:
        for run in group.runs:
            best = best_validation(run)
            table.add_row(
                group.letter,
                escape(run.name),
                str(run.recipe.run.seed),
                str(run.recipe.schedule.steps) if run.finished else run.state,
                f"{best[1]:.4f} at {best[0]}" if best else "none",
                "none" if math.isnan(run.ap) else f"{run.ap:.4f}",
                _minutes(run),
            )
        if len(values := [run.ap for run in group.settled]) > 1:
            mean = f"{np.mean(values):.4f} ± {spread(values):.4f}"
            table.add_row("", f"mean of {len(values)} seeds", "", "", "", mean, style="bold")
    return table


def settings_table(groups: Sequence[Group], settings: Sequence[Setting]) -> Table:
    """The settings that differ; those that are not the default in bold."""
    table = _table("setting", "default", *(group.letter for group in groups))
    table.columns[0].no_wrap = True
    for setting in settings:
        values = (
            escape(_said(value)) if value == setting.default else f"[bold]{escape(_said(value))}[/]"
            for value in setting.values
        )
        table.add_row(setting.name, escape(_said(setting.default)), *values)
    return table


def conclusions(groups: Sequence[Group], found: Sequence[Comparison]) -> list[str]:
    """What can be said of which is better."""
    if len(groups) == 1:
        return ["one recipe: nothing to compare it with"]
    if not found:
        return ["nothing can be compared: fewer than two are finished and have a figure"]
    beaten = {one.worse for one in found}
    best = next(one.better for one in found if one.better not in beaten)
    shown = [one for one in found if len(found) <= MANY or one.better == best]
    lines = [str(one) for one in shown]
    if len(shown) < len(found):
        lines.append(f"these are those with {best}; --json has all {len(found)}")
    judged = [one for one in found if not math.isnan(one.interval.low)]
    if len(judged) > 1:
        lines.append(
            f"{len(judged)} comparisons at 95 %: where nothing differs, one in 20 still looks as "
            "if it did"
        )
    return lines


def as_plain_values(
    groups: Sequence[Group], found: Sequence[Comparison], *, differences: Sequence[str]
) -> dict[str, Any]:
    """All of it for scripts; None for what is not known."""
    return {
        "not_the_same": list(differences),
        "groups": {group.letter: _group_values(group) for group in groups},
        "settings": {
            setting.name: {
                "default": setting.default,
                **dict(zip([group.letter for group in groups], setting.values, strict=True)),
            }
            for setting in settings_that_differ(groups)
        },
        "comparisons": [
            {
                "better": one.better,
                "worse": one.worse,
                "by": one.by,
                "interval": as_json(one.interval),
                "told": one.told,
                "over": one.over,
            }
            for one in found
        ],
        "remarks": remarks(groups),
        "conclusions": conclusions(groups, found),
    }


def _group_values(group: Group) -> dict[str, Any]:
    values = [run.ap for run in group.settled]
    return {
        "mean": float(np.mean(values)) if values else None,
        "spread": none_if_nan(spread(values)),
        "seeds": len(values),
        "runs": [
            {
                "run": run.name,
                "seed": run.recipe.run.seed,
                "state": run.state,
                "figure": figure_name(run.recipe.run.protocol),
                "ap": none_if_nan(run.ap),
                "best_validation": best_validation(run),
                "seconds": run.figures.get("seconds"),
            }
            for run in group.runs
        ],
    }


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE)
    for at, column in enumerate(columns):
        table.add_column(column, justify="left" if at < 2 else "right", overflow="fold")
    return table


def _minutes(run: Entry) -> str:
    seconds = run.figures.get("seconds")
    return "" if seconds is None else f"{seconds / 60:.1f} min"


def _said(value: object) -> str:
    """A setting as people write it: lists without brackets, nothing as a dash."""
    if isinstance(value, tuple):
        return " ".join(map(_said, value)) or "-"
    if isinstance(value, dict):
        return " ".join(f"{name}={_said(one)}" for name, one in value.items()) or "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value) or "-"
