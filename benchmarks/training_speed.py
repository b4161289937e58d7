"""How long a training step takes: every precision, compiled or not, on whatever device is there.

    python benchmarks/training_speed.py --out benchmarks/results/training_speed_NAME.json

Steps of noise with sixteen objects in each image, nothing is read; the median step of each, with
the peak memory on a GPU. Side by side in one process: quote ratios.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from scratchdet.data.loader import Batch
from scratchdet.files import write_text
from scratchdet.recipe import Recipe, differing
from scratchdet.structures import Targets, from_records
from scratchdet.train.device import choose_device, describe_device, prefer_speed
from scratchdet.train.prepare import Prepared
from scratchdet.train.setup import build, make_loss
from scratchdet.train.step import train_step
from scratchdet.version import describe_code

OBJECTS = 16
PRECISIONS = ("fp32", "bf16", "fp16")


def noise(recipe: Recipe, images: int) -> Batch:
    height, width = recipe.model.input_size
    corners = torch.rand(images, OBJECTS, 2, 2) * torch.tensor([width, height])
    boxes = torch.cat([corners.amin(2), corners.amax(2) + 1], dim=-1)
    labels = torch.randint(0, 20, (images, OBJECTS))
    pixels = torch.randint(0, 255, (images, height, width, 3), dtype=torch.uint8)
    return Batch(pixels, Targets(boxes, labels, labels < 0), keys=((0, 0),) * images)


def no_data() -> Prepared:
    """What a network is built for: three channels and twenty classes."""
    return Prepared(
        train=from_records([], [f"class {label}" for label in range(20)]),
        val=None,
        val_split="",
        test=None,
        channels=3,
        mean=np.full(3, 127.5),
        std=np.full(3, 64.0),
        notes=(),
        problems=(),
    )


def measure(recipe: Recipe, device: torch.device, steps: int) -> dict[str, float]:
    """Median milliseconds of a step after the first three; peak memory in MiB on a GPU."""
    training = build(recipe, no_data(), device)
    training.detector.train()
    loss = make_loss(recipe.optim, training.detector)
    batch = noise(recipe, recipe.data.batch)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for _ in range(steps + 3):
        began = time.perf_counter()
        train_step(training, batch, loss, precision=recipe.run.precision, clip_norm=0.0)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
    median = statistics.median(seconds[3:])
    return {
        "ms": round(1000 * median, 2),
        "images_per_second": round(recipe.data.batch / median, 1),
        "peak_mib": round(peak),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["scratchdet_nano"])
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--compile", action="store_true", help="compiled as well")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    device = choose_device("auto")
    prefer_speed(device)
    rows = []
    for model in given.models:
        for precision in given.precisions:
            for compiled in (False, True) if given.compile else (False,):
                recipe = differing(
                    Recipe(),
                    model={"name": model, "input_size": (given.size, given.size)},
                    data={"batch": given.batch},
                    run={"precision": precision, "compile": compiled},
                )
                row = {"model": model, "precision": precision, "compiled": compiled}
                rows.append(row | measure(recipe, device, given.steps))
                print(rows[-1], flush=True)
    result = {
        "device": describe_device(str(device)),
        "commit": describe_code(),
        "size": given.size,
        "batch": given.batch,
        "steps": given.steps,
        "rows": rows,
    }
    if given.out:
        write_text(given.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
