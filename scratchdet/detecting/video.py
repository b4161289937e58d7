"""The frames of videos, cameras and network streams."""

import itertools
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePath
from queue import Empty, Queue
from urllib.parse import urlsplit, urlunsplit

import cv2
import numpy as np

from scratchdet.detecting.names import FRAME
from scratchdet.detecting.sources import ADDRESS, CAMERA, is_stream
from scratchdet.detecting.video_file import check_unicode
from scratchdet.detecting.views import View
from scratchdet.structures import DataError

PATIENCE = 10_000  # ms; a server or camera that says nothing for so long is not there any more
USUAL_RATE = 25.0  # frames a second, where a stream does not say, or says what no camera can do
FASTEST = 1000.0  # frames a second; streams that give the ticks of their clock say 90,000
POLL = 0.2  # seconds between two looks at whether the user wants to stop

Stop = Callable[[], bool]
Taken = tuple[int, float, np.ndarray]
"""A frame: its number, its seconds, its pixels as OpenCV has them (BGR)."""


@dataclass(frozen=True, eq=False)
class Video:
    """An open video or stream."""

    reference: str
    """As results call it: see `without_password`."""
    stem: str
    """How files about it are called."""
    live: bool
    """It goes on while one looks: a camera, or a stream without an end."""
    rate: float
    """Frames a second."""
    count: int
    """The frames it has, as far as it says; 0 of a live one."""
    capture: cv2.VideoCapture


def open_video(source: str) -> Video:
    """The video, stream or camera (`webcam`, `webcam:1`); DataError if it cannot be opened.

    A stream is live unless it says how many frames it has, as a file on a web server does.
    """
    reference = without_password(source)
    camera = CAMERA.fullmatch(source)
    waits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, PATIENCE, cv2.CAP_PROP_READ_TIMEOUT_MSEC, PATIENCE]
    check_unicode(source)
    if camera:
        capture = cv2.VideoCapture(int(camera[1] or 0))
    else:
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, waits)
    if not capture.isOpened():
        raise DataError(f"{reference}: {_why_not(reference)}")
    count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    rate = capture.get(cv2.CAP_PROP_FPS)
    return Video(
        reference=reference,
        stem=_stem(reference),
        live=is_stream(source) and count == 0,
        rate=rate if 0 < rate <= FASTEST else USUAL_RATE,
        count=count,
        capture=capture,
    )


def count_frames(source: str) -> int | None:
    """How many frames the file says it has, 0 if it cannot be opened; None of other sources."""
    if is_stream(source):
        return None
    try:
        video = open_video(source)
    except DataError:
        return 0
    video.capture.release()
    return video.count


def _why_not(reference: str) -> str:
    if CAMERA.fullmatch(reference):
        return "there is no such camera, or another program uses it"
    if ADDRESS.fullmatch(reference):
        return "there is no such stream: is the address right, the server up, the password given?"
    return "not a video, or a damaged one"


def without_password(source: str) -> str:
    """The address without `user:password@` and `?user=me&pwd=secret`: results are read by others.

    Other names as they are.
    """
    if not ADDRESS.fullmatch(source):
        return source
    parts = urlsplit(source)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host, query="", fragment=""))


def _stem(reference: str) -> str:
    if not is_stream(reference):
        return PurePath(reference).stem
    parts = urlsplit(reference)
    name = PurePath(parts.path).stem or parts.netloc if parts.netloc else reference
    return re.sub(r"[^\w.-]+", "-", name)  # an address may have signs that no file name can have


def frame_batches(
    video: Video, *, channels: int, batch: int, every: int, stop: Stop
) -> Generator[list[View], None, None]:
    """The frames, a batch at a time, the next of which is decoded meanwhile.

    Of a live video one by one, the newest each time, so that what is seen is never late. every: 2
    for every second frame. The last view of a live video that `stop` did not end, or of a file
    without its end, has an error as its image.
    """
    if video.live:
        yield from ([view] for view in _live_views(video, channels, every, stop))
        return
    views = _recorded_views(video, channels, every)
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(lambda: list(islice(views, batch)))
        while current := coming.result():
            coming = reader.submit(lambda: list(islice(views, batch)))
            yield current


def _recorded_views(video: Video, channels: int, every: int) -> Iterator[View]:
    number = -1
    for taken in _recorded(video, every):
        number = taken[0]
        yield _view(video, taken, channels)
    missing = video.count - 1 - number
    # Some files only estimate how many frames they have; a second is beyond that.
    if missing >= max(every, video.rate):
        what = f"it ends after frame {number} of {video.count}: damaged, or cut off"
        yield View(video.reference, video.stem, DataError(f"{video.reference}: {what}"))


def _recorded(video: Video, every: int) -> Iterator[Taken]:
    number = 0
    while video.capture.grab():
        if number % every == 0:
            seconds = video.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            read, pixels = video.capture.retrieve()
            if read:
                yield number, seconds if seconds > 0 else number / video.rate, pixels
        number += 1


def _live_views(video: Video, channels: int, every: int, stop: Stop) -> Iterator[View]:
    number = -1
    for taken in _newest(video, every, stop):
        number = taken[0]
        yield _view(video, taken, channels)
    if not stop():
        what = f"the stream ended after {number + 1} frames"
        yield View(video.reference, video.stem, DataError(f"{video.reference}: {what}"))


def _newest(video: Video, every: int, stop: Stop) -> Iterator[Taken]:
    """The newest frame whenever one is asked for; those that come meanwhile are passed over."""
    newest: Queue[Taken] = Queue(maxsize=1)
    ended = threading.Event()

    def grab() -> None:
        began = time.monotonic()
        for number in itertools.count():
            if ended.is_set() or not video.capture.grab():
                return
            if number % every:
                continue
            read, pixels = video.capture.retrieve()
            if read:
                with suppress(Empty):
                    newest.get_nowait()  # nobody took it in time
                newest.put((number, time.monotonic() - began, pixels))

    grabbing = threading.Thread(target=grab, daemon=True)
    grabbing.start()
    try:
        while not stop() and (grabbing.is_alive() or not newest.empty()):
            with suppress(Empty):
                yield newest.get(timeout=POLL)
    finally:
        ended.set()
        grabbing.join()


def _view(video: Video, taken: Taken, channels: int) -> View:
    number, seconds, pixels = taken
    grey = channels == 1
    image = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY if grey else cv2.COLOR_BGR2RGB)
    return View(
        reference=video.reference,
        name=f"{video.stem}{FRAME}{number:06d}",
        image=np.atleast_3d(image),
        frame=number,
        seconds=seconds,
    )
