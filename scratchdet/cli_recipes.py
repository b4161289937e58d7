"""`scratchdet recipes`: what is shipped, whole recipes as TOML, and where their values are from."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from json import dumps
from textwrap import wrap
from typing import Any

from rich.console import Console
from tyro.conf import Positional

from scratchdet.analysis.recipes_page import describe_network, figures
from scratchdet.recipe import Recipe, RecipeError
from scratchdet.recipe_toml import to_toml
from scratchdet.recipes import GROUPS, RECIPES, load_recipe
from scratchdet.recipes.lengths import settle
from scratchdet.recipes.shipped import Shipped
from scratchdet.terminal import say

WIDTH = 100  # of texts, on a terminal or piped
INDENT = "    "
SHOW = "show"


def recipes(name: Positional[str] = "", of: Positional[str] = "", /, json: bool = False) -> int:
    """List the shipped recipes, print one of them as TOML, or show where its values are from.

    Examples:
      scratchdet recipes
      scratchdet recipes show scratchdet300_voc0712
      scratchdet recipes small_data > mine.toml; scratchdet train DATA --recipe mine.toml

    Args:
        name: The recipe to print, whole; or the word show.
        of: After show: the recipe whose values and sources are listed.
        json: Print JSON, for scripts.
    """
    if of and name != SHOW:
        raise RecipeError(f"recipes takes one name, or show and a name; not {name!r} and {of!r}")
    if name == SHOW and of not in RECIPES:
        raise RecipeError(f"show what? {of!r} is none of {', '.join(RECIPES)}")
    if json:
        known = _description(of or name) if name else [_summary(recipe) for recipe in RECIPES]
        print(dumps(known, indent=2))
    elif name and name != SHOW:
        print(to_toml(load_recipe(name)), end="")
    else:
        console = Console()
        for line in _one(of, RECIPES[of]) if name == SHOW else _all():
            say(console, line)
    return 0


def _all() -> Iterator[str]:
    """The lines of the listing, group by group."""
    for title, group in GROUPS.items():
        yield title
        width = max(map(len, group))
        yield from (f"  {name:{width}}  {shipped.what}" for name, shipped in group.items())
        yield ""
    yield "scratchdet recipes show NAME: every value and its source. At a glance: docs/recipes.md"


def _one(name: str, shipped: Shipped) -> Iterator[str]:
    """The lines about one recipe: what it is, and every value with its source."""
    yield name
    yield from _wrapped(shipped.what)
    yield from _wrapped(f"Command: {_command(name, shipped)}")
    yield from _wrapped(f"Trained on: {shipped.data.name}")
    yield from _wrapped(f"Network: {describe_network(shipped.recipe.model)}")
    for figure in figures(shipped):
        yield from _wrapped(f"Published, not measured here: {figure.mark}. {figure.source}")
    yield from _wrapped(shipped.notes)
    yield ""
    rows = [("setting", "value", "source")]
    settled = dict(_values(settle(shipped.recipe)))
    for setting, value in _values(shipped.recipe):
        means = "" if settled[setting] == value else f" ({_said(settled[setting])})"
        rows.append((setting, f"{_said(value)}{means}", shipped.source(setting)))
    yield from _aligned(rows)


def _command(name: str, shipped: Shipped) -> str:
    parts = ("scratchdet train", shipped.data.path, "--recipe", name, shipped.flags)
    return " ".join(part for part in parts if part)


def _values(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    """Every setting, by its name `group.key`, in the order of the recipe."""
    for group in fields(recipe):
        values = getattr(recipe, group.name)
        for entry in fields(values):
            yield f"{group.name}.{entry.name}", getattr(values, entry.name)


def _said(value: Any) -> str:
    """A value as on the command line; "-" for what is empty."""
    if isinstance(value, dict):
        value = [f"{key}={one}" for key, one in value.items()]
    if isinstance(value, list | tuple):
        return " ".join(map(_said, value)) or "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value) if value != "" else "-"


def _summary(name: str) -> dict[str, Any]:
    """A recipe in the listing, for JSON."""
    shipped = RECIPES[name]
    return {
        "name": name,
        "group": next(title for title, group in GROUPS.items() if name in group),
        "what": shipped.what,
        "command": _command(name, shipped),
        "trained_on": shipped.data.name,
        "published": [asdict(figure) for figure in figures(shipped)],
    }


def _description(name: str) -> dict[str, Any]:
    """A recipe with all its values, for JSON. RecipeError if none is called so."""
    if name not in RECIPES:
        raise RecipeError(f"no recipe is called {name!r}; there are {', '.join(RECIPES)}")
    shipped = RECIPES[name]
    settled = dict(_values(settle(shipped.recipe)))
    values = {
        setting: {"value": value, "settled": settled[setting], "source": shipped.source(setting)}
        for setting, value in _values(shipped.recipe)
    }
    return {**_summary(name), "notes": shipped.notes, "values": values}


def _wrapped(text: str) -> list[str]:
    """Indented lines of at most WIDTH; none for an empty text."""
    return wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT * 2)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A line for each row, its columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
