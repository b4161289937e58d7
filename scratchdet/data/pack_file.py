"""A pack: named values in one file, written once, each with a checksum. Knows nothing of images.

The file is an LMDB database (https://www.symas.com/lmdb), so that values are read where they lie in
the system's page cache, which all processes share. A value is followed by the CRC-32 of its key and
itself; the last entry, END, says how many there are and has a digest of them all.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import lmdb
from lmdb.verify import VerifyError, verify

from scratchdet.structures import DataError

SUFFIX = ".lmdb"
FORMAT = "scratchdet pack 1"
END = b"\xff"
"""The key of the last entry; all others come before it."""

CRC_BYTES = 4
LONGEST_KEY = 511  # bytes, of LMDB as it is built by default


class End(NamedTuple):
    """What the last entry says."""

    format: str
    entries: int
    digest: str
    """SHA-256 of all keys and values, in order, with their checksums."""


class Pack:
    """The values of a finished pack. Threads may share it, and so may forked processes.

    LMDB is not to be used across a fork because of its lock file and its table of readers. Without
    a lock, and of a file that nobody writes to, an open environment is but a map of that file,
    which a fork hands on as it is. It is never closed: arrays that lie in it may be anywhere.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = _open_environment(path)
        self.idle: list[lmdb.Transaction[memoryview]] = []
        end = self.get(END)
        if end is None:
            raise DataError(f"{path}: an LMDB file, but no pack, or an unfinished one: pack again")
        self.end = End(**json.loads(bytes(end)))
        if self.end.format != FORMAT:
            raise DataError(f"{path}: a {self.end.format!r}; this version reads {FORMAT!r}")

    def get(self, key: bytes) -> memoryview | None:
        """The value, where it lies in the file; None if there is none. DataError if damaged."""
        # A transaction is used by one thread at a time, and kept: what was read with it is valid
        # as long as it is.
        try:
            transaction = self.idle.pop()
        except IndexError:
            transaction = self.environment.begin(buffers=True)
        try:
            stored = transaction.get(key)
        except lmdb.Error as error:
            raise DataError(f"{self.path}: damaged ({error}); {REMEDY}") from error
        self.idle.append(transaction)
        if stored is None:
            return None
        value = _intact(key, stored)
        if value is None:
            raise DataError(f"{self.path}{os.sep}{_shown(key)}: damaged; {REMEDY}")
        return value


REMEDY = "see `scratchdet pack --verify`, and pack again"

_packs: dict[tuple[int, int], Pack] = {}
_lock = threading.Lock()
# A process that is forked while another thread holds the lock would wait for it for ever.
os.register_at_fork(
    before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
)


def open_pack(path: Path | str) -> Pack:
    """The pack at `path`, opened once in a process; DataError if there is none."""
    file = _file(path)
    pack = _packs.get(file)
    if pack is None:
        with _lock:
            pack = _packs[file] = _packs.get(file) or Pack(Path(path))
    return pack


def _file(path: Path | str) -> tuple[int, int]:
    """What a file is known by: one that was made anew under the same name is another."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return status.st_dev, status.st_ino


def _open_environment(path: Path) -> lmdb.Environment:
    try:
        environment = lmdb.open(
            os.fsencode(path), subdir=False, readonly=True, lock=False, readahead=False
        )
    except lmdb.Error as error:
        raise DataError(f"{path}: not a pack ({error})") from error
    size = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if path.stat().st_size < size:  # a look at what is missing would end the process
        environment.close()
        raise DataError(f"{path}: cut off, {size} bytes are needed; copy it again")
    return environment


def find_damages(
    path: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[str]:
    """What is wrong with a pack, a line for each damaged entry; empty if nothing is.

    All of it is read. The structure is checked before LMDB is trusted with it.
    progress: called with the number of entries done, and of all.
    """
    opened = _packs.get(_file(path))  # LMDB opens a file but once
    try:
        if structure := verify(os.fspath(path), subdir=False):
            return [f"its structure: {fault}" for fault in structure]
        pack = opened or Pack(path)
    except VerifyError as error:
        return [str(error)]
    except DataError as error:
        return [str(error).removeprefix(f"{path}: ")]
    try:
        return _damaged_entries(pack, progress)
    finally:
        if opened is None:
            pack.environment.close()


def _damaged_entries(pack: Pack, progress: Callable[[int, int], None]) -> list[str]:
    damages, digest, count = [], hashlib.sha256(), 0
    with pack.environment.begin(buffers=True) as transaction:
        for key, stored in transaction.cursor():
            if key == END:
                break
            if _intact(bytes(key), stored) is None:
                damages.append(f"{_shown(bytes(key))}: does not have its checksum")
            elif transaction.get(key) is None:  # an inner page of the tree leads elsewhere
                damages.append(f"{_shown(bytes(key))}: is not found by its name")
            digest.update(key)
            digest.update(stored)
            count += 1
            progress(count, pack.end.entries)
    if count != pack.end.entries:
        damages.append(f"has {count} entries instead of {pack.end.entries}")
    if not damages and digest.hexdigest() != pack.end.digest:
        damages.append("does not have its digest")
    return damages


def checksum(key: bytes, value: bytes | memoryview) -> bytes:
    return zlib.crc32(value, zlib.crc32(key)).to_bytes(CRC_BYTES, "little")


def _intact(key: bytes, stored: memoryview) -> memoryview | None:
    """The value without its checksum; None if that is not its own."""
    value = stored[:-CRC_BYTES]
    return value if checksum(key, value) == stored[-CRC_BYTES:] else None


def _shown(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")
