"""Archives unpacked so that nothing lands outside the folder, whatever is written in them."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath


class UnsafeArchive(RuntimeError):
    """An archive that is broken, or holds what no data set needs."""


def unpack(archive: Path, folder: Path, *, limit: int, report: Callable[[int, int], None]) -> None:
    """Unpacks a .tar or .zip into `folder`, replacing what is there; `report(done, all)` in bytes.

    All members are looked at first: names must stay inside, and only files and folders are taken,
    no links or devices, together at most `limit` bytes. Raises UnsafeArchive.
    """
    take = _from_zip if archive.suffix.lower() == ".zip" else _from_tar
    try:
        take(archive, folder, limit, report)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UnsafeArchive(f"{archive}: broken, or no archive at all: {error}") from error


def _from_tar(archive: Path, folder: Path, limit: int, report: Callable[[int, int], None]) -> None:
    with tarfile.open(archive, "r:") as tar:
        members = tar.getmembers()
        for member in members:
            # Sparse files have few bytes in the archive and many on the disk.
            if not (member.isfile() or member.isdir()) or member.issparse():
                raise UnsafeArchive(f"{archive}: {member.name!r} is neither a file nor a folder")
        sizes = [member.size for member in members]
        _refuse(archive, [member.name for member in members], sizes, limit)
        done = 0
        for member in members:
            tar.extract(member, folder, filter="data")
            done += member.size
            report(done, sum(sizes))


def _from_zip(archive: Path, folder: Path, limit: int, report: Callable[[int, int], None]) -> None:
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where no Unix wrote it
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or member.flag_bits & 1:
                what = "is encrypted" if member.flag_bits & 1 else "is neither a file nor a folder"
                raise UnsafeArchive(f"{archive}: {member.filename!r} {what}")
        sizes = [member.file_size for member in members]
        _refuse(archive, [member.filename for member in members], sizes, limit)
        done = 0
        for member in members:
            file.extract(member, folder)  # no more than file_size bytes, whose CRC it checks
            done += member.file_size
            report(done, sum(sizes))


def _refuse(archive: Path, names: Sequence[str], sizes: Sequence[int], limit: int) -> None:
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise UnsafeArchive(f"{archive}: {name!r} leads out of the folder to unpack into")
    if sum(sizes) > limit:
        raise UnsafeArchive(
            f"{archive}: unpacked it has {sum(sizes)} bytes, more than the {limit} expected"
        )
