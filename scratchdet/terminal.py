"""What people see while something runs: plain lines, and a bar for work that takes its time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def say(console: Console, text: str) -> None:
    """Prints `text` as it is: no colours guessed, no markup in file names, no lines broken.

    File names that are not Unicode are escaped: no terminal can take them.
    """
    printable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    console.print(printable, markup=False, highlight=False, soft_wrap=True)


def shortened(problems: Sequence[object], count: int = 10) -> list[str]:
    """A line for each of the first problems, and one that counts the others."""
    more = [f"... and {len(problems) - count} more"] if len(problems) > count else []
    return [*map(str, problems[:count]), *more]


@contextmanager
def progress_bar(console: Console, what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yields `report(done, total)`; total is None where there is no end in sight.

    Draws nothing where there is no terminal.
    """
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
