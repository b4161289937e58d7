"""An annotated video, written frame by frame."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from scratchdet.detecting.mark import mark_mp4
from scratchdet.files import replacing
from scratchdet.structures import DataError

CODEC = "mp4v"
"""MPEG-4 part 2: what every build of OpenCV can write, and in 1 to 2 ms a frame; H.264 is in none
that pip installs, for its licence, and VP9 takes fifty times as long."""


@contextmanager
def writing_video(
    path: Path, *, rate: float, size: tuple[int, int]
) -> Iterator[Callable[[np.ndarray, int], None]]:
    """Yields `add(picture, number)`, which takes RGB pictures with the numbers of their frames.

    A picture stays until the next one: frames in between that nobody added shorten nothing. The
    file appears when the block ends without an error. size: (width, height); a picture of another
    is resized. The codec halves the colours' resolution, so of an odd size the last row is lost.
    """
    check_unicode(str(path))
    with replacing(path) as temporary:
        writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*CODEC), rate, size)
        if not writer.isOpened():
            raise RuntimeError(f"{path}: OpenCV cannot write a video of {size[0]}x{size[1]} there")
        last: list[np.ndarray] = []
        written = 0

        def add(picture: np.ndarray, number: int) -> None:
            nonlocal written
            if (picture.shape[1], picture.shape[0]) != size:
                picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            for _ in range(number - written):
                writer.write(last[0] if last else pixels)
            writer.write(pixels)
            written = max(written, number) + 1
            last[:] = [pixels]

        try:
            yield add
        finally:
            writer.release()
        mark_mp4(temporary)
        _check(temporary, path, written)


def check_unicode(name: str) -> None:
    """DataError for a file name that is not Unicode: OpenCV 5 crashes on it."""
    if any("\ud800" <= sign <= "\udfff" for sign in name):
        raise DataError(f"{name}: videos need names that are Unicode; rename it")


def _check(temporary: Path, path: Path, written: int) -> None:
    """Raises RuntimeError unless the video has its frames: OpenCV tells nobody of a full disk."""
    capture = cv2.VideoCapture(str(temporary))
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    if frames != written:
        raise RuntimeError(f"{path}: {frames} of {written} frames were written; is the disk full?")
