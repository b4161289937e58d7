"""The model that a fine-tuning starts from: found, held against the recipe, and taken over."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from scratchdet.data.class_names import SYNONYMS
from scratchdet.files import write_text
from scratchdet.models.detector import Detector
from scratchdet.models.saved import find_model, load_model, read_metadata
from scratchdet.models.transfer import Transferred, transfer
from scratchdet.recipe import ModelRecipe, RecipeError
from scratchdet.train.resolve import plan, without_defaults
from scratchdet.train.setup import Training

MAY_DIFFER = ("input_size", "in_channels", "checkpointing")  # the weights are for any of them
CHANNELS = {  # before and after, in words
    (1, 1): "1 channel as before",
    (1, 3): "3 channels instead of 1, a third of its weights each",
    (3, 1): "1 channel instead of 3, their weights added up",
}


class Parent(NamedTuple):
    """A trained detector, and where it is from."""

    detector: Detector
    name: str
    """`coco/best/model.safetensors` in a run called coco, else the name of the file."""
    provenance: str
    """The line for models that are fine-tuned from it."""


def read_parent(init: str) -> Parent:
    """The model at `init`, a file or the folder of a run. FileNotFoundError, or ValueError."""
    try:
        file = find_model(Path(init)).resolve()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"model.init: {error}. Say where it is now with --init") from error
    in_run = file.parent.name in ("best", "last")
    name = "/".join(file.parts[-3:] if in_run else file.parts[-1:])
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    before = read_metadata(file).get("provenance", "of unknown origin")
    line = f"fine-tuned from {name} (sha256 {digest}), which was {before}"
    return Parent(load_model(file), name, line)


def network_of(detector: Detector) -> dict[str, Any]:
    """The network as values of `ModelRecipe`: name, input size, norms and other choices."""
    built_as = dict(detector.built_as or {})
    built_as.pop("in_channels", None)  # the data say that
    settings = {entry.name for entry in fields(ModelRecipe)}
    named = {key: value for key, value in built_as.items() if key in settings}
    rest = {key: value for key, value in built_as.items() if key not in settings}
    choices = {key: value for key, value in rest.items() if isinstance(value, str)}
    return {**named, "input_size": detector.input_size, "choices": choices}


def norms_of(recipe: ModelRecipe, parent: Parent) -> dict[str, str]:
    """The norms that the recipe leaves open ("auto"): those that the parent was trained with."""
    theirs = network_of(parent.detector)
    names = ("norm_backbone", "norm_head")
    return {name: theirs[name] for name in names if getattr(recipe, name) == "auto"}


def check_network(recipe: ModelRecipe, parent: Parent) -> None:
    """Raises RecipeError if the recipe's network is not the parent's, and says how it would be.

    Input size, channels and what costs only memory may differ.
    """
    theirs = network_of(parent.detector)
    compared: dict[str, tuple[object, object]] = {"name": (recipe.name, theirs["name"])}
    if recipe.name == theirs["name"]:
        ours = plan(recipe).built_as or {}
        compared = {
            key: (ours.get(key), value)
            for key, value in (parent.detector.built_as or {}).items()
            if key not in MAY_DIFFER
        }
    unlike = [
        f"{key} is {one!r}, and {other!r} there"
        for key, (one, other) in compared.items()
        if one != other
    ]
    if unlike:
        raise RecipeError(
            f"the recipe's network is not that of {parent.name}: {'; '.join(unlike)}. Leave out "
            f"--recipe and what is said of the model, or say {_flags(theirs, recipe)}"
        )


def _flags(network: dict[str, Any], recipe: ModelRecipe) -> str:
    """The flags of `scratchdet train` that make the recipe's network this one."""
    flags = [f"--model {network['name']}"]
    for key in ("norm_backbone", "norm_head"):
        flags.append(f"--model.{key.replace('_', '-')} {network[key]}")
    # Without a value a flag takes back the recipe's.
    for key in ("prior_scales", "prior_ratios"):
        if network[key] or getattr(recipe, key):
            flags.append(" ".join([f"--model.{key.replace('_', '-')}", *map(str, network[key])]))
    unusual = without_defaults(network["name"], network["choices"])
    given = [quote(f"{key}={one}") for key, one in unusual.items() if key not in MAY_DIFFER]
    if given or recipe.choices:
        flags.append(" ".join(["--model.choices", *given]))
    return " ".join(flags)


def start_from(parent: Parent, training: Training) -> Transferred:
    """Puts the parent into the new training, its average too; what was taken."""
    try:
        transferred = transfer(training.detector, parent.detector, synonyms=SYNONYMS)
    except ValueError as error:
        raise RecipeError(f"model.init {parent.name} does not fit: {error}") from error
    training.ema.restart(training.detector)
    return transferred


def describe(transferred: Transferred, parent: Parent, detector: Detector) -> str:
    """What was taken: a line of all, and one for each group of classes, with all of their names."""
    before, channels = transferred.channels
    old_size, size = (f"{height} x {width}" for height, width in transferred.input_sizes)
    mean, std = (
        " ".join(f"{one:.4g}" for one in values.tolist())
        for values in (detector.mean, detector.std)
    )
    whose = "of the parent" if before == channels else "from those of the parent"
    order = f", {detector.channel_order}" if channels == 3 else ""
    known = [name for name, theirs in transferred.classes if theirs is not None]
    parts = [
        f"{len(known)} of {len(transferred.classes)} classes by name",
        CHANNELS.get((before, channels), f"{channels} channels as before"),
        f"{size} as before" if old_size == size else f"{size} instead of {old_size}",
        f"mean {mean} and std {std}{order}, {whose}",
    ]
    network = (parent.detector.built_as or {}).get("name")
    first = f"init: {parent.name} ({network}): {'; '.join(parts)}"
    groups = [f"  {what}: {', '.join(names)}" for what, names in _groups(transferred) if names]
    return "\n".join([first, *groups])


def _groups(transferred: Transferred) -> list[tuple[str, Sequence[str]]]:
    pairs = transferred.classes
    renamed = [f"{name} from {theirs}" for name, theirs in pairs if theirs not in (name, None)]
    return [
        ("same name", [name for name, theirs in pairs if theirs == name]),
        ("other spelling or synonym", renamed),
        ("new", [name for name, theirs in pairs if theirs is None]),
        ("of several so called in the parent the first", transferred.repeated),
    ]


def write_taken(transferred: Transferred, parent: Parent, path: Path) -> None:
    """The same as JSON, class by class."""
    (old_channels, channels), (old_size, size) = transferred.channels, transferred.input_sizes
    taken = {
        "provenance": parent.provenance,
        "classes": [{"name": name, "parent": theirs} for name, theirs in transferred.classes],
        "repeated": transferred.repeated,
        "channels": {"here": channels, "parent": old_channels},
        "input_size": {"here": size, "parent": old_size},
    }
    write_text(path, json.dumps(taken, indent=2, ensure_ascii=False) + "\n")
