"""The command line: one function per command. What is slow to import is imported inside them."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import tyro
from rich.console import Console

from scratchdet.cli_ablate import ablate
from scratchdet.cli_arguments import description
from scratchdet.cli_check import check
from scratchdet.cli_compare import compare
from scratchdet.cli_detect import INTERRUPTED, detect
from scratchdet.cli_download import download
from scratchdet.cli_eval import evaluate
from scratchdet.cli_export import export
from scratchdet.cli_import import import_caffe
from scratchdet.cli_models import models
from scratchdet.cli_pack import pack
from scratchdet.cli_recipes import recipes
from scratchdet.cli_report import report
from scratchdet.cli_train import RUNS, say_what_is_where, train
from scratchdet.files import DiskFull
from scratchdet.recipe import differing
from scratchdet.recipes import load_recipe
from scratchdet.terminal import say

NO = 1  # exit status: it ran, and the answer is no
WRONG_USE = 2  # exit status


def demo(
    run_dir: Path = RUNS / "demo",
    data_only: Path | None = None,
    device: str = "auto",
) -> int:
    """Train a detector on the embedded data, evaluate it, and show what it finds.

    Handwritten digits on photographs, 160 x 160, written as an ordinary PASCAL VOC folder; about
    five minutes on two cores. A finished demo is done again from the start, an interrupted one is
    resumed.

    Examples:
      scratchdet demo
      scratchdet demo --data-only digits

    Args:
        run_dir: The folder of the run; the data goes beside it.
        data_only: Only write the data, to this folder.
        device: auto, cpu, cuda.
    """
    from scratchdet.data.digits import write_digits

    console = Console()
    data = write_digits(data_only or run_dir.parent / "demo-data")
    say(console, f"data: {data} (a VOC folder)")
    if data_only is not None:
        return 0
    from scratchdet.train.loop import train as run_training

    recipe = differing(load_recipe("digits"), run={"device": device})
    resume = (run_dir / "recipe.toml").exists()
    if resume:
        if load_recipe(run_dir / "recipe.toml").data.path != str(data.resolve()):
            raise FileExistsError(f"{run_dir} holds a run that is no demo: give another --run-dir")
        if (run_dir / "metrics.json").exists():
            say(console, f"{run_dir} holds a finished demo, which is replaced")
            shutil.rmtree(run_dir)
            resume = False
    run_training(recipe, data=data, run_dir=run_dir, resume=resume, console=console)
    say_what_is_where(run_dir, console, data=str(data))
    return 0


def _typed(command: Callable[..., int], name: str) -> Callable[[Sequence[str]], int]:
    """The command with its arguments read from the command line by their types."""
    return lambda arguments: tyro.cli(
        command, args=arguments, prog=f"scratchdet {name}", description=description(command)
    )


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "demo": (_typed(demo, "demo"), "train on the embedded data, evaluate, show what is found"),
    "train": (train, "train a detector from scratch on your own data"),
    "check": (check, "what is wrong with a data set, and what training makes of it"),
    "eval": (_typed(evaluate, "eval"), "evaluate a trained detector on a data set"),
    "detect": (detect, "find objects in images, videos and streams, and draw them"),
    "export": (_typed(export, "export"), "write a detector as ONNX, verified on the spot"),
    "ablate": (ablate, "train ScratchDet's ablations on your data: norms and rates, stems"),
    "report": (_typed(report, "report"), "write the report of a run anew: one HTML file"),
    "compare": (_typed(compare, "compare"), "several runs in one table, and which is better"),
    "pack": (_typed(pack, "pack"), "put a data set into one file"),
    "download": (_typed(download, "download"), "fetch a published data set: PASCAL VOC, MS COCO"),
    "models": (_typed(models, "models"), "list the networks"),
    "recipes": (
        _typed(recipes, "recipes"),
        "list the shipped recipes, print one, show its sources",
    ),
    "import-caffe": (
        _typed(import_caffe, "import-caffe"),
        "turn a published .caffemodel into a model of ours",
    ),
}

USAGE = f"""usage: scratchdet COMMAND ...

Train object detectors from scratch: no pre-trained weights, nothing but your own data.

{chr(10).join(f"  {name:12} {what}" for name, (_, what) in COMMANDS.items())}

scratchdet COMMAND --help    what a command takes, with examples
scratchdet --debug COMMAND   show the traceback of an error
scratchdet --version"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; its exit status: 0, 1 (ran, and the answer is no), 2 (wrong use)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    if given and given[0] == "--version":
        print(version("scratchdet"))
        return 0
    if not given or given[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if given else sys.stderr)
        return 0 if given else WRONG_USE
    if given[0] not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"scratchdet: no command is called {given[0]!r}; there are {known}", file=sys.stderr)
        return WRONG_USE
    try:
        return COMMANDS[given[0]][0](given[1:])
    except KeyboardInterrupt as error:
        if _speaks(error, INTERRUPTED):
            print(f"scratchdet {given[0]}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        status = NO if isinstance(error, RuntimeError | DiskFull) else WRONG_USE
        speaks = _speaks(error, status)
        if debug:
            raise
        if speaks:
            print(f"scratchdet {given[0]}: {error}", file=sys.stderr)
        return status


def _speaks(error: BaseException, status: int) -> bool:
    """Whether this process tells of its error: of several that train together one alone does."""
    if "LOCAL_RANK" not in os.environ:
        return True
    from scratchdet.train.launch import Left, ends_first, leave

    if isinstance(error, Left):
        leave(status)
    return ends_first(error, status)


if __name__ == "__main__":
    sys.exit(main())
