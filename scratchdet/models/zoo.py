"""The named detectors, and how one is made. All of them are untrained, always.

A detector here is a function `model(num_classes=..., in_channels=..., input_size=(height, width),
...)`; what follows are its own choices.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from operator import index
from typing import Any, Literal, get_args, get_origin, get_type_hints

from scratchdet.models.any_backbone import scratchdet300_timm, ssd300_timm, ssd512_timm
from scratchdet.models.detector import Detector, with_priors
from scratchdet.models.dsod import dsod300, dsod300_lite, dsod300_smallest, dsod512
from scratchdet.models.grp_dsod import grp_dsod300, grp_dsod320
from scratchdet.models.scratchdet import (
    scratchdet300_r18,
    scratchdet300_r34,
    scratchdet512_r18,
    scratchdet512_r34,
    scratchdet_nano,
)
from scratchdet.models.ssd import ssd300_resnet18, ssd300_vgg16, ssd512_vgg16
from scratchdet.ops.priors import changed_specs

MODELS: dict[str, Callable[..., Detector]] = {
    "ssd300_vgg16": ssd300_vgg16,
    "ssd512_vgg16": ssd512_vgg16,
    "ssd300_resnet18": ssd300_resnet18,
    "scratchdet300_r18": scratchdet300_r18,
    "scratchdet300_r34": scratchdet300_r34,
    "scratchdet512_r18": scratchdet512_r18,
    "scratchdet512_r34": scratchdet512_r34,
    "scratchdet_nano": scratchdet_nano,
    "dsod300": dsod300,
    "dsod300_lite": dsod300_lite,
    "dsod300_smallest": dsod300_smallest,
    "dsod512": dsod512,
    "grp_dsod300": grp_dsod300,
    "grp_dsod320": grp_dsod320,
    "ssd300_timm": ssd300_timm,
    "ssd512_timm": ssd512_timm,
    "scratchdet300_timm": scratchdet300_timm,
}


def list_models() -> list[str]:
    """The names that `create_model` knows."""
    return list(MODELS)


def choices_of(name: str) -> dict[str, tuple[str, ...]]:
    """What can be chosen of a model, and from which values; () where anything of its type goes."""
    hints = get_type_hints(MODELS[name])
    return {
        choice: get_args(hints[choice]) if get_origin(hints[choice]) is Literal else ()
        for choice in inspect.signature(MODELS[name]).parameters
        if choice not in ("num_classes", "in_channels")
    }


def defaults_of(name: str) -> dict[str, object]:
    """The value that each choice of a model has where none is given."""
    parameters = inspect.signature(MODELS[name]).parameters
    return {choice: parameters[choice].default for choice in choices_of(name)}


def create_model(
    name: str,
    num_classes: int = 20,
    in_channels: int = 3,
    *,
    classes: Sequence[str] | None = None,
    prior_scales: Sequence[float] = (),
    prior_ratios: Sequence[float] = (),
    **choices: object,
) -> Detector:
    """An untrained detector. num_classes: foreground only. choices: of the model, see its function.

    `input_size` may be one number for a square. classes: the names, instead of `num_classes`.
    prior_scales, prior_ratios: as `changed_specs` has them, of the input's shorter side, in the
    place of the model's own. Raises ValueError for a name or a choice that does not exist, and
    lists those that do; and for numbers that cannot be.
    """
    if name not in MODELS:
        raise ValueError(f"no model is called {name!r}; there are {', '.join(MODELS)}")
    _check_choices(name, choices)
    if "input_size" in choices:
        choices = {**choices, "input_size": _height_and_width(choices["input_size"])}
    if isinstance(classes, str):
        raise ValueError(f"classes is {classes!r}: a list of names is expected, [{classes!r}]")
    given = len(classes) if classes is not None else num_classes
    if not (count := _whole(given)):
        raise ValueError(
            f"num_classes is {given!r}: one foreground class at least, as a whole number"
        )
    if not (channels := _whole(in_channels)):
        raise ValueError(f"in_channels is {in_channels!r}: one channel at least, as a whole number")
    scales = _numbers("prior_scales", prior_scales)
    ratios = _numbers("prior_ratios", prior_ratios)
    settled: dict[str, Any] = {**defaults_of(name), **choices}
    detector = MODELS[name](num_classes=count, in_channels=channels, **choices)
    if scales or ratios:
        side = min(detector.input_size)
        specs = changed_specs(detector.specs, side=side, scales=scales, ratios=ratios)
        detector = with_priors(detector, specs, norm_head=settled["norm_head"])
    if classes is not None:
        detector.classes = tuple(classes)
    # Also what was not chosen: a saved model stays what it is where a later default is another.
    detector.built_as = {
        "name": name,
        "in_channels": channels,
        "prior_scales": scales,
        "prior_ratios": ratios,
        **settled,
    }
    return detector


def _check_choices(name: str, choices: Mapping[str, object]) -> None:
    """Raises ValueError where a choice does not exist, or has no such value."""
    allowed, types = choices_of(name), get_type_hints(MODELS[name])
    for choice, value in choices.items():
        if choice not in allowed:
            raise ValueError(f"{name} has no choice {choice!r}; it has {', '.join(allowed)}")
        if allowed[choice] and value not in allowed[choice]:
            known = ", ".join(allowed[choice])
            raise ValueError(f"{choice} {value!r} of {name} is not known; choose from {known}")
        if types[choice] is str and not isinstance(value, str):
            raise ValueError(f"{choice} of {name} is {value!r}: a name is expected, as a string")


def _height_and_width(size: object) -> tuple[int, int]:
    sides = size if isinstance(size, tuple | list) else (size, size)
    match [_whole(side) for side in sides]:
        case [height, width] if height and width:
            return height, width
    raise ValueError(
        f"input_size is {size!r}: one positive whole number, or two as (height, width)"
    )


def _whole(value: Any) -> int:
    """A positive whole number, also one of NumPy; 0 where it is something else."""
    if isinstance(value, bool):
        return 0
    try:
        return max(index(value), 0)
    except TypeError:
        return 0


def _numbers(name: str, given: Any) -> tuple[float, ...]:
    """The numbers, as JSON and NumPy have them too."""
    try:
        return tuple(float(value) for value in given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {given!r}: a list of numbers is expected") from error
