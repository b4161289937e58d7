"""`scratchdet train`: what to train on, and which recipe, with the command line on top of it."""

import itertools
import os
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from scratchdet.cli_arguments import choices_registry, description, in_full
from scratchdet.cli_extend import check_extension, without_extension
from scratchdet.recipe import Recipe, RecipeError, differing
from scratchdet.recipe_toml import from_toml
from scratchdet.recipes import RECIPES, choose_recipe, load_recipe
from scratchdet.recipes.lengths import lengthened
from scratchdet.terminal import say

if TYPE_CHECKING:
    from scratchdet.train.distributed import Ranks

RUNS = Path("runs")


@dataclass(frozen=True, kw_only=True)
class TrainCommand:
    """Train a detector on your own data: from scratch, or from a model of your own (--init).

    DATA is a PASCAL VOC folder or VOCdevkit, a COCO JSON (or the folder around it), or a YOLO
    folder: which one is found by itself, and so are classes, channels and splits. Every image is
    decoded once first; what is wrong with the data is listed in runs/NAME/data_problems.txt.

    Images are resized to the input size of the recipe, whatever the network; it is printed first,
    and --model.input-size HEIGHT WIDTH sets it. With --init the network and its input size are the
    parent's, unless --recipe or the command line says more (docs/fine_tuning.md).

    Examples:
      scratchdet train path/to/data
      scratchdet train path/to/data --split train --val-split val --test-split test
      scratchdet train path/to/data --recipe small_data --optim.lr 0.02 --steps 5000
      scratchdet train path/to/data --model scratchdet300_r34 --model.choices variant=caffe
      scratchdet train path/to/data --init runs/NAME --lr 0.01
      scratchdet train --resume runs/NAME
      scratchdet train --resume runs/NAME --extend 2000
      scratchdet train path/to/data --devices 4 --max-restarts 3

    Short for settings of the recipe: --model, --init, --split, --val-split, --test-split,
    --on-bad-box, --batch, --cache, --steps, --analyse, --lr, --seed, --device.
    """

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")] = ""
    """The data set."""
    recipe: str = "auto"
    """A name out of `scratchdet recipes`, or a TOML file; auto: by data size and device."""
    name: str = ""
    """The run is written to runs/NAME; default: the name of the data's folder."""
    resume: str = ""
    """Go on with the run in this folder, from its last checkpoint."""
    extend: int = 0
    """With --resume: so many steps after the last one of the run (docs/compare.md)."""
    devices: int = 1
    """Processes on this machine, one for each GPU, that share every batch (docs/training.md)."""
    max_restarts: int = 0
    """How often the run goes on from its last checkpoint after a process was killed or crashed."""
    profile: bool = False
    """Show where the time of a step goes, when the run ends (docs/training.md)."""
    settings: Annotated[Recipe, tyro.conf.arg(name="")] = field(default_factory=Recipe)
    """Single values of the recipe."""


def train(arguments: Sequence[str]) -> int:
    """Train a detector from scratch on your own data."""
    arguments = in_full(arguments)
    parse = partial(
        tyro.cli,
        TrainCommand,
        prog="scratchdet train",
        description=description(TrainCommand),
        args=arguments,
        registry=choices_registry(),
    )
    command = _only_first(parse)
    if not command.data and not command.resume:
        raise RecipeError(
            "give the data set to train on, or --resume runs/NAME, which knows its data; see --help"
        )
    beside = {"DATA": command.data, "--recipe": command.recipe != "auto", "--name": command.name}
    if command.resume and any(beside.values()):
        given = " and ".join(name for name, value in beside.items() if value)
        raise RecipeError(
            f"--resume goes on with the data, the recipe and the name of its run: leave out {given}"
            " (single settings, as --steps 5000, may be given)"
        )
    if command.resume and command.settings.model.init:
        raise RecipeError("--resume goes on with a run; --init begins one: give one of them")
    check_extension(command.extend, resume=command.resume, arguments=arguments)
    if command.devices < 1 or command.max_restarts < 0:
        raise RecipeError("--devices is 1 or more, and --max-restarts 0 or more")

    from scratchdet.train.distributed import from_first, joined, ranks_of_launch
    from scratchdet.train.launch import is_launched

    starts_others = (command.devices > 1 or command.max_restarts > 0) and not is_launched()
    ranks = ranks_of_launch()
    console = Console(quiet=starts_others or not ranks.first)
    with joined(ranks):
        base = from_first(ranks, lambda: _base_recipe(command, console))
        if not command.resume:
            base = _following(base, command.settings, arguments)
        # Read once more on top of the recipe: the command line has the last word.
        command = _only_first(partial(parse, default=TrainCommand(settings=base)))
        if starts_others:
            return _start_others(command, arguments)
        _train(command, ranks, console)
    return 0


def _train(command: TrainCommand, ranks: "Ranks", console: Console) -> None:
    """Trains, in this process, one of `ranks`."""
    from scratchdet.train.distributed import from_first
    from scratchdet.train.launch import run_of_launch
    from scratchdet.train.loop import train as run_training

    if command.devices not in (1, ranks.local_size):
        raise RecipeError(
            f"--devices {command.devices} starts processes of its own, and torchrun has started "
            f"{ranks.local_size} already: leave it out"
        )
    begin = partial(run_training, command.settings, profile=command.profile, console=console)
    if command.resume:
        run_dir = Path(command.resume)
        begin(run_dir=run_dir, resume=True)
    else:
        name = command.name or Path(command.data).resolve().stem
        run_dir = from_first(ranks, lambda: run_of_launch(partial(_free_run, name)))
        say(console, f"run: {run_dir}")
        begin(data=command.data, run_dir=run_dir)
    say_what_is_where(run_dir, console, data=command.data or command.settings.data.path)


def _start_others(command: TrainCommand, arguments: Sequence[str]) -> int:
    """Trains in processes of their own; the exit status. What cannot be is refused before."""
    from scratchdet.cli_launch import launch
    from scratchdet.train.distributed import Ranks
    from scratchdet.train.resolve import resolve

    resolve(command.settings, ranks=Ranks(size=command.devices, local_size=command.devices))
    return launch(
        ["train", *without_extension(arguments, command.settings.schedule)],
        processes=command.devices,
        max_restarts=command.max_restarts,
    )


def _only_first(parse: Callable[[], TrainCommand]) -> TrainCommand:
    """What `parse` reads; of several processes, the first alone prints help and complaints."""
    if os.environ.get("RANK", "0") == "0":
        return parse()
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
    ):
        return parse()


def _base_recipe(command: TrainCommand, console: Console) -> Recipe:
    """What the settings on the command line are laid over."""
    if not command.resume:
        return chosen_recipe(command.recipe, command.settings, data=command.data, console=console)
    file = Path(command.resume) / "recipe.toml"
    if not file.is_file():
        raise RecipeError(f"no run to resume at {command.resume}: it has no recipe.toml")
    recipe = from_toml(file.read_text(encoding="utf-8"), source=str(file), bases={})
    if not command.extend:
        return recipe
    from scratchdet.train.extending import extended

    return extended(recipe, command.extend, run_dir=Path(command.resume))


def chosen_recipe(name: str, settings: Recipe, *, data: str, console: Console) -> Recipe:
    """The recipe of that name or file; "auto": by the data and what the settings say."""
    if name != "auto":
        _check_parent(name, settings)
        return load_recipe(name)
    from scratchdet.train.device import choose_device
    from scratchdet.train.splits import read_train

    images = len(read_train(differing(settings, data={"path": data}).data))
    gpu = choose_device(settings.run.device).type == "cuda"
    name = choose_recipe(images, gpu=gpu)
    say(console, f"recipe: {name}, for {images} images on a {'GPU' if gpu else 'CPU'} (--recipe)")
    recipe = load_recipe(name)
    if init := settings.model.init:
        from scratchdet.train.parent import network_of, read_parent

        parent = read_parent(init)
        recipe = differing(recipe, model=network_of(parent.detector))
        say(console, f"network: that of {parent.name}")
    return recipe


def _check_parent(name: str, settings: Recipe) -> None:
    """Raises RecipeError where a recipe for fine-tuning is given nothing to begin with."""
    flags = RECIPES[name].flags if name in RECIPES else ""
    if "--init" in flags and not settings.model.init:
        raise RecipeError(
            f"--recipe {name} goes on from a trained model: give it, {flags}; its "
            "learning rate and length are not meant for a training from scratch"
        )


def _following(base: Recipe, given: Recipe, arguments: Sequence[str]) -> Recipe:
    """The recipe with what follows from values on the command line.

    Its drops come at the same shares of another number of steps, and a learning rate that is given
    is meant for the batch that there is.
    """
    flags = {argument.partition("=")[0] for argument in arguments}
    if "--schedule.steps" in flags:
        base = lengthened(base, given.schedule.steps)
    if "--optim.lr" in flags:
        base = differing(base, optim={"reference_batch": 0})
    return base


def _free_run(name: str) -> Path:
    """runs/name, or the first of runs/name-2, runs/name-3, ... that is not taken: now it is."""
    candidates = itertools.chain([RUNS / name], (RUNS / f"{name}-{n}" for n in itertools.count(2)))
    return next(path for path in candidates if _is_made(path))


def _is_made(folder: Path) -> bool:
    """Whether it was not there, and is now; of two processes that ask, for one of them."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def say_what_is_where(run_dir: Path, console: Console, *, data: str) -> None:
    from scratchdet.models.saved import find_model

    contents = {
        "model": find_model(run_dir),
        "report": run_dir / "report.html",
        "figures": run_dir / "metrics.json",
        "curves": run_dir / "training.png",
        "gradients": run_dir / "gradients.png",
        "pictures": run_dir / "detections.png",
        "log": run_dir / "log.jsonl",
        "TensorBoard": run_dir / "tensorboard",
        "recipe": run_dir / "recipe.toml",
    }
    for what, path in contents.items():
        if path.exists():
            say(console, f"  {what:12} {path}")
    say(console, "Next:")
    run = quote(str(run_dir))
    say(console, f"  scratchdet eval {run} {quote(data)}")
    say(console, f"  scratchdet detect {run} IMAGE_OR_FOLDER --out found")
    say(console, f"  tensorboard --logdir {quote(str(run_dir.parent))}")
