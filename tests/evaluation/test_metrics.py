"""Metrics: the three protocols through one door, and what is written as JSON."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from scratchdet.evaluation.columns import Columns, from_detections
from scratchdet.evaluation.metrics import PROTOCOLS, evaluate_detections
from scratchdet.structures import DataError, DetectionData, Detections, Record, from_records


def data_of(*images, classes=("cat", "dog", "owl")) -> DetectionData:
    """Each image a list of (box, label); the label's sign bit, ~label, marks ignored objects."""
    records = [
        Record(
            id=str(index),
            path=Path(f"{index}.jpg"),
            size=(100, 100),
            boxes=np.array([box for box, _ in objects], np.float32).reshape(-1, 4),
            labels=np.array([max(label, ~label) for _, label in objects], np.int64),
            ignore=np.array([label < 0 for _, label in objects], bool),
        )
        for index, objects in enumerate(images)
    ]
    return from_records(records, classes)


def found(*rows) -> Detections:
    """Each row (box, score, label)."""
    return Detections(
        boxes=torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor([row[1] for row in rows], dtype=torch.float32),
        labels=torch.tensor([row[2] for row in rows], dtype=torch.int64),
    )


HERE, THERE = (0, 0, 40, 40), (50, 50, 99, 99)
CAT_IN_BOTH_DOG_IN_ONE = data_of([(HERE, 0)], [(THERE, 0), (HERE, 1), (THERE, ~1)])


def test_columns_of_no_images_and_of_empty_images_have_no_rows():
    for detections in ([], [found(), found()]):
        columns = from_detections(detections)
        assert [column.shape for column in columns] == [(0,), (0, 4), (0,), (0,)]


def test_columns_keep_the_image_of_every_row():
    columns = from_detections([found((HERE, 0.5, 2)), found(), found((THERE, 0.9, 0))])
    assert columns.image_index.tolist() == [0, 2]
    assert columns.boxes.tolist() == [list(HERE), list(THERE)]
    assert columns.scores.tolist() == pytest.approx([0.5, 0.9])
    assert columns.labels.tolist() == [2, 0]


def test_columns_accept_detections_that_still_require_gradients():
    (detections,) = [found((HERE, 0.5, 2))]
    columns = from_detections([detections._replace(scores=detections.scores.requires_grad_())])
    assert columns.scores.tolist() == [0.5]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_images_and_no_objects_have_undefined_figures_that_json_can_hold(protocol):
    for data in (data_of(), data_of([], []), data_of([(HERE, ~0)], classes=("cat",))):
        metrics = evaluate_detections(data, from_detections([]), protocol=protocol)
        assert math.isnan(metrics.ap50)
        assert metrics.num_objects == 0
        written = json.loads(json.dumps(metrics.to_json(), allow_nan=False))
        assert written["ap50"] is None
        assert written["ap_per_class"] == dict.fromkeys(data.classes)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_detections_have_ap_zero(protocol):
    metrics = evaluate_detections(
        CAT_IN_BOTH_DOG_IN_ONE, from_detections([found(), found()]), protocol=protocol
    )
    assert metrics.ap50 == 0
    assert metrics.to_json()["ap_per_class"] == {"cat": 0, "dog": 0, "owl": None}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_mean_is_over_the_classes_that_have_objects(protocol):
    """All cats found, no dog, and an owl where none is: (1 + 0) / 2, the owl has no part."""
    detections = [found((HERE, 0.9, 0), (HERE, 0.8, 2)), found((THERE, 0.7, 0))]
    metrics = evaluate_detections(
        CAT_IN_BOTH_DOG_IN_ONE, from_detections(detections), protocol=protocol
    )
    assert metrics.ap50 == pytest.approx(0.5)
    assert metrics.ap_per_class["cat"] == pytest.approx(1)
    assert metrics.ap_per_class["dog"] == 0
    assert math.isnan(metrics.ap_per_class["owl"])
    assert (metrics.protocol, metrics.num_images, metrics.num_objects) == (protocol, 2, 3)


def test_only_coco_has_figures_over_several_ious():
    detections = from_detections([found((HERE, 0.9, 0))])
    keys, written = [], None
    for protocol in ("voc07", "voc", "coco"):
        written = evaluate_detections(
            CAT_IN_BOTH_DOG_IN_ONE, detections, protocol=protocol
        ).to_json()
        keys.append(written.keys())
    assert keys[0] == keys[1] == keys[2] - {"ap", "ap75"} < keys[2]
    assert written["ap_small"] is None  # 40 x 40 is no small object


@pytest.mark.parametrize("protocol", ["voc07", "voc"])
def test_voc_has_figures_by_size_as_coco_has_them(protocol):
    """Objects of other sizes are ignored, and so are wrong detections of other sizes.

    Medium: after a miss of that size comes the hit; the large miss before both is left out.
    """
    medium, large = (0, 0, 40, 40), (0, 0, 99, 98)
    data = data_of([(medium, 0)], [(large, 0)], classes=("cat",))
    rows = [found((medium, 0.5, 0), (large, 0.9, 0)), found((medium, 0.8, 0))]
    metrics = evaluate_detections(data, from_detections(rows), protocol=protocol)
    assert metrics.ap_medium == pytest.approx(0.5)
    assert metrics.ap_large == 0
    assert math.isnan(metrics.ap_small)


def test_recall_of_the_best_counts_detections_of_each_image_and_class():
    """Two cats and a dog in one image: the dog and the better cat are the best of theirs."""
    data = data_of([(HERE, 0), (THERE, 0), (HERE, 1)])
    rows = [found((HERE, 0.9, 0), (THERE, 0.8, 0), (HERE, 0.7, 1))]
    metrics = evaluate_detections(data, from_detections(rows), protocol="voc")
    assert metrics.ar1 == pytest.approx((1 / 2 + 1) / 2)
    assert metrics.ar10 == metrics.ar100 == 1


def test_eleven_points_and_area_differ_where_they_should():
    """One of two cats: precision 1 to recall 0.5 is six of eleven points, half of the area."""
    detections = from_detections([found((HERE, 0.9, 0))])
    data = data_of([(HERE, 0)], [(THERE, 0)], classes=("cat",))
    assert evaluate_detections(data, detections, protocol="voc07").ap50 == pytest.approx(6 / 11)
    assert evaluate_detections(data, detections, protocol="voc").ap50 == 0.5


def test_unknown_protocol_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'voc12': choose one of voc07, voc, coco"):
        evaluate_detections(data_of(), from_detections([]), protocol="voc12")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("image_index", 2, "detection 1 names an image outside the data's 2: image 2"),
        ("image_index", -1, "detection 1 names an image outside"),
        ("labels", 3, "detection 1 has a label outside the data's 3 classes"),
        ("labels", -1, "detection 1 has a label outside"),
        ("scores", np.nan, "detection 1 has a score that is not finite"),
        ("boxes", np.inf, "detection 1 has a box that is not finite"),
    ],
)
def test_detection_that_does_not_fit_the_data_is_an_error_that_names_it(column, value, message):
    columns = from_detections([found((HERE, 0.9, 0), (HERE, 0.8, 0))])
    getattr(columns, column)[1] = value
    with pytest.raises(DataError, match=message):
        evaluate_detections(CAT_IN_BOTH_DOG_IN_ONE, columns, protocol="voc")


def test_columns_of_different_length_are_an_error():
    columns = from_detections([found((HERE, 0.9, 0))])
    with pytest.raises(DataError, match="differ in length"):
        evaluate_detections(
            CAT_IN_BOTH_DOG_IN_ONE, Columns(*columns[:3], np.zeros(0, int)), protocol="voc"
        )
