"""`scratchdet ablate`: ScratchDet's two ablations, on your data and at the scale you have."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from scratchdet.cli_arguments import choices_registry, description, in_full
from scratchdet.recipe import Recipe, RecipeError, differing
from scratchdet.recipes import load_recipe
from scratchdet.terminal import say

if TYPE_CHECKING:
    from scratchdet.analysis.ablation import Outcome
    from scratchdet.recipes.ablations import Ablation, Variant
    from scratchdet.train.prepare import Prepared

UNITS = {"s": 1, "m": 60, "h": 3600}  # seconds


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
    budget: str = ""
    """Time for all trainings, as 30m or 2h: sets how many steps each has, by what they take on
    this machine. What diverges early leaves some of it over."""
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
    if command.budget and "--schedule.steps" in (one.partition("=")[0] for one in arguments):
        raise RecipeError("--budget sets how many steps there are: leave out --steps, or --budget")
    if command.rates and command.what != "bn":
        raise RecipeError("--rates is for bn; of root-block the learning rate is --lr")
    _ablate(command, Console())
    return 0


def _ablate(command: AblateCommand, console: Console) -> None:
    from scratchdet.recipes.ablations import stems, where_norms_are
    from scratchdet.train.ablate import run_grid, size_edges, size_names, write_results
    from scratchdet.train.device import choose_device, describe_device
    from scratchdet.train.prepare import prepare

    recipe = differing(command.settings, data={"path": str(Path(command.data).resolve())})
    folder = command.out or Path("runs") / f"ablate-{command.what}"
    if command.what == "bn":
        ablation = where_norms_are(command.rates) if command.rates else where_norms_are()
    else:
        ablation = stems()
    _check_choices(recipe, ablation)
    prepared = prepare(recipe.data, threads=1, console=Console(quiet=True))
    evaluated = prepared.test or prepared.val
    if evaluated is None:
        raise RecipeError("an ablation compares AP: it needs a --val-split or a --test-split")
    total = len(ablation.variants) * command.seeds
    if command.budget:
        say(console, "timing the steps of each network on this machine")
        each = ablation.variants * command.seeds
        recipe = _within(command.budget, recipe, each, prepared, folder=folder)
    _check_same(folder, recipe)
    say(console, f"{ablation.question} {total} trainings of {recipe.schedule.steps} steps")
    sizes = size_names(size_edges(evaluated))
    device = describe_device(str(choose_device(recipe.run.device)))
    lines: list[str] = []
    done: list[tuple[Path, Outcome]] = []
    for run_dir, outcome in run_grid(
        ablation.variants, recipe, folder=folder, seeds=range(command.seeds), evaluated=evaluated
    ):
        done.append((run_dir, outcome))
        say(console, f"{len(done)}/{total}  {run_dir.name}: {outcome}")
        lines = write_results(folder, done, question=ablation.question, sizes=sizes, device=device)
    for line in lines:
        say(console, line)
    say(console, f"written: {folder}")


def seconds_of(budget: str) -> float:
    """`90s`, `30m`, `1.5h` in seconds. Raises RecipeError for anything else."""
    number, unit = budget[:-1], budget[-1:]
    if unit not in UNITS or not number.replace(".", "", 1).isdecimal():
        raise RecipeError(f"--budget {budget}: say it as 90s, 30m or 2h")
    return float(number) * UNITS[unit]


def _within(
    budget: str,
    recipe: Recipe,
    trainings: Sequence["Variant"],
    prepared: "Prepared",
    *,
    folder: Path,
) -> Recipe:
    """The recipe with the steps that the trainings in `folder` have, or else fit the budget."""
    seconds = seconds_of(budget)
    if (begun := folder / "recipe.toml").exists():  # steps never take the same time twice
        schedule = load_recipe(begun).schedule
        kept = {"steps": schedule.steps, "evaluate_every": schedule.evaluate_every}
        return differing(recipe, schedule=kept)
    from scratchdet.train.ablate import fitted

    return fitted(recipe, trainings, prepared, seconds=seconds)


def _check_choices(recipe: Recipe, ablation: "Ablation") -> None:
    """Raises RecipeError where the network has not what varies."""
    from scratchdet.models.zoo import MODELS, choices_of

    if ablation.choice and ablation.choice not in choices_of(recipe.model.name):
        able = [name for name in MODELS if ablation.choice in choices_of(name)]
        raise RecipeError(
            f"{recipe.model.name} has no {ablation.choice} to choose: --model {' or '.join(able)}"
        )


def _check_same(folder: Path, recipe: Recipe) -> None:
    """Notes what the trainings in `folder` share; raises RecipeError if that was something else."""
    from scratchdet.recipe_toml import save_recipe
    from scratchdet.train.resuming import differences

    file = folder / "recipe.toml"
    if file.exists() and (other := list(differences(load_recipe(file), recipe))):
        told = "; ".join(f"{name} was {was!r}, now {now!r}" for name, was, now in other)
        raise RecipeError(f"{folder} has other trainings ({told}): choose another --out")
    save_recipe(recipe, file)
