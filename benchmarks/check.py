"""What a check of the data costs: prints while images are decoded, near duplicates among 100,000.

    python -m benchmarks.check path/to/images

Writes benchmarks/results/check.json.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from benchmarks.machine import as_measured
from scratchdet.data.duplicates import near_pairs
from scratchdet.data.images import EXTENSIONS, decode
from scratchdet.data.looks import BITS, print_of
from scratchdet.data.looks import _digest as digest_of
from scratchdet.ops.pixels import mean_and_variance

RESULT = Path(__file__).parent / "results/check.json"
IMAGES = 100  # that are timed
REPEATS = 7  # the fastest counts
COPIES = 0.02  # share of the synthetic prints that are another one's with a few bits flipped

Item = TypeVar("Item")


def milliseconds(function: Callable[[Item], object], items: Sequence[Item]) -> float:
    """Of processor time, for one item."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        for item in items:
            function(item)
        best = min(best, (time.process_time() - start) / len(items))
    return best * 1e3


def of_images(folder: Path) -> dict[str, float]:
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in EXTENSIONS]
    files = files[:IMAGES]
    pixels = [decode(file).pixels for file in files]
    seen = [(one, *mean_and_variance(one)) for one in pixels]
    return {
        "images": len(files),
        "decode_ms": milliseconds(decode, files),
        "mean_and_variance_ms": milliseconds(mean_and_variance, pixels),
        "digest_ms": milliseconds(lambda one: digest_of(*one), seen),
        "print_ms": milliseconds(print_of, pixels),
    }


def of_changes(folder: Path) -> dict[str, list[float]]:
    """Bits between the prints of an image and of a changed one: the median, and 95 % are below."""
    rng = np.random.default_rng(0)
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in EXTENSIONS]
    bits: dict[str, list[int]] = {}
    for file in files[:IMAGES]:
        image = decode(file).pixels
        height, width = image.shape[:2]
        left, top = max(1, width // 100), max(1, height // 100)
        noise = rng.normal(0, 6, image.shape)
        changed = {
            "JPEG of quality 50": cv2.imdecode(cv2.imencode(".jpg", image, [1, 50])[1], 1),
            "half the size": cv2.resize(
                image, (width // 2, height // 2), interpolation=cv2.INTER_AREA
            ),
            "15 % brighter": np.clip(image * 1.15, 0, 255).astype(np.uint8),
            "noise of 6 levels": np.clip(image + noise, 0, 255).astype(np.uint8),
            "1 % cut off each side": image[top:-top, left:-left],
        }
        for name, other in changed.items():
            differing = np.bitwise_count(print_of(image) ^ print_of(other)).sum()
            bits.setdefault(name, []).append(int(differing))
    return {name: np.percentile(found, [50, 95]).tolist() for name, found in bits.items()}


def of_prints(count: int) -> dict[str, float]:
    """Seconds to find near duplicates among random prints, and how many of those put in."""
    rng = np.random.default_rng(0)
    prints = rng.integers(0, 256, (count, BITS // 8), np.uint8)
    copies = int(count * COPIES)
    flipped = np.zeros((copies, BITS), np.uint8)
    for row, bits in enumerate(rng.integers(1, 33, copies)):
        flipped[row, rng.choice(BITS, bits, replace=False)] = 1
    prints[-copies:] = prints[:copies] ^ np.packbits(flipped, axis=1)
    start = time.process_time()
    found = near_pairs(prints)
    seconds = time.process_time() - start
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    hit = sum((row, count - copies + row) in pairs for row in range(copies))
    return {"prints": count, "seconds": seconds, "copies": copies, "copies_found": hit}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    folder = parser.parse_args().images
    cv2.setNumThreads(1)
    as_measured(
        {
            "decoding": of_images(folder),
            "changes_bits": of_changes(folder),
            "near_pairs": [of_prints(count) for count in (1_000, 10_000, 100_000)],
        },
        RESULT,
    )


if __name__ == "__main__":
    main()
