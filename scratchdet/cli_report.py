"""`scratchdet report`: the report of a run, written anew."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import Positional

from scratchdet.terminal import say


def report(
    run: Annotated[Positional[Path], tyro.conf.arg(metavar="RUN")],
    data: Annotated[Positional[Path | None], tyro.conf.arg(metavar="[DATA]")] = None,
    /,
    device: str = "auto",
) -> int:
    """Write the report of a run anew: RUN/report.html, one file that opens anywhere.

    Training writes it by itself, at each evaluation and at the end. This is for runs of older
    versions, or that were stopped. The model is evaluated on the test images of the run, else on
    its validation images, if the data are there. The cards of the models, MODEL_CARD.md, are
    written too. docs/report.md says what is in them.

    Examples:
      scratchdet report runs/NAME
      scratchdet report runs/NAME path/to/data

    Args:
        run: The folder of the run.
        data: Where its data are now, if they have moved.
        device: auto, cpu, cuda.
    """
    from scratchdet.train.report import report_of_folder

    console = Console()
    contents, files = report_of_folder(run, data=data, device=device, console=console)
    if contents.not_judged:
        say(console, f"NOTE: without accuracy and pictures: {contents.not_judged}")
    for what, why in contents.unread.items():
        say(console, f"NOTE: left out: {what}: {why}")
    for file in files:
        say(console, f"written: {file}")
    return 0
