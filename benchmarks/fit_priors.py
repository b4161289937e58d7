"""What fitted priors change: AP50 of a short training with the shipped ones, and with fitted ones.

    python benchmarks/fit_priors.py path/to/bccd            # about an hour of one core

Trains `scratchdet_nano` at 160 x 160 for some hundred steps, with several seeds, as it is shipped
and with what `scratchdet check --fit-priors` proposes for the training boxes. Backbone and neck
start with the same weights, and the batches are the same. Evaluated on the test split, by class.
Writes `results/fit_priors.json`.
"""

import sys
from itertools import chain
from pathlib import Path

import torch
from machine import as_measured
from rich.console import Console

from scratchdet.analysis.coverage import coverage
from scratchdet.analysis.fit_priors import fit_priors
from scratchdet.analysis.prior_overlaps import levels_of
from scratchdet.evaluation.metrics import Metrics
from scratchdet.evaluation.run import evaluate
from scratchdet.recipe import Recipe, differing
from scratchdet.recipes import load_recipe
from scratchdet.train.batches import batches_from, samples_from
from scratchdet.train.device import use_threads
from scratchdet.train.distributed import Ranks
from scratchdet.train.optim import set_learning_rate
from scratchdet.train.prepare import Prepared, prepare
from scratchdet.train.resolve import plan, resolve
from scratchdet.train.setup import build, make_loss, make_schedule, zero_of
from scratchdet.train.step import train_step

STEPS = 300
SEEDS = (0, 1)
RESULTS = Path(__file__).parent / "results" / "fit_priors.json"
QUIET = Console(quiet=True)


def trained(recipe: Recipe, prepared: Prepared) -> Metrics:
    """The figures on the test split of the averaged weights after STEPS."""
    training = build(recipe, prepared, torch.device("cpu"))
    detector, ema = training.detector, training.ema
    loss, rate_at = make_loss(recipe.optim, detector), make_schedule(recipe)
    samples = samples_from(recipe, prepared, fill=zero_of(detector), ranks=Ranks(), console=QUIET)
    detector.train()
    for step, batch in enumerate(batches_from(recipe, samples, start=0, stop=STEPS, ranks=Ranks())):
        set_learning_rate(training.optimiser, rate_at(step))
        train_step(training, batch, loss, precision=recipe.run.precision, clip_norm=0.0)
        ema.update(detector, updates=step)
    return evaluate(ema.detector, prepared.test)  # type: ignore[arg-type]


def shares(recipe: Recipe, prepared: Prepared) -> dict[str, float]:
    """Share of the test objects of each class that the recipe's priors match."""
    detector, size = plan(recipe.model), recipe.model.input_size
    assert prepared.test is not None
    found = coverage(prepared.test, levels_of(detector, size), input_size=size)
    return {"all": found.all.share} | {name: one.share for name, one in found.per_class.items()}


def main() -> None:
    use_threads(1)
    recipe = differing(
        load_recipe("nano"),
        data={"path": sys.argv[1], "test_split": "test", "workers": 0},
        schedule={"steps": STEPS},
        run={"threads": 1},
    )
    recipe, _ = resolve(recipe)
    prepared = prepare(recipe.data, threads=1, console=QUIET)
    parts = {"training": prepared.train, "validation": prepared.val}
    fit = fit_priors(plan(recipe.model), parts)  # type: ignore[arg-type]
    print(fit.reason, fit.proposal, flush=True)
    assert fit.proposal is not None
    fitted = {"prior_scales": fit.proposal.scales, "prior_ratios": fit.proposal.ratios}
    recipes = {"shipped": recipe, "fitted": differing(recipe, model=fitted)}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in recipes}
    for seed in SEEDS:
        for name, one in recipes.items():
            metrics = trained(differing(one, run={"seed": seed}), prepared)
            figures = {"all": metrics.ap50, **metrics.ap_per_class}
            runs[name].append({what: round(100 * value, 2) for what, value in figures.items()})
            print(f"seed {seed}, {name}: {runs[name][-1]}", flush=True)
    names = list(dict.fromkeys(chain(*runs["shipped"])))
    as_measured(
        {
            "task": f"scratchdet_nano at 160 x 160, {Path(sys.argv[1]).name}, {STEPS} steps of "
            f"{recipe.data.batch}: AP50 on test, in percent, by class, seeds {SEEDS}",
            "priors": fitted,
            "matched_in_percent": {
                name: {what: round(100 * share, 2) for what, share in shares(one, prepared).items()}
                for name, one in recipes.items()
            },
            "mean": {
                name: {
                    what: round(sum(run[what] for run in of_it) / len(of_it), 2) for what in names
                }
                for name, of_it in runs.items()
            },
            "runs": runs,
        },
        RESULTS,
    )


if __name__ == "__main__":
    main()
