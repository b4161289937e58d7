"""A detector that needs no weights, images to look at, and a call of `detect` with few words."""

import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from scratchdet.detecting.output import Output
from scratchdet.detecting.run import Summary, Watching, detect
from scratchdet.detecting.sources import Sources, find_sources
from scratchdet.structures import Arrays

BITS = 8  # of the number that a frame of a film shows


class Finder:
    """Finds `count` equal boxes of class `b [x]` in every image, and notes what it was asked."""

    classes = ("a", "b [x]")
    image_dtype, files = "uint8", ""

    def __init__(self, count: int = 1, *, channels: int = 3, image_dtype: str = "uint8") -> None:
        self.count, self.in_channels, self.image_dtype = count, channels, image_dtype
        self.min_scores: list[float] = []
        self.batches: list[int] = []
        self.shapes: list[tuple[int, ...]] = []

    def predict(self, images, *, min_score):
        self.min_scores.append(min_score)
        self.batches.append(len(images))
        self.shapes += [image.shape for image in images]
        boxes = np.tile(np.array([[2.123, 3.0, 20.0, 30.456]], np.float32), (self.count, 1))
        scores = np.full(self.count, 0.87654321, np.float32)
        return [Arrays(boxes, scores, np.ones(self.count, np.int64)) for _ in images]


class Done(NamedTuple):
    """What a call of `detect` did, said and wrote."""

    summary: Summary
    lines: list[dict]
    """Of detections.jsonl."""
    progress: list[tuple[int, int | None]]
    unreadable: list[str]


@pytest.fixture
def finder():
    return Finder


@pytest.fixture
def look():
    """Calls `detect` on what the arguments mean, with the detector that finds one box each."""

    def call(given, out, detector=None, *, formats=("jsonl",), pictures=True, **more) -> Done:
        if not isinstance(given, Sources):
            given = find_sources([str(one) for one in given], leave_out=out)
        progress: list = []
        unreadable: list[str] = []
        summary = detect(
            detector or Finder(),
            given,
            output=Output(folder=out, formats=formats, pictures=pictures),
            least=more.pop("least", np.full(2, 0.4, np.float32)),
            watching=Watching(
                progress=lambda done, total: progress.append((done, total)),
                unreadable=unreadable.append,
                stop=more.pop("stop", lambda: False),
            ),
            **more,
        )
        file = out / "detections.jsonl"
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        return Done(summary, [json.loads(line) for line in text.splitlines()], progress, unreadable)

    return call


@pytest.fixture
def picture():
    """Writes a grey picture, of (height, width)."""

    def write(path: Path, *, size: tuple[int, int] = (40, 30)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded = cv2.imencode(".png", np.full((*size, 3), 90, np.uint8))[1]
        path.write_bytes(encoded.tobytes())
        return path

    return write


@pytest.fixture
def film():
    """Writes a video whose frames show their numbers, see `numbered`."""

    def write(path: Path, *, frames: int = 10, size=(96, 128), rate: float = 10.0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        codec = {".mp4": "mp4v", ".avi": "MJPG"}[path.suffix]
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, size[::-1])
        for number in range(frames):
            writer.write(numbered(number, size))
        writer.release()
        return path

    return write


@pytest.fixture
def frame():
    return numbered


def numbered(number: int, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """A black picture with the number in eight bars along the bottom, white for a one."""
    pixels = np.zeros((*size, 3), np.uint8)
    width = size[1] // BITS
    for bit in range(BITS):
        pixels[-16:, bit * width : (bit + 1) * width] = 255 * (number >> bit & 1)
    return pixels


@pytest.fixture
def numbers():
    """Reads the numbers that the frames of a video show."""

    def read(path: Path) -> list[int]:
        capture = cv2.VideoCapture(str(path))
        found = []
        while True:
            there, pixels = capture.read()
            if not there:
                return found
            bars = pixels[-8:].mean(axis=(0, 2)).reshape(BITS, -1).mean(axis=1) > 128
            found.append(int((bars << np.arange(BITS)).sum()))

    return read
