"""From what a reader found to a `DetectionData`: the checks and decisions all formats share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np

from scratchdet.data.clean import (
    KINDS,
    NO_AREA,
    NOT_A_NUMBER,
    OVERHANGS,
    REASONS,
    CheckedBoxes,
    check_boxes,
)
from scratchdet.structures import DataError, DetectionData, Problem, Strings

OnBadBox = Literal["error", "drop"]
SHOWN_PROBLEMS = 10  # in an error message; the rest is counted


class Found(NamedTuple):
    """One part of a data set (a year, a file, a split) as its files have it, nothing checked."""

    ids: Sequence[str]
    paths: Sequence[str]
    sizes: np.ndarray
    """(N, 2): width, height."""
    images: np.ndarray
    """(M,) the image each object is in; any order, the objects of one image in file order."""
    boxes: np.ndarray
    """(M, 4) float64, xyxy pixels, 0-based and half-open; NaN where the file has no number."""
    written: np.ndarray
    """(M, 4) the four numbers as the file has them, for messages."""
    names: Sequence[str]
    """Every class name that occurs, wanted or not."""
    labels: np.ndarray
    """(M,) index into `names`."""
    ignore: np.ndarray
    """(M,) bool."""
    classes: Sequence[str]
    """Those of `names` that are the classes, if the user chooses none."""
    where: Callable[[int], str]
    """The place of object m in the files. Asked for problems only, so it may be slow."""
    text: Callable[[int], str] | None = None
    """What stands in the files for the numbers of object m, if it can be anything; slow, too."""
    empty_side: float = 0.0
    """As for `check_boxes`."""
    areas: np.ndarray | None = None
    """(M,) float64, as in `DetectionData`."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def assemble(
    parts: Mapping[str, Found], *, classes: Sequence[str] | None, on_bad_box: OnBadBox
) -> DetectionData:
    """One data set of all parts, its boxes inside their images, with every problem listed.

    Objects whose class is not among `classes` are dropped, as are boxes that cannot be used; boxes
    that reach out of their image are clipped. With `on_bad_box="error"` each of these is a
    DataError. Ids that several parts use are told apart by the name of the part: `VOC2007/000001`.
    """
    if classes is None:
        chosen = tuple(dict.fromkeys(chain.from_iterable(part.classes for part in parts.values())))
    else:
        chosen = distinct(classes)
    checked = [_checked(part, chosen) for part in parts.values()]
    data = joined(dict(zip(parts, checked, strict=True)), chosen)
    names = chain(chosen, *(part.names for part in parts.values()))
    data = replace(data, notes=data.notes + _case_notes(names))
    refuse_bad(data.problems, on_bad_box=on_bad_box)
    return data


def refuse_bad(problems: Sequence[Problem], *, on_bad_box: OnBadBox) -> None:
    """Raises DataError if some of `problems` are no mere remarks, and such are errors."""
    bad = [problem for problem in problems if problem.action != "kept"]
    if bad and on_bad_box == "error":
        raise DataError(_refusal(bad))


def distinct(classes: Sequence[str]) -> tuple[str, ...]:
    """The names as labels have them; DataError if one is there twice."""
    if len(set(classes)) < len(classes):
        raise DataError(f"a class is named twice: {', '.join(classes)}")
    return tuple(classes)


def _checked(part: Found, classes: tuple[str, ...]) -> DetectionData:
    """One part, objects in the order of the images, what cannot be used left out and listed."""
    order = np.argsort(part.images, kind="stable")
    images = np.asarray(part.images, dtype=np.int64)[order]
    lookup = {name: label for label, name in enumerate(classes)}
    new_labels = np.array([lookup.get(name, -1) for name in part.names], dtype=np.int32)
    labels = new_labels[part.labels[order]]
    check = check_boxes(part.boxes[order], part.sizes[images], empty_side=part.empty_side)
    keep = check.keep & (labels >= 0)
    counts = np.bincount(images[keep], minlength=len(part.ids))
    return DetectionData(
        classes=classes,
        ids=Strings(part.ids),
        paths=Strings(part.paths),
        sizes=np.asarray(part.sizes, dtype=np.int32).reshape(-1, 2),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=check.boxes[keep],
        labels=labels[keep],
        ignore=part.ignore[order][keep],
        areas=None if part.areas is None else part.areas[order][keep],
        problems=part.problems + _box_problems(part, order, labels, check, classes),
        notes=part.notes,
    )


def _box_problems(
    part: Found,
    order: np.ndarray,
    labels: np.ndarray,
    check: CheckedBoxes,
    classes: tuple[str, ...],
) -> tuple[Problem, ...]:
    images = part.images[order]
    problems = []
    for row in np.flatnonzero((check.reasons > 0) | (labels < 0)).tolist():
        source = int(order[row])
        index = row - int(np.searchsorted(images, images[row]))  # within its image
        reason = int(check.reasons[row])
        what = f"box {index} ({part.names[part.labels[source]]})"
        if labels[row] < 0:
            what += f" is of none of the classes: {', '.join(classes)}"
        else:
            written = " ".join(f"{x:g}" for x in part.written[source])
            if reason == NOT_A_NUMBER and part.text is not None:
                written = part.text(source)
            what += f" {REASONS[reason]}: {written}"
            if reason > NO_AREA:
                width, height = part.sizes[images[row]]
                what += f" (image {width}x{height})"
        kind = KINDS[reason] if labels[row] >= 0 else "unknown-class"
        action = "clipped" if kind == KINDS[OVERHANGS] else "dropped"
        image = part.paths[int(images[row])]
        problems.append(Problem(part.where(source), what, action, kind, image))
    return tuple(problems)


def joined(parts: Mapping[str, DetectionData], classes: tuple[str, ...]) -> DetectionData:
    """The parts one after the other, which all have these classes; ids as `assemble` has them."""
    ids = [image_id for part in parts.values() for image_id in part.ids]
    notes = tuple(dict.fromkeys(note for part in parts.values() for note in part.notes))
    if len(set(ids)) < len(ids):
        ids = [f"{name}/{image_id}" for name, part in parts.items() for image_id in part.ids]
        notes += (f"ids occur in more than one of {', '.join(parts)}: they begin with its name",)
    counts = [np.diff(part.offsets) for part in parts.values()]
    areas = [part.areas for part in parts.values() if part.areas is not None]
    columns = parts.values()
    return DetectionData(
        classes=classes,
        ids=Strings(ids),
        paths=Strings(path for part in columns for path in part.paths),
        sizes=np.concatenate([np.zeros((0, 2), np.int32), *(part.sizes for part in columns)]),
        offsets=np.cumsum(np.concatenate([[0], *counts]), dtype=np.int64),
        boxes=np.concatenate([np.zeros((0, 4), np.float32), *(part.boxes for part in columns)]),
        labels=np.concatenate([np.zeros(0, np.int32), *(part.labels for part in columns)]),
        ignore=np.concatenate([np.zeros(0, bool), *(part.ignore for part in columns)]),
        areas=np.concatenate(areas) if areas and len(areas) == len(parts) else None,
        problems=tuple(chain.from_iterable(part.problems for part in columns)),
        notes=notes,
    )


def _case_notes(names: chain[str]) -> tuple[str, ...]:
    """A remark for every group of names that only upper and lower case tell apart."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(name.casefold(), []).append(name)
    return tuple(
        f"classes that differ only in upper and lower case: {', '.join(group)}"
        for group in groups.values()
        if len(group) > 1
    )


def _refusal(problems: Sequence[Problem]) -> str:
    lines = [f"{len(problems)} problems in the data (--on-bad-box drop goes on without them):"]
    lines += [f"  {problem.where}: {problem.what}" for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"  ... and {len(problems) - SHOWN_PROBLEMS} more")
    return "\n".join(lines)
