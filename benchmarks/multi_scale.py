"""What mirrored images, further input sizes, size ranges and box voting bring or cost.

    python benchmarks/multi_scale.py runs/bccd ../shared/data/bccd test

Evaluates the best model of a run on a split, and writes `results/multi_scale_NAME.json`, where NAME
is that of the data's folder. The scales are those of the recipe in the model. Every pass is
computed once, and its time counted in each row that has it: process time, one thread, so that other
work on the machine changes it little.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from time import process_time

import machine
import torch

from scratchdet.evaluation.columns import from_detections
from scratchdet.evaluation.metrics import evaluate_detections
from scratchdet.evaluation.run import detect_all, read_known
from scratchdet.models.saved import find_model, load_model, read_metadata
from scratchdet.recipe import ScalesRecipe
from scratchdet.recipe_toml import from_toml
from scratchdet.recipes import load_recipe
from scratchdet.structures import Arrays, DetectionData, Predictor, as_arrays
from scratchdet.testing.multi_scale import MultiScale

RESULTS = Path(__file__).parent / "results"
PAPER = "scratchdet300_voc0712"  # a recipe with RefineDet's seven scales


class Remembered:
    """A predictor that computes every answer once, and counts its seconds each time it is asked."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.answers = predictor, {}
        self.classes, self.in_channels = predictor.classes, predictor.in_channels
        self.image_dtype, self.files = predictor.image_dtype, predictor.files
        self.input_size, self.seconds = predictor.input_size, 0.0

    def predict(self, images, *, input_size=None, **choices) -> list[Arrays]:
        found = []
        for image in images:
            key = hash((image.tobytes(), image.shape, input_size))
            if key not in self.answers:
                start = process_time()
                (one,) = self.predictor.predict([image], input_size=input_size, **choices)
                self.answers[key] = as_arrays(one), process_time() - start
            answer, seconds = self.answers[key]
            self.seconds += seconds
            found.append(answer)
        return found


def figures(predictor: Predictor, data: DetectionData, *, asked: Remembered) -> dict[str, float]:
    """AP and milliseconds of `predictor`, which asks `asked`."""
    asked.seconds = 0.0
    found = from_detections(detect_all(predictor, data))
    voc = evaluate_detections(data, found, protocol="voc")
    coco = evaluate_detections(data, found, protocol="coco")
    names = ("ap", "ap75", "ap_small", "ap_medium", "ap_large")
    return {
        "ap50": round(voc.ap50, 5),
        **{name: round(getattr(coco, name), 5) for name in names},
        "ms_per_image": round(1e3 * asked.seconds / len(data)),
    }


def rows(scales: ScalesRecipe, asked: Remembered) -> dict[str, Predictor]:
    """What is compared: each has one part more than the one before; the last two are others."""
    one, count = {"scales": (1.0,), "smallest": (0.0,), "largest": (1.0,)}, len(scales.scales)
    every = {"scales": scales.scales, "smallest": (0.0,) * count, "largest": (1.0,) * count}
    sized = {**every, "smallest": scales.smallest, "largest": scales.largest}
    nms, iou = {"flip": True, "merge": "nms"}, {"merge_iou": scales.merge_iou}
    return {
        "one pass": asked,
        "+ mirrored": MultiScale(asked, **one, **nms, **iou),
        "+ scales": MultiScale(asked, **every, **nms, **iou),
        "+ size ranges": MultiScale(asked, **sized, **nms, **iou),
        "+ voting": MultiScale(asked, **sized, flip=True, merge="vote", **iou),
        "mirrored, voting": MultiScale(asked, **one, flip=True, merge="vote", **iou),
        "RefineDet's scales": MultiScale(asked, **asdict(load_recipe(PAPER).testing)),
    }


def main() -> None:
    torch.set_num_threads(1)
    run, source, split = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    metadata = read_metadata(find_model(run))
    scales = from_toml(metadata.get("recipe", ""), source=str(run), bases={}).testing
    asked = Remembered(load_model(run))
    data = read_known(source, split=split, detector=asked)
    table = {}
    for name, predictor in rows(scales, asked).items():
        table[name] = figures(predictor, data, asked=asked)
        print(f"{name:20}", *(f"{key} {value}" for key, value in table[name].items()), flush=True)
    result = {
        "model": f"{run.name}, step {metadata.get('step', '?')}, code {metadata.get('code', '?')}",
        "data": f"{source.name} {split}, {len(data)} images",
        "input_size": asked.input_size,
        "testing": {name: getattr(scales, name) for name in ("scales", "smallest", "largest")},
        "rows": table,
    }
    machine.as_measured(result, RESULTS / f"multi_scale_{source.name}.json")


if __name__ == "__main__":
    main()
