"""One image at a time on this CPU: torchvision's SSD300, and ours in PyTorch, exported, in INT8.

    python benchmarks/inference_speed.py --out benchmarks/results/inference_speed.json

All from pixels to detections; untrained networks, twenty classes, so non-maximum suppression has
as much to do as it ever can. The candidates take turns in one process, and the figure of each is
the median: quote ratios. OpenVINO is left out where it is not installed.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import machine
import numpy as np
import torch
from torchvision.models.detection import ssd300_vgg16

from scratchdet.export.engines import open_file
from scratchdet.export.int8 import SAVERS, quantise
from scratchdet.export.onnx import make_card, session_of
from scratchdet.export.pictures import generated
from scratchdet.export.to_onnx import to_onnx
from scratchdet.export.verify import verify
from scratchdet.models.zoo import create_model

MODELS = ("ssd300_vgg16", "scratchdet_nano", "dsod300_smallest")
CLASSES = 20
CALIBRATION = 4  # images: the speed does not depend on what the ranges are
BASELINE = "torchvision ssd300_vgg16, PyTorch"


def torchvisions() -> Callable[[], object]:
    network = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=CLASSES + 1).eval()
    image = torch.rand(3, 300, 300)

    def run() -> object:
        with torch.inference_mode():
            return network([image])

    return run


def ours(name: str, *, threads: int) -> dict[str, Callable[[], object]]:
    """The network `name` in PyTorch, and in every engine in float32 and INT8."""
    torch.manual_seed(0)
    detector = create_model(name, CLASSES).eval()
    images = generated(detector, count=CALIBRATION)
    card = make_card(detector)
    exported = to_onnx(detector, card)
    verify(detector, session_of(exported), images, card=card)
    networks = {
        "float32": exported,
        "INT8": quantise(exported, images, size=detector.input_size),
    }
    image = np.random.default_rng(0).integers(0, 256, (*detector.input_size, 3), dtype=np.uint8)
    runs: dict[str, Callable[[], object]] = {
        f"{name}, PyTorch": lambda: detector.predict([image], top_per_class=card.top_per_class)
    }
    engines = {"onnxruntime": ".onnx", "OpenVINO": ".xml"}
    if find_spec("openvino") is None:
        del engines["OpenVINO"]
    for engine, suffix in engines.items():
        for precision, network in networks.items():
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / f"network{suffix}"
                SAVERS[suffix](network, file, metadata=card.to_strings())
                run, _ = open_file(file, threads=threads)
            runs[f"{name}, {engine} {precision}"] = lambda run=run: run(image[None])
    return runs


def measure(runs: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each, in turns; the first of each is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if number:
                taken[name].append(1e3 * (time.perf_counter() - began))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    runs = {BASELINE: torchvisions()}
    for name in given.models:
        runs |= ours(name, threads=given.threads)
    taken = measure(runs, rounds=given.rounds)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    result: dict[str, object] = {
        "rounds": given.rounds,
        "threads": given.threads,
        "torch": torch.__version__,
        "rows": {
            name: {
                "median_ms": round(medians[name], 1),
                "least_ms": round(min(times), 1),
                "times_torchvision": round(medians[BASELINE] / medians[name], 2),
                # Of the same round, which other work on the machine slows down alike.
                "median_ratio": round(
                    statistics.median(np.divide(taken[BASELINE], times).tolist()), 2
                ),
            }
            for name, times in taken.items()
        },
    }
    machine.as_measured(result, given.out)


if __name__ == "__main__":
    main()
