"""Files for the challenges: what is in them, and that they give the figures we give."""

import contextlib
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from scratchdet.data.coco import read
from scratchdet.data.coco_ids import Ids, read_ids
from scratchdet.evaluation import submission
from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.detections_file import is_detections_file, read_detections
from scratchdet.evaluation.metrics import evaluate_detections
from scratchdet.evaluation.submission import write_coco_submission, write_voc_submission
from scratchdet.structures import DataError, DetectionData, Record, from_records

NAMES = ("cat", "dog", "dining table")
IDS = Ids({"a": 7, "b": 11}, {"cat": [3], "dog": [1], "dining table": [90, 91]})


def data_of(*ids, classes=NAMES, seed=0) -> DetectionData:
    """Images of 200 x 100 with five objects each, some ignored."""
    rng = np.random.default_rng(seed)
    records = []
    for name in ids:
        corners = rng.uniform(0, 90, (5, 2))
        records.append(
            Record(
                id=name,
                path=Path(f"/images/{name}.jpg"),
                size=(200, 100),
                boxes=np.hstack([corners, corners + rng.uniform(5, 60, (5, 2))]).astype(np.float32),
                labels=rng.integers(0, max(len(classes), 1), 5),
                ignore=rng.random(5) < 0.2,
            )
        )
    return from_records(records, classes)


def columns_of(*rows) -> Columns:
    """Each row (image, box, score, label)."""
    return Columns(
        image_index=np.array([row[0] for row in rows], np.int64),
        boxes=np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
        scores=np.array([row[2] for row in rows], np.float32),
        labels=np.array([row[3] for row in rows], np.int64),
    )


def noisy(data: DetectionData, *, times: int = 3, seed: int = 1) -> Columns:
    """Every object found several times, more or less well, with few distinct scores."""
    rng = np.random.default_rng(seed)
    boxes = np.tile(data.boxes, (times, 1)) + rng.normal(0, 5, (times * data.num_objects, 4))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    image = np.tile(np.repeat(np.arange(len(data)), np.diff(data.offsets)), times)
    labels = np.tile(data.labels, times).astype(np.int64)
    scores = (rng.integers(0, 20, len(image)) / 20).astype(np.float32)
    order = rng.permutation(len(image))
    columns = Columns(image, boxes.astype(np.float32), scores, labels)
    return Columns(*(column[order] for column in columns))


def test_nothing_found_gives_an_empty_file_for_every_class(tmp_path):
    for data in (data_of(), data_of("a")):
        written = write_voc_submission(tmp_path, data, columns_of())
        assert [path.name for path in written] == [
            "comp4_det_test_cat.txt",
            "comp4_det_test_dog.txt",
            "comp4_det_test_dining table.txt",
        ]
        assert all(path.read_bytes() == b"" for path in written)
    assert write_voc_submission(tmp_path / "none", data_of(classes=()), columns_of()) == []


def test_nothing_found_gives_an_empty_list(tmp_path):
    for data in (data_of(), data_of("a")):
        write_coco_submission(tmp_path / "results.json", data, columns_of(), ids=IDS)
        assert json.loads((tmp_path / "results.json").read_text()) == []


def test_corners_of_the_voc_file_count_from_one_and_include_the_last_pixel(tmp_path):
    """The first pixel of an image is 1 1 1 1 in the devkit, and 0 0 1 1 here."""
    found = columns_of(
        (1, (0, 0, 1, 1), 0.5, 0), (0, (10.25, 20, 30, 40), 1, 1), (1, (1, 2, 3, 4), 1e-5, 0)
    )
    cat, dog, table = write_voc_submission(tmp_path, data_of("a", "b"), found)
    assert cat.read_text() == "b 0.5 1 1 1 1\nb 9.99999975e-06 2 3 3 4\n"
    assert dog.read_text() == "a 1 11.25 21 30 40\n"
    assert table.read_text() == ""


def test_competition_and_image_set_are_in_the_names(tmp_path):
    written = write_voc_submission(
        tmp_path, data_of("a"), columns_of(), competition="comp3", image_set="val"
    )
    assert written[0].name == "comp3_det_val_cat.txt"


def test_coco_result_has_the_ids_of_the_annotation_file(tmp_path):
    found = columns_of((1, (10, 20, 30, 50), 0.5, 0), (0, (0.25, 0, 1, 1), 0.125, 1))
    write_coco_submission(tmp_path / "results.json", data_of("a", "b"), found, ids=IDS)
    assert json.loads((tmp_path / "results.json").read_text()) == [
        {"image_id": 11, "category_id": 3, "bbox": [10, 20, 20, 30], "score": 0.5},
        {"image_id": 7, "category_id": 1, "bbox": [0.25, 0, 0.75, 1], "score": 0.125},
    ]


@pytest.mark.parametrize(
    ("ids", "label", "what"),
    [
        (Ids({"b": 1}, IDS.categories), 0, "no image id a"),
        (Ids({"a": 1}, {"dog": [1]}), 0, "class cat: .* has none"),
        (Ids({"a": 1}, IDS.categories), 2, "dining table: .* several: 90, 91"),
    ],
)
def test_what_has_no_id_of_its_own_is_an_error_and_leaves_no_file(tmp_path, ids, label, what):
    found = columns_of((0, (0, 0, 1, 1), 0.5, label))
    with pytest.raises(DataError, match=what):
        write_coco_submission(tmp_path / "results.json", data_of("a"), found, ids=ids)
    assert not list(tmp_path.iterdir())


def test_names_that_voc_files_cannot_hold_are_errors(tmp_path):
    for data, image_set in (
        (data_of("photo 1"), "test"),
        (data_of("a", classes=("cat/dog",)), "test"),
        (data_of("a"), "VOC2012/test"),
    ):
        with pytest.raises(DataError, match=r"'photo 1'|'cat/dog'|'VOC2012/test'"):
            write_voc_submission(tmp_path, data, columns_of(), image_set=image_set)
    assert not list(tmp_path.iterdir())


def test_detections_of_other_data_are_an_error(tmp_path):
    with pytest.raises(DataError, match="outside the data's"):
        write_voc_submission(tmp_path, data_of("a"), columns_of((1, (0, 0, 1, 1), 0.5, 0)))


@pytest.mark.parametrize("block", [1, 7, 1 << 16])
def test_files_read_back_give_the_very_figures(tmp_path, monkeypatch, block):
    monkeypatch.setattr(submission, "BLOCK", block)
    data = data_of("a", "b", "c", "d", classes=("cat", "dog", "bird"))
    found = noisy(data)
    write_voc_submission(tmp_path / "voc", data, found)
    ids = Ids({name: name for name in "abcd"}, {"cat": [1], "dog": ["x"], "bird": [3]})
    write_coco_submission(tmp_path / "results.json", data, found, ids=ids)
    for path in (tmp_path / "voc", tmp_path / "results.json"):
        assert is_detections_file(path)
        back = read_detections(path, data, ids=ids).detections
        assert len(back.scores) == len(found.scores) == 60
        for protocol in ("voc", "voc07", "coco"):
            expected = evaluate_detections(data, found, protocol=protocol).to_json()
            assert 0.1 < expected["ap50"] < 0.9
            assert evaluate_detections(data, back, protocol=protocol).to_json() == expected


def test_coco_result_is_read_back_to_the_bit(tmp_path):
    """Nine digits tell all float32 apart, whatever their size."""
    rng = np.random.default_rng(0)
    corners = np.exp(rng.uniform(-3, 9, (500, 2)))
    boxes = np.hstack([corners, corners + np.exp(rng.uniform(-3, 9, (500, 2)))]).astype(np.float32)
    scores = np.exp(rng.uniform(-30, 0, 500)).astype(np.float32)
    found = Columns(rng.integers(0, 2, 500), boxes, scores, rng.integers(0, 2, 500))
    data = data_of("a", "b")
    write_coco_submission(tmp_path / "results.json", data, found, ids=IDS)
    back = read_detections(tmp_path / "results.json", data, ids=IDS).detections
    for column, again in zip(found, back, strict=True):
        np.testing.assert_array_equal(column, again)
        assert column.dtype == again.dtype


def test_pycocotools_gives_our_figures_for_the_written_file(tmp_path):
    """On ids that are neither 1, 2, ... nor in order, masks, and a category without an object."""
    data = data_of(*(str(13 * n) for n in range(12, 0, -1)), classes=("b", "a"))
    annotations = tmp_path / "annotations.json"
    keys = {"b": 20, "a": 30, "none": 70}
    rows = np.repeat(np.arange(12), np.diff(data.offsets))
    truth = {
        "images": [
            {"id": int(one.id), "file_name": f"{one.id}.jpg", "width": 200, "height": 150}
            for one in data
        ],
        "categories": [{"id": key, "name": name} for name, key in keys.items()],
        "annotations": [
            {
                "id": number + 1,
                "image_id": int(data.ids[int(rows[number])]),
                "category_id": keys[data.classes[label]],
                "bbox": [*box[:2], box[2] - box[0], box[3] - box[1]],
                "area": (box[2] - box[0]) * (box[3] - box[1]) * (number + 1) / data.num_objects,
                "iscrowd": int(ignore),
            }
            for number, (label, box, ignore) in enumerate(
                zip(data.labels, data.boxes.astype(float).tolist(), data.ignore, strict=True)
            )
        ],
    }
    annotations.write_text(json.dumps(truth))
    data = read(annotations)
    assert data.classes == ("b", "a", "none")
    found = noisy(data, times=4)
    write_coco_submission(tmp_path / "results.json", data, found, ids=read_ids(annotations))
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO(str(annotations))
        run = COCOeval(api, api.loadRes(str(tmp_path / "results.json")), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    ours = evaluate_detections(data, found, protocol="coco")
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")
    figures = [getattr(ours, name) for name in names]
    assert 0.1 < ours.ap < 0.9
    assert math.isnan(ours.ap_per_class["none"])
    assert np.nan_to_num(figures, nan=-1) == pytest.approx(list(run.stats[:9]), abs=1e-9)
