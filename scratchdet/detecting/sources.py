"""What a detector is to look at: images, folders, patterns, packs, videos, cameras and streams."""

import re
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from os.path import relpath
from pathlib import Path, PurePath
from typing import NamedTuple

from scratchdet.data import packed
from scratchdet.data.images import EXTENSIONS
from scratchdet.data.references import files_of
from scratchdet.data.stacks import group
from scratchdet.structures import DataError

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
"""What counts as a video; compared in lower case."""

CAMERA = re.compile(r"webcam(?::(\d+))?", re.IGNORECASE)
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://.+", re.IGNORECASE)


class ImageFile(NamedTuple):
    """One image, in a file or several, or in a pack."""

    reference: str
    """See `data.references`."""
    root: str
    """The folder, or pack, in which it was found."""

    @property
    def name(self) -> str:
        """Its (first) file below the root, with / between folders."""
        return PurePath(relpath(files_of(self.reference)[0], self.root)).as_posix()


class Sources(NamedTuple):
    """What there is to look at."""

    images: list[ImageFile]
    videos: list[str]
    """Files of videos, addresses of streams, and cameras: `webcam`, `webcam:1`."""


def is_stream(source: str) -> bool:
    """Whether it is called like a camera, or is the address of a stream."""
    return bool(CAMERA.fullmatch(source) or ADDRESS.fullmatch(source))


def find_sources(given: Sequence[str], *, leave_out: Path) -> Sources:
    """All that `given` means, each once: images and videos of folders and patterns are sorted.

    leave_out: the folder for the results, so that a second call does not find those of the first.
    DataError for what is not there, and for a folder or pattern without any image or video.
    """
    images: dict[str, ImageFile] = {}
    videos: dict[str, None] = {}
    for one in given:
        if is_stream(one) and not Path(one).exists():
            videos[one] = None
            continue
        for image in _found(one, leave_out):
            if image.reference.lower().endswith(VIDEOS):
                videos[image.reference] = None
            else:
                images.setdefault(image.reference, image)
    return Sources(list(images.values()), list(videos))


def put_together(
    images: Sequence[ImageFile], pattern: str
) -> tuple[list[ImageFile], dict[Path, str]]:
    """The images that files make by the pattern of their names, and those left over, with why.

    One file alone stands for the image it is a part of. DataError if there is no image.
    """
    if all(len(files_of(image.reference)) > 1 for image in images):  # when they were packed
        return list(images), {}
    roots = {image.reference: image.root for image in images}
    stacks, left_over = group(map(Path, roots), pattern)
    if not stacks:
        file, why = next(iter(left_over.items()))
        raise DataError(f"{file}: {why}; the detector takes images of the files {pattern}")
    whole = []
    for stack in stacks:
        root = next(roots[file] for file in files_of(stack.reference) if file in roots)
        whole.append(ImageFile(stack.reference, root))
    return whole, left_over


def _found(given: str, leave_out: Path) -> Iterator[ImageFile]:
    """What one argument means that is no stream."""
    path = Path(given)
    if packed.recognises(path):
        yield from (ImageFile(reference, str(path)) for reference in packed.read(path).paths)
    elif path.is_file():
        yield ImageFile(str(path), str(path.parent))
    elif path.is_dir():
        yield from _in_folder(path, leave_out)
    elif has_magic(given):
        yield from _matching(given, leave_out)
    else:
        raise DataError(f"{path}: no such file or folder")


def _in_folder(folder: Path, leave_out: Path) -> Iterator[ImageFile]:
    if leave_out.resolve() == folder.resolve():
        raise DataError(f"{folder}: the results would be mixed with the images; give another --out")
    files = _seen(sorted(folder.rglob("*")), folder, leave_out)
    if not files:
        raise DataError(f"{folder}: no image or video here; looked for {_looked_for()}")
    yield from (ImageFile(str(file), str(folder)) for file in files)


def _matching(pattern: str, leave_out: Path) -> Iterator[ImageFile]:
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if has_magic(part))
    root = Path(*parts[:fixed])
    matches = [Path(match) for match in sorted(glob(pattern, recursive=True))]
    files = [file for file in _seen(matches, root, leave_out) if file.is_file()]
    folders = [match for match in matches if match.is_dir() and match != leave_out]
    files += [file for one in folders for file in _seen(sorted(one.rglob("*")), root, leave_out)]
    if not files:
        raise DataError(f"{pattern}: no image or video is called so; looked for {_looked_for()}")
    yield from (ImageFile(str(file), str(root)) for file in files)


def _seen(files: Sequence[Path], root: Path, leave_out: Path) -> list[Path]:
    """Those of `files`, all below `root`, that are called like images or videos."""
    results = root / relpath(leave_out.resolve(), root.resolve())
    known = (*EXTENSIONS, *VIDEOS)
    return [file for file in files if file.suffix.lower() in known and results not in file.parents]


def _looked_for() -> str:
    return ", ".join((*EXTENSIONS, *VIDEOS))
