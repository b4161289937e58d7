"""A recipe as the short TOML that people write: its base, and what differs."""

from dataclasses import fields
from typing import Any

import tomli_w

from scratchdet.recipe import Recipe
from scratchdet.recipes import RECIPES

Differences = dict[str, dict[str, Any]]
GIVEN = ("path",)
"""Of the data; the command line gives it."""


def short_toml(recipe: Recipe) -> str:
    """`base = "small_data"` and the values that differ, of the shipped recipe most like it."""
    differing = {name: differences(recipe, shipped.recipe) for name, shipped in RECIPES.items()}
    base = min(differing, key=lambda name: sum(map(len, differing[name].values())))
    return tomli_w.dumps({"base": base, **differing[base]})


def differences(recipe: Recipe, base: Recipe) -> Differences:
    """The values of `recipe` that are not those of `base`, by group and name."""
    found = {}
    for group in fields(Recipe):
        ours, theirs = getattr(recipe, group.name), getattr(base, group.name)
        values = {
            entry.name: getattr(ours, entry.name)
            for entry in fields(ours)
            if getattr(ours, entry.name) != getattr(theirs, entry.name)
            and (group.name != "data" or entry.name not in GIVEN)
        }
        if values:
            found[group.name] = values
    return found
