"""Packs as a data format: images and annotations in one LMDB file, as `scratchdet pack` writes it.

The annotations are columns, a table of them for each split and one for the whole data set, each as
the reader of the original format gave it. They are not parsed, and not copied either: the arrays of
a table lie in the file, which all processes map.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchdet.data.assemble import OnBadBox, distinct, joined, refuse_bad
from scratchdet.data.pack_file import SUFFIX, Pack, open_pack
from scratchdet.data.references import JOINT
from scratchdet.data.split import chosen_splits
from scratchdet.structures import DataError, DetectionData, Problem, Strings

LAYOUT = f"a file NAME{SUFFIX} made by `scratchdet pack`"
CONTENTS = b"t"
"""The key of what the pack says of itself, among it the names of the splits."""

COLUMNS: dict[str, tuple[str, tuple[int, ...]]] = {
    "ids.text": ("u1", (-1,)),
    "ids.offsets": ("<i8", (-1,)),
    "paths.text": ("u1", (-1,)),
    "paths.offsets": ("<i8", (-1,)),
    "sizes": ("<i4", (-1, 2)),
    "offsets": ("<i8", (-1,)),
    "boxes": ("<f4", (-1, 4)),
    "labels": ("<i4", (-1,)),
    "ignore": ("?", (-1,)),
}
"""Of a table: type and shape of each."""
AREAS = "<f8"
"""The type of one column more, which there is where the data set has it."""


class Contents(NamedTuple):
    """What a pack says of itself."""

    splits: list[str]
    year_splits: list[str]
    """Of a VOCdevkit: see `formats.list_year_splits`."""
    short: int
    """As in `shrink.Shrink`."""
    quality: int

    def number(self, split: str) -> int:
        """Of the table of a split; that of all images is number 0."""
        return 1 + [*self.splits, *self.year_splits].index(split)


def recognises(path: Path) -> bool:
    return path.suffix == SUFFIX and path.is_file()


def list_splits(path: Path) -> list[str]:
    return _contents(open_pack(path)).splits


def list_year_splits(path: Path) -> list[str]:
    return _contents(open_pack(path)).year_splits


def read(
    path: Path | str,
    *,
    split: str | None = None,
    on_bad_box: OnBadBox = "drop",
    classes: Sequence[str] | None = None,
    files: str = "",
) -> DetectionData:
    """What the packed data set gave when it was packed, problems and notes included.

    Of several splits joined, an image that is in more than one of them is there once. Paths lead
    into the pack: see `references`. Files of one image were put together when they were packed,
    whatever `files` says.
    """
    pack = open_pack(path)
    contents = _contents(pack)
    numbers = {"": 0}
    if split is not None:
        chosen = chosen_splits(split, contents.splits, Path(path), also=contents.year_splits)
        numbers = {name: contents.number(name) for name in chosen}
    parts = {name: _table(pack, number, path=path) for name, number in numbers.items()}
    wanted = tuple(dict.fromkeys(chain.from_iterable(part.classes for part in parts.values())))
    wanted = wanted if classes is None else distinct(classes)
    parts = {name: _relabelled(part, wanted) for name, part in _without_repeats(parts).items()}
    # One table is taken as it is: joining goes through every id.
    data = joined(parts, wanted) if len(parts) > 1 else next(iter(parts.values()))
    refuse_bad(data.problems, on_bad_box=on_bad_box)
    return data


def contents_entry(contents: Contents) -> tuple[bytes, bytes]:
    return CONTENTS, json.dumps(contents._asdict()).encode()


def table_entries(number: int, data: DetectionData) -> Iterator[tuple[bytes, bytes]]:
    """The entries of the table of a split, or of all images (number 0), in ascending order.

    The paths of `data` are names in the pack.
    """
    about = {"classes": data.classes, "problems": data.problems, "notes": data.notes}
    arrays = {
        "ids.text": data.ids.text,
        "ids.offsets": data.ids.offsets,
        "paths.text": data.paths.text,
        "paths.offsets": data.paths.offsets,
        "sizes": data.sizes,
        "offsets": data.offsets,
        "boxes": data.boxes,
        "labels": data.labels,
        "ignore": data.ignore,
    }
    values = {name: np.ascontiguousarray(arrays[name], COLUMNS[name][0]) for name in COLUMNS}
    entries = {name: column.tobytes() for name, column in values.items()}
    if data.areas is not None:
        entries["areas"] = np.ascontiguousarray(data.areas, AREAS).tobytes()
    entries["about"] = json.dumps(about).encode()
    yield from sorted((_key(number, name), value) for name, value in entries.items())


def _key(number: int, column: str) -> bytes:
    return CONTENTS + f"/{number:06d}/{column}".encode()


def _contents(pack: Pack) -> Contents:
    value = pack.get(CONTENTS)
    if value is None:
        raise DataError(f"{pack.path}: a pack without annotations")
    return Contents(**json.loads(bytes(value)))


def _table(pack: Pack, number: int, *, path: Path | str) -> DetectionData:
    found: dict[str, np.ndarray] = {}
    for name, (dtype, shape) in COLUMNS.items():
        found[name] = np.frombuffer(_value(pack, number, name), dtype).reshape(shape)
    areas = pack.get(_key(number, "areas"))
    about = json.loads(bytes(_value(pack, number, "about")))
    return DetectionData(
        classes=tuple(about["classes"]),
        ids=Strings.from_arrays(found.pop("ids.text"), found.pop("ids.offsets")),
        paths=_paths(found.pop("paths.text"), found.pop("paths.offsets"), folder=f"{path}/"),
        **found,
        areas=None if areas is None else np.frombuffer(areas, AREAS),
        problems=tuple(Problem(*problem) for problem in about["problems"]),
        notes=tuple(about["notes"]),
    )


def _value(pack: Pack, number: int, name: str) -> memoryview:
    value = pack.get(_key(number, name))
    if value is None:
        raise DataError(f"{pack.path}: lacks its {_key(number, name).decode()}; pack again")
    return value


def _paths(text: np.ndarray, offsets: np.ndarray, *, folder: str) -> Strings:
    """References into the pack; each file of one is given its folder."""
    joints = np.flatnonzero(text == ord(JOINT))
    if len(joints):
        before = folder.encode("utf-8", "surrogateescape")
        text = np.frombuffer(text.tobytes().replace(JOINT.encode(), JOINT.encode() + before), "u1")
        offsets = offsets + len(before) * np.searchsorted(joints, offsets)
    return Strings.from_arrays(text, offsets, prefix=folder)


def _without_repeats(parts: dict[str, DetectionData]) -> dict[str, DetectionData]:
    """Each part without the images of those before it."""
    if len(parts) == 1:
        return parts
    seen: set[str] = set()
    rest = {}
    for name, part in parts.items():
        new = [index for index, path in enumerate(part.paths) if path not in seen]
        seen.update(part.paths)
        rest[name] = part.subset(new)
    return rest


def _relabelled(data: DetectionData, classes: tuple[str, ...]) -> DetectionData:
    """Labels in the order of `classes`; objects of others are dropped, and are problems."""
    if data.classes == classes:
        return data
    lookup = {name: label for label, name in enumerate(classes)}
    labels = np.array([lookup.get(name, -1) for name in data.classes], np.int32)[data.labels]
    keep = labels >= 0
    image = np.repeat(np.arange(len(data)), np.diff(data.offsets))
    problems = tuple(
        Problem(
            data.paths[image[row]],
            f"box {row - data.offsets[image[row]]} ({data.classes[data.labels[row]]}) is of none "
            f"of the classes: {', '.join(classes)}",
            "dropped",
            "unknown-class",
        )
        for row in np.flatnonzero(~keep)
    )
    return replace(
        data,
        classes=classes,
        offsets=np.concatenate([[0], np.cumsum(keep)])[data.offsets],
        boxes=data.boxes[keep],
        labels=labels[keep],
        ignore=data.ignore[keep],
        areas=None if data.areas is None else data.areas[keep],
        problems=data.problems + problems,
    )
