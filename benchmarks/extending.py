"""What a finished run gains by --extend, beside --steps and a run that was longer from the start.

    scratchdet demo --data-only demo-data
    python benchmarks/extending.py demo-data [--runs FOLDER] [--steps 300] [--seeds 1]

The recipe is that of the demo, on one thread. The runs stay in FOLDER; those that are finished are
not made again, and one that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from machine import as_measured

from scratchdet.recipe import Recipe, differing
from scratchdet.recipes import load_recipe
from scratchdet.train.extending import extended
from scratchdet.train.loop import train

RESULTS = Path(__file__).parent / "results" / "extending.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("digits", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("/tmp/extending"))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    data, steps = given.digits.resolve(), given.steps
    found = [measured(data, given.runs, steps=steps, seed=seed) for seed in range(given.seeds)]
    test_ap50 = {name: [one[name] for one in found] for name in found[0]}
    means = {name: round(float(np.mean(values)), 4) for name, values in test_ap50.items()}
    as_measured({"steps": steps, "test_ap50": test_ap50, "means": means}, RESULTS)


def measured(data: Path, runs: Path, *, steps: int, seed: int) -> dict[str, float]:
    """AP50 on the test images after so many steps, and of each way to twice as many."""
    recipe = differing(
        load_recipe("digits"),
        data={"path": str(data)},
        schedule={"steps": steps, "evaluate_every": max(1, steps // 6)},
        run={"seed": seed, "threads": 1, "device": "cpu"},
    )
    twice = {"steps": 2 * steps}
    short = made(recipe, runs / f"{steps}-seed{seed}")
    begun = load_recipe(short / "recipe.toml")
    ways = {
        "short": short,
        "straight": made(differing(recipe, schedule=twice), runs / f"{2 * steps}-seed{seed}"),
        "extended": made(
            extended(begun, steps, run_dir=short), runs / f"{steps}-extended-seed{seed}", of=short
        ),
        "resumed_with_steps": made(
            differing(begun, schedule=twice), runs / f"{steps}-resumed-seed{seed}", of=short
        ),
    }
    return {name: ap50(run) for name, run in ways.items()}


def made(recipe: Recipe, folder: Path, *, of: Path | None = None) -> Path:
    """The finished run of the recipe; it goes on with a copy of the run `of`, if there is one."""
    if of is not None and not folder.exists():
        shutil.copytree(of, folder)
    return train(recipe, run_dir=folder, resume=folder.exists())


def ap50(run: Path) -> float:
    return round(json.loads((run / "metrics.json").read_text())["ap50"], 4)


if __name__ == "__main__":
    main()
