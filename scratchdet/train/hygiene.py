"""What a check of the data has found, in words: on a page, or as a line for each kind."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scratchdet.data.check import Hygiene
from scratchdet.data.findings import KINDS, LEVELS, Finding
from scratchdet.terminal import say, shortened

SHOWN = 3
"""Findings of a kind; the others are counted. All are in the JSON."""
SHOWN_CLASSES = 20

HEADINGS = {
    "error": "Must be fixed",
    "warning": "To be looked at",
    "note": "Good to know",
}

TOLD_BEFORE_TRAINING = (
    "case-classes",
    "near-across",
    "frames-across",
    "duplicate-across",
    "duplicate-image",
    "unsure-turn",
    "ignored-class",
    "mostly-empty",
    "repeated-box",
    "box-of-two-classes",
)
"""Kinds that are worth a line: what readers list is in data_problems.txt, and counted there."""


def show_hygiene(console: Console, hygiene: Hygiene, *, root: Path) -> None:
    """Prints how much there is in each part, and what was found, by kind.

    Files below `root`, where the data are, are named as they are called there.
    """
    console.print(_counts_table(hygiene))
    by_kind = _by_kind(hygiene)
    for level in LEVELS:
        kinds = [kind for kind in by_kind if KINDS[kind].level == level]
        if kinds:
            say(console, f"{HEADINGS[level]}:")
        for kind in kinds:
            found = by_kind[kind]
            about = f"{KINDS[kind].what}; training {KINDS[kind].training}"
            say(console, f"  {len(found)} x {kind}: {about}")
            for line in shortened([_line(one, root) for one in found], SHOWN):
                say(console, f"      {line}")
    if not hygiene.findings:
        say(console, "Nothing is odd about images and annotations.")


def notes_of(hygiene: Hygiene, *, root: Path) -> Iterator[str]:
    """A line for each kind of finding that is worth one before a training; `root` as above."""
    by_kind = _by_kind(hygiene)
    for kind in TOLD_BEFORE_TRAINING:
        if found := by_kind.get(kind):
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            yield f"NOTE: {KINDS[kind].what}: {_line(found[0], root)}{more} (scratchdet check)"


def _line(finding: Finding, root: Path) -> str:
    """Of which part, where and what; files below `root`, or beside it, are named from there."""
    folder = root if root.is_dir() else root.parent
    line = f"{finding.part}: {finding}" if finding.part else str(finding)
    return line.replace(f"{folder}/", "")


def _by_kind(hygiene: Hygiene) -> dict[str, list[Finding]]:
    return {kind: [*found] for kind, found in groupby(hygiene.findings, lambda one: one.kind)}


def _counts_table(hygiene: Hygiene) -> Table:
    """Images and objects of each part, and the objects of each class."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("")
    for use, counts in hygiene.counts.items():
        table.add_column(escape(f"{use}\n{counts.split}"), justify="right")
    parts = hygiene.counts.values()
    table.add_row("images", *(str(part.images) for part in parts))
    table.add_row("without objects", *(str(part.empty) for part in parts))
    kinds = dict.fromkeys(kind for part in parts for kind in part.pixels)
    for kind in kinds:
        table.add_row(f"  {kind}", *(str(part.pixels.get(kind, 0)) for part in parts))
    table.add_row("objects", *(str(part.objects) for part in parts))
    table.add_row("  in an image, median", *(f"{part.median:g}" for part in parts))
    table.add_row("  in an image, most", *(str(part.most) for part in parts))
    if any(part.ignored for part in parts):
        table.add_row("  difficult or crowd", *(str(part.ignored) for part in parts))
    table.add_section()
    names = dict.fromkeys(name for part in parts for name in part.per_class)
    for name in [*names][:SHOWN_CLASSES]:
        table.add_row(escape(name), *(str(part.per_class.get(name, 0)) for part in parts))
    if more := len([*names][SHOWN_CLASSES:]):
        table.add_row(f"... and {more} more classes")
    return table
