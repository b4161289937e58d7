"""What follows from the length of a training: warm-up, averaged weights, augmentation, drops."""

from collections.abc import Mapping
from typing import Any

from scratchdet.recipe import Recipe, differing

# The four numbers of warm-up and average are our own; the demo and docs/results.md were made with
# 50 or 100 steps of warm-up and an average over 500 steps in 1,200, which they come near.
WARMUP_SHARE = 0.05  # of the steps
WARMUP_MOST = 500  # steps; as many as ScratchDet's mmdetection configs have
AVERAGE_SHARE = 0.1  # of the steps, that the averaged weights are the mean over
AVERAGE_LEAST = 500  # steps, so that a short run averages more of them ...
AVERAGE_MOST_SHARE = 0.4  # ... but not those of its beginning
AVERAGE_LONGEST = 10_000  # steps: a decay of 0.9999

MANY_STEPS = 2_500
"""From here on "auto" augments as strongly as SSD; below it costs more than it teaches."""
AUTO = "auto"


def settle(recipe: Recipe) -> Recipe:
    """The recipe with all that it leaves to the number of steps as values.

    Those are `schedule.warmup_steps` -1, `optim.ema` -1, and `data.augment` "auto", "auto_any_up"
    and "auto_no_mirror". The rest is as it stands; settled twice is settled once.
    """
    steps = recipe.schedule.steps
    warmup, ema, augment = recipe.schedule.warmup_steps, recipe.optim.ema, recipe.data.augment
    return differing(
        recipe,
        schedule={"warmup_steps": warmup_of(steps) if warmup == -1 else warmup},
        optim={"ema": ema_of(steps) if ema == -1 else ema},
        data={"augment": augment_of(augment, steps)},
    )


def warmup_of(steps: int) -> int:
    """Steps of warm-up for a training of so many: a twentieth, at most 500."""
    return min(WARMUP_MOST, int(WARMUP_SHARE * steps))


def ema_of(steps: int) -> float:
    """Decay of the averaged weights, 1 - 1/n for an average over n steps.

    n is a tenth of the training, in shorter ones 500 steps or 40 %, and at most 10,000.
    """
    over = min(max(AVERAGE_SHARE * steps, AVERAGE_LEAST), AVERAGE_MOST_SHARE * steps)
    return 1 - 1 / max(1.0, min(over, AVERAGE_LONGEST))


def augment_of(augment: str, steps: int) -> str:
    """The preset that an "auto" means; any other as it stands."""
    if augment != AUTO and not augment.startswith(f"{AUTO}_"):
        return augment
    return ("ssd" if steps >= MANY_STEPS else "mild") + augment.removeprefix(AUTO)


def has_ended(figures: Mapping[str, Any], *, steps: int) -> bool:
    """Whether the figures, of a `metrics.json`, are of the end of a training of so many steps.

    The folder of a run that is being extended holds those of its end before.
    """
    return bool(figures.get("steps") == steps)


def lengthened(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with so many steps, from the beginning on, whether or not it was extended.

    Its drops come at the same shares of the training; those that would fall on one step, or on the
    first, are one drop or none. Evaluations and checkpoints stay as many steps apart: what they
    cost, and what a crash loses, is counted in steps.
    """
    schedule = recipe.schedule
    length = schedule.extended_at[0] if schedule.extended_at else schedule.steps
    at = {round(drop / length * steps) for drop in schedule.drops}
    drops = tuple(sorted(step for step in at if 0 < step < steps))
    return differing(recipe, schedule={"steps": steps, "drops": drops, "extended_at": ()})
