"""COCO average precision and recall, computed by faster-coco-eval (C++, equal to pycocotools)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from scratchdet.evaluation.columns import Columns
from scratchdet.structures import DetectionData


class Summary(NamedTuple):
    """The nine COCO figures in [0, 1]; NaN where there is nothing to find."""

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float


def figures(
    data: DetectionData, detections: Columns, *, areas: np.ndarray | None = None
) -> tuple[Summary, tuple[float, ...]]:
    """The COCO figures, and per class the AP over IoU 0.5:0.95 (NaN for a class without objects).

    At most 100 detections per image and class count, the best ones.

    `ignore` objects are crowds: detections inside them, however many, are neither hit nor miss.
    `areas` (M,) decide which objects are small, medium and large. COCO's own figures use the area
    of the annotated mask, which `DetectionData` does not hold; without it the box's area is taken,
    which is larger: the three figures shift, the others stay.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise ImportError(
            "the coco protocol needs the package faster-coco-eval: pip install scratchdet[coco]"
        ) from error

    truth = COCO(ground_truth(data, box_areas(data.boxes) if areas is None else areas))
    run = COCOeval_faster(truth, truth.loadRes(results(detections)), iouType="bbox")
    run.evaluate()
    run.accumulate()
    run.summarize()
    precision = run.eval["precision"]  # (IoU, recall, class, area range, detections allowed)
    per_class = [nan_if_absent(precision[:, :, k, 0, -1].mean()) for k in range(len(data.classes))]
    return Summary(*(nan_if_absent(value) for value in run.stats[:9])), tuple(per_class)


def ground_truth(data: DetectionData, areas: np.ndarray) -> dict[str, Any]:
    """The COCO annotation file's content: image i is i + 1, label k is category k + 1."""
    image_index = np.repeat(np.arange(len(data)), np.diff(data.offsets))
    columns = zip(
        image_index.tolist(),
        data.labels.tolist(),
        xywh(data.boxes).tolist(),
        areas.tolist(),
        data.ignore.tolist(),
        strict=True,
    )
    return {
        "images": [
            {"id": index + 1, "width": width, "height": height}
            for index, (width, height) in enumerate(data.sizes.tolist())
        ],
        "categories": [{"id": k + 1, "name": name} for k, name in enumerate(data.classes)],
        "annotations": [
            {
                "id": row + 1,
                "image_id": image + 1,
                "category_id": label + 1,
                "bbox": box,
                "area": box_area,
                "iscrowd": int(ignore),
            }
            for row, (image, label, box, box_area, ignore) in enumerate(columns)
        ],
    }


def results(detections: Columns) -> list[dict[str, Any]]:
    """The COCO result file's content, numbered as in `ground_truth`."""
    columns = zip(
        detections.image_index.tolist(),
        detections.labels.tolist(),
        xywh(detections.boxes).tolist(),
        detections.scores.tolist(),
        strict=True,
    )
    return [
        {"image_id": image + 1, "category_id": label + 1, "bbox": box, "score": score}
        for image, label, box, score in columns
    ]


def xywh(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) float64 left, top, width, height."""
    boxes = boxes.astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """(N,) float64."""
    return np.prod(xywh(boxes)[:, 2:], axis=1)


def nan_if_absent(value: float) -> float:
    """`value`, but NaN for the evaluator's -1."""
    return math.nan if value == -1 else float(value)
