"""Recipes as strict TOML, out and in.

A recipe file is a short TOML: `base = "small_data"` and what differs. The `recipe.toml` of a
run is complete and repeats it.
"""

import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tomli_w

from scratchdet.files import write_text
from scratchdet.recipe import Recipe, RecipeError


def to_toml(recipe: Recipe) -> str:
    """Every value of the recipe, as TOML that `from_toml` reads back to an equal one."""
    groups = {
        group.name: {
            entry.name: getattr(getattr(recipe, group.name), entry.name)
            for entry in fields(getattr(recipe, group.name))
        }
        for group in fields(recipe)
    }
    return tomli_w.dumps(groups)


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Writes `to_toml(recipe)`, completely or not at all."""
    write_text(path, to_toml(recipe))


def from_toml(text: str, *, source: str, bases: Mapping[str, Recipe]) -> Recipe:
    """The recipe that `text` describes: the values of its `base` (or the defaults), and its own.

    Raises RecipeError, naming `source`, for what is not TOML, an unknown base, group or key, or a
    value of the wrong type; the message lists what is allowed.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source} is not TOML: {error}") from error
    base = document.pop("base", None)
    if base is not None and base not in list(bases):  # it may be anything, even unhashable
        raise RecipeError(f"{source}: base {base!r} is not known; there are {', '.join(bases)}")
    recipe = Recipe() if base is None else bases[base]
    try:
        return _merge(recipe, document, where="")
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from error


def _merge(values: Any, document: Mapping[str, object], *, where: str) -> Any:
    """`values` (a dataclass) with the entries of `document`, checked against its annotations."""
    hints = typing.get_type_hints(type(values))
    changed = {}
    for key, given in document.items():
        name = f"{where}{key}"
        if key not in hints:
            raise RecipeError(f"{name} is not a setting; there are {', '.join(hints)}")
        if is_dataclass(hints[key]):
            if not isinstance(given, dict):
                raise RecipeError(f"{name} is a group: write [{name}] and its settings below")
            changed[key] = _merge(getattr(values, key), given, where=f"{name}.")
        else:
            changed[key] = _checked(given, hints[key], name)
    return replace(values, **changed)


def _checked(given: object, hint: Any, name: str) -> object:
    """`given` as the type that the annotation asks for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if given not in arguments:
            raise RecipeError(f"{name} is {given!r}; choose from {', '.join(map(repr, arguments))}")
        return given
    if origin is tuple:
        if not isinstance(given, list | tuple):
            raise RecipeError(f"{name} is {given!r}; it must be a list")
        kinds = [arguments[0]] * len(given) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(given):
            raise RecipeError(f"{name} has {len(given)} values; it must have {len(kinds)}")
        return tuple(_checked(one, kind, name) for one, kind in zip(given, kinds, strict=True))
    if origin is dict:
        if not isinstance(given, dict):
            raise RecipeError(f"{name} is {given!r}; write [{name}] and a line for each below")
        return {key: _checked(one, arguments[1], f"{name}.{key}") for key, one in given.items()}
    if hint is float and type(given) is int:
        return float(given)
    if type(given) is not hint:
        kind = (
            hint.__name__
            if isinstance(hint, type) and not isinstance(hint, types.GenericAlias)
            else hint
        )
        raise RecipeError(f"{name} is {given!r}; it must be of type {kind}")
    return given
