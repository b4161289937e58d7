"""Images that turn out unreadable while training goes on."""

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from scratchdet.structures import DataError, Problem
from scratchdet.terminal import say, shortened
from scratchdet.train.distributed import Ranks, gathered
from scratchdet.train.prepare import write_problems


class BadImages:
    """The images that could not be read so far, each once; the end of the run when they are many.

    limit: the share of all `images` that may be unreadable. known: the problems that the run began
    with, which stand in its list before those. found: those told before the run was resumed.
    """

    def __init__(
        self,
        *,
        images: int,
        limit: float,
        known: tuple[Problem, ...],
        found: tuple[Problem, ...] = (),
    ) -> None:
        self.images, self.limit, self.known = images, limit, known
        self.found = {problem.where: problem for problem in found}
        self.told = len(self.found)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that the run has to list."""
        return (*self.known, *self.found.values())

    def add(self, unreadable: Iterable[Problem]) -> None:
        """Takes note of what one batch lacks."""
        for problem in unreadable:
            self.found.setdefault(problem.where, problem)

    def tell(self, ranks: Ranks, *, run_dir: Path, console: Console) -> None:
        """Lists what all ranks have found since the last time, on the console and in the run.

        Every rank has to call it. Raises DataError, on all of them, for more than the limit.
        """
        for others in gathered(ranks, tuple(self.found.values())[self.told :]):
            self.add(others)
        problems = tuple(self.found.values())
        for problem in problems[self.told :]:
            say(console, f"UNREADABLE: {problem}")
        if ranks.first and len(problems) > self.told:
            write_problems(self.problems, run_dir / "data_problems.txt")
        self.told = len(problems)
        if len(problems) > self.limit * self.images:
            raise DataError(
                "\n".join(
                    [
                        f"{len(problems)} of {self.images} images cannot be read, more than the "
                        f"share of {self.limit:g} that may be bad (--data.bad-images):",
                        *shortened(problems),
                    ]
                )
            )

    def figures(self) -> dict[str, float]:
        """For the log: how many there are, if any."""
        return {"unreadable": len(self.found)} if self.found else {}
