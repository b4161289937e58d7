"""What a training on some data can be expected to give, what to change about it, and its time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

import torch
from rich.console import Console

from scratchdet.analysis.expectations import SMALL, Expectations, expect
from scratchdet.analysis.learning_curves import shipped_curves
from scratchdet.data.check import Part
from scratchdet.recipe import Recipe, differing
from scratchdet.terminal import say
from scratchdet.train.advice import Advice, advise
from scratchdet.train.device import describe_device, prefer_speed, use_threads
from scratchdet.train.distributed import Ranks
from scratchdet.train.fit import fit_batch
from scratchdet.train.kept_survey import Surveyed
from scratchdet.train.prepare import Prepared, fingerprint, prepare
from scratchdet.train.resolve import resolve, resolve_norms
from scratchdet.train.time_estimate import TimeEstimate, estimate_time

SHOWN_CLASSES = 5
"""In a line; all are in the JSON."""
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@dataclass(frozen=True, kw_only=True)
class Trainability:
    """The part of a check that looks ahead."""

    recipe: str
    """As it was chosen: a name, or a file."""
    expected: Expectations
    advice: tuple[Advice, ...]
    time: TimeEstimate

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "recipe": self.recipe,
            "expected": self.expected.to_json(),
            "advice": [one._asdict() for one in self.advice],
            "time": self.time.to_json(),
        }


def as_trained(recipe: Recipe, parts: Mapping[str, Part]) -> tuple[Recipe, Prepared]:
    """The recipe without anything left open, and its data, as a training on this machine has them.

    parts: what has been gathered of the data; no image is decoded again. Raises DataError where a
    training does.
    """
    recipe, _ = resolve(recipe)
    device = torch.device(recipe.run.device)
    prefer_speed(device)
    threads = use_threads(recipe.run.threads)
    kept = {
        use: Surveyed(fingerprint(part.annotated), part.survey)
        for use, part in parts.items()
        if part.survey is not None
    }
    prepared = prepare(recipe.data, threads=threads, console=Console(quiet=True), kept=kept)
    if not recipe.data.batch:
        batch, _ = fit_batch(recipe, prepared, ranks=Ranks(), device=device)
        recipe, _ = resolve_norms(differing(recipe, data={"batch": batch}), ranks=Ranks())
    return recipe, prepared


def look_ahead(
    recipe: Recipe, prepared: Prepared, *, name: str, leaks: bool = False
) -> Trainability:
    """What follows from the data and the recipe, which is resolved; ten seconds are measured.

    name: of the recipe. leaks: see `advise`.
    """
    expected = expect(
        prepared.train,
        validation=prepared.val,
        input_size=recipe.model.input_size,
        curves=shipped_curves(),
    )
    return Trainability(
        recipe=name,
        expected=expected,
        advice=advise(
            prepared.train,
            expected,
            recipe=recipe,
            held_out=prepared.val_split == "held out",
            leaks=leaks,
        ),
        time=estimate_time(recipe, prepared, device=describe_device(recipe.run.device)),
    )


def show_trainability(console: Console, found: Trainability, *, data: str) -> None:
    """Prints it. data: the path, for the command that is recommended."""
    for line in (
        *_amounts(found.expected),
        *_places(found.expected),
        *_recommended(found, data),
        *_time(found.time),
    ):
        say(console, line)


def _amounts(expected: Expectations) -> Iterator[str]:
    empty = f", {expected.empty} of them without objects" if expected.empty else ""
    yield f"to learn from: {expected.images} images{empty}, {expected.objects} objects"
    if not expected.objects:
        return
    height, width = expected.input_size
    worst = sorted(
        (name for name, one in expected.classes.items() if one.objects and one.small > 0),
        key=lambda name: -expected.classes[name].small,
    )
    shares = ", ".join(
        f"{name} {expected.classes[name].small:.0%}" for name in worst[:SHOWN_CLASSES]
    )
    yield (
        f"  under {SMALL:.0f} pixels at {height} x {width}: {expected.small:.1%} of the objects"
        + (f" ({shares})" if shares else "")
    )
    if expected.imbalance > 1:
        count = expected.classes[str(expected.rarest)].objects
        yield (
            f"  rarest class: {expected.rarest}, {count} objects; the commonest has "
            f"{expected.imbalance:.3g} times as many"
        )


def _places(expected: Expectations) -> Iterator[str]:
    if not expected.places:
        return
    yield (
        "what so much gave elsewhere (measured on the data named, other data may be easier or "
        "harder):"
    )
    for place in expected.places:
        yield f"  {place.curve}"
        yield f"    as many images: {place.by_images}; as many objects: {place.by_objects}"


def _recommended(found: Trainability, data: str) -> Iterator[str]:
    flags = " ".join(one.flags for one in found.advice if one.flags)
    command = f"scratchdet train {quote(data)} --recipe {quote(found.recipe)} {flags}"
    yield f"recommended, beside what was set here: {command.rstrip()}"
    amount = f"{found.expected.images} training images, {found.time.device}"
    yield f"  --recipe {quote(found.recipe)}: {amount}"
    for one in found.advice:
        yield f"  {one.flags}: {one.reason}" if one.flags else f"  {one.reason}"


def _time(time: TimeEstimate) -> Iterator[str]:
    low, high = time.spread
    timed = len(time.steps_timed)
    yield (
        f"time: about {duration(time.seconds)} for {time.steps} steps ({duration(low)} to "
        f"{duration(high)}), by {timed} step{'s' if timed > 1 else ''} on {time.device}"
    )
    if time.is_coarse:
        yield "  a single step was measured: no more than a hint"


def duration(seconds: float) -> str:
    """Two digits and a unit: `45 s`, `12 min`, `3.4 h`, `2.1 d`."""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= unit:
            number = seconds / unit
            return f"{number:.2g} {name}" if number < 99.5 else f"{number:.0f} {name}"
    return f"{math.ceil(seconds)} s"
