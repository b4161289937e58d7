"""How much memory is free, and a piece of it that processes share. Both on Linux only."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import weakref
from collections.abc import Iterator
from multiprocessing import reduction
from pathlib import Path
from typing import Any

# A control group's limit, what it uses, and the part of that which gives way: by hierarchy version.
GROUP_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that can still be taken, of the machine's memory and of the container's limit.

    None where the system does not say. root: where `proc` and `sys` are.
    """
    free = _field(root / "proc/meminfo", "MemAvailable:")
    return None if free is None else min([free * 1024, *_left_to_groups(root)])


def _left_to_groups(root: Path) -> Iterator[int]:
    """What is left to each of the control groups that this process is in, the outer ones too."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        version = 1 if controllers else 2
        base = root / "sys/fs/cgroup" / ("memory" if version == 1 else "")
        inner = Path(path.lstrip("/"))
        for group in (inner, *inner.parents):
            limit, used, reclaimable = GROUP_FILES[version]
            most, taken = _text(base / group / limit).strip(), _text(base / group / used).strip()
            if most.isdecimal() and taken.isdecimal():
                gives_way = _field(base / group / "memory.stat", reclaimable) or 0
                yield max(int(most) - int(taken) + gives_way, 0)


def _field(path: Path, name: str) -> int | None:
    """The number after `name` at the beginning of a line."""
    for line in _text(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name:
            return int(words[1])
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # another system, another version of the hierarchy, or no limit


class SharedBytes:
    """Zeros that a process and its children write and read, however the children are started.

    Memory is taken page by page, when first written to, and given back with the last process: a
    file without a name, so that nothing is left behind and the size of /dev/shm, which is 64 MB in
    most containers, does not matter.
    """

    def __init__(self, size: int) -> None:
        file = os.memfd_create("scratchdet")
        os.ftruncate(file, size)
        self._map(file, size)
        self.lock = multiprocessing.Lock()

    def _map(self, file: int, size: int) -> None:
        self.file, self.size = file, size
        self.memory = mmap.mmap(file, size)
        weakref.finalize(self, os.close, file)

    def __getstate__(self) -> dict[str, Any]:
        return {"file": reduction.DupFd(self.file), "size": self.size, "lock": self.lock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.lock = state["lock"]
        self._map(state["file"].detach(), state["size"])
