"""Which image of the data a file of detections means by a name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from scratchdet.data.references import files_of
from scratchdet.structures import DataError, DetectionData

SEVERAL = -1  # the position of a name that more than one image has


class ImageNames:
    """`names.find(name, where)`: the position of the image that is called so.

    By its path, or else by its id, by the end of its path (`folder/a.jpg`), by the stem of its
    name; DataError if it is none of the data's images, or could be several.
    """

    def __init__(self, data: DetectionData) -> None:
        self.data = data
        self.by_path = positions(os.path.abspath(path) for path in data.paths)
        self.by_id = positions(data.ids)
        self.by_stem = positions(Path(files_of(path)[0]).stem for path in data.paths)
        self.by_end = cache(self._by_end)
        self.by_stem_alone: list[str] = []
        """The names of which nothing but the stem is right."""

    def find(self, name: str, where: str) -> int:
        found = self.by_path.get(os.path.abspath(name), self.by_id.get(name))
        if found is None and not os.path.isabs(name):
            parts = Path(files_of(name)[0]).parts
            found = self.by_end(len(parts)).get("/".join(parts))
        if found is not None:
            return only(found, name, where)
        found = only(self.by_stem.get(Path(files_of(name)[0]).stem), name, where)
        self.by_stem_alone.append(name)
        return found

    def remarks(self) -> list[str]:
        """A line if images were found by the stem of their name alone."""
        if not self.by_stem_alone:
            return []
        first = self.by_stem_alone[0]
        taken = self.data.paths[self.by_stem[Path(files_of(first)[0]).stem]]
        number = len(self.by_stem_alone)
        return [
            f"{number} {'image was' if number == 1 else 'images were'} matched by name alone, "
            f"whatever the folder: {first} was taken for {taken}"
        ]

    def _by_end(self, parts: int) -> dict[str, int]:
        ends = (Path(files_of(path)[0]).parts[-parts:] for path in self.data.paths)
        return positions(map("/".join, ends))


def positions(names: Iterable[str]) -> dict[str, int]:
    """The position of each name; SEVERAL for those that are there more than once."""
    found: dict[str, int] = {}
    for position, name in enumerate(names):
        found[name] = SEVERAL if name in found else position
    return found


def only(position: int | None, name: str, where: str) -> int:
    """The position; DataError if there is none, or SEVERAL."""
    if position is None:
        raise DataError(
            f"{where}: image {name} is not in the data (or was left out when it was read); "
            "evaluate with the images that the detections were made for"
        )
    if position == SEVERAL:
        raise DataError(f"{where}: image {name} could be several of the data's images")
    return position
