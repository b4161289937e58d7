"""What a preflight has measured, on a terminal and as a picture."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from scratchdet.analysis.range_plot import RateCurve, draw_range_test
from scratchdet.files import replacing
from scratchdet.terminal import say
from scratchdet.train.overfit import IMAGES, REACHED, Overfit
from scratchdet.train.preflight import LEAST_STEPS, Preflight
from scratchdet.train.range_test import HIGHEST, LOWEST, STEPS, RangeTest
from scratchdet.train.remedies import remedies
from scratchdet.train.unseen import FEWEST, Unseen

MINUTE = 60.0


def describe_plan(seconds: float) -> str:
    """What is going to be done, and how long it will take."""
    limit = f"{seconds / MINUTE:.3g} minutes" if seconds >= MINUTE else f"{seconds:.3g} seconds"
    return (
        f"preflight: learning {IMAGES} images by heart, then {STEPS} steps with growing learning "
        f"rate, twice; at most {limit} in all (--seconds)"
    )


def show_preflight(console: Console, measured: Preflight) -> None:
    """Prints both measurements, the verdict, and what to try where it failed."""
    for line in (*_of_overfit(measured.overfit), *_of_ranges(measured)):
        say(console, line)
    say(console, f"preflight {measured.verdict}, {measured.seconds:.0f} s")
    for line in remedies(measured):
        say(console, f"  try {line}")


def save_ranges(measured: Preflight, path: Path) -> None:
    """Writes the picture of the range tests as a PNG."""
    curves = [
        RateCurve(norms, test.rates, test.losses, test.smoothed, test.start, test.stable)
        for norms, test in measured.ranges.items()
    ]
    with replacing(path) as temporary:
        draw_range_test(curves, lr=measured.lr).savefig(temporary, format="png")


def _of_overfit(learned: Overfit) -> Iterator[str]:
    given = learned.given
    took = f"{learned.steps} steps of {learned.batch} images, lr {learned.lr:.3g}"
    what = f"{given.images} images with {given.objects} objects"
    if learned.ended == "diverged":
        yield f"by heart: {what}: the loss was no number any more after {took}"
        return
    outcome = {
        "reached": f"reached {REACHED}",
        "steps": f"never reached {REACHED}",
        "time": f"out of time before {REACHED}",
    }[learned.ended]
    yield f"by heart: {what}: {outcome}, AP50 {learned.ap50:.3f} after {took}"
    if learned.ended == "time":
        return
    if learned.unseen is None:
        yield f"unseen: fewer than {FEWEST} other images have objects: not tried"
    else:
        yield _of_unseen(learned.unseen)


def _of_unseen(unseen: Unseen) -> str:
    figures = (
        f"unseen: {unseen.images} other images, AP50 of objects of any class: {unseen.own:.4f} with"
        f" their own boxes, {max(unseen.exchanged):.4f} at most with each other's"
    )
    return (
        figures
        + {
            "own": ": boxes belong to their images",
            "any": ": nothing shows that boxes belong to their images",
            "alike": ": objects are at the same places in all, so this tells nothing",
        }[unseen.fit]
    )


def _of_ranges(measured: Preflight) -> Iterator[str]:
    for norms, test in measured.ranges.items():
        yield f"learning rates, {norms}: {_of_range(test)}"
    if measured.range is None:
        yield (
            f"learning rates: not tried, there was no time for {LEAST_STEPS} steps of "
            f"{measured.batch} images (--seconds for more)"
        )
        return
    own, *others = (test.stable for test in measured.ranges.values())
    if own is None:
        return
    yield f"  the recipe's lr, {measured.lr:.3g}, is {measured.lr / own:.0%} of the largest stable"
    if others and others[0] is not None:
        other = next(norms for norms in measured.ranges if norms != measured.norms)
        yield f"  {measured.norms} stands {own / others[0]:.3g} times the rate of {other}"


def _of_range(test: RangeTest) -> str:
    steps = f"{len(test.rates)} steps of {test.planned}, {LOWEST:g} to {HIGHEST:g}"
    if test.stable is None:
        return f"the loss hardly fell, in too few steps to tell ({steps})"
    stable = f"stable up to {test.stable:.2g}"
    if not test.is_limit:
        stable = f"stable as far as tried, {test.stable:.2g}"
    end = {"diverged": "then diverged", "highest": "to the end", "time": "until out of time"}
    return f"{stable}, steepest at {test.steepest:.2g} ({steps}, {end[test.ended]})"
