"""What an exported network says about itself: all that is needed to use it, without torch."""

import json
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from scratchdet.ops.pixels import DTYPES

FORMAT = "scratchdet-export 1"

Form = Literal["end-to-end", "raw"]


@dataclass(frozen=True, kw_only=True)
class Card:
    """The metadata of an exported network, an entry for each field; what is no text is JSON."""

    form: Form
    """end-to-end: boxes, scores, labels and count come out; raw: logits, offsets and priors."""
    model: str
    """Name of the network."""
    classes: tuple[str, ...]
    """In label order."""
    input_size: tuple[int, int]
    """(height, width) of the images that the network is fed; of a dynamic one, what it was trained
    at."""
    dynamic_size: bool
    """Whether it takes images of other sizes, too."""
    in_channels: int
    image_dtype: str
    """Of the images that it is fed, as they are read: nothing is normalised outside."""
    files: str
    """The pattern of the names of images of several files; empty: one file each."""
    channel_order: str
    """What the network turns its images into; those that it is fed are RGB."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    min_score: float
    top_per_class: int
    nms_iou: float
    keep: int
    variances: tuple[float, float]
    """Of centre and size, which offsets are multiplied by."""
    provenance: str
    recipe: str
    """TOML: how it was trained."""
    code: str
    """Version or commit of what exported it."""

    def to_strings(self) -> dict[str, str]:
        """The entries, as `from_strings` reads them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"format": FORMAT} | {
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in values.items()
        }


def from_json(text: str, *, source: object) -> Card:
    """The card that a file keeps as one JSON object of strings; ValueError as in `from_strings`."""
    try:
        entries = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{source} has metadata that cannot be read: {error!r}") from error
    if not (isinstance(entries, dict) and all(isinstance(one, str) for one in entries.values())):
        raise ValueError(
            f"{source} has metadata that cannot be read: {reprlib.repr(entries)} is no JSON object "
            "of strings"
        )
    return from_strings(entries, source=source)


def from_strings(entries: Mapping[str, str], *, source: object) -> Card:
    """The card that a file's entries are; ValueError where they are none, or not of this format.

    Anybody can have written the file: what the entries say is within what a detector can be.
    """
    if entries.get("format") != FORMAT:
        raise ValueError(
            f"{source} was not exported by this version of scratchdet (format "
            f"{entries.get('format')!r}, not {FORMAT!r}); `scratchdet export` writes such files"
        )
    try:
        values: dict[str, Any] = {field.name: _read(field.name, entries) for field in fields(Card)}
        card = Card(**values)
        if not len(card.mean) == len(card.std) == card.in_channels:
            raise ValueError(f"mean and std are not {card.in_channels} numbers, one for a channel")
        return card
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{source} has metadata that cannot be read: {error!r}") from error


def _read(name: str, entries: Mapping[str, str]) -> object:
    value = entries[name] if name in TEXTS else json.loads(entries[name])
    if name in VALID and not VALID[name](value):
        raise ValueError(f"{name} is {reprlib.repr(value)}")
    return tuple(value) if isinstance(value, list) else value


def _whole(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most  # a bool is none


def _number(value: object, least: float, most: float) -> bool:
    return type(value) in (int, float) and least <= value <= most  # type: ignore[operator]  # nor NaN


def _list(value: object, valid: Callable[[object], bool], *, count: int | None = None) -> bool:
    """Whether it is a list of so many valid values; None means any number, but not none."""
    if not isinstance(value, list) or not value:
        return False
    return len(value) == (count or len(value)) and all(map(valid, value))


TEXTS = ("form", "model", "image_dtype", "files", "channel_order", "provenance", "recipe", "code")
LARGEST_SIDE = 1 << 14
"""Of an input, in pixels: a foreign file does not decide how much memory is taken."""
LARGEST_COUNT = 1 << 31  # of objects in an image
LEAST, LARGEST = 1e-38, 3e38  # about what float32 has

VALID: dict[str, Callable[[object], bool]] = {
    "form": lambda value: value in get_args(Form),
    "classes": lambda value: _list(value, lambda one: isinstance(one, str)),
    "input_size": lambda value: _list(value, lambda one: _whole(one, 1, LARGEST_SIDE), count=2),
    "dynamic_size": lambda value: isinstance(value, bool),
    "in_channels": lambda value: _whole(value, 1, LARGEST_SIDE),
    "image_dtype": lambda value: value in DTYPES,
    "channel_order": lambda value: value in ("rgb", "bgr"),
    "mean": lambda value: _list(value, lambda one: _number(one, -LARGEST, LARGEST)),
    "std": lambda value: _list(value, lambda one: _number(one, LEAST, LARGEST)),
    "min_score": lambda value: _number(value, 0, 1),
    "top_per_class": lambda value: _whole(value, 1, LARGEST_COUNT),
    "nms_iou": lambda value: _number(value, 0, 1),
    "keep": lambda value: _whole(value, 1, LARGEST_COUNT),
    "variances": lambda value: _list(value, lambda one: _number(one, LEAST, LARGEST), count=2),
}
"""What each entry can be; the other texts can be anything."""
