"""`scratchdet ablate`: ScratchDet's two ablations, on your data and at the scale you have."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from scratchdet.cli_arguments import choices_registry, description, in_full
from scratchdet.recipe import Recipe, RecipeError, differing
from scratchdet.recipes import load_recipe
from scratchdet.terminal import say


@dataclass(frozen=True, kw_only=True)
class AblateCommand:
    """Train the grid of one of ScratchDet's ablations on your data, several seeds of each cell.

    bn: BatchNorm nowhere, in the head, the backbone and both, each at several learning rates: does
    it allow the larger one? root-block: the root block against three other stems: does it help
    small objects? A table and figures with error bars are written, and what diverged is said.

    What is done is kept: the same command goes on where it was stopped, and with more --seeds or
    --rates adds to it. Our own results, beside the published ones: docs/ablations.md.

    Examples:
      scratchdet ablate bn path/to/data --budget 30m
      scratchdet ablate root-block path/to/data --recipe small_data --steps 500 --seeds 5
      scratchdet ablate bn path/to/data --rates 0.01 0.05 0.15 --steps 300

    Short for settings of the recipe: as for train.
    """

    what: Annotated[tyro.conf.Positional[Literal["bn", "root-block"]], tyro.conf.arg(name="WHAT")]
    """What varies."""
    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    """The data set."""
    recipe: str = "nano"
    """What all trainings share: a name out of `scratchdet recipes`, or a TOML file."""
    seeds: int = 3
    """Trainings of each cell."""
    rates: tuple[float, ...] = ()
    """bn: learning rates; default: the paper's, 0.001 0.01 0.05."""
    out: Path | None = None
    """The folder of the runs, the table and the figures; default: runs/ablate-WHAT."""
    settings: Annotated[Recipe, tyro.conf.arg(name="")] = field(default_factory=Recipe)
    """Single values of the recipe."""


def ablate(arguments: Sequence[str]) -> int:
    """Train the grid of one of ScratchDet's ablations on your data."""
    arguments = in_full(arguments)
    parse = partial(
        tyro.cli,
        AblateCommand,
        prog="scratchdet ablate",
        description=description(AblateCommand),
        args=arguments,
        registry=choices_registry(),
    )
    command = parse()
    base = load_recipe(command.recipe)
    # Read once more on top of the recipe: the command line has the last word.
    command = parse(default=AblateCommand(what="bn", data="", settings=base))
    if command.seeds < 1:
        raise RecipeError(f"--seeds is {command.seeds}; it must be 1 or more")
    if command.rates and command.what != "bn":
        raise RecipeError("--rates is for bn; of root-block the learning rate is --lr")
    _ablate(command, Console())
    return 0


def _ablate(command: AblateCommand, console: Console) -> None:
    from scratchdet.recipes.ablations import stems, where_norms_are
    from scratchdet.train.ablate import run_grid
    from scratchdet.train.prepare import prepare

    recipe = differing(command.settings, data={"path": str(Path(command.data).resolve())})
    folder = command.out or Path("runs") / f"ablate-{command.what}"
    ablation = (
        stems()
        if command.what == "root-block"
        else where_norms_are(command.rates)
        if command.rates
        else where_norms_are()
    )
    total = len(ablation.variants) * command.seeds
    quiet = Console(quiet=True)
    prepared = prepare(recipe.data, threads=1, console=quiet)
    evaluated = prepared.test or prepared.val
    if evaluated is None:
        raise RecipeError("an ablation compares AP: give it a --val-split or a --test-split")
    say(console, f"{ablation.question} {total} trainings of {recipe.schedule.steps} steps")
    run_grid(
        ablation.variants,
        recipe,
        folder=folder,
        seeds=range(command.seeds),
        evaluated=evaluated,
        console=quiet,
        done=lambda number, line: say(console, f"{number}/{total}  {line}"),
    )
