"""What a finished run gains by --extend, beside --steps and a run that was longer from the start.

    python benchmarks/extending.py demo-data [--runs FOLDER] [--steps 300] [--seeds 1]

`scratchdet_nano` learns windows of 64 x 64 pixels out of the digits (`windows.py`), on one thread.
The runs stay in FOLDER, and those that are there are not made again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from machine import as_measured
from windows import SIDE, write_windows

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
    data = given.runs / "windows"
    if not data.exists():
        write_windows(given.digits, data)
    found = [
        measured(data, given.runs, steps=given.steps, seed=seed) for seed in range(given.seeds)
    ]
    as_measured(
        {
            "steps": given.steps,
            "test_ap50": {name: [one[name] for one in found] for name in found[0]},
            "mean": {
                name: round(float(np.mean([one[name] for one in found])), 4) for name in found[0]
            },
        },
        RESULTS,
    )


def measured(data: Path, runs: Path, *, steps: int, seed: int) -> dict[str, float]:
    """AP50 on the test images of each way to so many steps and twice as many."""
    recipe = differing(
        load_recipe("digits"),
        model={"input_size": (SIDE, SIDE)},
        data={"path": str(data), "workers": 0},
        schedule={"steps": steps, "evaluate_every": 25},
        run={"seed": seed, "threads": 1, "device": "cpu"},
    )
    short = made(recipe, runs / f"{steps}-seed{seed}")
    longer = differing(load_recipe(short / "recipe.toml"), schedule={"steps": 2 * steps})
    return {
        "short": ap50(short),
        "extended": ap50(
            made(
                extended(load_recipe(short / "recipe.toml"), steps, run_dir=short),
                runs / f"{steps}-extended-seed{seed}",
                of=short,
            )
        ),
        "resumed_with_steps": ap50(made(longer, runs / f"{steps}-resumed-seed{seed}", of=short)),
        "straight": ap50(
            made(differing(recipe, schedule={"steps": 2 * steps}), runs / f"{2 * steps}-seed{seed}")
        ),
    }


def made(recipe: Recipe, folder: Path, *, of: Path | None = None) -> Path:
    """The finished run of the recipe; it goes on with the run `of`, if there is one."""
    if of is not None and not folder.exists():
        shutil.copytree(of, folder)
    return train(recipe, run_dir=folder, resume=folder.exists())


def ap50(run: Path) -> float:
    return round(json.loads((run / "metrics.json").read_text())["ap50"], 4)


if __name__ == "__main__":
    main()
