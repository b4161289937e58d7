"""Memory and time of a training step of the dense networks, with and without checkpointing.

    python benchmarks/checkpointing.py

Each case in a process of its own, one after the other, twice, interleaved; memory is the largest
that the process had, less what it had before its first step.
"""

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median
from time import perf_counter

import torch

from scratchdet.models.zoo import create_model
from scratchdet.version import describe_code

MODELS = ("dsod300", "grp_dsod320")
CASES = ("off", "blocks")
BATCH = 4
STEPS = 3
REPEATS = 2
RESULTS = Path(__file__).parent / "results" / "checkpointing.json"


def peak_mib() -> float:
    return getrusage(RUSAGE_SELF).ru_maxrss / 1024


def measure(model: str, checkpointing: str) -> dict[str, float]:
    """The memory of forward and backward over a batch, in MiB, and the seconds of a step."""
    torch.manual_seed(0)
    detector = create_model(model, checkpointing=checkpointing).train()
    images = torch.randn(BATCH, 3, *detector.input_size)
    before, seconds = peak_mib(), []
    for _ in range(STEPS):
        start = perf_counter()
        detector.zero_grad()
        raw = detector(images)
        (raw.logits.square().mean() + raw.offsets.square().mean()).backward()
        seconds.append(perf_counter() - start)
    return {"mib": peak_mib() - before, "seconds": min(seconds)}


def main() -> None:
    results: dict[str, dict[str, dict[str, float]]] = {}
    for model in MODELS:
        found: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
        for _ in range(REPEATS):
            for case in CASES:
                command = [sys.executable, __file__, model, case]
                printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found[case].append(json.loads(printed))
        results[model] = {
            case: {key: round(median(one[key] for one in ones), 2) for key in ones[0]}
            for case, ones in found.items()
        }
        off, blocks = (results[model][case] for case in CASES)
        print(
            f"{model}, batch {BATCH}: {off['mib']:.0f} MiB -> {blocks['mib']:.0f} MiB "
            f"({blocks['mib'] / off['mib']:.2f}), step {blocks['seconds'] / off['seconds']:.2f} x"
        )
    about = {
        "task": f"forward and backward of {BATCH} images, fp32, medians of {REPEATS} processes",
        "results": results,
        "machine": f"CPU, {platform.processor() or platform.machine()}, "
        f"{torch.get_num_threads()} threads",
        "versions": {"torch": torch.__version__},
        "commit": describe_code(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    RESULTS.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        main()
