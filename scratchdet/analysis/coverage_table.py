"""The coverage of a data set as a table in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scratchdet.analysis.coverage import Coverage, Covered, percent

LOW = 0.9
"""Share of all objects: with less, the line before a training is a NOTE; our choice."""
LOW_CLASS = 0.5
"""The same, of a class."""
SHOWN_CLASSES = 30
"""In the table, those that are matched least; all of them are in the JSON."""
NAMED_CLASSES = 5
"""In a line; the rest is counted."""

Section = dict[str, Covered]
"""Rows of the table, by their name."""


def show_coverage(
    console: Console, found: Mapping[str, Coverage], *, after: Mapping[str, Coverage] | None = None
) -> None:
    """Prints what the priors match of each part, and what others would; more of the first part.

    Columns: the number of objects, and the shares of them that are matched.
    """
    first = next(iter(found.values()))
    height, width = first.input_size
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    say(
        f"Priors: {first.priors} at {height} x {width}; an object is matched from IoU "
        f"{first.iou:g} with a prior on"
    )
    if not any(one.all.objects for one in found.values()):
        say("There is no object to match.")
        return
    console.print(coverage_table(found, after or {}))
    for line in _remarks(first):
        say(line)


def coverage_table(found: Mapping[str, Coverage], after: Mapping[str, Coverage]) -> Table:
    """The shares that are matched, of all objects, by class, and by size."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("matched")
    for use in found:
        shares = ("now", "fitted") if use in after else ("share",)
        for name in (use, *shares):
            table.add_column(name, justify="right")
    parts = [[_sections(one[use]) for one in (found, after) if use in one] for use in found]
    for place in range(len(parts[0][0])):
        for name in _shown([part[0][place] for part in parts]):
            row: list[str] = []
            for part in parts:
                row.append(str(part[0][place][name].objects))
                row += [percent(sections[place][name].share) for sections in part]
            table.add_row(escape(name), *row)
        table.add_section()
    return table


def summary(found: Coverage) -> str:
    """One line before a training; it begins with NOTE where much cannot be matched."""
    low = [name for name, one in found.per_class.items() if one.objects and one.share < LOW_CLASS]
    of = "the objects"
    if found.all.objects < found.objects:
        of = f"a sample of {found.all.objects:,} of {found.objects:,} objects"
    line = (
        f"priors: {percent(found.all.share)} of {of} can be matched at {found.iou:g}"
        if found.all.objects
        else "priors: there is no object to match"
    )
    if low:
        more = f" and {len(low) - NAMED_CLASSES} more" if low[NAMED_CLASSES:] else ""
        names = ", ".join(
            f"{called(name)} {percent(found.per_class[name].share)}" for name in low[:NAMED_CLASSES]
        )
        line += f", of some classes fewer: {names}{more}"
    if low or found.all.share < LOW:
        return f"NOTE: {line} (scratchdet check DATA --fit-priors mine.toml proposes others)"
    return line


def called(name: str) -> str:
    """The name of a class where numbers are about: `class 3`, not `3`."""
    return f"class {name}" if name.isdecimal() else name


def _sections(found: Coverage) -> tuple[Section, ...]:
    objects = found.all.objects
    of_all = {
        "all objects": found.all,
        "own prior each": Covered(objects, found.own),
        "3 priors or more": Covered(objects, found.by_priors["3+"]),
    }
    return of_all, found.per_class, {f"{name} px": one for name, one in found.per_size.items()}


def _shown(parts: Sequence[Section]) -> list[str]:
    """The rows that have objects; of very many those that are matched least in the first part."""
    names = [name for name in parts[0] if any(part[name].objects for part in parts)]
    least = sorted(names, key=lambda name: parts[0][name].share)[:SHOWN_CLASSES]
    return [name for name in names if name in least]


def _remarks(found: Coverage) -> Iterator[str]:
    if left := found.all.objects - found.all.matched:
        yield (
            f"The other {left} learn from their best prior alone, with an IoU of "
            f"{found.left_iou:.2f} (median)."
        )
    served = ", ".join(f"{level.rows} x {level.columns}: {level.matched}" for level in found.levels)
    yield f"Objects matched on each map: {served}"
    if found.all.objects and found.idle:
        maps = ", ".join(
            f"{found.levels[at].rows} x {found.levels[at].columns}" for at in found.idle
        )
        yield f"No object is for the priors of {maps}."
