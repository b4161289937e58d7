"""What COCO's annotation files call their images and categories: result files call them so."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from scratchdet.data.coco import categories_of, chosen_files
from scratchdet.data.coco_json import collector_paused, keys, load
from scratchdet.structures import DataError


class Ids(NamedTuple):
    """The ids in annotation files: numbers or texts, as they are there."""

    images: dict[str, Any]
    """By the id in `DetectionData.ids`, which is always a text."""
    categories: dict[str, list[Any]]
    """By class; several where categories of the same name are one class."""


def read_ids(path: Path | str, *, split: str | None = None) -> Ids:
    """The ids in the files that `coco.read` reads; DataError if an image id is in two of them."""
    images: dict[str, Any] = {}
    categories: dict[str, list[Any]] = {}
    for file in chosen_files(Path(path), split).values():
        with collector_paused():
            content = load(file)
        for key in keys(content["images"], "id", f"{file}: image"):
            if str(key) in images:
                raise DataError(
                    f"{file}: image id {key} is there twice, or in another file too: name one split"
                )
            images[str(key)] = key
        for key, name in categories_of(content, file).items():
            if key not in categories.setdefault(name, []):
                categories[name].append(key)
    return Ids(images, categories)
