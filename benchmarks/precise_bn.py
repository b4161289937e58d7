"""What precise BatchNorm changes: AP50 with the statistics of training, and measured anew.

    python benchmarks/precise_bn.py            # about a quarter of an hour on two cores

Trains `scratchdet_nano` on the demo's digits for some hundred steps, over 16 and over 4 images at a
time, with several seeds. In mid-run (the learning rate is high) and at the end (it is zero), the
trained and the averaged weights are evaluated on the test split: with the statistics they have, and
with those measured on so many training batches. Writes `results/precise_bn.json`.
"""

import copy
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import mean

import torch
from rich.console import Console

from scratchdet.data.digits import write_digits
from scratchdet.data.loader import Batch
from scratchdet.evaluation.run import evaluate
from scratchdet.models.detector import Detector
from scratchdet.recipe import Recipe, differing
from scratchdet.recipes import load_recipe
from scratchdet.train.batches import batches_from, samples_from
from scratchdet.train.device import describe_device, use_threads
from scratchdet.train.distributed import Ranks
from scratchdet.train.optim import set_learning_rate
from scratchdet.train.precise_bn import measure_statistics
from scratchdet.train.prepare import Prepared, prepare
from scratchdet.train.resolve import resolve
from scratchdet.train.setup import build, make_loss, make_schedule, zero_of
from scratchdet.train.step import train_step
from scratchdet.version import describe_code

STEPS = 300
AT = (150, 300)
IMAGES = (16, 4)  # at a time: the BN batch; a step has 16
SEEDS = (0, 1)
MEASURED = (0, 30)  # batches
RESULTS = Path(__file__).parent / "results" / "precise_bn.json"

Figures = dict[str, list[float]]
"""AP50 after measuring each number of `MEASURED`, by step and weights."""


def batches_of(recipe: Recipe, prepared: Prepared, detector: Detector) -> Iterator[Batch]:
    samples = samples_from(
        recipe, prepared, fill=zero_of(detector), ranks=Ranks(), console=Console(quiet=True)
    )
    return batches_from(recipe, samples, start=0, stop=STEPS, ranks=Ranks())


def ap50s(detector: Detector, recipe: Recipe, prepared: Prepared) -> list[float]:
    figures = []
    for count in MEASURED:
        one = copy.deepcopy(detector)
        batches = batches_of(recipe, prepared, one)
        at_a_time = recipe.data.batch // recipe.data.accumulate
        parts = (part for batch in batches for part in batch.images.split(at_a_time))
        if count:
            measure_statistics(one, islice(parts, count), precision=recipe.run.precision)
        figures.append(evaluate(one, prepared.test).ap50)  # type: ignore[arg-type]
    return figures


def trained(recipe: Recipe, prepared: Prepared) -> Figures:
    training = build(recipe, prepared, torch.device(recipe.run.device))
    detector, ema = training.detector, training.ema
    loss, rate_at = make_loss(recipe.optim, detector), make_schedule(recipe)
    batches = batches_of(recipe, prepared, detector)
    detector.train()
    figures = {}
    for step, batch in enumerate(batches):
        set_learning_rate(training.optimiser, rate_at(step))
        train_step(
            training,
            batch,
            loss,
            precision=recipe.run.precision,
            clip_norm=0.0,
            parts=recipe.data.accumulate,
        )
        ema.update(detector, updates=step)
        if step + 1 in AT:
            for name, one in (("trained", detector), ("averaged", ema.detector)):
                figures[f"step {step + 1}, {name} weights"] = ap50s(one, recipe, prepared)
    return figures


def main() -> None:
    threads = use_threads(1)
    results: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = write_digits(Path(folder) / "digits")
        recipe = differing(
            load_recipe("digits"),
            data={"path": str(data), "workers": 0},
            schedule={"steps": STEPS},
        )
        recipe, _ = resolve(recipe)
        prepared = prepare(recipe.data, threads=threads, console=Console(quiet=True))
        print(f"{describe_device(recipe.run.device)}, {recipe.run.precision}, {describe_code()}")
        for seed in SEEDS:
            for images in IMAGES:
                one = differing(recipe, data={"accumulate": 16 // images}, run={"seed": seed})
                figures = trained(one, prepared)
                results.setdefault(f"{images} images at a time", []).append(figures)
                for name, values in figures.items():
                    row = "".join(f"{100 * value:8.2f}" for value in values)
                    print(f"seed {seed}, {images:2} images, {name:28} {row}", flush=True)
    report = {
        "task": f"scratchdet_nano, digits, {STEPS} steps of 16: AP50 on test, mean of seeds "
        f"{SEEDS}, statistics measured on {MEASURED} batches (0: those of training)",
        "results": {
            images: {
                name: [
                    round(100 * mean(run[name][i] for run in runs), 2) for i in range(len(MEASURED))
                ]
                for name in runs[0]
            }
            for images, runs in results.items()
        },
        "seeds": results,
        "machine": describe_device(recipe.run.device),
        "versions": {"torch": torch.__version__},
        "commit": describe_code(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
