"""What `scratchdet detect` costs: one image from a cold start, and many, by the size of the batch.

    OMP_NUM_THREADS=2 python benchmarks/detecting.py IMAGES MODEL [MODEL ...]

Every figure is of whole commands, each in a process of its own. On a machine that has other work to
do the clock says little: CPU seconds are what a core of its own would take, at best.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from machine import as_measured

RESULTS = Path(__file__).parent / "results" / "detecting.json"
COLD_STARTS = 5
BATCHES = (1, 2, 4, 8)


def run(model: Path, images: Path, *flags: str) -> tuple[float, float]:
    """Seconds by the clock, and of the CPU, that the command takes."""
    before, began = os.times(), perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "scratchdet", "detect", model, images, *flags]
        out = Path(folder) / "out"
        subprocess.run([*map(str, command), "--out", out], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system
    return perf_counter() - began, cpu - before.children_system


def measure(model: Path, images: Path) -> dict[str, object]:
    files = sorted(images.iterdir())
    starts = [run(model, files[0]) for _ in range(COLD_STARTS)]
    seconds, cpu = (median(column) for column in zip(*starts, strict=True))
    per_image = {}
    for batch in BATCHES:
        _, all_cpu = run(model, images, "--no-pictures", "--batch", str(batch))
        per_image[batch] = round((all_cpu - cpu) / (len(files) - 1) * 1000, 1)
    _, all_cpu = run(model, images)
    return {
        "cold_start_seconds": round(seconds, 2),
        "cold_start_cpu_seconds": round(cpu, 2),
        "cpu_ms_per_image_by_batch": per_image,
        "cpu_ms_per_image_with_pictures": round((all_cpu - cpu) / (len(files) - 1) * 1000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("images", type=Path, help="a folder of images and nothing else")
    parser.add_argument("models", type=Path, nargs="+")
    given = parser.parse_args()
    result: dict[str, object] = {
        "task": f"detect in {len(list(given.images.iterdir()))} images",
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
    }
    for model in given.models:
        result[model.name] = measure(model, given.images)
    as_measured(result, RESULTS)


if __name__ == "__main__":
    main()
