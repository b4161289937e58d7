"""How AP50 grows with the number of training images: what `scratchdet check` compares data with.

    python benchmarks/learning_curve.py digits DIGITS --recipe digits --steps 500 \
        --images 50 200 800 2000
    python benchmarks/learning_curve.py bccd BCCD --recipe small_data --steps 300 \
        --input-size 120 160 --augment mild_any_up --images 25 50 100 205

DIGITS is the folder of `scratchdet demo --data-only`. Trains the recipe's network on growing random
subsets of the training split, each holding the smaller ones, for the same number of steps, and
evaluates the averaged weights on the test split. Writes `results/learning_curve_NAME.json`, anew
after every training; `python -m scratchdet.analysis.learning_curves` then takes the curve into the
table that is shipped. One thread: about 50 images/s at 160 x 160.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from machine import as_measured
from rich.console import Console

from scratchdet.data.dataset import random_for
from scratchdet.evaluation.columns import from_detections
from scratchdet.evaluation.intervals import Interval, bootstrap
from scratchdet.evaluation.metrics import PROTOCOLS, measure
from scratchdet.evaluation.run import detect_all
from scratchdet.models.detector import Detector
from scratchdet.recipe import Recipe, differing
from scratchdet.recipes import load_recipe
from scratchdet.structures import DetectionData
from scratchdet.train.batches import batches_from, samples_from
from scratchdet.train.device import use_threads
from scratchdet.train.distributed import Ranks
from scratchdet.train.optim import set_learning_rate
from scratchdet.train.prepare import Prepared, prepare
from scratchdet.train.resolve import resolve
from scratchdet.train.setup import build, make_loss, make_schedule, zero_of
from scratchdet.train.step import train_step

SUBSETS = 0x5B5E  # keeps the choice of images apart from everything else that is drawn by the seed
RESULTS = Path(__file__).parent / "results"


class Result(NamedTuple):
    """AP50 on the test split, and where it would lie on other images of the kind."""

    ap50: float
    interval: Interval


def trained(recipe: Recipe, prepared: Prepared) -> Detector:
    """The averaged weights after the recipe's steps on `prepared.train`."""
    training = build(recipe, prepared, torch.device(recipe.run.device))
    detector, ema = training.detector, training.ema
    loss, rate_at = make_loss(recipe.optim, detector), make_schedule(recipe)
    samples = samples_from(
        recipe, prepared, fill=zero_of(detector), ranks=Ranks(), console=Console(quiet=True)
    )
    batches = batches_from(recipe, samples, start=0, stop=recipe.schedule.steps, ranks=Ranks())
    detector.train()
    for step, batch in enumerate(batches):
        set_learning_rate(training.optimiser, rate_at(step))
        train_step(training, batch, loss, precision=recipe.run.precision, clip_norm=0.0)
        ema.update(detector, updates=step)
    return ema.detector


def tested(detector: Detector, data: DetectionData) -> Result:
    found = from_detections(detect_all(detector, data))
    metrics, verdicts = measure(data, found, protocol="voc")
    rng = np.random.default_rng(0)
    intervals = bootstrap(data, verdicts, PROTOCOLS["voc"].points, rng=rng)
    return Result(metrics.ap50, intervals.ap50)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the data: what the curve is called")
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", default="small_data")
    parser.add_argument("--images", type=int, nargs="+", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--input-size", type=int, nargs=2)
    parser.add_argument("--augment")
    given = parser.parse_args()
    threads = use_threads(1)
    recipe = differing(
        load_recipe(given.recipe),
        data={
            "path": str(given.data),
            "val_split": "none",
            "test_split": "test",
            "workers": 0,
            **({"augment": given.augment} if given.augment else {}),
        },
        schedule={"steps": given.steps},
        model={"input_size": tuple(given.input_size)} if given.input_size else {},
        run={"device": "cpu"},
    )
    recipe, _ = resolve(recipe)
    prepared = prepare(recipe.data, threads=threads, console=Console(quiet=True))
    if prepared.test is None:
        parser.error("the data has no test split to be tested on")
    order = random_for(recipe.run.seed, SUBSETS).permutation(len(prepared.train))
    points = []
    for images in given.images:
        if images > len(order):
            parser.error(f"--images {images}: the training split has {len(order)}")
        part = prepared.train.subset(np.sort(order[:images]))
        began = time.monotonic()
        result = tested(trained(recipe, prepared._replace(train=part)), prepared.test)
        points.append(
            {
                "images": images,
                "objects": part.num_objects,
                "ap50": round(result.ap50, 4),
                "interval": [round(limit, 4) for limit in result.interval],
                "seconds": round(time.monotonic() - began, 1),
            }
        )
        report = {
            "data": given.name,
            "classes": len(prepared.train.classes),
            "test_images": len(prepared.test),
            "recipe": given.recipe,
            "network": recipe.model.name,
            "input_size": list(recipe.model.input_size),
            "augment": recipe.data.augment,
            "batch": recipe.data.batch,
            "steps": recipe.schedule.steps,
            "seed": recipe.run.seed,
            "points": points,
            "torch": torch.__version__,
        }
        as_measured(report, RESULTS / f"learning_curve_{given.name}.json")


if __name__ == "__main__":
    main()
