"""How smooth the loss was in trainings that were analysed, side by side.

    scratchdet train DATA --analyse 15 --name bn ...            # docs/gradients.md has the commands
    python benchmarks/smoothness.py runs/bn runs/none --labels BatchNorm none

Writes `docs/gradients/all.png`, the four panels of the papers and the norm in every block, and
`results/smoothness.json`: medians over the steps that all of the runs were analysed at.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from machine import as_measured

from scratchdet.analysis.gradient_plots import draw_gradients, read_gradients
from scratchdet.files import replacing
from scratchdet.recipe import Recipe
from scratchdet.recipe_toml import from_toml

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "gradients" / "all.png"
WAYS = (0.04, 0.08)  # of both runs in docs/gradients.md: in L2 norm of the weights
DPI = 70  # a small file
RESULTS = HERE / "results" / "smoothness.json"


def ranges(record: Mapping[str, Any]) -> dict[str, float]:
    """What the figures are of, in numbers; infinite where a value is past an overflow."""
    losses = [float("inf") if loss is None else loss for loss in record["losses"]]
    changes = [float("inf") if one is None else one for one in record["distances"]]
    smoothness = record["smoothness"]
    return {
        "loss": record["loss"],
        "range_of_loss_over_loss": (max(losses) - min(losses)) / record["loss"],
        "gradient_norm": record["gradient_norm"],
        "largest_change_of_gradient_over_norm": max(changes) / record["gradient_norm"],
        "smoothness": float("inf") if smoothness is None else smoothness,
    }


def same_way(records: Sequence[Mapping[str, Any]]) -> float:
    """Median change of the gradient over the way, of all steps whose way is in WAYS.

    Runs with other learning rates go other ways, and on longer ones a gradient that is already
    another one cannot change much more: over the whole of them the shorter ones look rougher.
    """
    slopes = []
    for record in records:
        for size, distance in zip(record["step_sizes"], record["distances"], strict=True):
            way = size * record["gradient_norm"]
            if distance is not None and WAYS[0] <= way < WAYS[1]:
                slopes.append(distance / way)
    return float(f"{median(slopes):.4g}") if slopes else float("nan")


def recipe_of(run: Path) -> Recipe:
    file = run / "recipe.toml"
    return from_toml(file.read_text(encoding="utf-8"), source=str(file), bases={})


def medians(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    rows = [ranges(record) for record in records]
    return {name: float(f"{median(row[name] for row in rows):.4g}") for name in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--labels", nargs="+", required=True)
    given = parser.parse_args()
    runs = {label: read_gradients(run) for label, run in zip(given.labels, given.runs, strict=True)}
    both = set.intersection(*({record["step"] for record in records} for records in runs.values()))
    rows: dict[str, object] = {}
    for label, run in zip(given.labels, given.runs, strict=True):
        recipe = recipe_of(run)
        here = [record for record in runs[label] if record["step"] in both]
        rows[label] = {
            "norm": recipe.model.norm_backbone,
            "lr": recipe.optim.lr,
            "analysed_until": runs[label][-1]["step"],
            **medians(here),
            "change_over_way_same_ways": same_way(here),
        }
    with replacing(PICTURE) as temporary:
        draw_gradients(runs).savefig(temporary, format="png", dpi=DPI)
    result: dict[str, object] = {"steps": sorted(both), "medians": rows}
    metrics = [run / "metrics.json" for run in given.runs]
    result["same_ways"] = WAYS
    result["commit_of_runs"] = sorted(
        {json.loads(file.read_text())["commit"] for file in metrics if file.exists()}
    )
    as_measured(result, RESULTS)


if __name__ == "__main__":
    main()
