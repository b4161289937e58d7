"""A run that goes on after its end, without starting over: `scratchdet train --extend STEPS`."""

from pathlib import Path

from scratchdet.recipe import Recipe, RecipeError, differing
from scratchdet.recipes.lengths import warmup_of
from scratchdet.train.resuming import is_finished
from scratchdet.train.setup import make_schedule


def extended(recipe: Recipe, more: int, *, run_dir: Path) -> Recipe:
    """The recipe of the run in `run_dir`, with so many more steps after those it has.

    Raises RecipeError if the run is in an extension already: the same command given twice must not
    lengthen it twice.
    """
    schedule = recipe.schedule
    if schedule.extended_at and not is_finished(run_dir, schedule.steps):
        raise RecipeError(
            f"{run_dir} was extended to {schedule.steps} steps and has not done them: go on with "
            f"scratchdet train --resume {run_dir}, and extend it again when it is finished"
        )
    lengths = (*schedule.extended_at, schedule.steps)
    return differing(recipe, schedule={"steps": schedule.steps + more, "extended_at": lengths})


def describe_extension(recipe: Recipe) -> str:
    """What the learning rate does in the last extension of the recipe, in one line."""
    schedule, rate = recipe.schedule, make_schedule(recipe)
    begin, end = schedule.extended_at[-1], schedule.steps
    rise = warmup_of(end - begin)
    rates = [rate(step) for step in range(begin + rise, end)]
    goes = f"goes from {rate(begin - 1):.3g} to {rates[0]:.3g} in {rise} steps"
    if schedule.shape == "cosine":
        falls = "and falls to zero as half a cosine"
    else:
        drops = [
            str(begin + rise + at) for at in range(1, len(rates)) if rates[at] != rates[at - 1]
        ]
        falls = f"and drops at {', '.join(drops)}" if drops else "and stays there"
    return f"extended from {begin} to {end} steps: there the learning rate {goes} {falls}"
