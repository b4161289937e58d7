"""Writes a pack: one pass from the first entry to the last, then a look at what was written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import lmdb

from scratchdet.data.pack_file import END, FORMAT, SUFFIX, End, checksum, find_damages
from scratchdet.files import left_over, replacing
from scratchdet.structures import DataError

TRANSACTION = 64 << 20  # bytes held in memory until they are written
LOW = 2 * TRANSACTION  # bytes; with less room left than this it is the disk that was full
SPARE = 16 << 20  # bytes of the map beyond what is written: the inner pages of the tree

Put = Callable[[bytes, "bytes | memoryview"], None]


@contextmanager
def writing_pack(
    path: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Put]:
    """Yields `put(key, value)`, whose keys must ascend; then the pack is checked, and is at `path`.

    DataError if the file system does not take it. After an error there is nothing at `path`, or
    what was there before. progress: of the check, see `find_damages`.
    """
    if path.suffix != SUFFIX:
        raise DataError(f"{path}: a pack is called NAME{SUFFIX}")
    with replacing(path) as temporary:
        try:
            with closing(_Writer(temporary)) as writer:
                yield writer.put
                writer.finish()
        except lmdb.Error as error:
            free = shutil.disk_usage(path.parent).free
            # A write that was cut short is an "Input/output error" to LMDB.
            full = f"the disk is full, {free / 1e6:.0f} MB are free; " if free < LOW else ""
            raise DataError(f"{path}: cannot be written, and is not: {full}{error}") from error
        if damages := find_damages(temporary, progress):
            raise DataError(f"{path}: is not as it was written, and left out: {damages[0]}")


class _Writer:
    def __init__(self, path: Path) -> None:
        self.environment = lmdb.open(
            os.fsencode(path), subdir=False, lock=False, sync=False, map_size=SPARE
        )
        self.waiting: list[tuple[bytes, bytes]] = []
        self.size = 0  # of what waits
        self.entries = 0
        self.digest = hashlib.sha256()

    def put(self, key: bytes, value: bytes | memoryview) -> None:
        stored = b"".join((value, checksum(key, value)))
        self.digest.update(key)
        self.digest.update(stored)
        self.entries += 1
        self.waiting.append((key, stored))
        self.size += len(stored)
        if self.size >= TRANSACTION:
            self._write()

    def close(self) -> None:
        self.environment.close()

    def finish(self) -> None:
        end = End(FORMAT, self.entries, self.digest.hexdigest())
        self.put(END, json.dumps(end._asdict()).encode())
        self._write()

    def _write(self) -> None:
        pages = self.environment.info()["last_pgno"] + 1
        page = self.environment.stat()["psize"]
        # A value may begin a page of its own, and end within one.
        coming = self.size + sum(len(key) + 2 * page for key, _ in self.waiting)
        self.environment.set_mapsize(pages * page + coming + SPARE)
        with self.environment.begin(write=True) as transaction:
            for key, stored in self.waiting:
                if not transaction.put(key, stored, append=True):
                    raise ValueError(f"{key!r} does not come after the entry before it")
        self.waiting, self.size = [], 0


def abandoned(path: Path) -> list[Path]:
    """What writers of `path` left behind that did not live to finish it."""
    begin, end = f".{path.stem}.", f".part{path.suffix}"
    return [
        part
        for part in left_over(path.parent)
        if part.name.removeprefix(begin).removesuffix(end).isdecimal()
    ]
