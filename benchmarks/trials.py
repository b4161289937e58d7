"""A training of seconds, in a process of its own, that can be disturbed, resumed and compared."""

import io
import json
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scratchdet.cli import main
from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import Recipe, differing
from scratchdet.recipe_toml import save_recipe
from scratchdet.structures import Sample
from scratchdet.train.log import read_log

STEPS = 8


class Ended(NamedTuple):
    """How a process ended."""

    status: int
    """Exit status; negative: the signal that killed it."""
    said: str
    """What it wrote to the terminal."""


def make_data(folder: Path) -> Path:
    """A VOC folder of 12 images to train on and 3 to validate on: a bright box on noise each."""
    rng = np.random.default_rng(0)
    samples = []
    for number in range(15):
        image = rng.integers(0, 80, (64, 64, 3), dtype=np.uint8)
        left, top, width, height = (int(value) for value in rng.integers(8, 30, 4))
        image[top : top + height, left : left + width, number % 2] = 240
        box = np.array([[left, top, left + width, top + height]], np.float32)
        sample = Sample(image, box, np.array([number % 2]), np.zeros(1, bool))
        samples.append((f"{number:02d}", sample))
    return write_voc(folder, {"train": samples[:12], "val": samples[12:]}, classes=("a", "b"))


def recipe_for(data: Path, *, workers: int, precision: str) -> Recipe:
    """Eight steps with everything that is saved on the way: average, best, kept, checkpoints."""
    return differing(
        Recipe(),
        model={"input_size": (64, 64)},
        data={"path": str(data), "batch": 4, "accumulate": 2, "workers": workers, "mosaic": 0.3},
        optim={"ema": 0.9},
        schedule={
            "steps": STEPS,
            "warmup_steps": 2,
            "log_every": 1,
            "evaluate_every": 3,
            "checkpoint_every": 2,
            "keep_every": 4,
            "precise_bn": 2,
        },
        run={"precision": precision, "threads": 1, "device": "cpu"},
    )


def begin(run: Path, recipe: Recipe) -> None:
    """Makes `run` a folder in which `scratchdet train --resume` begins the recipe."""
    save_recipe(recipe, run / "recipe.toml")


def go_on(
    run: Path,
    *options: str,
    disturb: Callable[[], None] | None = None,
    kill_after: float | None = None,
) -> Ended:
    """`scratchdet train --resume run`, in a process of its own.

    disturb: called there first, to change what is called on the way. kill_after: seconds after
    which it is sent SIGKILL.
    """
    reading, written = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        _be_the_run(["train", "--resume", str(run), *options], disturb, written)
    os.close(written)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    os.set_blocking(reading, False)  # workers of a process that was killed live on for seconds
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read() or b""
    return Ended(os.waitstatus_to_exitcode(status), said.decode(errors="replace"))


def _be_the_run(arguments: list[str], disturb: Callable[[], None] | None, written: int) -> None:
    status = 99  # of an error that the command line does not know
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    try:
        torch.set_num_threads(1)
        os.dup2(written, 1)
        os.dup2(written, 2)
        with (
            io.TextIOWrapper(io.FileIO(1, "w"), line_buffering=True) as terminal,
            redirect_stdout(terminal),
            redirect_stderr(terminal),
        ):
            if disturb is not None:
                disturb()
            status = main(arguments)
    finally:
        os._exit(status)


def differences(run: Path, straight: Path) -> list[str]:
    """What is not the same in both runs, or is left over in the first; nothing is what we want."""
    found = []
    ours, theirs = (_timeless(read_log(one / "log.jsonl")) for one in (run, straight))
    if ours != theirs:
        found.append("log.jsonl")
    if _figures(run) != _figures(straight):
        found.append("tensorboard")
    if _names(run) != _names(straight):
        found.append(f"files: {sorted(_names(run) ^ _names(straight))}")
    for name in sorted(one for one in _names(straight) if one.endswith(".safetensors")):
        if (run / name).exists() and not _same_tensors(run / name, straight / name):
            found.append(name)
    if _metrics(run) != _metrics(straight):
        found.append("metrics.json")
    if (run / "detections.png").read_bytes() != (straight / "detections.png").read_bytes():
        found.append("detections.png")
    return found


def step_resumed(said: str) -> int:
    """The step that a run was resumed at, which says so; 0 where it began anew."""
    found = re.search(r"resumed at step (\d+)", said)
    return int(found[1]) if found else 0


def _timeless(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in record.items() if name != "images_per_second"}
        for record in records
    ]


def _figures(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows, but for the speed."""
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag != "train/images_per_second"]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def _names(run: Path) -> set[str]:
    """All files of a run, but for those of TensorBoard, which has one for each start."""
    paths = (path.relative_to(run) for path in run.rglob("*") if path.is_file())
    return {str(path) for path in paths if path.parts[0] != "tensorboard"}


def _metrics(run: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return {name: value for name, value in figures.items() if name != "seconds"}


def _same_tensors(ours: Path, theirs: Path) -> bool:
    """Whether names, bits and metadata are equal, but for the seconds it took and the checksum."""
    one, other = load_file(ours), load_file(theirs)
    return (
        one.keys() == other.keys()
        and all(torch.equal(one[name], other[name]) for name in one)
        and _metadata(ours) == _metadata(theirs)
    )


def _metadata(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as stored:
        metadata: dict[str, Any] = dict(stored.metadata())
    metadata.pop("crc32")
    if "progress" in metadata:
        metadata["progress"] = {**json.loads(metadata["progress"]), "seconds": 0}
    return metadata
