"""What can be wrong or worth knowing about a data set: the kinds there are, and what follows."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["error", "warning", "note"]
"""An error has to be fixed: training refuses the data, or goes on without images or objects that
were meant to be there, or with figures that are not true. A warning is to be looked at; training
copes, in the way that is said. A note is good to know."""

LEVELS: tuple[Level, ...] = ("error", "warning", "note")


class Kind(NamedTuple):
    """One kind of finding."""

    level: Level
    what: str
    """In words, in the plural."""
    training: str
    """What training does with it, after the word "training"."""


KINDS: dict[str, Kind] = {
    "refused": Kind("error", "data that cannot be trained on", "does not begin"),
    "unreadable-image": Kind("error", "images that cannot be read", "leaves them out"),
    "missing-image": Kind("error", "annotated images that are not there", "leaves them out"),
    "other-shape": Kind("error", "images of another shape than annotated", "leaves them out"),
    "missing-annotation": Kind("error", "listed images without annotation", "leaves them out"),
    "unreadable-annotation": Kind(
        "error", "annotation files that cannot be read", "leaves their images out"
    ),
    "unreadable-box": Kind("error", "boxes that are no four numbers", "leaves them out"),
    "box-outside": Kind("error", "boxes outside their image", "leaves them out"),
    "unknown-class": Kind("error", "objects of a class that is none", "leaves them out"),
    "box-without-area": Kind("warning", "boxes without area", "leaves them out"),
    "clipped-box": Kind(
        "warning", "boxes that reach out of their image", "cuts them off at its border"
    ),
    "resized-image": Kind(
        "warning", "images resized after they were annotated", "resizes their boxes to fit"
    ),
    "unannotated-image": Kind("warning", "images without annotation", "leaves them out"),
    "missing-labels": Kind(
        "warning", "images without a label file", "takes them as images without objects"
    ),
    "grey-as-rgb": Kind("note", "grey images saved as RGB", "reads them as grey"),
}
"""What is found, by the name that scripts know it by; the worst first."""


class Finding(NamedTuple):
    """One thing found."""

    kind: str
    """A key of `KINDS`."""
    part: str
    """What the images are used for: training, validation, test."""
    where: str
    """A file, `path:line`, `path: annotation id`, or the name of a class."""
    what: str
    """In words, with the values: `box 3 (RBC) has no area: 504 337 504 337`."""

    @property
    def level(self) -> Level:
        return KINDS[self.kind].level

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"
