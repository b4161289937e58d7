"""How long VOC's and COCO's figures of a million detections take, beside pycocotools.

    python benchmarks/evaluation_speed.py [--images 5000] [--per-image 200] [--classes 20]

The data are made up, and like a detector's: objects of all sizes, a fiftieth of them crowds; half
of the objects found, well or badly, some of them twice, the rest of the detections anywhere with
low scores. Files of the detections are written and read again, too. Each task runs in a process of
its own, so that its peak of memory is its own. The figures of both must agree to 1e-6, all nine and
those of each class, or there is no result. CPU seconds are what counts where other work is going on
(`load` in the results).
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np
from machine import as_measured, peak_memory

from scratchdet.data.coco_ids import Ids
from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.detections_file import read_detections
from scratchdet.evaluation.metrics import evaluate_detections
from scratchdet.evaluation.submission import write_coco_submission, write_voc_submission
from scratchdet.structures import DetectionData, Strings

RESULTS = Path(__file__).parent / "results" / "evaluation_speed.json"
FIGURES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")
WIDTH, HEIGHT = 640, 480
OBJECTS = 8
"""Of an image on average, COCO has 7.3."""


def made_up(images: int, per_image: int, classes: int) -> tuple[DetectionData, Columns]:
    """Data, and `per_image` detections in each image."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(OBJECTS, images)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    total = int(offsets[-1])
    boxes = anywhere(rng, total)
    data = DetectionData(
        classes=tuple(f"class {label}" for label in range(classes)),
        ids=Strings(map(str, range(images))),
        paths=Strings(f"{index}.jpg" for index in range(images)),
        sizes=np.tile(np.array([[WIDTH, HEIGHT]], np.int32), (images, 1)),
        offsets=offsets,
        boxes=boxes,
        labels=rng.integers(0, classes, total).astype(np.int32),
        ignore=rng.random(total) < 0.02,
    )
    found = rng.integers(0, total, int(0.75 * total))  # some twice, some not at all
    sides = np.tile(boxes[found, 2:] - boxes[found, :2], 2)
    noise = rng.exponential(0.06, (len(found), 1))
    near = boxes[found] + (rng.normal(0, 1, sides.shape) * noise * sides).astype(np.float32)
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    surplus = images * per_image - len(found)
    image_of_object = np.repeat(np.arange(images), counts)
    # As many in each image as there is room for, so that all have `per_image`.
    room = per_image - np.bincount(image_of_object[found], minlength=images)
    assert room.min() >= 0, "more detections an image are needed"
    detections = Columns(
        image_index=np.concatenate([image_of_object[found], np.repeat(np.arange(images), room)]),
        boxes=np.concatenate([near, anywhere(rng, surplus)]),
        scores=np.concatenate(
            [np.exp(-4 * noise[:, 0] * rng.random(len(found))), rng.beta(1, 8, surplus)]
        )
        .round(3)  # so that many are equal
        .astype(np.float32),
        labels=np.concatenate([data.labels[found], rng.integers(0, classes, surplus)]),
    )
    order = np.lexsort((-detections.scores, detections.image_index))  # as a detector gives them
    return data, Columns(*(column[order] for column in detections))


def anywhere(rng: np.random.Generator, count: int) -> np.ndarray:
    """Boxes of 5 to 300 pixels inside the image, all sizes as likely on a logarithmic scale."""
    sides = np.exp(rng.uniform(np.log(5), np.log(300), (count, 2)))
    corners = rng.random((count, 2)) * ([WIDTH, HEIGHT] - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def by_voc(data: DetectionData, detections: Columns) -> list[float]:
    metrics = evaluate_detections(data, detections, protocol="voc")
    return [metrics.ap50, *metrics.ap_per_class.values()]


def by_coco(data: DetectionData, detections: Columns) -> list[float]:
    """The nine figures, then that of each class; as COCO's evaluators say it, -1 for undefined."""
    metrics = evaluate_detections(data, detections, protocol="coco")
    figures = [getattr(metrics, name) for name in FIGURES] + list(metrics.ap_per_class.values())
    return np.nan_to_num(figures, nan=-1).tolist()


def by_pycocotools(data: DetectionData, detections: Columns) -> list[float]:
    """As `by_coco`, from the content of the files in memory."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = coco_truth(data)
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(coco_results(detections)), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return [*run.stats[:9], *run.eval["precision"][..., 0, -1].mean(axis=(0, 1))]


def coco_file(data: DetectionData, detections: Columns) -> list[float]:
    """Writes COCO's result JSON and reads it again; there is nothing to tell."""
    ids = Ids(
        {name: int(name) for name in data.ids}, {name: [k] for k, name in enumerate(data.classes)}
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        write_coco_submission(file, data, detections, ids=ids)
        assert len(read_detections(file, data, ids=ids).detections.scores) == len(detections.scores)
    return []


def voc_files(data: DetectionData, detections: Columns) -> list[float]:
    """As `coco_file`, VOC's files."""
    with TemporaryDirectory() as folder:
        write_voc_submission(Path(folder), data, detections)
        assert len(read_detections(Path(folder), data).detections.scores) == len(detections.scores)
    return []


def coco_truth(data: DetectionData) -> dict[str, Any]:
    """The content of an annotation file: image i is i + 1, label k is category k + 1."""
    images = np.repeat(np.arange(len(data)), np.diff(data.offsets)).tolist()
    columns = zip(images, data.labels.tolist(), xywh(data.boxes), data.ignore.tolist(), strict=True)
    return {
        "images": [{"id": index + 1} for index in range(len(data))],
        "categories": [{"id": k + 1, "name": name} for k, name in enumerate(data.classes)],
        "annotations": [
            {
                "id": row + 1,
                "image_id": image + 1,
                "category_id": label + 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(ignore),
            }
            for row, (image, label, box, ignore) in enumerate(columns)
        ],
    }


def coco_results(detections: Columns) -> list[dict[str, Any]]:
    """The content of a result file, numbered as in `coco_truth`."""
    columns = (detections.image_index, detections.labels, detections.scores)
    rows = zip(*(column.tolist() for column in columns), xywh(detections.boxes), strict=True)
    return [
        {"image_id": image + 1, "category_id": label + 1, "bbox": box, "score": score}
        for image, label, score, box in rows
    ]


def xywh(boxes: np.ndarray) -> list[list[float]]:
    boxes = boxes.astype(np.float64)
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).tolist()


def timed(evaluation: Callable[..., list[float]], size: tuple[int, int, int]) -> dict[str, Any]:
    """The figures, seconds and memory of one evaluation, run in this process."""
    inputs = made_up(*size)
    before = peak_memory()
    start, cpu = perf_counter(), process_time()
    figures = evaluation(*inputs)
    return {
        "seconds": round(perf_counter() - start, 2),
        "cpu_seconds": round(process_time() - cpu, 2),
        "peak_memory_mb": peak_memory(),
        "of_which_data_mb": before,
        "figures": figures,
    }


def alone(evaluation: Callable[..., list[float]], size: tuple[int, int, int]) -> dict[str, Any]:
    """As `timed`, in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(timed, (evaluation, size))


def main() -> None:
    """Print the figures and write them to results/evaluation_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--per-image", type=int, default=200)
    parser.add_argument("--classes", type=int, default=20)
    given = parser.parse_args()
    size = (given.images, given.per_image, given.classes)
    evaluations = (by_voc, by_coco, by_pycocotools, coco_file, voc_files)
    runs = {one.__name__: alone(one, size) for one in evaluations}
    figures = {name: run.pop("figures") for name, run in runs.items()}
    difference = np.abs(np.subtract(figures["by_coco"], figures["by_pycocotools"])).max()
    if not difference < 1e-6:
        raise SystemExit(f"the figures differ by {difference}: {figures}")
    result = {
        "task": "the figures of detections in memory; files of them written and read again",
        "images": given.images,
        "detections": given.images * given.per_image,
        "classes": given.classes,
        **runs,
        "times_faster_than_pycocotools": round(
            runs["by_pycocotools"]["cpu_seconds"] / runs["by_coco"]["cpu_seconds"], 1
        ),
        "largest_difference_to_pycocotools": float(difference),
        "voc_ap50": round(figures["by_voc"][0], 6),
        "coco_figures": [round(value, 6) for value in figures["by_coco"][:9]],
    }
    as_measured(result, RESULTS)


if __name__ == "__main__":
    main()
