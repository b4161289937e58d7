"""The model that a fine-tuning starts from: found, held against the recipe, and taken over."""

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from scratchdet.data.class_names import SYNONYMS
from scratchdet.models.detector import Detector
from scratchdet.models.saved import find_model, load_model, read_metadata
from scratchdet.models.transfer import Transferred, transfer
from scratchdet.recipe import ModelRecipe, RecipeError
from scratchdet.train.setup import Training, plan, without_defaults

MAY_DIFFER = ("input_size", "in_channels", "checkpointing")  # the weights are for any of them
CHANNELS = {  # before and after, in words
    (1, 1): "1 channel as before",
    (1, 3): "3 channels instead of 1, a third of its weights each",
    (3, 1): "1 channel instead of 3, their weights added up",
}
NAMES_SHOWN = 8  # in one line; the model itself lists all of its classes


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
    unusual = without_defaults(network["name"], network["choices"])
    given = [quote(f"{key}={one}") for key, one in unusual.items() if key not in MAY_DIFFER]
    if given or recipe.choices:  # without a value the flag takes back the recipe's
        flags.append(" ".join(["--model.choices", *given]))
    return " ".join(flags)


def start_from(parent: Parent, training: Training) -> str:
    """Puts the parent into the new training, its average too; one line that says what was taken."""
    try:
        transferred = transfer(training.detector, parent.detector, synonyms=SYNONYMS)
    except ValueError as error:
        raise RecipeError(f"model.init {parent.name} does not fit: {error}") from error
    training.ema.restart(training.detector)
    return describe(transferred, training.detector, name=f"{parent.name} ({_network(parent)})")


def _network(parent: Parent) -> str:
    return str((parent.detector.built_as or {}).get("name"))


def describe(transferred: Transferred, detector: Detector, *, name: str) -> str:
    """What was taken, in one line: classes by name, input, normalisation."""
    known, fresh = transferred.classes, transferred.fresh
    parts = [f"{len(known)} of {len(known) + len(fresh)} classes by name"]
    if renamed := [f"{one} from {other}" for one, other in known if one != other]:
        parts[0] += f" ({_shortened(renamed)})"
    if fresh:
        parts[0] += f", new: {_shortened(fresh)}"
    if transferred.repeated:
        parts.append(f"of several called {_shortened(transferred.repeated)} the first")
    before, channels = transferred.channels
    parts.append(CHANNELS.get((before, channels), f"{channels} channels as before"))
    old_size, size = (f"{height} x {width}" for height, width in transferred.input_sizes)
    parts.append(f"{size} as before" if old_size == size else f"{size} instead of {old_size}")
    mean, std = (
        " ".join(f"{one:.4g}" for one in values.tolist())
        for values in (detector.mean, detector.std)
    )
    whose = "of the parent" if before == channels else "from those of the parent"
    order = f", {detector.channel_order}" if channels == 3 else ""
    parts.append(f"mean {mean} and std {std}{order}, {whose}")
    return f"init: {name}: {'; '.join(parts)}"


def _shortened(names: Sequence[str]) -> str:
    more = [f"{len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
    return ", ".join([*names[:NAMES_SHOWN], *more])
