"""`scratchdet download`: published data sets, as the folders that train takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Literal

from rich.console import Console
from tyro.conf import Positional

from scratchdet.data.fetch import Report
from scratchdet.terminal import progress_bar, say


def download(
    name: Positional[Literal["voc07", "voc12", "coco17"]],
    folder: Positional[Path],
    /,
    keep_archives: bool = False,
) -> int:
    """Fetch a published data set from its publisher, check it, and unpack it.

    PASCAL VOC goes to DIR/VOCdevkit/VOC2007 and VOC2012, MS COCO to DIR/coco. What was interrupted
    is gone on with when the command is given again. Whoever uses the images has to keep to the
    terms of the publishers and of Flickr.

    Examples:
      scratchdet download voc07 ~/data; scratchdet download voc12 ~/data
      scratchdet download coco17 ~/data --keep-archives

    Args:
        name: voc07 (0.9 GB to fetch), voc12 (2 GB) or coco17 (20 GB).
        folder: The folder for the data; the archives may lie there already.
        keep_archives: Leave the archives in the folder.
    """
    from scratchdet.data import download as published

    console = Console()

    @contextmanager
    def phase(what: str) -> Iterator[Report]:
        say(console, what)
        with progress_bar(console, "MB") as report:
            yield lambda done, total: report(done // 10**6, total // 10**6)

    data = published.DOWNLOADS[name]
    new = published.download(name, folder, keep_archives=keep_archives, phase=phase)
    place = folder / data.folder
    say(console, f"{name}: {place}" if new else f"{place} is there already: nothing is fetched")
    recipe = _recipe(folder / data.data)
    command = f"scratchdet train {quote(str(folder / data.data))}"
    say(console, f"  {command} --recipe {recipe}" if recipe else f"  {command}")
    return 0


def _recipe(data: Path) -> str:
    """The published recipe for what is in the folder now; none is for VOC 2007 alone."""
    if data.name == "coco":
        return "scratchdet300_coco"
    if not (data / "VOC2012").is_dir():
        return ""
    return "scratchdet300_voc0712" if (data / "VOC2007").is_dir() else "scratchdet300_voc12"
