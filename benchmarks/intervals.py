"""How often the 95 % intervals of `scratchdet eval` hold the true AP50, and what they cost.

    python benchmarks/intervals.py [--trials 200]

True is the AP50 of 20,000 made-up images; an interval is that of 5 to 500 of them, drawn at random.
Beside the bias-corrected limits stand the plain percentiles of the same resamples. Costs are CPU
seconds of 1,000 resamples of 500 images of 20 classes with 200 detections each.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import process_time

import numpy as np
from evaluation_speed import made_up
from machine import as_measured

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.intervals import (
    Interval,
    bootstrap,
    draw,
    interval,
    mean_over_classes,
    resampled,
)
from scratchdet.evaluation.metrics import PROTOCOLS, measure
from scratchdet.structures import DetectionData

RESULTS = Path(__file__).parent / "results" / "intervals.json"
POPULATION = 20_000
SAMPLES = (50, 200, 500)
RESAMPLES = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    trials = parser.parse_args().trials
    data, detections = made_up(POPULATION, 60, 3)
    detections = Columns(*(column[np.argsort(detections.image_index)] for column in detections))
    truth = measure(data, detections, protocol="voc")[0].ap50
    as_measured(
        {
            "true_ap50": round(truth, 4),
            "trials": trials,
            "coverage": {
                str(images): coverage(data, detections, truth, images=images, trials=trials)
                for images in SAMPLES
            },
            "cpu_seconds_of_1000_resamples": {name: cost(name) for name in ("voc", "coco")},
        },
        RESULTS,
    )


def coverage(
    data: DetectionData, detections: Columns, truth: float, *, images: int, trials: int
) -> dict[str, float]:
    """The share of trials whose interval holds the truth."""
    rng = np.random.default_rng(images)
    starts = np.searchsorted(detections.image_index, np.arange(len(data) + 1))
    points = PROTOCOLS["voc"].points
    held = {"bias_corrected": 0, "percentiles": 0}
    estimates = []
    for _ in range(trials):
        chosen = rng.choice(len(data), images, replace=False)
        rows = np.concatenate([np.arange(starts[image], starts[image + 1]) for image in chosen])
        counts = (starts[1:] - starts[:-1])[chosen]
        found = Columns(
            np.repeat(np.arange(images), counts), *(column[rows] for column in detections[1:])
        )
        sample = data.subset(chosen)
        metrics, verdicts = measure(sample, found, protocol="voc")
        once = np.ones((images, 1), np.uint8)
        weights = np.concatenate([once, draw(images, RESAMPLES, rng)], axis=1)
        values = mean_over_classes(resampled(sample, verdicts, points, weights=weights)[0])
        limits = {
            "bias_corrected": interval(values),
            "percentiles": Interval(*np.quantile(values[1:], [0.025, 0.975])),
        }
        for name, (low, high) in limits.items():
            held[name] += low <= truth <= high
        estimates.append(metrics.ap50)
    shares = {name: round(count / trials, 3) for name, count in held.items()}
    return {**shares, "mean_estimate": round(float(np.mean(estimates)), 4)}


def cost(protocol: str) -> float:
    """CPU seconds."""
    data, detections = made_up(500, 200, 20)
    _, verdicts = measure(data, detections, protocol=protocol)
    began = process_time()
    bootstrap(data, verdicts, PROTOCOLS[protocol].points, rng=np.random.default_rng(0))
    return round(process_time() - began, 2)


if __name__ == "__main__":
    main()
