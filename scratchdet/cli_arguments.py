"""What is typed after a command, and what it means: short flags, and choices of a network."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from shlex import quote
from typing import Any

from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
)

SHORT = {  # flags people reach for first, and the settings of the recipe that they mean
    "--model": "--model.name",
    "--init": "--model.init",
    "--split": "--data.split",
    "--val-split": "--data.val-split",
    "--test-split": "--data.test-split",
    "--on-bad-box": "--data.on-bad-box",
    "--batch": "--data.batch",
    "--cache": "--data.cache",
    "--steps": "--schedule.steps",
    "--analyse": "--schedule.analyse-every",
    "--lr": "--optim.lr",
    "--seed": "--run.seed",
    "--device": "--run.device",
}
BATCH_AUTO = ("--data.batch", "auto", "0")  # a flag, a word for it, and the number it stands for


def in_full(arguments: Sequence[str]) -> list[str]:
    """The arguments with the flags of SHORT written in full, also in the form --flag=value."""
    full: list[str] = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        argument = SHORT.get(flag, flag) + equals + value
        flag, word, number = BATCH_AUTO
        if argument == f"{flag}={word}" or (argument == word and full[-1:] == [flag]):
            argument = argument.replace(word, number)
        full.append(argument)
    if full.count("--model.choices") > 1:
        raise ValueError("give --model.choices once, with all of them: --model.choices a=b c=d")
    return full


def as_flags(values: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What is typed for values of a recipe, by group and name: `{"--batch": "--batch 4"}`."""
    short = {full: flag for flag, full in SHORT.items()}
    flags = {}
    for group, ours in values.items():
        for name, value in ours.items():
            full = f"--{group}.{name}".replace("_", "-")
            flag = short.get(full, full)
            flags[flag] = _typed(flag, value)
    return flags


def _typed(flag: str, value: Any) -> str:
    if isinstance(value, bool):
        group, _, name = flag.rpartition(".")
        return flag if value else f"{group}.no-{name}"
    if isinstance(value, dict):
        value = [f"{one}={other}" for one, other in value.items()]
    parts = value if isinstance(value, list | tuple) else [value]
    return " ".join([flag, *(quote(str(part)) for part in parts)])


def description(command: Callable[..., object]) -> str:
    """What `--help` says: the docstring as it stands, examples and all, up to its arguments."""
    return inspect.cleandoc(command.__doc__ or "").split("\n\nArgs:")[0]


def choices_registry() -> ConstructorRegistry:
    """How the command line says a dict: `--model.choices variant=caffe stem=root`; none: empty."""
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def choices(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[dict[str, str]] | None:
        if info.type != dict[str, str]:
            return None
        return PrimitiveConstructorSpec(
            nargs="*",
            metavar="[CHOICE=VALUE ...]",
            instance_from_str=_as_dict,
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda value: [f"{one}={other}" for one, other in value.items()],
        )

    return registry


def _as_dict(given: list[str]) -> dict[str, str]:
    if wrong := [one for one in given if "=" not in one]:
        raise ValueError(f"{wrong[0]} is not CHOICE=VALUE (if it is the data, put it first)")
    return {choice: value for choice, _, value in (one.partition("=") for one in given)}
