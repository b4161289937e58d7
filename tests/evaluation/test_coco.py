"""COCO figures: the recorded ones, and those of pycocotools as an independent reference."""

import contextlib
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.metrics import evaluate_detections
from scratchdet.structures import DetectionData, Record, from_records

# ../shared/data/README.md, computed with the COCO API: AP, AP50, AP75, S, M, L, AR1, AR10, AR100.
VAL2014_100 = [
    0.5045806987, 0.6969727247, 0.5729816670, 0.5856257209, 0.5193996948, 0.5013978987,
    0.3868127796, 0.5936795763, 0.5953529829,
]  # fmt: skip

SUMMARY = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")

NO_DETECTIONS = Columns(
    np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32),
    np.zeros(0, np.int64),
)  # fmt: skip


def data_of(*images, classes=("cat", "dog")) -> DetectionData:
    """Each image a list of (box, label, ignore)."""
    records = [
        Record(
            id=str(index),
            path=Path(f"{index}.jpg"),
            size=(640, 480),
            boxes=np.array([box for box, _, _ in objects], np.float32).reshape(-1, 4),
            labels=np.array([label for _, label, _ in objects], np.int64),
            ignore=np.array([ignore for _, _, ignore in objects], bool),
        )
        for index, objects in enumerate(images)
    ]
    return from_records(records, classes)


def columns_of_coco(truth: dict, found: list[dict]) -> tuple[DetectionData, Columns]:
    """Data and detections of a COCO annotation and result file's contents."""
    ids = sorted(image["id"] for image in truth["images"])
    categories = sorted(truth["categories"], key=lambda category: category["id"])
    label_of = {category["id"]: label for label, category in enumerate(categories)}
    per_image = [[one for one in truth["annotations"] if one["image_id"] == id] for id in ids]
    data = data_of(
        *(
            [(xyxy(one), label_of[one["category_id"]], one["iscrowd"]) for one in image]
            for image in per_image
        ),
        classes=[category["name"] for category in categories],
    )
    detections = Columns(
        image_index=np.array([ids.index(one["image_id"]) for one in found], np.int64),
        boxes=np.array([xyxy(one) for one in found], np.float32).reshape(-1, 4),
        scores=np.array([one["score"] for one in found], np.float32),
        labels=np.array([label_of[one["category_id"]] for one in found], np.int64),
    )
    areas = np.array([one["area"] for image in per_image for one in image])
    return replace(data, areas=areas), detections


def xyxy(annotation: dict) -> list[float]:
    left, top, width, height = annotation["bbox"]
    return [left, top, left + width, top + height]


def by_pycocotools(truth: dict, found: list[dict]) -> tuple[list[float], list[float]]:
    """Nine figures and the AP of every category, -1 where undefined."""
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO()
        api.dataset = truth
        api.createIndex()
        run = COCOeval(api, api.loadRes(found), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return list(run.stats[:9]), list(run.eval["precision"][..., 0, -1].mean(axis=(0, 1)))


def figures(data: DetectionData, detections: Columns):
    """The nine figures in COCO's order, and those of the classes; NaN where undefined."""
    metrics = evaluate_detections(data, detections, protocol="coco")
    summary = [getattr(metrics, name) for name in SUMMARY]
    return dict(zip(SUMMARY, summary, strict=True)), [*metrics.ap_per_class.values()]


def agree_with_pycocotools(truth: dict, found: list[dict]) -> None:
    data, detections = columns_of_coco(truth, found)
    summary, per_class = figures(data, detections)
    expected_summary, expected_per_class = by_pycocotools(truth, found)
    assert np.nan_to_num([*summary.values()], nan=-1) == pytest.approx(expected_summary, abs=1e-12)
    assert np.nan_to_num(per_class, nan=-1) == pytest.approx(expected_per_class, abs=1e-12)


def read(path: Path):
    if not path.is_file():
        pytest.skip(f"evaluation data absent: {path}")
    return json.loads(path.read_text())


def test_nothing_to_find_gives_undefined_figures():
    crowd_only = data_of([((0, 0, 9, 9), 0, True)])
    for data in (data_of(), data_of([], []), data_of(classes=()), crowd_only):
        summary, per_class = figures(data, NO_DETECTIONS)
        assert np.isnan([*summary.values()]).all()
        assert np.isnan(per_class).all()
        assert len(per_class) == len(data.classes)


def test_nothing_found_gives_zero():
    data = data_of([((0, 0, 50, 50), 0, False)], [])
    summary, per_class = figures(data, NO_DETECTIONS)
    undefined = [name for name, value in summary.items() if math.isnan(value)]
    assert undefined == ["ap_small", "ap_large"]
    assert {value for name, value in summary.items() if name not in undefined} == {0}
    assert per_class[0] == 0
    assert math.isnan(per_class[1])


def test_crowd_takes_any_number_of_detections_without_hit_or_miss():
    data = data_of([((0, 0, 100, 100), 0, True), ((200, 0, 240, 40), 0, False)])
    boxes = np.array([[0, 0, 9, 9], [50, 50, 70, 70], [200, 0, 240, 40]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    detections = Columns(np.zeros(3, np.int64), boxes, scores, np.zeros(3, np.int64))
    assert figures(data, detections)[0]["ap"] == pytest.approx(1)
    no_crowd = data_of([((0, 0, 100, 100), 1, True), ((200, 0, 240, 40), 0, False)])
    assert figures(no_crowd, detections)[0]["ap"] == pytest.approx(1 / 3)


def test_equal_scores_rank_in_the_order_of_the_image_ids():
    """As numbers: in the data image 10 comes before image 9, in COCOeval after it."""
    first, second = data_of([((0, 0, 50, 50), 0, False)], [])
    boxes = np.array([[0, 0, 50, 50], [0, 0, 50, 50]], np.float32)
    scores, labels = np.array([0.5, 0.5], np.float32), np.zeros(2, np.int64)
    for id_of_hit, id_of_miss, ap in (("9", "10", 1), ("10", "9", 0.5), ("b", "a", 1)):
        records = [replace(first, id=id_of_hit), replace(second, id=id_of_miss)]
        detections = Columns(np.array([0, 1]), boxes, scores, labels)
        data = from_records(records, ("cat",))
        assert figures(data, detections)[0]["ap"] == pytest.approx(ap)


def test_areas_decide_which_objects_are_small():
    data = data_of([((0, 0, 50, 50), 0, False)])
    by_box, _ = figures(data, NO_DETECTIONS)
    by_area, _ = figures(replace(data, areas=np.array([500.0])), NO_DETECTIONS)
    assert by_box["ap_medium"] == 0
    assert math.isnan(by_box["ap_small"])
    assert by_area["ap_small"] == 0
    assert math.isnan(by_area["ap_medium"])


def test_hundred_coco_images_give_the_recorded_figures(shared):
    folder = shared / "data/evaluation/coco_val2014_100"
    data, detections = columns_of_coco(
        read(folder / "instances_val2014_100.json"),
        read(folder / "instances_val2014_fakebbox100_results.json"),
    )
    assert (data.num_objects, data.ignore.sum()) == (839, 9)
    summary, _ = figures(data, detections)
    assert [*summary.values()] == pytest.approx(VAL2014_100, abs=1e-9)


@pytest.mark.parametrize(
    ("truth", "found"),
    [
        (
            "coco_val2014_100/instances_val2014_100.json",
            "coco_val2014_100/instances_val2014_fakebbox100_results.json",
        ),
        ("coco_100/gts/sampled_gts_bbox_area.json", "coco_100/cocoapi_results.json"),
    ],
)
def test_recorded_sets_agree_with_pycocotools(shared, truth, found):
    folder = shared / "data/evaluation"
    agree_with_pycocotools(read(folder / truth), read(folder / found))


@pytest.mark.parametrize("seed", range(5))
def test_noisy_detections_agree_with_pycocotools(seed):
    """Objects of all sizes, some crowds, shifted and surplus detections, an image without any."""
    rng = np.random.default_rng(seed)
    corners, sides = rng.uniform(0, 300, (60, 2)), np.exp(rng.uniform(2, 5.3, (60, 2)))
    boxes = np.concatenate([corners, sides], axis=1).astype(np.float32)
    truth = {
        "images": [{"id": 7 * index} for index in range(1, 7)],
        "categories": [{"id": id, "name": f"class {id}"} for id in (3, 5, 9)],
        "annotations": [
            {
                "id": index + 1,
                "image_id": 7 * int(rng.integers(1, 6)),
                "category_id": int(rng.choice([3, 5])),
                "bbox": box.tolist(),
                "area": float(box[2] * box[3] * rng.uniform(0.4, 1)),
                "iscrowd": int(rng.random() < 0.15),
            }
            for index, box in enumerate(boxes)
        ],
    }
    found = [
        {
            "image_id": one["image_id"] if rng.random() < 0.9 else 42,
            "category_id": one["category_id"],
            "bbox": (np.array(one["bbox"]) + rng.normal(0, 4, 4) * [1, 1, 0.5, 0.5]).tolist(),
            "score": float(np.float32(rng.random())),
        }
        for one in truth["annotations"] * 2
    ]
    agree_with_pycocotools(truth, found)
