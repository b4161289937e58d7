"""Published data sets: where their archives are, and how they become the folders that we read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from scratchdet.data.fetch import DownloadError, Report, check, fetch
from scratchdet.data.unpack import unpack

# The hosts that the organisers name today; host.robots.ox.ac.uk, as papers have it, leads to thor.
VOC = "https://thor.robots.ox.ac.uk/pascal/VOC"
COCO = "http://images.cocodataset.org"  # its certificate is for another name: no https

Phase = Callable[[str], AbstractContextManager[Report]]
"""Shows what is being done, and how far it is."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A file as its publisher offers it."""

    url: str
    size: int
    """Bytes."""
    md5: str
    unpacked: int
    """Bytes that its files have at most."""
    into: str = "."
    """The folder to unpack into."""

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A data set: its archives, the folder they make, and the folder to train on."""

    archives: tuple[Archive, ...]
    folder: str
    data: str


# md5: VOC, torchvision's datasets/voc.py; COCO publishes none: those that NVIDIA
# (DeepLearningExamples) and Paddle check. Sizes: the Content-Length of the servers.
DOWNLOADS: Mapping[str, Published] = {
    "voc07": Published(
        archives=(
            Archive(
                url=f"{VOC}/voc2007/VOCtrainval_06-Nov-2007.tar",
                size=460_032_000,
                md5="c52e279531787c972589f7e41ab4ae64",
                unpacked=460_032_000,
            ),
            Archive(
                url=f"{VOC}/voc2007/VOCtest_06-Nov-2007.tar",
                size=451_020_800,
                md5="b6e924de25625d8de591ea690078ad9f",
                unpacked=451_020_800,
            ),
        ),
        folder="VOCdevkit/VOC2007",
        data="VOCdevkit",
    ),
    "voc12": Published(
        archives=(
            Archive(
                url=f"{VOC}/voc2012/VOCtrainval_11-May-2012.tar",
                size=1_999_639_040,
                md5="6cd6e144f989b92b3379bac3b3de84fd",
                unpacked=1_999_639_040,
            ),
        ),
        folder="VOCdevkit/VOC2012",
        data="VOCdevkit",
    ),
    "coco17": Published(
        archives=(
            Archive(
                url=f"{COCO}/annotations/annotations_trainval2017.zip",
                size=252_907_541,
                md5="f4bbac642086de4f52a3fdda2de5fa2c",
                unpacked=1_000_000_000,
                into="coco",
            ),
            Archive(
                url=f"{COCO}/zips/val2017.zip",
                size=815_585_330,
                md5="442b8da7639aecaf257c1dceb8ba8c80",
                unpacked=1_000_000_000,
                into="coco",
            ),
            Archive(
                url=f"{COCO}/zips/train2017.zip",
                size=19_336_861_798,
                md5="cced6f7f71b7629ddf16f17bbcfab6b2",
                unpacked=21_000_000_000,
                into="coco",
            ),
        ),
        folder="coco",
        data="coco",
    ),
}


def download(name: str, folder: Path, *, keep_archives: bool, phase: Phase) -> bool:
    """Puts a data set of `DOWNLOADS` into `folder`; False if it is there already.

    All is made in `folder`/NAME.part, and moved to its place when it is whole. Called again, it
    goes on where it was interrupted. Archives that lie in `folder` are used, and stay there.
    Raises DownloadError, or UnsafeArchive.
    """
    published = DOWNLOADS[name]
    if (folder / published.folder).exists():
        return False
    work = folder / f"{name}.part"
    work.mkdir(parents=True, exist_ok=True)
    _check_disk(published, work, folder, keep_archives=keep_archives)
    for archive in published.archives:
        _add(archive, work, folder, keep=keep_archives, phase=phase)
    os.sync()  # or a loss of power leaves a folder that looks whole
    (folder / published.folder).parent.mkdir(parents=True, exist_ok=True)
    (work / published.folder).rename(folder / published.folder)
    shutil.rmtree(work)
    return True


def _add(archive: Archive, work: Path, folder: Path, *, keep: bool, phase: Phase) -> None:
    """Fetches, checks and unpacks an archive, as far as this has not been done."""
    given, own = folder / archive.name, work / archive.name
    done = work / f"{archive.name}.unpacked"
    if done.exists():
        return
    source = given if given.exists() else own
    if source == own:
        with phase(f"{archive.name}: fetching from {archive.url}") as report:
            fetch(archive.url, own, size=archive.size, report=report)
    with phase(f"{archive.name}: checking") as report:
        _check(source, archive, delete=source == own, report=report)
    with phase(f"{archive.name}: unpacking") as report:
        unpack(source, work / archive.into, limit=archive.unpacked, report=report)
    if source == own and keep:
        own.rename(given)
    done.touch()
    own.unlink(missing_ok=True)


def _check(path: Path, archive: Archive, *, delete: bool, report: Report) -> None:
    """Raises DownloadError unless the file is the archive; one that we fetched goes away then."""
    try:
        check(path, md5=archive.md5, report=report)
    except DownloadError as error:
        hint = "remove it"
        if delete:
            path.unlink()
            hint = f"it is deleted; if trying again does not help, {archive.url} has changed"
        raise DownloadError(f"{error}: {hint}") from error


def _check_disk(published: Published, work: Path, folder: Path, *, keep_archives: bool) -> None:
    """Raises DownloadError if the archives that are missing, and their files, do not fit."""
    left = [one for one in published.archives if not (work / f"{one.name}.unpacked").exists()]
    sizes = [0 if (folder / one.name).exists() else one.size for one in left]
    there = sum(path.stat().st_size for one in left if (path := work / one.name).exists())
    archives = sum(sizes) if keep_archives else max(sizes, default=0)
    needed = sum(one.unpacked for one in left) + archives - there
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"{folder}: {needed / 1e9:.1f} GB are needed, and {free / 1e9:.1f} GB are free: "
            "make room, or give another folder"
        )
