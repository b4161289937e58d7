"""Several runs beside each other: what differs between them, and whether they can be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from string import ascii_uppercase
from typing import Any, NamedTuple

import numpy as np

from scratchdet.evaluation.metrics import Metrics
from scratchdet.evaluation.verdicts import Verdicts
from scratchdet.recipe import Recipe
from scratchdet.recipes.lengths import has_ended
from scratchdet.structures import DetectionData

SEED = "run.seed"
IMMATERIAL = {
    "data.workers",
    "data.cache",
    "run.threads",
    "schedule.analyse_every",
    "schedule.log_every",
    "schedule.checkpoint_every",
    "schedule.keep_every",
}
"""Settings that what is learned does not depend on."""


DRIFT = 0.002
"""AP that the same model may differ by on another machine."""


class Evaluated(NamedTuple):
    """A model on the images it is judged by."""

    data: DetectionData
    metrics: Metrics
    verdicts: Verdicts


class Entry(NamedTuple):
    """A run that is compared."""

    name: str
    recipe: Recipe
    log: Sequence[Mapping[str, Any]]
    """The records of `log.jsonl`."""
    figures: Mapping[str, Any]
    """`metrics.json`; empty: the run is not finished."""
    evaluated: Evaluated | None = None

    @property
    def finished(self) -> bool:
        return has_ended(self.figures, steps=self.recipe.schedule.steps)

    @property
    def ap(self) -> float:
        """What runs are compared by: AP50, over the ten IoUs for COCO; NaN where not known."""
        name = figure_name(self.recipe.run.protocol)
        if self.evaluated is not None:
            return float(getattr(self.evaluated.metrics, name))
        value = self.figures.get(name)
        return math.nan if value is None else float(value)

    @property
    def state(self) -> str:
        """How far it has come: `1200 steps`, `300 of 1200 steps`, `diverged at step 40`."""
        steps = self.recipe.schedule.steps
        if self.finished:
            return f"{steps} steps"
        if broken := [record["step"] for record in self.log if "diverged" in record]:
            return f"diverged at step {broken[-1]}"
        done = max((record["step"] for record in self.log), default=0)
        if done == steps:
            return f"{steps} steps, without the final evaluation"
        return f"{done} of {steps} steps"


class Group(NamedTuple):
    """Runs that differ in the seed only."""

    letter: str
    runs: tuple[Entry, ...]

    @property
    def settled(self) -> tuple[Entry, ...]:
        """Those that count: finished, with a figure, and the first of each seed."""
        first: dict[int, Entry] = {}
        for run in self.runs:
            if run.finished and not math.isnan(run.ap):
                first.setdefault(run.recipe.run.seed, run)
        return tuple(first.values())


class Setting(NamedTuple):
    """A setting that groups differ in."""

    name: str
    default: object
    values: tuple[object, ...]
    """Of each group."""


def figure_name(protocol: str) -> str:
    """The field of `Metrics` that a protocol is about."""
    return "ap" if protocol == "coco" else "ap50"


def figure_in_words(groups: Sequence[Group]) -> str:
    """`AP50`, `AP50:95`, or `AP` where the protocols of the groups differ in it."""
    protocols = [run.recipe.run.protocol for group in groups for run in group.runs]
    names = {{"ap50": "AP50", "ap": "AP50:95"}[figure_name(protocol)] for protocol in protocols}
    return names.pop() if len(names) == 1 else "AP"


def grouped(runs: Sequence[Entry]) -> tuple[Group, ...]:
    """The runs, those of one recipe together, in the order of their first ones."""
    groups: list[list[Entry]] = []
    keys: list[dict[str, object]] = []
    for run in runs:
        key = _settings(run.recipe)
        for name in (SEED, *IMMATERIAL):
            del key[name]
        if key not in keys:
            keys.append(key)
            groups.append([])
        groups[keys.index(key)].append(run)
    return tuple(Group(_letter(at), tuple(group)) for at, group in enumerate(groups))


def settings_that_differ(groups: Sequence[Group]) -> list[Setting]:
    """All settings but the seed that are not the same everywhere; those of no account left out."""
    of_groups = [_settings(group.runs[0].recipe) for group in groups]
    return [
        Setting(name, default, values)
        for name, default in _settings(Recipe()).items()
        if name != SEED and name not in IMMATERIAL
        for values in [tuple(one[name] for one in of_groups)]
        if any(value != values[0] for value in values)
    ]


def different_tests(runs: Sequence[Entry]) -> list[str]:
    """A line for each way in which the finished runs are not judged by the same; none if they are.

    By the images themselves where all are evaluated, else by what their figures say of them, as far
    as it is known of all.
    """
    known = [run for run in runs if run.finished and not math.isnan(run.ap)]
    tests = [_test_of(run) for run in known]
    lines = []
    for what in tests[0] if tests else ():
        if not all(what in test for test in tests):
            continue
        values = [test[what] for test in tests]
        if any(value != values[0] for value in values):
            told = (f"{run.name}: {value}" for run, value in zip(known, values, strict=True))
            lines.append(f"{what}: {'; '.join(told)}")
    evaluated = [run.evaluated.data for run in known if run.evaluated is not None]
    if not lines and len(evaluated) == len(known) and known:
        lines += [
            f"images or boxes: those of {run.name} are not those of {known[0].name}"
            for run, data in zip(known, evaluated, strict=True)
            if not same_images(data, evaluated[0])
        ]
    return lines


def _test_of(run: Entry) -> dict[str, object]:
    """What the figure of the run is of; where its data lie only if those were not looked at."""
    test: dict[str, object] = {"protocol": run.recipe.run.protocol}
    if run.evaluated is not None:
        data, metrics = run.evaluated.data, run.evaluated.metrics
        classes, images, objects = data.classes, len(data), metrics.num_objects
    else:
        figures = run.figures
        classes = tuple(figures.get("ap_per_class") or ())
        images, objects = figures.get("num_images", 0), figures.get("num_objects", 0)
        test |= {"data": run.recipe.data.path, "split": figures.get("split")}
    return test | {"classes": ", ".join(classes), "images": images, "objects": objects}


def same_images(one: DetectionData, other: DetectionData) -> bool:
    """Whether both are the same images with the same objects, in the same order."""
    if one is other:
        return True
    columns = [
        (data.sizes, data.offsets, data.boxes, data.labels, data.ignore) for data in (one, other)
    ]
    return (
        one.classes == other.classes
        and list(one.ids) == list(other.ids)
        and all(np.array_equal(a, b) for a, b in zip(*columns, strict=True))
    )


def remarks(groups: Sequence[Group]) -> list[str]:
    """What is to be known before the figures are read."""
    runs = [run for group in groups for run in group.runs]
    lines = [f"{run.name} is not finished: {run.state}" for run in runs if not run.finished]
    if blind := [run.name for run in runs if not any("evaluation" in r for r in run.log)]:
        lines.append(f"without any evaluation in training: {', '.join(blind)}")
    lengths = sorted({run.recipe.schedule.steps for run in runs})
    if len(lengths) > 1:
        lines.append(f"of different length: {', '.join(map(str, lengths))} steps")
    lines += [
        f"{run.name}: {run.ap:.4f} here, {stated:.4f} in its metrics.json: the data, the code or "
        "the device are others"
        for run in runs
        for stated in [run.figures.get(figure_name(run.recipe.run.protocol))]
        if run.evaluated is not None and stated is not None and abs(run.ap - stated) > DRIFT
    ]
    if any(run.evaluated is not None for run in runs):
        lines += [
            f"{run.name} was not evaluated here, its model or images are not there: its figure is "
            "that of its metrics.json"
            for run in runs
            if run.evaluated is None and not math.isnan(run.ap)
        ]
    for group in groups:
        seeds = [run.recipe.run.seed for run in group.runs]
        if again := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
            told = ", ".join(map(str, again))
            lines.append(f"{group.letter} has several runs of seed {told}: the first one counts")
    return lines


def best_validation(run: Entry) -> tuple[int, float] | None:
    """The step and the AP50 of the best evaluation in training; None if there is no figure."""
    found = [
        (record["evaluation"]["ap50"], record["step"])
        for record in run.log
        if record.get("evaluation", {}).get("ap50") is not None
    ]
    if not found:
        return None
    value = max(value for value, _ in found)
    return next(step for other, step in found if other == value), value


def _settings(recipe: Recipe) -> dict[str, object]:
    """Every setting by its full name."""
    return {
        f"{group.name}.{entry.name}": getattr(getattr(recipe, group.name), entry.name)
        for group in fields(Recipe)
        for entry in fields(getattr(recipe, group.name))
    }


def _letter(at: int) -> str:
    """A, B, ..., Z, A1, B1, ..."""
    round_, place = divmod(at, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(round_) if round_ else "")
