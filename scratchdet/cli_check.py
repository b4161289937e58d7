"""`scratchdet check`: what is wrong with a data set, and what a training on it would meet."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console

from scratchdet.cli_arguments import choices_registry, description, in_full
from scratchdet.cli_train import chosen_recipe
from scratchdet.recipe import Recipe, differing
from scratchdet.terminal import say

if TYPE_CHECKING:
    from scratchdet.data.check import Part


@dataclass(frozen=True, kw_only=True)
class CheckCommand:
    """Check a data set: what must be fixed, and what a training makes of the rest.

    Takes what `scratchdet train` takes, and looks at the data as that training would: the same
    splits, the same network and input size. Every image is decoded once; nothing is written but
    what is asked for. The exit status is 1 if something must be fixed, else 0.

    Examples:
      scratchdet check path/to/data
      scratchdet check path/to/data --recipe small_data --model scratchdet300_r34
      scratchdet check path/to/data --split train --val-split val --test-split test
      scratchdet check path/to/data --json > found.json
      scratchdet check path/to/data --fit-priors mine.toml --out figures

    Short for settings of the recipe: --model, --split, --val-split, --test-split, --on-bad-box.
    """

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    """The data set, as for `scratchdet train`."""
    recipe: str = "auto"
    """A name out of `scratchdet recipes`, or a TOML file; auto: by data size and device."""
    fit_priors: str = ""
    """Write a recipe with sizes and aspect ratios of priors that suit your boxes to this TOML file,
    if they match clearly more of them than the network's own (docs/check.md)."""
    out: str = ""
    """A folder for priors.png, the sizes of the boxes over those of the priors."""
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

    from scratchdet.data.check import check_hygiene
    from scratchdet.train.gathered import gather
    from scratchdet.train.hygiene import show_hygiene

    gathered = gather(recipe.data, threads=os.cpu_count() or 1, console=console)
    hygiene = check_hygiene(gathered.parts, refusals=gathered.refusals)
    must_be_fixed = hygiene.must_be_fixed
    if not command.json:
        show_hygiene(console, hygiene)
    priors = _check_priors(command, recipe, gathered.parts, console)
    if command.json:
        found = {"data": command.data, "hygiene": hygiene.to_json(), "priors": priors}
        print(dumps(found, indent=2))
    else:
        say(console, "\nSomething must be fixed." if must_be_fixed else "\nNothing must be fixed.")
    return int(must_be_fixed)


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
        say(console, f"written: {command.fit_priors} (scratchdet train DATA --recipe it)")
    if command.out:
        picture = Path(command.out) / "priors.png"
        draw_priors(recipe, boxes["training"], proposal, picture)
        say(console, f"written: {picture}")
    return {
        "coverage": {use: one.to_json() for use, one in found.items()},
        "fit": fit and fit.to_json(),
    }
