"""Decoding and SSD augmentation of one JPEG: OpenCV (ours) beside torchvision.transforms.v2.

    python benchmarks/augmentation.py

One thread each, the two interleaved, same image and boxes. The image is 500 x 375 (VOC's usual
size), cut out of a photograph that scikit-learn carries, and comes out at 300 x 300.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import cv2
import numpy as np
import torch
import torchvision
from sklearn.datasets import load_sample_image
from torchvision.transforms import v2

from scratchdet.data.augment import augment, ssd
from scratchdet.structures import Sample

REPEATS = 300
WARM_UP = 20
INPUT = (300, 300)
MEAN = np.array([123.0, 117.0, 104.0])
BOXES = np.array([[40, 60, 210, 330], [180, 90, 470, 300], [300, 20, 380, 120]], np.float32)
"""Three objects, about VOC's average, of its usual sizes."""
LABELS = np.array([3, 7, 7])
RESULTS = Path(__file__).parent / "results" / "augmentation.json"


def jpeg() -> bytes:
    """A 500 x 375 JPEG of quality 90."""
    pixels = load_sample_image("china.jpg")[:375, :500]
    encoded = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return encoded.tobytes()


def with_opencv(data: bytes) -> Callable[[], object]:
    """A function that decodes `data` and applies our `ssd` preset."""
    rng = np.random.default_rng(0)
    steps = ssd(INPUT, MEAN)
    buffer = np.frombuffer(data, np.uint8)
    ignore = np.zeros(len(BOXES), bool)

    def once() -> Sample:
        image = cv2.cvtColor(cv2.imdecode(buffer, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return augment(Sample(image, BOXES, LABELS, ignore), steps, rng)

    return once


def with_torchvision(data: bytes) -> Callable[[], object]:
    """A function that decodes `data` and applies the same chain of torchvision's transforms."""
    torch.manual_seed(0)
    chain = v2.Compose(
        [
            v2.RandomPhotometricDistort(
                brightness=(1 - 32 / 255, 1 + 32 / 255),
                contrast=(0.5, 1.5),
                saturation=(0.5, 1.5),
                hue=(-0.1, 0.1),
            ),
            v2.RandomZoomOut(fill=MEAN.tolist(), side_range=(1.0, 4.0), p=0.5),
            v2.RandomIoUCrop(),
            v2.RandomHorizontalFlip(p=0.5),
            v2.Resize(INPUT, antialias=True),
            v2.SanitizeBoundingBoxes(),
        ]
    )
    buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    boxes = torchvision.tv_tensors.BoundingBoxes(
        torch.from_numpy(BOXES), format="XYXY", canvas_size=(375, 500)
    )
    labels = torch.from_numpy(LABELS)

    def once() -> object:
        image = torchvision.tv_tensors.Image(torchvision.io.decode_jpeg(buffer))
        return chain({"image": image, "boxes": boxes, "labels": labels})

    return once


def measure(contestants: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Milliseconds of every call; the contestants take turns, to meet the same machine."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(WARM_UP + REPEATS):
        for name, once in contestants.items():
            start = perf_counter()
            once()
            if round_ >= WARM_UP:
                times[name].append((perf_counter() - start) * 1e3)
    return times


def machine() -> str:
    """The processor's name, as the system gives it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """The commit measured, `-dirty` if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Print the figures and write them to results/augmentation.json."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    data = jpeg()
    times = measure({"opencv": with_opencv(data), "torchvision": with_torchvision(data)})
    medians = {name: round(median(values), 2) for name, values in times.items()}
    worst = {name: round(float(np.percentile(values, 95)), 2) for name, values in times.items()}
    result = {
        "task": "decode + SSD augmentation, 500x375 JPEG -> 300x300, one thread",
        "median_ms": medians,
        "p95_ms": worst,
        "ratio_of_medians": round(medians["torchvision"] / medians["opencv"], 1),
        "repeats": REPEATS,
        "machine": machine(),
        "versions": {"opencv": cv2.__version__, "torchvision": torchvision.__version__},
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
