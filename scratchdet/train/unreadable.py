"""Images that turn out unreadable while training goes on."""

from __future__ import annotations

from collections.abc import Iterable

from scratchdet.structures import DataError, Problem
from scratchdet.train.prepare import shortened


class BadImages:
    """The images that could not be read so far, each once; the end of the run when they are many.

    limit: the share of all `images` that may be unreadable.
    """

    def __init__(self, *, images: int, limit: float) -> None:
        self.images, self.limit = images, limit
        self.found: dict[str, Problem] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(self.found.values())

    def add(self, unreadable: Iterable[Problem]) -> tuple[Problem, ...]:
        """Those that are new. DataError, with a list, once more than the limit are unreadable."""
        new = {problem.where: problem for problem in unreadable if problem.where not in self.found}
        self.found.update(new)
        if len(self.found) > self.limit * self.images:
            raise DataError(
                "\n".join(
                    [
                        f"{len(self.found)} of {self.images} images cannot be read, more than the "
                        f"share of {self.limit:g} that may be bad (--data.bad-images)",
                        *shortened(self.problems),
                    ]
                )
            )
        return tuple(new.values())
