"""Moments of a run at which something happens to it: it is killed, asked to stop, the disk is full.

A moment is a function that takes what is to happen then, and changes what the run calls on the way.
"""

import os
import resource
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from scratchdet.data import survey
from scratchdet.train import loop, results
from scratchdet.train.events import EventFile
from scratchdet.train.log import RunLog

Happening = Callable[[], None]
Moment = Callable[[Happening], None]


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def forbid_writing() -> None:
    """As the disk were full: no file of this process can become larger than it may be now."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def fill(folder: Path) -> None:
    """Leaves no byte free where `folder` is."""
    with (folder / "filler").open("ab", buffering=0) as filler:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while filler.write(b"\0" * size):
                    pass
            except OSError:
                continue


def _before(owner: Any, name: str, *, call: int = 1) -> Moment:
    """Before the given call (from 1) of a function."""
    return _around(owner, name, call=call, after=False)


def _after(owner: Any, name: str, *, call: int = 1) -> Moment:
    """After the given call (from 1) of a function."""
    return _around(owner, name, call=call, after=True)


def _around(owner: Any, name: str, *, call: int, after: bool) -> Moment:

    def arrange(happen: Happening) -> None:
        original, calls = getattr(owner, name), count(1)

        def changed(*arguments: Any, **named: Any) -> Any:
            now = next(calls) == call
            if now and not after:
                happen()
            value = original(*arguments, **named)
            if now and after:
                happen()
            return value

        setattr(owner, name, changed)

    return arrange


def _of_file(name: str, method: str, *, call: int = 1, half: bool = False) -> Moment:
    """Before the given call of a method of Path, on paths whose name begins like this.

    half: half of what was to be written is, first.
    """

    def arrange(happen: Happening) -> None:
        original, calls = getattr(Path, method), count(1)

        def changed(path: Path, *arguments: Any, **named: Any) -> Any:
            if path.name.startswith(name) and next(calls) == call:
                if half:
                    original(path, arguments[0][: len(arguments[0]) // 2], **named)
                happen()
            return original(path, *arguments, **named)

        setattr(Path, method, changed)

    return arrange


def _half_a_line(*, call: int) -> Moment:
    """Half of a line of log.jsonl is written."""

    def arrange(happen: Happening) -> None:
        original, calls = RunLog._write, count(1)

        def changed(log: RunLog, record: Any) -> None:
            if next(calls) == call:
                log.file.write('{"step": 3, "lo')
                log.file.flush()
                happen()
            original(log, record)

        RunLog._write = changed  # type: ignore[method-assign]

    return arrange


def _half_an_event(*, call: int) -> Moment:
    """Half of a figure for TensorBoard is written."""

    def arrange(happen: Happening) -> None:
        original, calls = EventFile._write, count(1)

        def changed(events: EventFile, event: Any) -> None:
            if next(calls) == call:
                events.file.write(b"\x20\0\0\0\0\0\0\0half")
                events.file.flush()
                happen()
            original(events, event)

        EventFile._write = changed  # type: ignore[method-assign]

    return arrange


CHECKPOINT = ".checkpoint."  # how the temporary file begins; the finished one has no dot before

IN_THIRD_STEP = _before(loop, "train_step", call=3)  # since the process was started

TO_KILL: dict[str, Moment] = {
    "while images are surveyed": _before(survey, "look", call=5),
    "half of recipe.toml written": _of_file(".recipe.", "write_text", half=True),
    "in the first step": _before(loop, "train_step"),
    "half of the first checkpoint written": _of_file(CHECKPOINT, "write_bytes", half=True),
    "half of a later checkpoint written": _of_file(CHECKPOINT, "write_bytes", call=2, half=True),
    "checkpoint written, not yet renamed": _of_file("checkpoint.", "replace"),
    "old checkpoint put aside, new one not yet there": _of_file(CHECKPOINT, "replace", call=2),
    "best model saved, checkpoint not": _before(results, "save_checkpoint", call=2),
    "half of a model written": _of_file(".model.", "write_bytes", call=3, half=True),
    "half of a kept model written": _of_file(".4.", "write_bytes", half=True),
    "half a line of log.jsonl written": _half_a_line(call=6),
    "half a figure for TensorBoard written": _half_an_event(call=7),
    "in an evaluation": _before(results, "detect_all", call=2),
    "last checkpoint just in place": _after(results, "save_checkpoint", call=4),
    "last checkpoint written, report not": _before(loop, "finish"),
    "half of metrics.json written": _of_file(".metrics.", "write_text", half=True),
}
QUICK = (
    "half of a later checkpoint written",
    "old checkpoint put aside, new one not yet there",
)

TO_FILL: dict[str, Moment] = {
    "recipe.toml": _of_file(".recipe.", "write_text"),
    "checkpoint": _of_file(CHECKPOINT, "write_bytes", call=2),
    "model": _of_file(".model.", "write_bytes", call=2),
    "log.jsonl": _before(RunLog, "_write", call=6),
    "tensorboard": _before(EventFile, "_write", call=7),
    "detections.png": _before(results, "draw_sheet"),
    "training.png": _before(results, "plot_training"),
    "metrics.json": _of_file(".metrics.", "write_text"),
}

TO_STOP: dict[str, Moment] = {
    "while images are surveyed": _before(survey, "look", call=5),
    "in a step": _before(loop, "train_step", call=3),
    "in an evaluation": _before(results, "detect_all"),
    "while a checkpoint is written": _of_file(CHECKPOINT, "write_bytes", call=2),
    "while the report is written": _before(results, "draw_sheet"),
}
