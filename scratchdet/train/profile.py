"""Where the time of a step goes."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from rich.console import Console
from rich.table import Table

Item = TypeVar("Item")


class StepClock:
    """Adds up the seconds that each part of the steps takes; nothing is measured unless it is `on`.

    On a GPU, where work is only queued, every part ends with waiting for it: steps that are
    measured are slower than others.
    """

    def __init__(self, device: torch.device, *, on: bool) -> None:
        self.device, self.on = device, on
        self.seconds: dict[str, float] = {}
        self.steps = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Everything inside counts as `name`."""
        if not self.on:
            yield
            return
        began = self._now()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - began

    def over(self, items: Iterable[Item], name: str) -> Iterator[Item]:
        """The items, one for each step; waiting for one counts as `name`.

        The first step does not count where there are more: workers start, kernels are chosen and
        compiled.
        """
        began = time.monotonic()
        for number, item in enumerate(items):
            waited = time.monotonic() - began
            if number == 1:
                self.seconds, self.steps = {}, 0
            if self.on:
                self.seconds[name] = self.seconds.get(name, 0.0) + waited
            self.steps += 1
            yield item
            began = time.monotonic()

    def show(self, console: Console) -> None:
        """Prints the mean time of every part of a step, and its share."""
        if not self.on or not self.steps:
            return
        table = Table(title=f"a step, mean of {self.steps} after the first")
        for heading in ("part", "ms", "share"):
            table.add_column(heading, justify="left" if heading == "part" else "right")
        total = sum(self.seconds.values())
        for name, seconds in self.seconds.items():
            table.add_row(name, f"{1000 * seconds / self.steps:.2f}", f"{seconds / total:.1%}")
        table.add_section()
        table.add_row("all", f"{1000 * total / self.steps:.2f}", "")
        console.print(table)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.monotonic()
