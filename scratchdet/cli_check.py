"""`scratchdet check`: what is wrong with a data set, and what a training on it would meet."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from json import dumps
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console

from scratchdet.cli_arguments import as_flags, choices_registry, description, in_full
from scratchdet.cli_train import chosen_recipe
from scratchdet.recipe import Recipe, differing
from scratchdet.terminal import progress_bar, say

if TYPE_CHECKING:
    from scratchdet.data.check import Part

PRIORS = ("--model.prior-scales", "--model.prior-ratios")


@dataclass(frozen=True, kw_only=True)
class CheckCommand:
    """Check a data set: what must be fixed, and what a training makes of the rest.

    Takes what `scratchdet train` takes, and looks at the data as that training would: the same
    splits, the same network and input size. Every image is decoded once, and some steps are timed;
    nothing is written but what is asked for. The exit status is 1 if something must be fixed or the
    preflight fails, else 0.

    Examples:
      scratchdet check path/to/data
      scratchdet check path/to/data --recipe small_data --model scratchdet300_r34
      scratchdet check path/to/data --split train --val-split val --test-split test
      scratchdet check path/to/data --json > found.json
      scratchdet check path/to/data --fit-priors mine.toml --out figures
      scratchdet check path/to/data --preflight

    Short for settings of the recipe: --model, --split, --val-split, --test-split, --on-bad-box.
    """

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    """The data set, as for `scratchdet train`."""
    recipe: str = "auto"
    """A name out of `scratchdet recipes`, or a TOML file; auto: by data size and device."""
    fit_priors: str = ""
    """Write a recipe with sizes and aspect ratios of priors that suit your boxes to this TOML file,
    if they match clearly more of them than the network's own (docs/priors.md)."""
    preflight: bool = False
    """Train for a few minutes: are 16 images learned by heart, and which learning rates does the
    network survive, with its norms and without (docs/preflight.md)?"""
    seconds: float = 180.0
    """The preflight ends after so many, and says what it could not finish."""
    out: str = ""
    """A folder for priors.png, the sizes of the boxes over those of the priors, and for
    range_test.png, the losses of a preflight over the learning rate."""
    json: bool = False
    """Print everything that was found as JSON, for scripts."""
    settings: Annotated[Recipe, tyro.conf.arg(name="")] = field(default_factory=Recipe)
    """Single values of the recipe."""


def check(arguments: Sequence[str]) -> int:
    """Check a data set, alone, as a training on it would."""
    arguments = in_full(arguments)
    parse = partial(
        tyro.cli,
        CheckCommand,
        prog="scratchdet check",
        description=description(CheckCommand),
        args=arguments,
        registry=choices_registry(),
    )
    command = parse()
    console = Console(stderr=command.json)
    base = chosen_recipe(command.recipe, command.settings, data=command.data, console=console)
    # Read once more on top of the recipe: the command line has the last word.
    command = parse(default=CheckCommand(data=command.data, settings=base))
    recipe = differing(command.settings, data={"path": command.data})

    from scratchdet.data.check import check_hygiene, with_files
    from scratchdet.data.formats import detect_format
    from scratchdet.train.advice import leaks
    from scratchdet.train.gathered import as_trained_on, gather
    from scratchdet.train.hygiene import show_hygiene

    gathered = gather(recipe.data, threads=os.cpu_count() or 1, console=console)
    parts = as_trained_on(gathered.parts, recipe.data)
    hygiene = check_hygiene(parts, input_size=recipe.model.input_size, refusals=gathered.refusals)
    with progress_bar(console, "second look at the files") as report:
        format = detect_format(recipe.data.path)
        hygiene = with_files(hygiene, parts, format=format, progress=report)
    must_be_fixed = hygiene.must_be_fixed
    if not command.json:
        show_hygiene(console, hygiene, root=Path(command.data))
    priors = _check_priors(command, recipe, gathered.parts, console)
    ahead = {}
    if gathered.refusals:
        say(console, "\nno training would begin, so none is looked ahead to")
    else:
        ahead = _look_ahead(
            command,
            recipe,
            gathered.parts,
            console,
            leaks=leaks(hygiene),
            fit=priors["fit"] or {},
        )
    if command.json:
        found = {"data": command.data, "hygiene": hygiene.to_json(), "priors": priors, **ahead}
        print(dumps(found, indent=2))
    else:
        say(console, "\nSomething must be fixed." if must_be_fixed else "\nNothing must be fixed.")
    failed = ahead.get("preflight", {}).get("verdict") == "failed"
    return int(must_be_fixed or failed)


def _check_priors(
    command: CheckCommand, recipe: Recipe, parts: Mapping[str, "Part"], console: Console
) -> dict[str, Any]:
    """What the priors match, shown, and as plain values; writes what is asked for."""
    from scratchdet.analysis.coverage_table import show_coverage
    from scratchdet.train.prior_check import (
        covered,
        draw_priors,
        fitted,
        larger_input,
        learned,
        write_fit,
    )

    boxes = learned(recipe.data, parts)
    found = covered(recipe, boxes)
    fit = fitted(recipe, boxes) if command.fit_priors else None
    proposal = fit.proposal if fit else None
    if not command.json:
        show_coverage(console, found, after=fit.after if fit else None)
    if fit:
        for line in filter(None, (fit.reason, larger_input(fit))):
            say(console, line)
    if fit and proposal:
        write_fit(recipe, proposal, fit, Path(command.fit_priors))
        run = f"scratchdet train {quote(command.data)} --recipe {quote(command.fit_priors)}"
        say(console, f"written: {command.fit_priors} ({run})")
    if command.out:
        picture = Path(command.out) / "priors.png"
        draw_priors(recipe, boxes["training"], proposal, picture)
        say(console, f"written: {picture}")
    return {
        "coverage": {use: one.to_json() for use, one in found.items()},
        "fit": fit and fit.to_json(),
    }


def _look_ahead(
    command: CheckCommand,
    recipe: Recipe,
    parts: Mapping[str, "Part"],
    console: Console,
    *,
    leaks: bool,
    fit: Mapping[str, Any],
) -> dict[str, Any]:
    """What a training can be expected to give, shown, and as plain values; asked for, the preflight
    as well. leaks: see `advise`. fit: of the priors, as plain values; empty if not asked for."""
    from scratchdet.recipes import choose_recipe, load_recipe
    from scratchdet.recipes.short import differences
    from scratchdet.structures import DataError
    from scratchdet.train.time_estimate import SECONDS
    from scratchdet.train.trainability import as_trained, look_ahead, show_trainability

    asked = recipe
    try:
        recipe, prepared = as_trained(recipe, parts)
    except DataError as error:
        say(console, f"no training would begin, so none is looked ahead to: {error}")
        return {}
    name = command.recipe
    if name == "auto":
        images = len(parts["training"].annotated)
        name = choose_recipe(images, gpu=recipe.run.device.startswith("cuda"))
    given = as_flags(differences(asked, load_recipe(name)))
    if fit.get("proposal"):
        name = command.fit_priors
        given = {flag: value for flag, value in given.items() if flag not in PRIORS}
    say(console, f"timing steps of a training, about {SECONDS:.0f} s")
    ahead = look_ahead(
        recipe,
        prepared,
        name=name,
        given=given,
        fitted=bool(fit.get("proposal") or fit.get("larger_input")),
        leaks=leaks,
    )
    if not command.json:
        say(console, "")
        show_trainability(console, ahead, data=command.data)
    found: dict[str, Any] = {"trainability": ahead.to_json()}
    if command.preflight:
        from scratchdet.train.preflight import preflight
        from scratchdet.train.preflight_text import describe_plan, show_preflight

        say(console, f"\n{describe_plan(command.seconds)}")
        measured = preflight(recipe, prepared, console=console, seconds=command.seconds)
        found["preflight"] = measured.to_json()
        if not command.json:
            show_preflight(console, measured)
        if command.out:
            from scratchdet.train.preflight_text import save_ranges

            picture = Path(command.out) / "range_test.png"
            save_ranges(measured, picture)
            say(console, f"written: {picture}")
    return found
