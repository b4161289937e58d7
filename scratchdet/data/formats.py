"""The data formats there are: found by themselves, read by one function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from scratchdet.data import coco, packed, voc, yolo
from scratchdet.data.assemble import OnBadBox
from scratchdet.structures import DataError, DetectionData

FORMATS: dict[str, Callable[..., DetectionData]] = {
    "voc": voc.read,
    "coco": coco.read,
    "yolo": yolo.read,
    "pack": packed.read,
}


class Layout(NamedTuple):
    """How a format looks on disk."""

    recognises: Callable[[Path], bool]
    list_splits: Callable[[Path], list[str]]
    description: str
    list_year_splits: Callable[[Path], list[str]] = lambda path: []
    """Those of single years, if there are several: `split` takes them too."""


LAYOUTS = {
    "voc": Layout(voc.recognises, voc.list_splits, voc.LAYOUT, voc.list_year_splits),
    "coco": Layout(coco.recognises, coco.list_splits, coco.LAYOUT),
    "yolo": Layout(yolo.recognises, yolo.list_splits, yolo.LAYOUT),
    "pack": Layout(packed.recognises, packed.list_splits, packed.LAYOUT, packed.list_year_splits),
}


def detect_format(path: Path | str) -> str:
    """The key in `FORMATS` of the data at `path`; DataError if it is none of them, or several."""
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    found = [name for name, layout in LAYOUTS.items() if layout.recognises(path)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{path}: this can be read as {' and as '.join(found)}; name a folder that holds only"
            " one of them, or the JSON file (COCO) or YAML file (YOLO) itself"
        )
    looked = "".join(f"\n  {name}: {layout.description}" for name, layout in LAYOUTS.items())
    unread = "".join(f"\n  {fault}" for fault in yolo.faults(path))
    raise DataError(
        f"{path}: no known data format. Looked for{looked}\nFound {_contents(path)}{unread}"
    )


def read_data(
    path: Path | str,
    *,
    split: str | None = None,
    format: str | None = None,
    on_bad_box: OnBadBox = "drop",
    classes: Sequence[str] | None = None,
    files: str = "",
) -> DetectionData:
    """The data set at `path`, or the parts of it named in `split` (`train+val` joins two).

    Its problems are listed in the result (`on_bad_box="drop"`) or raised as one DataError
    (`"error"`). With `classes` labels follow that order and objects of other classes are dropped.
    files: the pattern of the names of images of several files, see `stacks`.
    """
    read = FORMATS[_known(format) if format else detect_format(path)]
    return read(Path(path), split=split, on_bad_box=on_bad_box, classes=classes, files=files)


def list_splits(path: Path | str, format: str | None = None) -> list[str]:
    """The names `read_data` accepts as `split`, sorted; empty if the data has no splits."""
    name = _known(format) if format else detect_format(path)
    return LAYOUTS[name].list_splits(Path(path))


def list_year_splits(path: Path | str) -> list[str]:
    """More names that `split` takes: those of single years of a VOCdevkit, `VOC2007/trainval`."""
    return LAYOUTS[detect_format(path)].list_year_splits(Path(path))


def _known(format: str) -> str:
    if format not in FORMATS:
        raise DataError(f"unknown data format {format!r}; there are: {', '.join(FORMATS)}")
    return format


def _contents(path: Path) -> str:
    if path.is_file():
        return f"a file called {path.name}"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(names[:8]) or "an empty folder") + more
