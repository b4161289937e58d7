"""A grid of trainings that differ in one thing, several seeds of each, and what came out."""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.console import Console

from scratchdet.analysis.ablation import (
    Outcome,
    cells,
    conclusion,
    draw_losses,
    draw_table,
    to_markdown,
)
from scratchdet.evaluation.columns import Columns, from_detections
from scratchdet.evaluation.curve import every_hit
from scratchdet.evaluation.metrics import mean_of_defined, none_if_nan, precisions
from scratchdet.evaluation.run import detect_all
from scratchdet.evaluation.verdicts import Size, object_areas
from scratchdet.evaluation.voc import judge
from scratchdet.files import replacing, write_text
from scratchdet.models.saved import load_model
from scratchdet.recipe import Recipe, RecipeError, differing
from scratchdet.recipes.ablations import Variant
from scratchdet.structures import DetectionData
from scratchdet.train.finite import NonFiniteLoss
from scratchdet.train.log import read_log
from scratchdet.train.loop import train
from scratchdet.train.prepare import Prepared
from scratchdet.train.resolve import resolve
from scratchdet.train.resuming import has_begun
from scratchdet.train.time_estimate import TimeEstimate, estimate_time
from scratchdet.version import describe_code

OUTCOME = "outcome.json"  # in the folder of a run: it is done, or has diverged
MEASURED = 5.0  # seconds, that the steps of each network are timed in
FEWEST_STEPS = 50
SIZE_GROUPS = 3  # thirds of the objects, by their size


def fitted(
    recipe: Recipe, trainings: Sequence[Variant], prepared: Prepared, *, seconds: float
) -> Recipe:
    """The recipe with as many steps as all `trainings` can have in so many seconds.

    By what a step takes here, on these images; evaluated at the end alone, so that the time goes
    into steps. Raises RecipeError for less than `FEWEST_STEPS`.
    """
    recipe = differing(recipe, schedule={"evaluate_every": 0})
    times: dict[str, TimeEstimate] = {}
    for variant in trainings:
        if variant.row not in times:  # the learning rate makes no step slower
            settled, _ = resolve(variant.of(recipe, seed=0))
            times[variant.row] = estimate_time(settled, prepared, device="", seconds=MEASURED)
    each = [times[variant.row] for variant in trainings]
    for_evaluations = sum(one.images * one.seconds_an_image for one in each)
    a_step_each = sum(one.seconds_a_step for one in each)
    steps = int((seconds - for_evaluations) / a_step_each)
    if steps < FEWEST_STEPS:
        least = (for_evaluations + FEWEST_STEPS * a_step_each) / 60
        raise RecipeError(
            f"{len(each)} trainings would have {max(steps, 0)} steps each in {seconds:.0f} s, and "
            f"nothing is learned in fewer than {FEWEST_STEPS}: --budget {least + 1:.0f}m at least, "
            "fewer --seeds, or a smaller --model.input-size"
        )
    return differing(recipe, schedule={"steps": steps})


def run_grid(
    variants: Sequence[Variant],
    recipe: Recipe,
    *,
    folder: Path,
    seeds: Sequence[int],
    evaluated: DetectionData,
) -> Iterator[tuple[Path, Outcome]]:
    """Trains every variant with every seed: the folder of each training, and what it came to.

    What has an outcome in `folder` is not done again, and what was interrupted goes on. Seed after
    seed: stopped early, the table is whole for the seeds that are done. evaluated: the images that
    AP by size is of.
    """
    edges = size_edges(evaluated)
    for seed in seeds:
        for variant in variants:
            run_dir = folder / f"{variant.name}-seed{seed}"
            outcome = read_outcome(run_dir)
            if outcome is None:
                outcome = _run(variant, recipe, seed, run_dir, evaluated, edges)
                write_text(run_dir / OUTCOME, json.dumps(outcome._asdict(), indent=2) + "\n")
            yield run_dir, outcome


def write_results(
    folder: Path,
    done: Sequence[tuple[Path, Outcome]],
    *,
    question: str,
    sizes: Sequence[str],
    device: str,
) -> list[str]:
    """Writes the table (`table.md`, `ablation.json`) and the figures (`ablation.png`,
    `losses.png`) of the trainings so far; the lines of the table, and of what it says.

    sizes: names of the groups of sizes. device: that was trained on, as it is called.
    """
    outcomes = [outcome for _, outcome in done]
    table = cells(outcomes)
    write_text(folder / "table.md", to_markdown(table, sizes=sizes))
    result = {
        "question": question,
        "device": device,
        "sizes": list(sizes),
        "outcomes": [outcome._asdict() for outcome in outcomes],
    }
    write_text(folder / "ablation.json", json.dumps(result, indent=2) + "\n")
    logs = [(outcome, read_log(run_dir / "log.jsonl")) for run_dir, outcome in done]
    figures = {"ablation.png": draw_table(table, sizes=sizes), "losses.png": draw_losses(logs)}
    for name, figure in figures.items():
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, format="png")
    return [*to_markdown(table, sizes=sizes).splitlines(), *conclusion(table)]


def _run(
    variant: Variant,
    recipe: Recipe,
    seed: int,
    run_dir: Path,
    evaluated: DetectionData,
    edges: np.ndarray,
) -> Outcome:
    blank = Outcome(variant.row, variant.column, seed, None, (), None, 0.0, describe_code())
    try:
        train(
            variant.of(recipe, seed=seed),
            run_dir=run_dir,
            resume=has_begun(run_dir),
            console=Console(quiet=True),
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


def size_edges(data: DetectionData) -> np.ndarray:
    """(SIZE_GROUPS + 1,) areas in pixels that part the objects of `data` into equal groups."""
    areas = object_areas(data)[~data.ignore]
    if not len(areas):
        return np.arange(SIZE_GROUPS + 1.0)
    inner = np.quantile(areas, np.arange(1, SIZE_GROUPS) / SIZE_GROUPS)
    return np.concatenate([[0.0], inner, [np.inf]])


def size_names(edges: np.ndarray) -> list[str]:
    """`up to 14 px`, `14 to 27 px`, `from 27 px`: the groups, by the square root of the area."""
    sides = [f"{side:.0f}" for side in np.sqrt(edges[1:-1])]
    between = [f"{low} to {high} px" for low, high in pairwise(sides)]
    return [f"up to {sides[0]} px", *between, f"from {sides[-1]} px"]


def ap50_by_size(data: DetectionData, found: Columns, edges: np.ndarray) -> list[float]:
    """AP50 of the objects between each two edges (areas), small ones first; NaN where are none.

    The others are ignored, by COCO's rule (`evaluation.voc.judge`).
    """
    sizes = [Size(low, high) for low, high in pairwise(edges)]
    return [
        mean_of_defined(precisions(verdicts, every_hit).ravel())
        for verdicts in judge(data, found, sizes=sizes)
    ]
