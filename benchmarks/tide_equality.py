"""Our error breakdown beside that of tidecv, TIDE's own program, on made-up detections.

    pip install tidecv==1.0.1
    python benchmarks/tide_equality.py

Counts and costs are equal, but for the cures of classification and localisation: see
docs/evaluation.md. tidecv is in none of our extras; neither needs torch.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
from evaluation_speed import made_up
from machine import as_measured

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.errors import break_down
from scratchdet.evaluation.metrics import PROTOCOLS, measure
from scratchdet.structures import DetectionData

RESULTS = Path(__file__).parent / "results" / "tide_equality.json"
NAMES = {
    "Cls": "classification",
    "Loc": "localisation",
    "Both": "both",
    "Dupe": "duplicate",
    "Bkg": "background",
    "Miss": "missed",
}


def main() -> None:
    data, detections = made_up(150, 60, 4)
    real = ~data.ignore  # crowds are another matter: TIDE takes them by their masks
    kept = np.concatenate([[0], np.cumsum(real)])[data.offsets]
    data = DetectionData(
        classes=data.classes,
        ids=data.ids,
        paths=data.paths,
        sizes=data.sizes,
        offsets=kept,
        boxes=data.boxes[real],
        labels=data.labels[real],
        ignore=data.ignore[real],
    )
    # No two scores alike: of equal ones tidecv changes the order when it cures an error.
    places = np.argsort(np.argsort(detections.scores, kind="stable"))
    detections = detections._replace(scores=(places / len(places)).astype(np.float32))
    metrics, verdicts = measure(data, detections, protocol="coco")
    ours = break_down(data, verdicts, PROTOCOLS["coco"].points)
    as_measured(
        {
            "objects": data.num_objects,
            "detections": len(detections.scores),
            "tidecv": version("tidecv"),
            "ours": {"ap50": metrics.ap50, **ours.to_json()},
            "theirs": by_tidecv(data, detections),
        },
        RESULTS,
    )


def by_tidecv(data: DetectionData, detections: Columns) -> dict[str, object]:
    """Their AP50, counts and costs, under our names."""
    from tidecv import TIDE, Data

    truth, found = Data("truth"), Data("found")
    for image, name in enumerate(data.ids):
        truth.add_image(image, name)
    for label, name in enumerate(data.classes):
        truth.add_class(label, name)
    images = np.repeat(np.arange(len(data)), np.diff(data.offsets))
    for image, label, box in zip(images, data.labels, xywh(data.boxes), strict=True):
        truth.add_ground_truth(int(image), int(label), box, None)
    columns = (detections.image_index, detections.labels, detections.scores)
    for image, label, score, box in zip(*columns, xywh(detections.boxes), strict=True):
        found.add_detection(int(image), int(label), float(score), box, None)
    tide = TIDE()
    run = tide.evaluate(truth, found, mode=TIDE.BOX)
    main_errors, special = tide.get_all_errors()["main"], tide.get_all_errors()["special"]
    numbers = {kind.short_name: len(errors) for kind, errors in run.error_dict.items()}
    return {
        "ap50": run.ap / 100,
        **{
            ours: {"number": numbers[short], "ap50": main_errors["found"][short] / 100}
            for short, ours in NAMES.items()
        },
        "false positives": {"ap50": special["found"]["FalsePos"] / 100},
        "false negatives": {"ap50": special["found"]["FalseNeg"] / 100},
    }


def xywh(boxes: np.ndarray) -> list[list[float]]:
    boxes = boxes.astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()


if __name__ == "__main__":
    main()
