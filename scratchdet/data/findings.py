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
    "refused": Kind("error", "reasons why no training can begin", "does not begin"),
    "duplicate-across": Kind(
        "error", "images that are in another part as well", "learns what it is measured by"
    ),
    "case-classes": Kind(
        "error",
        "classes that only capital letters tell apart",
        "learns each as a class of its own",
    ),
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
    "near-across": Kind(
        "warning",
        "images that are nearly the same as one of another part",
        "learns what it is measured by, nearly",
    ),
    "frames-across": Kind(
        "warning",
        "images that seem to be of one video with one of another part",
        "learns what it is measured by, nearly",
    ),
    "blank-across": Kind(
        "warning",
        "images without any structure that are in another part as well",
        "takes them as they are",
    ),
    "unsure-turn": Kind(
        "warning",
        "pictures turned or mirrored by EXIF, where no size tells what the boxes are drawn on",
        "turns them: look whether their boxes fit",
    ),
    "box-without-area": Kind("warning", "boxes without area", "leaves them out"),
    "clipped-box": Kind(
        "warning", "boxes that reach out of their image", "cuts them off at its border"
    ),
    "tiny-box": Kind("warning", "boxes less than 2 pixels wide or high", "learns them as they are"),
    "repeated-box": Kind("warning", "boxes that are there twice", "learns them twice"),
    "box-of-two-classes": Kind(
        "warning", "boxes that are there with two classes", "learns both, one against the other"
    ),
    "ignored-class": Kind(
        "warning",
        "classes whose name says that they are not to be learned",
        "learns them like any other (mark the objects as difficult, or remove them)",
    ),
    "class-without-objects": Kind(
        "warning", "classes without an object", "cannot learn them, or has no AP for them"
    ),
    "mostly-empty": Kind(
        "warning",
        "parts with more images without objects than with",
        "learns background from them",
    ),
    "resized-image": Kind(
        "warning", "images resized after they were annotated", "resizes their boxes to fit"
    ),
    "unannotated-image": Kind("warning", "images without annotation", "leaves them out"),
    "missing-labels": Kind(
        "warning", "images without a label file", "takes them as images without objects"
    ),
    "label-without-image": Kind("warning", "label files without an image", "leaves them out"),
    "duplicate-image": Kind("warning", "images that are there twice", "sees them twice as often"),
    "wrong-extension": Kind(
        "warning", "files that are not what their names say", "goes by what they are"
    ),
    "lost-box": Kind(
        "note", "boxes less than 2 pixels wide or high at the input", "is not likely to learn them"
    ),
    "full-box": Kind("note", "boxes that cover the whole image", "learns them as they are"),
    "near-duplicate": Kind(
        "note", "images that are nearly the same as one of their part", "sees them as different"
    ),
    "turned-image": Kind(
        "note",
        "pictures turned by EXIF",
        "turns them, unless they are annotated with the size of the stored pixels",
    ),
    "grey-among-rgb": Kind("note", "grey images among those in colour", "makes them RGB"),
    "grey-as-rgb": Kind("note", "grey images saved as RGB", "reads them as grey"),
    "empty-images": Kind(
        "note", "parts with images without objects", "learns background from them"
    ),
    "decimals": Kind("note", "VOC files with coordinates that are no whole numbers", "takes them"),
    "empty-element": Kind("note", "VOC files with elements left empty", "does without"),
    "other-filename": Kind(
        "note", "VOC files that name another image", "takes the image called like the annotation"
    ),
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
