"""What `scratchdet check --preflight` measures on real data: the figures of docs/preflight.md.

    python benchmarks/preflight.py digits DIGITS --recipe digits
    python benchmarks/preflight.py bccd BCCD --recipe small_data --input-size 120 160
    python benchmarks/preflight.py deeppcb DEEPPCB --recipe small_data --input-size 192 192 \
        --split train --files '{stem}_temp.jpg,{stem}_test.jpg'

DIGITS is the folder of `scratchdet demo --data-only`, DEEPPCB what `benchmarks/sensors.py` makes.
Writes `results/preflight_NAME.json`, with the text that the command prints, and the picture to
`docs/preflight/NAME.png`. One thread: some minutes each.
"""

import argparse
import io
from pathlib import Path

import torch
from machine import as_measured
from rich.console import Console

from scratchdet.recipe import differing
from scratchdet.recipes import load_recipe
from scratchdet.train.device import use_threads
from scratchdet.train.preflight import SECONDS, preflight
from scratchdet.train.preflight_text import save_ranges, show_preflight
from scratchdet.train.prepare import prepare
from scratchdet.train.resolve import resolve

FOLDER = Path(__file__).parent
QUIET = Console(quiet=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", default="small_data")
    parser.add_argument("--input-size", type=int, nargs=2)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--split", default="")
    parser.add_argument("--files", default="")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    threads = use_threads(1)
    recipe = differing(
        load_recipe(given.recipe),
        data={
            "path": str(given.data),
            "split": given.split,
            "val_split": "none",
            "test_split": "",
            "files": given.files,
            **({"batch": given.batch} if given.batch else {}),
        },
        model={"input_size": tuple(given.input_size)} if given.input_size else {},
        run={"device": "cpu"},
    )
    recipe, _ = resolve(recipe)
    prepared = prepare(recipe.data, threads=threads, console=QUIET)
    measured = preflight(recipe, prepared, console=QUIET, seconds=given.seconds)
    printed = io.StringIO()
    show_preflight(Console(file=printed), measured)
    save_ranges(measured, FOLDER.parent / "docs" / "preflight" / f"{given.name}.png")
    report = {
        "data": given.name,
        "recipe": given.recipe,
        "network": recipe.model.name,
        "input_size": list(recipe.model.input_size),
        "channels": prepared.channels,
        "printed": printed.getvalue().splitlines(),
        **measured.to_json(),
        "torch": torch.__version__,
    }
    as_measured(report, FOLDER / "results" / f"preflight_{given.name}.json")


if __name__ == "__main__":
    main()
