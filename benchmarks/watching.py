"""What it costs to look at a training: the figures of every logged step, and `--analyse`.

    python benchmarks/watching.py              # a minute on one core

Steps of noise with sixteen objects in each image, on one thread of the CPU, in processor time, so
that other work on the machine counts little: plain, with the figures that a logged step has, and
analysed, in turn. Writes `results/watching.json`: medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from machine import as_measured
from training_speed import no_data, noise

from scratchdet.analysis.gradients import MULTIPLES
from scratchdet.recipe import Recipe, differing
from scratchdet.train.analyse import measure_landscape
from scratchdet.train.scalars import Scalars
from scratchdet.train.setup import build, make_loss
from scratchdet.train.step import train_step

RESULTS = Path(__file__).parent / "results" / "watching.json"
LOG_EVERY = Recipe().schedule.log_every


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--model", default="scratchdet_nano")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=16)
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipe = differing(
        Recipe(),
        model={"name": given.model, "input_size": (given.size, given.size)},
        data={"batch": given.batch},
        run={"precision": "fp32"},
    )
    training = build(recipe, no_data(), torch.device("cpu"))
    training.detector.train()
    loss, batch = make_loss(recipe.optim, training.detector), noise(recipe, given.batch)
    scalars = Scalars(training.detector, compiled=False)

    def step(watched: bool) -> None:
        with scalars.watching(watched):
            _, norm = train_step(training, batch, loss, precision="fp32", clip_norm=0.0)
        if watched:
            scalars.figures(norm)

    def analysis() -> None:
        sizes = [recipe.optim.lr * multiple for multiple in MULTIPLES]
        measure_landscape(training, batch, loss, step_sizes=sizes, precision="fp32")

    step(True)
    plain, watched, analysed = [], [], []
    for _ in range(given.rounds):
        plain.append(seconds(lambda: step(False)))
        watched.append(seconds(lambda: step(True)))
    for _ in range(max(2, given.rounds // 3)):
        analysed.append(seconds(analysis))
    one, more = statistics.median(plain), statistics.median(watched)
    result: dict[str, object] = {
        "task": f"{given.model}, {given.batch} images of {given.size} x {given.size}, fp32",
        "step_ms": round(1000 * one, 1),
        "logged_step_ms": round(1000 * more, 1),
        "percent_of_the_time": round(100 * (more - one) / (LOG_EVERY * one), 2),
        "log_every": LOG_EVERY,
        "analysis_in_steps": round(statistics.median(analysed) / one, 2),
        "rounds": given.rounds,
    }
    as_measured(result, RESULTS)


if __name__ == "__main__":
    main()
