"""`scratchdet pack`: a data set in one file."""

import os
from pathlib import Path

from rich.console import Console
from tyro.conf import Positional

from scratchdet.terminal import progress_bar, say

NO = 1  # exit status: it ran, and the answer is no


def pack(
    data: Positional[Path],
    out: Positional[Path | None] = None,
    /,
    split: str = "",
    files: str = "",
    resize_short: int = 0,
    quality: int = 0,
    verify: bool = False,
) -> int:
    """Put a data set into one file: encoded images, annotations, classes and splits.

    `train`, `eval` and the others take the file wherever they take a folder. Images are kept byte
    for byte unless --resize-short or --quality ask for less. OUT appears when it is complete and
    checked; what a writer that was killed has left behind is cleared away.

    Examples:
      scratchdet pack VOCdevkit voc.lmdb
      scratchdet pack coco coco512.lmdb --split train2017+val2017 --resize-short 512
      scratchdet pack --verify voc.lmdb

    Args:
        data: A data set in any format; with --verify a pack.
        out: The pack to write: NAME.lmdb.
        split: Only these, joined with +; default: all, and the pack remembers each.
        files: Several files that are one image: "{stem}_a.png,{stem}_b.png", as --data.files.
        resize_short: Images with a longer shorter side are resized to this one, in pixels.
        quality: Of JPEG, 1 to 100; every JPEG is encoded anew. Default: only resized ones, at 90.
        verify: Check every value of a pack against its checksum; exit status 1 if one is damaged.
    """
    from scratchdet.data.pack import pack as write
    from scratchdet.data.pack_file import find_damages
    from scratchdet.data.pack_writer import abandoned
    from scratchdet.data.shrink import Shrink

    console = Console()
    if verify:
        if out is not None:
            raise ValueError("--verify takes one pack")
        if not data.is_file():
            raise ValueError(f"{data} is no pack: --verify takes the file that `pack` has written")
        with progress_bar(console, "checking") as report:
            damages = find_damages(data, report)
        for damage in damages:
            say(console, f"{data}: {damage}")
        say(
            console,
            f"{data}: " + (f"{len(damages)} faults" if damages else "every value is intact"),
        )
        return NO if damages else 0
    if out is None:
        raise ValueError("say what to write, as in: scratchdet pack DATA out.lmdb")
    if resize_short < 0 or not 0 <= quality <= 100:
        raise ValueError("--resize-short is in pixels, and --quality from 1 to 100")
    for part in abandoned(out):
        part.unlink()
        say(console, f"an earlier pack was interrupted ({part.name} is removed): starting over")
    with progress_bar(console, "packing and checking") as report:
        done = write(
            data,
            out,
            split=split or None,
            files=files,
            shrink=Shrink(resize_short, quality) if resize_short or quality else None,
            threads=len(os.sched_getaffinity(0)),
            progress=report,
        )
    dropped = [problem for problem in done.data.problems if problem.action != "kept"]
    for problem in dropped[:10]:
        say(console, str(problem))
    if len(dropped) > 10:
        say(console, f"... and {len(dropped) - 10} more problems, which the pack remembers")
    counts = f"{len(done.data)} images, {done.data.num_objects} objects"
    size = f"{out.stat().st_size / 1e6:,.1f} MB"
    resized = f", {done.resized} files resized" if resize_short else ""
    splits = f"; splits: {', '.join(done.splits)}" if done.splits else ""
    say(console, f"{out}: {counts}, {size}{resized}{splits}")
    return 0
