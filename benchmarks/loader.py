"""Images per second that the loader delivers, with and without decoded images kept in memory.

    python benchmarks/loader.py

Nothing trains beside it. The images are 640 x 480 JPEGs (BCCD's size) cut out of photographs that
scikit-learn carries, augmented as for SSD300. Every case several times, interleaved; `filling` is
the first epoch with the cache, which decodes and stores. Workers are started before the clock.
"""

import json
import os
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import cv2
import numpy as np
import torch
from sklearn.datasets import load_sample_images

from scratchdet.data.augment import ssd
from scratchdet.data.augment_mix import copy_paste, mosaic
from scratchdet.data.cache import ImageCache
from scratchdet.data.dataset import TrainingSamples
from scratchdet.data.loader import make_batches
from scratchdet.data.order import SampleOrder
from scratchdet.structures import Record, from_records
from scratchdet.version import describe_code

IMAGES = 256
SIZE = (640, 480)
BATCH = 32
REPEATS = 5
MEAN = np.array([123.0, 117.0, 104.0])
MIXES = {"mosaic": ((1.0, mosaic),), "copy_paste": ((1.0, copy_paste),)}
RESULTS = Path(__file__).parent / "results" / "loader.json"


def write_images(folder: Path) -> list[Record]:
    """JPEGs of quality 90 with ten boxes each, all different."""
    rng = np.random.default_rng(0)
    photographs = load_sample_images().images
    records = []
    for number in range(IMAGES):
        whole = photographs[number % len(photographs)]
        top, left = rng.integers(0, 100, 2)
        pixels = cv2.resize(whole[top : top + 320, left : left + 427], SIZE)
        path = folder / f"{number:03d}.jpg"
        cv2.imwrite(str(path), pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        low = rng.uniform(0, 300, (10, 2))
        boxes = np.concatenate([low, low + rng.uniform(40, 170, (10, 2))], axis=1)
        labels, ignore = rng.integers(0, 3, 10), np.zeros(10, bool)
        records.append(Record(path.stem, path, SIZE, boxes.astype(np.float32), labels, ignore))
    return records


def images_per_second(samples: TrainingSamples, workers: int) -> float:
    """One epoch, after one batch that starts the workers."""
    steps = IMAGES // BATCH
    order = SampleOrder(IMAGES, batch=BATCH, seed=0, start=0, stop=steps + 1)
    batches = make_batches(samples, order=order, workers=workers, pin=False)
    next(batches)
    start = perf_counter()
    for _ in batches:
        pass
    return steps * BATCH / (perf_counter() - start)


def measure(records: list[Record]) -> dict[str, dict[str, float]]:
    data = from_records(records, ("a", "b", "c"))
    steps = ssd((300, 300), MEAN)
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(REPEATS):
        for workers in (0, 1, 2):
            cache = ImageCache(data.sizes, channels=3, dtype=np.dtype(np.uint8))
            speeds = found.setdefault(f"{workers} workers", {})
            for case, kept in (("off", None), ("filling", cache), ("filled", cache)):
                samples = TrainingSamples(data, steps, channels=3, seed=0, cache=kept)
                speeds.setdefault(case, []).append(images_per_second(samples, workers))
            if workers == 0:
                for case, mixes in MIXES.items():
                    samples = TrainingSamples(
                        data, steps, channels=3, seed=0, cache=cache, mixes=mixes
                    )
                    speeds.setdefault(f"filled, {case}", []).append(images_per_second(samples, 0))
    return {
        case: {name: round(median(values), 1) for name, values in speeds.items()}
        for case, speeds in found.items()
    }


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(write_images(Path(folder)))
    for case, speeds in results.items():
        listed = ", ".join(f"{name} {speed:.0f}" for name, speed in speeds.items())
        print(f"{case}: {listed} images/s; cache {speeds['filled'] / speeds['off']:.2f} x")
    about = {
        "task": f"{IMAGES} JPEGs of {SIZE[0]} x {SIZE[1]} to SSD300 samples, batches of {BATCH}; "
        f"images/s, medians of {REPEATS} epochs",
        "results": results,
        "machine": f"{len(os.sched_getaffinity(0))} cores, "
        f"{platform.processor() or platform.machine()}; load {os.getloadavg()[0]:.1f} at the end",
        "versions": {"torch": torch.__version__, "opencv": cv2.__version__},
        "commit": describe_code(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    RESULTS.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
