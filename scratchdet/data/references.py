"""Where the files of an image are: what the column `paths` of a data set says.

A reference is the path of a file, or of several joined by `|`, which are one image, channel after
channel. A path that leads *into* a file ending in `.lmdb` (`voc.lmdb/000005.jpg`) is an entry of
that pack, a place that no file system has.
"""

from pathlib import Path

from scratchdet.structures import DataError

JOINT = "|"


def join(files: list[str]) -> str:
    """The reference of the image that these files are."""
    return JOINT.join(files)


def files_of(reference: str | Path) -> list[str]:
    """The files that a reference names, in the order of their channels."""
    return str(reference).split(JOINT)


def read_bytes(file: str | Path) -> bytes:
    """What one file of a reference holds; DataError if it cannot be read or is empty."""
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    if not data:
        raise DataError(f"{file}: the file is empty")
    return data
