"""What an exported network says about itself: all that is needed to use it, without torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

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


def from_strings(entries: Mapping[str, str], *, source: object) -> Card:
    """The card that a file's entries are; ValueError where they are none, or not of this format."""
    if entries.get("format") != FORMAT:
        raise ValueError(
            f"{source} was not exported by this version of scratchdet (format "
            f"{entries.get('format')!r}, not {FORMAT!r}); `scratchdet export` writes such files"
        )
    try:
        values: dict[str, Any] = {field.name: _read(field.name, entries) for field in fields(Card)}
        return Card(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{source} has metadata that cannot be read: {error!r}") from error


TEXTS = ("form", "model", "image_dtype", "files", "channel_order", "provenance", "recipe", "code")
KINDS: dict[str, type | tuple[type, ...]] = {
    "dynamic_size": bool,
    "in_channels": int,
    "top_per_class": int,
    "keep": int,
    "min_score": (int, float),
    "nms_iou": (int, float),
}


def _read(name: str, entries: Mapping[str, str]) -> object:
    if name == "form" and entries[name] not in get_args(Form):
        raise ValueError(f"form {entries[name]!r} is not known")
    if name in TEXTS:
        return entries[name]
    value = json.loads(entries[name])
    if not isinstance(value, KINDS.get(name, list)):
        raise ValueError(f"{name} is {value!r}")
    return tuple(value) if isinstance(value, list) else value
