"""`scratchdet models`: what the networks amount to, and what has been published about them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from json import dumps
from textwrap import wrap
from typing import Any

from rich.console import Console
from tyro.conf import Positional

from scratchdet.models.published import PUBLISHED, Choices, first_mark
from scratchdet.terminal import progress_bar, say

WIDTH = 100  # of the listing, on a terminal or piped
INDENT = "    "


def models(name: Positional[str] = "", /, json: bool = False) -> int:
    """List the networks: parameters, multiply-adds, maps, priors, and published results.

    Counted for 20 classes and 3 channels. Every network is untrained, always. Published figures are
    those of papers and releases; none was measured here.

    Examples:
      scratchdet models
      scratchdet models scratchdet300_r34
      scratchdet models --json

    Args:
        name: One network, with each of its choices, exact counts, and the sources.
        json: Print JSON, for scripts.
    """
    from scratchdet.models.zoo import MODELS

    if name and name not in MODELS:
        raise ValueError(f"no model is called {name!r}; there are {', '.join(MODELS)}")
    if json:
        known = _details(name) if name else [_description(model) for model in MODELS]
        print(dumps(known, indent=2))
        return 0
    console = Console()
    with progress_bar(console, "counting") as report:
        lines = list(_one(name) if name else _all(report))
    for line in lines:
        say(console, line)
    return 0


def _description(name: str) -> dict[str, Any]:
    """A model with its default choices, for JSON."""
    from dataclasses import asdict

    from scratchdet.models.zoo import choices_of, defaults_of

    defaults = defaults_of(name)
    choices = {
        choice: {"default": defaults[choice], "values": values}
        for choice, values in choices_of(name).items()
    }
    return {
        "name": name,
        "what": _what(name),
        **_counts(name, {}),
        "choices": choices,
        "published": [asdict(figure) for figure in PUBLISHED.get(name, ())],
    }


def _details(name: str) -> dict[str, Any]:
    """A model with all its variants, for JSON."""
    from scratchdet.models.counting import variants

    counted = [{"choices": choices, **_counts(name, choices)} for choices in variants(name)]
    return {**_description(name), "variants": counted}


def _counts(name: str, choices: Choices) -> dict[str, Any]:
    """The fields of `Amounts`; or `refused`, which says why there is no such network here."""
    from scratchdet.models.counting import amounts

    try:
        return amounts(name, choices)._asdict()
    except (ImportError, ValueError) as error:
        return {"refused": str(error)}


def _all(report: Callable[[int, int], None]) -> Iterator[str]:
    """The lines of the listing: a table, and below each network its choices and its sources."""
    from scratchdet.models.zoo import MODELS

    yield "Untrained; counted for 20 classes and 3 channels. Published: mAP of papers and releases,"
    yield "none of it ours; remarks (*): `scratchdet models NAME`. Below each network are its"
    yield "choices, the default first; input_size may be any height x width."
    yield ""
    counted = {}
    for number, name in enumerate(MODELS, 1):
        counted[name] = _counts(name, {})
        report(number, len(MODELS))
    rows: list[tuple[str, ...]] = [
        ("name", "parameters", "GMAC", "input", "maps", "priors", "published")
    ]
    for name, counts in counted.items():
        rows.append((name, *_rounded(counts), first_mark(name, {})))
    header, *lines = _aligned(rows)
    yield header
    for line, (name, counts) in zip(lines, counted.items(), strict=True):
        yield line
        yield from _wrapped(counts.get("refused", ""))
        yield from _wrapped(_choices(name))
        yield from _wrapped(_sources(name))


def _sources(name: str) -> str:
    """Every published figure of a network, and who says so."""

    by_source: dict[str, list[str]] = {}
    for figure in PUBLISHED.get(name, ()):
        of = f" ({_named(figure.choices)})" if figure.choices else ""
        by_source.setdefault(figure.source, []).append(f"{figure.mark}{of}")
    return "; ".join(f"{', '.join(marks)}: {source}" for source, marks in by_source.items())


def _rounded(counts: Mapping[str, Any]) -> tuple[str, ...]:
    if "refused" in counts:
        return ("-",) * 5
    return (
        f"{counts['parameters'] / 1e6:.2f} M",
        f"{counts['macs'] / 1e9:.2f}",
        _sides([counts["input_size"]]),
        _sides([shape[1:] for shape in counts["maps"]]),
        f"{counts['priors']:,}",
    )


def _exact(counts: Mapping[str, Any]) -> tuple[str, ...]:
    if "refused" in counts:
        return ("-",) * 4
    return (
        f"{counts['parameters']:,}",
        f"{counts['macs']:,}",
        _sides([shape[1:] for shape in counts["maps"]]),
        f"{counts['priors']:,}",
    )


def _one(name: str) -> Iterator[str]:
    """The lines about one network: every variant counted exactly, and the sources."""
    from scratchdet.models.counting import variants

    yield name
    yield from _wrapped(_what(name))
    yield ""
    rows: list[tuple[str, ...]] = [
        ("choices", "parameters", "multiply-adds", "maps", "priors", "published")
    ]
    refused = []
    for choices in variants(name):
        counts = _counts(name, choices)
        rows.append((_named(choices), *_exact(counts), first_mark(name, choices)))
        refused += [f"{_named(choices)}: {counts['refused']}"] if "refused" in counts else []
    yield from _aligned(rows)
    for reason in refused:
        yield ""
        yield from _wrapped(reason)
    yield ""
    yield "Choices, the default first (input_size may be any height x width):"
    yield from _wrapped(_choices(name))
    yield "They are given as --model.choices CHOICE=VALUE, but norms as --model.norm-backbone and"
    yield "--model.norm-head. What they mean: docs/models.md."
    if name in PUBLISHED:
        yield ""
        yield "Published, none of it measured here:"
    for figure in PUBLISHED.get(name, ()):
        remark = f" (*{figure.remark})" if figure.remark else ""
        yield from _wrapped(
            f"{figure.mark}, {_named(figure.choices)}, trained on {figure.trained_on}{remark}. "
            f"Source: {figure.source}"
        )


def _wrapped(text: str) -> list[str]:
    """Indented lines of at most WIDTH."""
    return wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT * 2)


def _what(name: str) -> str:
    from scratchdet.models.zoo import MODELS

    return (MODELS[name].__doc__ or "").strip().splitlines()[0]


def _choices(name: str) -> str:
    """Every choice with its values, the default first."""
    from scratchdet.models.zoo import choices_of, defaults_of

    parts = []
    for choice, default in defaults_of(name).items():
        others = [value for value in choices_of(name)[choice] if value != default]
        free = [] if choices_of(name)[choice] else ["or another name"]
        if choice != "input_size":
            parts.append(f"{choice}: {', '.join([str(default), *others, *free])}")
    return "; ".join(parts)


def _named(choices: Choices) -> str:
    """ "stem root"; "norm_backbone, norm_head none" where several have the same value."""
    if len(set(choices.values())) == 1:
        return f"{', '.join(choices)} {next(iter(choices.values()))}"
    return ", ".join(f"{choice} {value}" for choice, value in choices.items()) or "default"


def _sides(sizes: Sequence[tuple[int, int]]) -> str:
    return " ".join(
        str(height) if height == width else f"{height}x{width}" for height, width in sizes
    )


NUMBERS = ("parameters", "GMAC", "multiply-adds", "priors")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line for each row, its columns below each other; numbers to the right."""
    columns = []
    for header, *cells in zip(*rows, strict=True):
        width = max(len(cell) for cell in (header, *cells))
        pad = str.rjust if header in NUMBERS else str.ljust
        columns.append([pad(cell, width) for cell in (header, *cells)])
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
