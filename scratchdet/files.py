"""Files that are either complete or not there."""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
LEFT_OVER = re.compile(r"\..+\.(\d+)\.part(\.\w+)?")  # names of `replacing`, with the process


class DiskFull(OSError):
    """Nothing more can be written there: the disk, the quota or the size of a file is used up."""


@contextmanager
def replacing(path: Path, *, keep: Path | None = None) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the block ends without an error.

    Flushed to the disk before it is renamed, so that a crash at any moment leaves the old file or
    the new one. After an error the old file is untouched and the temporary one is gone. An OSError
    of writing it names `path`; see `writing`. keep: what the old file is called afterwards; a crash
    between the two renames leaves it there, and nothing at `path`.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    with writing(path, temporary=temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            if keep is not None and path.exists():
                path.replace(keep)
            temporary.replace(path)
            _flush_names(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes `path` as UTF-8, completely or not at all; escapes file names that are not Unicode."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def writing(path: Path, *, temporary: Path | None = None) -> Iterator[None]:
    """Inside, an OSError of writing names `path`, and is DiskFull where that is the reason.

    temporary: the file or folder where `path` is written meanwhile. An error that names a file
    elsewhere keeps the name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.strerror is None:
            raise
        kind = DiskFull if error.errno in FULL else OSError
        named = path if error.filename is None else Path(str(error.filename))
        if (temporary or path).absolute() in (named.absolute(), *named.absolute().parents):
            named = path
        raise kind(error.errno, error.strerror, str(named)) from error


def check_writable(folder: Path) -> None:
    """Raises OSError if no file can be written to `folder`, or where it will be made."""
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    with writing(folder, temporary=existing), tempfile.TemporaryFile(dir=existing) as probe:
        probe.write(b"\0")
        probe.flush()


def left_over(folder: Path) -> list[Path]:
    """What killed processes were writing to `folder` with `replacing`, in the order of the names.

    Not the files of other processes that live; but those with the number of this one, which has not
    begun to write: in containers a process has the same number at every start.
    """
    return [
        path
        for path in sorted(folder.glob(".*.part*"))
        if (name := LEFT_OVER.fullmatch(path.name))
        and (int(name[1]) == os.getpid() or not _lives(int(name[1])))
    ]


def remove_left_over(folder: Path) -> list[Path]:
    """Removes, and returns, what is `left_over` in `folder`."""
    removed = left_over(folder)
    for path in removed:
        path.unlink(missing_ok=True)
    return removed


def _lives(process: int) -> bool:
    if os.name != "posix":  # where asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _flush_names(folder: Path) -> None:
    """Makes a rename in `folder` outlast a power cut, where the system can."""
    if os.name != "posix":
        return
    names = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(names)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of some network file systems
            raise
    finally:
        os.close(names)
