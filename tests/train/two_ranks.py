"""What two processes do together in tests: `run_pair` starts them, and they run this file.

They work off one case after another. Each rank writes what came of it to FOLDER/CASE.RANK.json; the
recipe of a case is FOLDER/CASE.toml, its run FOLDER/CASE.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import nn

from scratchdet.data.formats import read_data
from scratchdet.recipes import load_recipe
from scratchdet.structures import DataError, Detections, Problem
from scratchdet.train import loop
from scratchdet.train.distributed import (
    agreed,
    any_of,
    average_statistics,
    averaged,
    from_first,
    gathered,
    gathered_on_first,
    joined,
    ranks_of_launch,
)
from scratchdet.train.finite import NonFiniteLoss
from scratchdet.train.launch import Left, ends_first, is_final, leave
from scratchdet.train.results import evaluate_together
from scratchdet.train.unreadable import BadImages

ROOT = Path(__file__).resolve().parents[2]


def run_pair(folder: Path, *cases: str) -> None:
    """Lets two processes work off the cases, whose recipes are in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    program = [sys.executable, __file__, folder, *cases]
    started = [
        subprocess.Popen(
            program,
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    try:
        said = [process.communicate(timeout=240)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(said)


class BrightestRegion:
    """Finds what is bright in a scene; of every other kind it says the wrong class."""

    classes = ("a", "b")
    in_channels = 3
    image_dtype, files = "uint8", ""

    def predict(self, images):
        return [self._look(image.max(-1) > 100) for image in images]

    def _look(self, bright):
        rows, columns = np.nonzero(bright)
        if not len(rows):
            return Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long())
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        score = torch.tensor([bright.mean()], dtype=torch.float32)
        return Detections(torch.tensor([box]).float(), score, torch.tensor([box[0] % 2]).long())


def train(recipe, folder, *, resume=False):
    console = Console(file=io.StringIO())
    return loop.train(recipe, run_dir=folder, resume=resume, console=console)


def message_of(do) -> str:
    try:
        return f"no error, but {do()}"
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"


def tell(ranks):
    """What every collective gives."""

    def bad_data():
        raise DataError(f"bad data, says {ranks.rank}")

    layers = nn.Sequential(nn.BatchNorm2d(1), nn.BatchNorm2d(2), nn.BatchNorm2d(1, affine=False))
    for number, layer in enumerate(layers):
        layer.running_mean.fill_(number + ranks.rank)
        layer.running_var.fill_(4.0 * ranks.rank)
    average_statistics(layers)
    bad, gone = DataError("bad"), RuntimeError("no memory")
    speakers = [gathered(ranks, ends_first(error, 2)) for error in (gone, bad)]
    return {
        "speakers": [sorted(each) for each in speakers],
        "final": [is_final(error) for error in (bad, NonFiniteLoss("nan"), gone, Left("gone"))],
        "gathered": gathered(ranks, ranks.rank),
        "on_first": gathered_on_first(ranks, ranks.rank),
        "averaged": averaged(torch.tensor([1.0, 2.0]) * ranks.rank).tolist(),
        "any_of": [any_of(False), any_of(ranks.rank == 1), any_of(True)],
        "means": [layer.running_mean.tolist() for layer in layers],
        "variances": [layer.running_var.tolist() for layer in layers],
        "from_first": from_first(ranks, lambda: ranks.rank),
        "error_of_first": message_of(lambda: from_first(ranks, bad_data)),
        "agreed": agreed(ranks, lambda: ranks.rank),
        "disagreed": message_of(
            lambda: agreed(ranks, bad_data if ranks.rank else lambda: "all is well")
        ),
    }


def tell_unreadable(folder, ranks):
    """What each rank knows and says when rank 1 alone has found an unreadable image, then two."""
    bad = BadImages(images=10, limit=0.1, known=())
    said = io.StringIO()
    console = Console(file=said, width=100)
    folder.mkdir(exist_ok=True)
    if ranks.rank:
        bad.add([Problem("1.jpg", "empty", "replaced")])
    bad.tell(ranks, run_dir=folder, console=console)
    listed = (folder / "data_problems.txt").read_text() if ranks.first else ""
    if ranks.rank:
        bad.add([Problem("2.jpg", "empty", "replaced")])
    error = message_of(lambda: bad.tell(ranks, run_dir=folder, console=console))
    return {"found": list(bad.found), "said": said.getvalue(), "listed": listed, "error": error}


def evaluate(ranks, recipe):
    """The figures of none, one and all images."""
    data = read_data(recipe.data.path, split="train")
    parts = [data.subset(range(count)) for count in (0, 1, len(data))]
    together = partial(evaluate_together, BrightestRegion(), protocol="voc", ranks=ranks)
    return [together(part)[0].to_json() for part in parts]


def stop_one(recipe, folder, ranks):
    """Rank 1 alone is asked to stop, in its third step."""
    step, calls = loop.train_step, []

    def interrupted_step(*arguments, **named):
        calls.append(1)
        if len(calls) == 3 and ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*arguments, **named)

    loop.train_step = interrupted_step
    said = message_of(lambda: train(recipe, folder))
    loop.train_step = step
    return said


def lose_one(recipe, folder, ranks):
    """The loss of rank 1 alone is not a number, in the second step."""
    step, calls = loop.train_step, []

    def lost_step(*arguments, **named):
        calls.append(1)
        losses, norm = step(*arguments, **named)
        if len(calls) == 2 and ranks.rank == 1:
            losses = losses._replace(classification=losses.classification * float("nan"))
        # DDP has averaged the gradients: that of one rank spoils both.
        return losses, norm * float("nan") if len(calls) == 2 else norm

    loop.train_step = lost_step
    said = message_of(lambda: train(recipe, folder))
    loop.train_step = step
    return said


def main(folder: Path, *cases: str) -> None:
    ranks = ranks_of_launch()
    for case in cases:
        recipe = load_recipe(folder / f"{case}.toml")
        with joined(ranks):
            if case == "tell":
                result = tell(ranks)
            elif case == "evaluate":
                result = evaluate(ranks, recipe)
            elif case == "tell_unreadable":
                result = tell_unreadable(folder / case, ranks)
            elif case == "stop_one":
                result = stop_one(recipe, folder / case, ranks)
            elif case == "lose_one":
                result = lose_one(recipe, folder / case, ranks)
            else:
                # Asked once: rank 0 makes the folder when it begins.
                begun = from_first(ranks, (folder / case).exists)
                train(recipe, folder / case, resume=begun)
                result = "trained"
        (folder / f"{case}.{ranks.rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
    leave(0)  # as the command line does
