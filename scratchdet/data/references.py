"""Where the files of an image are: what the column `paths` of a data set says.

A reference is the path of a file, or of several joined by `|`, which are one image, channel after
channel. A path that leads *into* a file ending in `.lmdb` (`voc.lmdb/000005.jpg`) is an entry of
that pack, a place that no file system has.
"""

import os
from pathlib import Path

from scratchdet.data.pack_file import SUFFIX, open_pack
from scratchdet.structures import DataError

JOINT = "|"
INTO_PACK = SUFFIX + "/"
FILE_KEY = b"f/"
"""Before the name of a file in a pack, which makes its key."""


def join(files: list[str]) -> str:
    """The reference of the image that these files are."""
    return JOINT.join(files)


def single(file: str | Path) -> str:
    """The reference of an image that is this one file; DataError if it would read as several.

    For whatever names an image in a data set: `a.jpg|/etc/passwd` would lead anywhere.
    """
    if JOINT in str(file):
        what = f"its name contains '{JOINT}', which joins the files of an image: rename it"
        raise DataError(f"{file}: {what}")
    return str(file)


def files_of(reference: str | Path) -> list[str]:
    """The files that a reference names, in the order of their channels."""
    return str(reference).split(JOINT)


def key_of(name: str) -> bytes:
    """The key of the file that a pack has under this name."""
    return FILE_KEY + name.encode("utf-8", "surrogateescape")


def read_bytes(file: str | Path) -> bytes | memoryview:
    """What one file of a reference holds; DataError if it cannot be read, is damaged or empty.

    An entry of a pack is a view into it, not a copy.
    """
    pack, name = _place(str(file))
    data = _read_file(file) if pack is None else open_pack(pack).get(key_of(name))
    if data is None:
        raise DataError(f"{file}: the pack has no such image")
    if not data:
        raise DataError(f"{file}: the file is empty")
    return data


def _place(file: str) -> tuple[str | None, str]:
    """The pack that a path leads into, if it does, and the name of the entry there."""
    end = file.find(INTO_PACK)
    while end >= 0:
        pack = file[: end + len(SUFFIX)]
        if not os.path.isdir(pack):  # a folder may be called so too
            return pack, file[end + len(INTO_PACK) :]
        end = file.find(INTO_PACK, end + 1)
    return None, file


def _read_file(file: str | Path) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
