"""What a pack costs to write, and what a read out of it costs, beside the same files in a folder.

    python benchmarks/packing.py

2,000 JPEGs of 500 x 375 (parts of a photograph that scikit-learn carries), all in the page cache:
what a disk or a network drive adds is not in these figures. One thread.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from time import perf_counter

import cv2
import numpy as np
from machine import as_measured
from sklearn.datasets import load_sample_image

from scratchdet.data.formats import read_data
from scratchdet.data.images import read_image
from scratchdet.data.pack import pack
from scratchdet.data.pack_file import find_damages
from scratchdet.data.references import read_bytes

IMAGES = 2000
DECODED = 300
RESULTS = Path(__file__).parent / "results" / "packing.json"


def write_yolo(root: Path) -> None:
    """A YOLO folder of photographs, each cut out at another place."""
    photograph = load_sample_image("china.jpg")[:, :, ::-1]
    rng = np.random.default_rng(0)
    (root / "images/train").mkdir(parents=True)
    (root / "labels/train").mkdir(parents=True)
    (root / "classes.txt").write_text("thing")
    for number in range(IMAGES):
        top, left = rng.integers(0, (427 - 375, 640 - 500))
        pixels = np.ascontiguousarray(photograph[top : top + 375, left : left + 500])
        jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        (root / f"images/train/{number:06d}.jpg").write_bytes(jpeg.tobytes())
        (root / f"labels/train/{number:06d}.txt").write_text("0 0.5 0.5 0.5 0.5\n")


def timed(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def microseconds(read: Callable[[str], object], paths: Iterable[str]) -> float:
    """The median of all."""
    return round(1e6 * median(timed(lambda path=path: read(path)) for path in paths), 1)


def main() -> None:
    """Print the figures and write them to results/packing.json."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary, "data"), Path(temporary, "data.lmdb")
        write_yolo(folder)
        megabytes = sum(file.stat().st_size for file in folder.rglob("*.jpg")) / 1e6
        times = [timed(lambda: pack(folder, out)) for _ in range(3)]
        checks = [timed(lambda: find_damages(out)) for _ in range(3)]
        places = {"folder": list(read_data(folder).paths), "pack": list(read_data(out).paths)}
        value = bytes(read_bytes(places["pack"][0]))
        result: dict[str, object] = {
            "task": "YOLO folder of 500x375 JPEGs to a pack; reads of both, from the page cache",
            "images": IMAGES,
            "images_mb": round(megabytes, 1),
            "pack_mb": round(out.stat().st_size / 1e6, 1),
            "pack_seconds": round(median(times), 2),
            "verify_seconds": round(median(checks), 2),
            "read_us": {name: microseconds(read_bytes, paths) for name, paths in places.items()},
            "checksum_us_of_it": microseconds(lambda _: zlib.crc32(value), places["pack"]),
            "read_and_decode_us": {
                name: microseconds(read_image, paths[:DECODED]) for name, paths in places.items()
            },
        }
    as_measured(result, RESULTS)


if __name__ == "__main__":
    main()
