"""What a training on some data can be expected to give, what to change about it, and its time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from shlex import quote
from types import MappingProxyType
from typing import Any

import torch
from rich.console import Console

from scratchdet.analysis.coverage_table import called
from scratchdet.analysis.expectations import SMALL, Expectations, expect
from scratchdet.analysis.learning_curves import Elsewhere, elsewhere, shipped_curves
from scratchdet.analysis.report.words import count
from scratchdet.data.check import Part
from scratchdet.recipe import Recipe, differing
from scratchdet.terminal import say
from scratchdet.train.advice import INPUT_SIZE, MUCH_SMALL, Advice, advise
from scratchdet.train.device import describe_device, prefer_speed, use_threads
from scratchdet.train.distributed import Ranks
from scratchdet.train.fit import fit_batch
from scratchdet.train.kept_survey import Surveyed
from scratchdet.train.prepare import Prepared, fingerprint, prepare
from scratchdet.train.resolve import resolve, resolve_norms
from scratchdet.train.time_estimate import TimeEstimate, estimate_time

SHOWN_CLASSES = 5
"""In a line; all are in the JSON."""
FEW_STEPS = 3
"""Timed, of fewer no spread is told."""
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@dataclass(frozen=True, kw_only=True)
class Trainability:
    """The part of a check that looks ahead."""

    recipe: str
    """As it was chosen: a name, or a file."""
    given: Mapping[str, str]
    """What was set on top of it, by flag, as it is typed."""
    expected: Expectations
    elsewhere: tuple[Elsewhere, ...]
    """What about as many images of other data gave; empty where that would tell nothing."""
    advice: tuple[Advice, ...]
    time: TimeEstimate

    @property
    def taken(self) -> tuple[Advice, ...]:
        """Advice that changes nothing that was set."""
        return tuple(one for one in self.advice if not self.given.keys() & one.flags.split())

    @property
    def flags(self) -> str:
        """All that the recommended command has after the data."""
        advised = [one.flags for one in self.taken if one.flags]
        return " ".join([f"--recipe {quote(self.recipe)}", *self.given.values(), *advised])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "recipe": self.recipe,
            "flags": self.flags,
            "expected": self.expected.to_json(),
            "elsewhere": [one._asdict() for one in self.elsewhere],
            "advice": [one._asdict() | {"taken": one in self.taken} for one in self.advice],
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
    recipe: Recipe,
    prepared: Prepared,
    *,
    name: str,
    given: Mapping[str, str] = MappingProxyType({}),
    fitted: bool = False,
    leaks: bool = False,
) -> Trainability:
    """What follows from the data and the recipe, which is resolved; some seconds are measured.

    name: of the recipe. given: what was set on top of it, by flag. fitted: priors were fitted at
    this input size, so no other one is advised. leaks: see `advise`.
    """
    curves = shipped_curves()
    expected = expect(
        prepared.train,
        validation=prepared.val,
        input_size=recipe.model.input_size,
        curves=curves,
    )
    tells_nothing = leaks or expected.small > MUCH_SMALL
    advice = advise(
        prepared.train,
        expected,
        recipe=recipe,
        held_out=prepared.val_split == "held out",
        leaks=leaks,
    )
    return Trainability(
        recipe=name,
        given=given,
        expected=expected,
        elsewhere=() if tells_nothing else elsewhere(len(prepared.train), curves),
        advice=tuple(one for one in advice if not (fitted and INPUT_SIZE in one.flags)),
        time=estimate_time(recipe, prepared, device=describe_device(recipe.run.device)),
    )


def show_trainability(console: Console, found: Trainability, *, data: str) -> None:
    """Prints it. data: the path, for the command that is recommended."""
    for line in (
        *_amounts(found.expected),
        *_elsewhere(found.elsewhere),
        *_recommended(found, data),
        *_time(found.time),
    ):
        say(console, line)


def _amounts(expected: Expectations) -> Iterator[str]:
    empty = f", {expected.empty} of them without objects" if expected.empty else ""
    images, objects = count(expected.images, "image"), count(expected.objects, "object")
    yield f"to learn from: {images}{empty}, {objects}"
    if not expected.objects:
        return
    height, width = expected.input_size
    worst = sorted(
        (name for name, one in expected.classes.items() if one.objects and one.small > 0),
        key=lambda name: -expected.classes[name].small,
    )
    shares = ", ".join(
        f"{called(name)} {expected.classes[name].small:.0%}" for name in worst[:SHOWN_CLASSES]
    )
    yield (
        f"  under {SMALL:.0f} pixels at {height} x {width}: {expected.small:.1%} of the objects"
        + (f" ({shares})" if shares else "")
    )
    if expected.imbalance > 1:
        objects = count(expected.classes[str(expected.rarest)].objects, "object")
        yield (
            f"  rarest class: {expected.rarest}, {objects}; the commonest has "
            f"{expected.imbalance:.3g} times as many"
        )


def _elsewhere(found: tuple[Elsewhere, ...]) -> Iterator[str]:
    if not found:
        return
    figures = [one.ap50 for one in found]
    reach = f"{min(figures):.2f} to {max(figures):.2f}" if len(found) > 1 else f"{figures[0]:.2f}"
    yield (
        f"about as many images of other data gave AP50 {reach}, one training each: no forecast, "
        "what they show decides more than how many they are"
    )
    for one in found:
        yield f"  {count(one.images, 'image')} of {one.data}: {one.ap50:.2f}"


def _recommended(found: Trainability, data: str) -> Iterator[str]:
    yield f"recommended: scratchdet train {quote(data)} {found.flags}"
    amount = f"{count(found.expected.images, 'training image')}, {found.time.device}"
    yield f"  --recipe {quote(found.recipe)}: {amount}"
    if found.given:
        yield f"  {' '.join(found.given.values())}: as set here"
    for one in found.advice:
        if one not in found.taken:
            yield f"  not in it, as it is set here: {one.flags}: {one.reason}"
        else:
            yield f"  {one.flags}: {one.reason}" if one.flags else f"  {one.reason}"


def _time(time: TimeEstimate) -> Iterator[str]:
    spread = ""
    if len(time.steps_timed) >= FEW_STEPS:
        low, high = time.spread
        spread = f" ({duration(low)} to {duration(high)})"
    yield (
        f"time: about {duration(time.seconds)} for {time.steps} steps{spread}, by "
        f"{count(len(time.steps_timed), 'step')} on {time.device}"
    )
    if time.part < 1:
        yield f"  of {time.part:.2g} of a batch: a whole one takes longer than was allowed"
    if time.is_coarse:
        yield "  a single step was measured: no more than a hint"


def duration(seconds: float) -> str:
    """Two digits and a unit: `45 s`, `12 min`, `3.4 h`, `2.1 d`."""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= unit:
            number = seconds / unit
            return f"{number:.2g} {name}" if number < 99.5 else f"{number:.0f} {name}"
    return f"{math.ceil(seconds)} s"
