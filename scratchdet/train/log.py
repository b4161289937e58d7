"""What happened in a run: `log.jsonl`, TensorBoard events, and the display in the terminal."""

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from scratchdet.analysis.forecast import curve_of, learning_done, outlook, rounded
from scratchdet.files import write_text, writing
from scratchdet.train.events import EventFile

PLAIN_EVERY = 30.0  # seconds between lines where there is no terminal to draw on


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a `log.jsonl`; a last line that a crash cut off is left out."""
    if not path.exists():
        return []
    *lines, rest = path.read_text(encoding="utf-8").split("\n")
    del rest  # after the last line break: empty, or cut off
    return [json.loads(line) for line in lines]


class Log(Protocol):
    """What the training tells of itself."""

    def advance(self, step: int) -> None: ...
    def record(self, step: int, figures: Mapping[str, float]) -> None: ...
    def evaluation(self, step: int, figures: Mapping[str, Any], *, best: bool) -> None: ...
    def sync(self) -> None: ...


class NoLog:
    """The log of a rank that does not write; use it as a context."""

    def __enter__(self) -> "NoLog":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def advance(self, step: int) -> None:
        pass

    def record(self, step: int, figures: Mapping[str, float]) -> None:
        pass

    def evaluation(self, step: int, figures: Mapping[str, Any], *, best: bool) -> None:
        pass

    def sync(self) -> None:
        pass


class RunLog:
    """Appends records to `log.jsonl` and TensorBoard, and shows them; use it as a context.

    Records of steps after `start` are of a run that was killed after its last checkpoint: they are
    removed, so that no step stands in the log twice. rate_at: the learning rate of every step,
    which a forecast goes by.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        start: int,
        steps: int,
        rate_at: Callable[[int], float],
        console: Console,
    ) -> None:
        self.path = run_dir / "log.jsonl"
        kept = [record for record in read_log(self.path) if record["step"] <= start]
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))
        self.start, self.steps, self.console = start, steps, console
        self.advanced = start
        self.curve = curve_of(kept)
        self.learned = learning_done(rate_at, steps)
        self.ap50 = next(
            (r["evaluation"]["ap50"] for r in reversed(kept) if "evaluation" in r), None
        )
        self.plain = not console.is_terminal
        self.printed = time.monotonic()

    def __enter__(self) -> "RunLog":
        self.events = EventFile(self.path.parent / "tensorboard", start=self.start + 1)
        self.file = self.path.open("a", encoding="utf-8")
        self.bar = Progress(
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self.task = self.bar.add_task("", total=self.steps, completed=self.start)
        self.figures = Text()
        # Two lines: both fit a terminal of 80 columns.
        self.display = Live(
            Group(self.bar, self.figures), console=self.console, refresh_per_second=4
        )
        if not self.plain:
            self.display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.display.stop()
        if error is not None:
            # Not at the top: what reads a log, and trains nothing, needs no torch.
            from scratchdet.train.finite import NonFiniteLoss

            if isinstance(error, NonFiniteLoss):
                self._write({"step": self.advanced, "diverged": str(error)})
        try:
            self.events.close()
        finally:
            with writing(self.path):
                self.file.close()

    def advance(self, step: int) -> None:
        """Moves the bar; nothing is written."""
        self.advanced = step
        self.bar.update(self.task, completed=step)

    def record(self, step: int, figures: Mapping[str, float]) -> None:
        """A step of the training."""
        self._write({"step": step, **figures})
        self.events.add(step, {f"train/{name}": value for name, value in figures.items()})
        line = (
            f"loss {figures['loss']:.2f} = class {figures['classification']:.2f} "
            f"+ box {figures['localisation']:.2f}  lr {figures['lr']:.4f}  "
            f"grad {figures['gradient_norm']:.2f}  {figures['images_per_second']:.0f} img/s"
            + ("" if self.ap50 is None else f"  AP50 {self.ap50:.3f}")
        )
        self.bar.update(self.task, completed=step)
        self.figures.plain = line
        if self.plain and time.monotonic() - self.printed > PLAIN_EVERY:
            self.printed = time.monotonic()
            self.console.print(f"step {step}/{self.steps}  {line}", highlight=False, soft_wrap=True)

    def evaluation(self, step: int, figures: Mapping[str, Any], *, best: bool) -> None:
        """An evaluation on the validation split, after `step` steps."""
        ap50 = figures["ap50"]
        self.ap50 = ap50
        if ap50 is not None:
            self.curve.append((step, ap50))
        told = {} if ap50 is None else outlook(self.curve, learned=self.learned)
        noted = {name: rounded(what) for name, what in told.items()}
        self._write({"step": step, "evaluation": dict(figures), **noted})
        shown = "not defined: no objects" if ap50 is None else f"{ap50:.4f}"
        curves = {f"val/{name}": figures[name] for name in ("ap50", "raw_ap50") if name in figures}
        self.events.add(
            step, {name: math.nan if value is None else value for name, value in curves.items()}
        )
        self.console.print(
            f"step {step}/{self.steps}  validation AP50 {shown}{'  (best so far)' if best else ''}",
            highlight=False,
        )
        for what in told.values():
            self.console.print(f"step {step}/{self.steps}  {what}", highlight=False, soft_wrap=True)

    def _write(self, record: Mapping[str, Any]) -> None:
        finite = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in record.items()
        }
        with writing(self.path):
            self.file.write(json.dumps(finite) + "\n")  # JSON has no NaN
            self.file.flush()

    def sync(self) -> None:
        """Waits until all records are on the disk: a checkpoint must not outlive those before."""
        with writing(self.path):
            os.fsync(self.file.fileno())
        self.events.sync()
