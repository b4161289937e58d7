"""What a check of the data has found, on a terminal: a page, however much it is."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console

from scratchdet.data.check import Hygiene
from scratchdet.data.findings import KINDS, LEVELS
from scratchdet.terminal import shortened

SHOWN = 3
"""Findings of a kind; the others are counted. All are in the JSON."""

HEADINGS = {
    "error": "Must be fixed:",
    "warning": "To be looked at:",
    "note": "Good to know:",
}


def show_hygiene(console: Console, hygiene: Hygiene) -> None:
    """Prints how much there is in each part, and what was found, by kind."""
    for use, counts in hygiene.counts.items():
        empty = f", {counts.empty} of them without objects" if counts.empty else ""
        _print(
            console,
            f"{use} ({counts.split}): {counts.images} images{empty}, {counts.objects} objects of "
            f"{len(counts.per_class)} classes, at most {counts.most} in an image",
        )
    by_kind = {kind: [*found] for kind, found in groupby(hygiene.findings, lambda one: one.kind)}
    for level in LEVELS:
        kinds = [kind for kind in by_kind if KINDS[kind].level == level]
        if kinds:
            _print(console, f"\n{HEADINGS[level]}")
        for kind in kinds:
            found = by_kind[kind]
            _print(console, f"  {len(found)} {KINDS[kind].what}; training {KINDS[kind].training}")
            for line in shortened(found, SHOWN):
                _print(console, f"    {line}")
    if not hygiene.findings:
        _print(console, "nothing is wrong with the data")


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
