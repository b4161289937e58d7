"""How often a forecast holds the end of a training: on made-up curves, and on logs of real runs.

    python benchmarks/forecast.py [RUN ...]

Made up are curves of four laws, evaluated 20 times, with scatter of 0.012; the last of the laws
never saturates. Each RUN is the folder of a finished run that was evaluated often. A forecast is
made after 50 and after 75 % of the steps, from the evaluations until then, and held against the
last evaluation. It knows the schedule of the learning rate, as in training. Runs with fewer than
four evaluations by then, or of which nothing is told, are counted as untold.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import as_measured

from scratchdet.analysis.forecast import LEVEL, Curve, curve_of, forecast, learning_done
from scratchdet.recipe import Recipe, differing
from scratchdet.recipes import load_recipe
from scratchdet.train.log import read_log
from scratchdet.train.setup import make_schedule

RESULTS = Path(__file__).parent / "results" / "forecast.json"
SHARES = (0.5, 0.75)
STEPS, EVALUATIONS, TRIALS, SCATTER = 1000, 20, 40, 0.012  # of the made-up ones

Row = dict[str, Any]
Law = Callable[[np.ndarray, float, float], np.ndarray]
LAWS: dict[str, Law] = {
    "exponential": lambda x, scale, shape: 1 - np.exp(-((x / scale) ** shape)),
    "long tail": lambda x, scale, shape: 1 / (1 + (scale / x) ** shape),
    "tanh": lambda x, scale, shape: np.tanh(x / scale) ** shape,
    "logarithm": lambda x, scale, shape: (
        np.log1p((x / scale) ** shape) / np.log1p((1 / scale) ** shape)
    ),
}
"""(x, scale, shape) -> the share of its highest that a curve has reached; the last has none."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="*")
    runs = parser.parse_args().runs
    rows = [one for run in runs if (one := of_run(run)) is not None]
    as_measured(
        {
            "level": LEVEL,
            "made_up": {
                f"{law}, over the {axis}": summaries(made_up(LAWS[law], axis=axis))
                for law in LAWS
                for axis in ("steps", "learning")
            },
            "runs": summaries(rows),
            "forecasts_of_runs": [row for rows_of_run in rows for row in rows_of_run],
        },
        RESULTS,
    )


def made_up(law: Law, *, axis: str) -> list[list[Row]]:
    """Trials with curves of the law, of random height, scale and shape, in a cosine schedule."""
    rng = np.random.default_rng(0)
    schedule = {"steps": STEPS, "warmup_steps": 50}
    learned = learning_done(make_schedule(differing(Recipe(), schedule=schedule)), STEPS)
    steps = np.arange(1, EVALUATIONS + 1) * STEPS // EVALUATIONS
    x = steps / STEPS if axis == "steps" else learned[steps]
    rows = []
    for _ in range(TRIALS):
        height, scale, shape = rng.uniform((0.3, 0.1, 0.7), (0.95, 0.8, 2.5))
        values = height * law(x, scale, shape) + SCATTER * rng.normal(size=len(x))
        pairs = zip(steps.tolist(), values.clip(0, 1).tolist(), strict=True)
        rows.append(tried(list(pairs), learned))
    return rows


def of_run(run: Path) -> list[Row] | None:
    """What was forecast of a run, and what became of it; None if it is not finished."""
    recipe = load_recipe(run / "recipe.toml")
    steps = recipe.schedule.steps
    curve = curve_of(read_log(run / "log.jsonl"))
    if not curve or curve[-1][0] != steps:
        return None
    rows = tried(curve, learning_done(make_schedule(recipe), steps))
    return [{"run": run.name, **row} for row in rows]


def tried(curve: Curve, learned: np.ndarray) -> list[Row]:
    """A forecast after each of SHARES of the steps, and what became of it."""
    rows = []
    for share in SHARES:
        so_far = [(step, value) for step, value in curve if step <= share * (len(learned) - 1)]
        told = forecast(so_far, learned=learned)
        end = curve[-1][1]
        row: Row = {"after": share, "evaluations": len(so_far), "end": round(end, 4)}
        if told is not None:
            row |= {
                "now": round(so_far[-1][1], 4),
                "forecast": round(told.ap50, 4),
                "low": round(told.low, 4),
                "high": round(told.high, 4),
                "held": told.low <= end <= told.high,
            }
        rows.append(row)
    return rows


def summaries(trials: list[list[Row]]) -> dict[str, Row]:
    """Of the forecasts after each share: how many were told, and of those how many held, how far
    off and how wide they were; and how far off the AP at that time was."""
    found: dict[str, Row] = {}
    for share in SHARES:
        rows = [row for rows in trials for row in rows if row["after"] == share]
        told = [row for row in rows if "held" in row]
        found[str(share)] = {"told": len(told), "untold": len(rows) - len(told)}
        if told:
            found[str(share)] |= {
                "held": round(float(np.mean([row["held"] for row in told])), 3),
                "off": _mean([row["forecast"] - row["end"] for row in told]),
                "now_off": _mean([row["now"] - row["end"] for row in told]),
                "width": _mean([row["high"] - row["low"] for row in told]),
            }
    return found


def _mean(values: list[float]) -> float:
    return round(float(np.mean(np.abs(values))), 4)


if __name__ == "__main__":
    main()
