"""From a data set in any format to a pack: encoded images and annotations in one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchdet.data.formats import list_splits, list_year_splits, read_data
from scratchdet.data.pack_file import LONGEST_KEY
from scratchdet.data.pack_writer import Put, writing_pack
from scratchdet.data.packed import Contents, contents_entry, table_entries
from scratchdet.data.references import files_of, join, key_of, read_bytes
from scratchdet.data.shrink import Shrink, Shrunk, shrink_file
from scratchdet.structures import DataError, DetectionData, Problem, Strings

AHEAD = 8
"""Files read per thread before the first is written: what is held in memory."""


class Packed(NamedTuple):
    """What a pack was made of."""

    data: DetectionData
    """All of it, as it is in the pack; its paths are names there."""
    splits: tuple[str, ...]
    files: int
    resized: int
    """Of the files."""


class _Source(NamedTuple):
    """A file to be packed."""

    file: str
    """As references have it."""
    name: str
    """In the pack: its path from the innermost folder that all files are in."""
    size: tuple[int, int]
    """(width, height) of its image, as annotated."""


class _Outcome(NamedTuple):
    """What became of the files."""

    lost: dict[str, str]
    """Why a file is not in the pack."""
    scales: dict[str, tuple[float, float]]
    """By which x and y of a file have changed, if they have."""


def pack(
    source: Path,
    out: Path,
    *,
    split: str | None = None,
    files: str = "",
    shrink: Shrink | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Packed:
    """Writes the data set to `out`, which appears complete and checked, or not at all.

    split: only these, each of which the pack remembers; None: all there are. files: as for
    `read_data`. Images whose files cannot be read are left out and are among the problems, as are
    boxes that cannot be used.
    progress: called with the number of files done, each counted twice: written and checked.
    """
    if split is None:
        splits, year_splits = list_splits(source), list_year_splits(source)
    else:
        splits, year_splits = [name.strip() for name in split.split("+")], []
    chosen = (split, *splits, *year_splits)
    tables = [read_data(source, split=name, files=files) for name in chosen]
    sources = _sources(tables)
    total = len(sources)

    def written(done: int) -> None:
        progress(done, 2 * total)

    def checked(done: int, _: int) -> None:
        progress(min(total + done, 2 * total), 2 * total)

    with writing_pack(out, checked) as put:
        outcome = _put_files(put, sources, shrink=shrink, threads=threads, progress=written)
        put(*contents_entry(Contents(splits, year_splits, *(shrink or Shrink()))))
        names = {one.file: one.name for one in sources}
        stored = [_stored(table, names, outcome) for table in tables]
        for number, table in enumerate(stored):
            for key, value in table_entries(number, table):
                put(key, value)
    return Packed(stored[0], tuple(splits), total - len(outcome.lost), len(outcome.scales))


def _sources(tables: Sequence[DetectionData]) -> list[_Source]:
    """Every file once, in the order of the names."""
    sizes: dict[str, tuple[int, int]] = {}
    for table in tables:
        for path, (width, height) in zip(table.paths, table.sizes.tolist(), strict=True):
            sizes.update(dict.fromkeys(files_of(path), (width, height)))
    whole = {file: os.path.abspath(file) for file in sizes}
    root = os.path.commonpath({os.path.dirname(path) for path in whole.values()}) if whole else ""
    begin = len(root.rstrip(os.sep)) + 1
    # Twice by two ways to write its path is once in the pack.
    sources = {
        path[begin:]: _Source(file, path[begin:], sizes[file]) for file, path in whole.items()
    }
    for name, source in sources.items():
        if len(key_of(name)) > LONGEST_KEY:
            raise DataError(
                f"{source.file}: its path below {root} is too long for a pack: shorten it"
            )
    return sorted(sources.values(), key=lambda source: key_of(source.name))


def _put_files(
    put: Put,
    sources: Sequence[_Source],
    *,
    shrink: Shrink | None,
    threads: int,
    progress: Callable[[int], None],
) -> _Outcome:
    outcome = _Outcome({}, {})
    load = partial(_load, shrink=shrink)
    ahead = AHEAD * threads
    with ThreadPoolExecutor(threads) as pool:
        for begin in range(0, len(sources), ahead):
            some = sources[begin : begin + ahead]
            for done, (source, loaded) in enumerate(zip(some, pool.map(load, some), strict=True)):
                progress(begin + done)
                if isinstance(loaded, DataError):
                    outcome.lost[source.file] = str(loaded).removeprefix(f"{source.file}: ")
                    continue
                put(key_of(source.name), loaded.data)
                if loaded.scale != (1.0, 1.0):
                    outcome.scales[source.file] = loaded.scale
    return outcome


def _load(source: _Source, *, shrink: Shrink | None) -> Shrunk | DataError:
    try:
        if shrink is None:
            return Shrunk(read_bytes(source.file), (1.0, 1.0))
        return shrink_file(source.file, shrink=shrink, annotated_size=source.size)
    except DataError as error:
        return error


def _stored(table: DetectionData, names: Mapping[str, str], outcome: _Outcome) -> DetectionData:
    """The table as the pack has it: images whose files are there, boxes in their pixels."""
    kept, problems = [], []
    for index, path in enumerate(table.paths):
        reasons = [outcome.lost[file] for file in files_of(path) if file in outcome.lost]
        if reasons:
            problems.append(Problem(path, reasons[0], "image dropped", "unreadable-image"))
        else:
            kept.append(index)
    data = table.subset(kept)
    files = [files_of(path) for path in data.paths]
    scales = np.array([outcome.scales.get(some[0], (1.0, 1.0)) for some in files]).reshape(-1, 2)
    factors = np.repeat(np.tile(scales, 2), np.diff(data.offsets), axis=0)
    return replace(
        data,
        paths=Strings(join([names[file] for file in some]) for some in files),
        sizes=np.rint(data.sizes * scales).astype(np.int32),
        boxes=(data.boxes * factors).astype(np.float32),
        areas=None if data.areas is None else data.areas * factors[:, 0] * factors[:, 1],
        problems=table.problems + tuple(problems),
    )
