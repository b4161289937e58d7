"""A grid of trainings that differ in one thing, several seeds of each, and what came out."""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from scratchdet.evaluation.columns import Columns, from_detections
from scratchdet.evaluation.curve import every_hit
from scratchdet.evaluation.metrics import mean_of_defined, none_if_nan, precisions
from scratchdet.evaluation.run import detect_all
from scratchdet.evaluation.verdicts import Size, object_areas
from scratchdet.evaluation.voc import judge
from scratchdet.files import write_text
from scratchdet.models.saved import load_model
from scratchdet.recipe import Recipe
from scratchdet.recipes.ablations import Variant
from scratchdet.structures import DetectionData
from scratchdet.train.finite import NonFiniteLoss
from scratchdet.train.log import read_log
from scratchdet.train.loop import train
from scratchdet.train.resuming import has_begun

OUTCOME = "outcome.json"  # in the folder of a run: it is done, or has diverged
SIZE_GROUPS = 3  # thirds of the objects, by their size


class Outcome(NamedTuple):
    """What one training of the grid came to."""

    row: str
    column: str
    seed: int
    ap50: float | None
    """On the test split, else the validation split; None: it diverged, or nothing is to find."""
    by_size: tuple[float | None, ...]
    """AP50 of the objects of each group of sizes, from small to large."""
    diverged_at: int | None
    """The step whose loss was no number; None: none was."""
    seconds: float


def run_grid(
    variants: Sequence[Variant],
    recipe: Recipe,
    *,
    folder: Path,
    seeds: Sequence[int],
    evaluated: DetectionData,
    console: Console,
    done: Callable[[int, str], None],
) -> list[Outcome]:
    """Trains every variant with every seed; what has an outcome in `folder` is not done again.

    Seed after seed: stopped early, the table is whole for the seeds that are done. evaluated: the
    images that AP is of. done(number, line): called after each training.
    """
    outcomes: list[Outcome] = []
    edges = size_edges(evaluated)
    for seed in seeds:
        for variant in variants:
            run_dir = folder / f"{variant.name}-seed{seed}"
            outcome = read_outcome(run_dir)
            if outcome is None:
                outcome = _run(variant, recipe, seed, run_dir, evaluated, edges, console)
                write_text(run_dir / OUTCOME, json.dumps(outcome._asdict(), indent=2) + "\n")
            outcomes.append(outcome)
            done(len(outcomes), f"{run_dir.name}: {described(outcome)}")
    return outcomes


def _run(
    variant: Variant,
    recipe: Recipe,
    seed: int,
    run_dir: Path,
    evaluated: DetectionData,
    edges: np.ndarray,
    console: Console,
) -> Outcome:
    blank = Outcome(variant.row, variant.column, seed, None, (), None, 0.0)
    try:
        train(
            variant.of(recipe, seed=seed),
            run_dir=run_dir,
            resume=has_begun(run_dir),
            console=console,
        )
    except NonFiniteLoss:
        log = read_log(run_dir / "log.jsonl")
        return blank._replace(diverged_at=log[-1]["step"] if log else 0)
    figures = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    found = from_detections(detect_all(load_model(run_dir), evaluated))
    return blank._replace(
        ap50=figures["ap50"],
        by_size=tuple(none_if_nan(ap) for ap in ap50_by_size(evaluated, found, edges)),
        seconds=figures["seconds"],
    )


def read_outcome(run_dir: Path) -> Outcome | None:
    """What the training in this folder came to; None if it is not done."""
    file = run_dir / OUTCOME
    if not file.is_file():
        return None
    values = json.loads(file.read_text(encoding="utf-8"))
    return Outcome(**values | {"by_size": tuple(values["by_size"])})


def described(outcome: Outcome) -> str:
    """`AP50 0.412 in 61 s`, or how it failed."""
    if outcome.diverged_at is not None:
        return f"diverged after step {outcome.diverged_at}"
    figure = "not defined" if outcome.ap50 is None else f"{outcome.ap50:.3f}"
    return f"AP50 {figure} in {outcome.seconds:.0f} s"


def size_edges(data: DetectionData) -> np.ndarray:
    """(SIZE_GROUPS + 1,) areas in pixels that part the objects of `data` into equal groups."""
    areas = object_areas(data)[~data.ignore]
    if not len(areas):
        return np.linspace(0, 1, SIZE_GROUPS + 1)
    inner = np.quantile(areas, np.arange(1, SIZE_GROUPS) / SIZE_GROUPS)
    return np.concatenate([[0.0], inner, [np.inf]])


def ap50_by_size(data: DetectionData, found: Columns, edges: np.ndarray) -> list[float]:
    """AP50 of the objects between each two edges (areas), small ones first; NaN where are none.

    The others are ignored, by COCO's rule (`evaluation.voc.judge`).
    """
    sizes = [Size(low, high) for low, high in pairwise(edges)]
    return [
        mean_of_defined(precisions(verdicts, every_hit).ravel())
        for verdicts in judge(data, found, sizes=sizes)
    ]
