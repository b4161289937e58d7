"""How fast training starts with the norm of the predictors' outputs at several gains.

    python benchmarks/output_gain.py            # about ten minutes on two cores

Trains `scratchdet_nano` on the demo's digits for the first steps of its recipe and prints the two
loss terms, averaged over 50 steps, for every gain and learning rate. Gain 1 is how norms usually
start; `scratchdet.models.head.OUTPUT_GAIN` is what we start with.
"""

import tempfile
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from scratchdet.data.digits import write_digits
from scratchdet.recipe import Recipe, differing
from scratchdet.recipes import load_recipe
from scratchdet.train.batches import batches_from, samples_from
from scratchdet.train.device import describe_device, use_threads
from scratchdet.train.distributed import Ranks
from scratchdet.train.optim import learning_rate, set_learning_rate
from scratchdet.train.prepare import Prepared, prepare
from scratchdet.train.resolve import resolve
from scratchdet.train.setup import build, make_loss, zero_of
from scratchdet.train.step import train_step
from scratchdet.version import describe_code

GAINS = (1.0, 0.2)
RATES = (0.05, 0.15)
STEPS = 350
QUIET = Console(quiet=True)
WINDOW = 50


def start_of_training(recipe: Recipe, prepared: Prepared, gain: float) -> list[tuple[float, float]]:
    """(classification, localisation) for every window of steps."""
    training = build(recipe, prepared, torch.device(recipe.run.device))
    for layer in training.detector.head.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.constant_(layer.weight, gain)
    loss = make_loss(recipe.optim, training.detector)
    training.detector.train()
    terms = []
    fill = zero_of(training.detector)
    samples = samples_from(recipe, prepared, fill=fill, ranks=Ranks(), console=QUIET)
    batches = batches_from(recipe, samples, start=0, stop=STEPS, ranks=Ranks())
    for step, batch in enumerate(batches):
        lr = learning_rate(
            step,
            highest=recipe.optim.lr,
            steps=recipe.schedule.steps,
            warmup_steps=recipe.schedule.warmup_steps,
            shape=recipe.schedule.shape,
        )
        set_learning_rate(training.optimiser, lr)
        losses, _ = train_step(training, batch, loss, precision=recipe.run.precision, clip_norm=0.0)
        terms.append((losses.classification.item(), losses.localisation.item()))
    windows = [terms[start : start + WINDOW] for start in range(0, STEPS, WINDOW)]
    return [(sum(c for c, _ in w) / WINDOW, sum(b for _, b in w) / WINDOW) for w in windows]


def main() -> None:
    use_threads(0)
    with tempfile.TemporaryDirectory() as folder:
        data = write_digits(Path(folder) / "digits")
        recipe, _ = resolve(
            differing(load_recipe("digits"), data={"path": str(data), "test_split": ""})
        )
        prepared = prepare(recipe.data, threads=2, console=QUIET)
        print(f"{describe_device(recipe.run.device)}, {recipe.run.precision}, {describe_code()}")
        print("classification / localisation, mean of the 50 steps up to")
        steps = range(WINDOW, STEPS + 1, WINDOW)
        print("gain  lr    " + "".join(f"{step:>14}" for step in steps))
        for rate in RATES:
            for gain in GAINS:
                means = start_of_training(differing(recipe, optim={"lr": rate}), prepared, gain)
                row = "".join(f"{c:8.2f} /{b:5.2f}" for c, b in means)
                print(f"{gain:<5} {rate:<5} {row}", flush=True)


if __name__ == "__main__":
    main()
