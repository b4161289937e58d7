"""Everything about a detector at once: figures, intervals, best scores, confusion, errors."""

import json
import math
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from hand_made import CAT, DOG, ELSEWHERE, FAR, NOTHING, TEN, columns_of, data_of, scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from scratchdet.evaluation.diagnosis import best_threshold, diagnose, precision_at
from scratchdet.evaluation.metrics import PROTOCOLS, evaluate_detections
from scratchdet.evaluation.tables import cut, show_diagnosis
from scratchdet.evaluation.voc import as_points, curves

EMPTY = [data_of(), data_of([]), data_of([], classes=()), data_of([(TEN, CAT, True)])]


def shown(diagnosis, *, width=100) -> str:
    console = Console(file=StringIO(), width=width)
    show_diagnosis(console, diagnosis, what="test")
    return console.file.getvalue()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("data", EMPTY)
def test_nothing_to_find_is_written_and_shown_without_figures(protocol, data):
    diagnosis = diagnose(data, NOTHING, protocol=protocol)
    written = json.loads(json.dumps(diagnosis.to_json(), allow_nan=False))
    assert written["ap50"] is None
    assert written["intervals"]["ap50"] is None
    assert [*written["classes"]] == [*data.classes]
    for one in written["classes"].values():
        assert (one["objects"], one["ap"], one["threshold"], one["f1"]) == (0, None, None, None)
    assert f"test: {len(data)} images, 0 objects, protocol {protocol}" in shown(diagnosis)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_found_has_figures_of_zero(protocol):
    diagnosis = diagnose(data_of([(TEN, CAT)]), NOTHING, protocol=protocol)
    cat = diagnosis.to_json()["classes"]["cat"]
    assert (cat["objects"], cat["ap"], cat["ap_interval"]) == (1, 0, None)
    assert cat["precision_at_recall"] == [0] * 11
    assert diagnosis.confusion.threshold == 0.5
    assert diagnosis.confusion.counts.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(deadline=None, max_examples=25)
@given(scene=scenes())
def test_the_figures_are_those_of_the_protocol_and_of_one_another(protocol, scene):
    data, detections = scene
    diagnosis = diagnose(data, detections, protocol=protocol)
    metrics = evaluate_detections(data, detections, protocol=protocol)
    written = diagnosis.to_json()
    assert {key: written[key] for key in metrics.to_json()} == metrics.to_json()
    defined = [one.ap50 for one in diagnosis.classes if one.num_objects]
    if defined:
        assert np.mean(defined) == pytest.approx(metrics.ap50)
    for one in diagnosis.classes:
        assert written["classes"][one.name]["objects"] == one.curve.num_objects
        if not math.isnan(one.best.f1):
            both = one.best.precision + one.best.recall
            assert one.best.f1 == pytest.approx(2 * one.best.precision * one.best.recall / both)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(deadline=None, max_examples=25)
@given(scene=scenes(), random=st.randoms(use_true_random=False))
def test_the_order_of_detections_with_distinct_scores_does_not_matter(protocol, scene, random):
    data, detections = scene
    rows = random.sample(range(len(detections.scores)), len(detections.scores))
    shuffled = type(detections)(*(column[rows] for column in detections))
    first, second = (diagnose(data, one, protocol=protocol) for one in (detections, shuffled))
    assert first.to_json() == second.to_json()


def test_the_interval_holds_the_figure_nearly_always():
    """Not by definition: the limits are corrected for bias. Of 40 small scenes at most 2 fail."""
    rng = np.random.default_rng(0)
    outside = 0
    for _ in range(40):
        labels = rng.integers(0, 2, 30)
        boxes = np.where(rng.random((30, 1)) < 0.7, TEN, FAR)
        rows = zip(range(30), boxes, rng.random(30), labels, strict=True)
        diagnosis = diagnose(data_of(*([(TEN, label)] for label in labels)), columns_of(*rows))
        low, high = diagnosis.intervals.ap50
        outside += not low <= diagnosis.metrics.ap50 <= high
    assert outside <= 2


def test_the_best_threshold_is_where_the_mean_over_classes_is_best():
    """From 0 on both dogs are found, F1 1, but five wrong cats with the right one: 2/7.

    Above 0.2, the score of the wrong ones, there is the cat alone, 1, and one of the dogs, 2/3.
    """
    data = data_of([(TEN, CAT), (FAR, DOG), (ELSEWHERE, DOG)], [])
    right = [(0, TEN, 0.8, CAT), (0, FAR, 0.9, DOG), (0, ELSEWHERE, 0.2, DOG)]
    found = curves(data, columns_of(*right, *[(1, TEN, 0.2, CAT)] * 5))
    assert best_threshold(found) == 0.21
    assert best_threshold(found[1:]) == 0
    assert best_threshold(()) == best_threshold(curves(data, NOTHING)) == 0.5


def test_precision_is_read_off_at_recall_in_whole_numbers():
    """Three of ten found, with one miss in between: 1 to recall 0.1, 3/4 to recall 0.3."""
    data = data_of([((20 * i, 0, 20 * i + 9, 9), CAT) for i in range(10)])
    boxes = [(0, 0, 9, 9), (0, 50, 9, 59), (20, 0, 29, 9), (40, 0, 49, 9)]
    rows = [(0, box, 0.9 - 0.1 * rank, CAT) for rank, box in enumerate(boxes)]
    cat, dog = curves(data, columns_of(*rows))
    assert precision_at(cat, parts=10).tolist() == [1, 1, 0.75, 0.75, *[0] * 7]
    assert precision_at(dog, parts=10).tolist() == [0] * 11


def test_the_threshold_of_the_confusion_is_as_asked():
    data, rows = data_of([(TEN, CAT)]), columns_of((0, TEN, 0.4, CAT))
    assert diagnose(data, rows).confusion.counts[CAT].tolist() == [1, 0, 0]
    asked = diagnose(data, rows, threshold=0.5)
    assert asked.confusion.counts[CAT].tolist() == [0, 0, 1]
    assert asked.to_json()["confusion"]["threshold"] == 0.5


# The pixel


def voc_box(xmin, ymin, xmax, ymax) -> tuple[int, int, int, int]:
    """A box of a VOC file as the reader has it: 0-based, half-open."""
    return (xmin - 1, ymin - 1, xmax, ymax)


@pytest.mark.parametrize("protocol", ["voc", "voc07"])
def test_the_pixel_of_the_devkit_decides_about_a_hit(protocol):
    """Corners 1..4 and 1..2, one row: widths 4 and 2, IoU 1/2; as points 3 and 1, IoU 1/3.

    The rows are 10 and 10 pixels, or 9 and 9: they cancel out.
    """
    data = data_of([(voc_box(1, 1, 4, 10), CAT)])
    rows = columns_of((0, voc_box(1, 1, 2, 10), 0.9, CAT))
    by_pixels = {
        pixels: evaluate_detections(data, rows, protocol=protocol, pixels=pixels).ap50
        for pixels in ("devkit", "continuous")
    }
    assert by_pixels == {"devkit": pytest.approx(1), "continuous": 0}


def test_points_leave_the_width_of_the_file_and_no_side_below_zero():
    data = data_of([(voc_box(3, 5, 13, 25), CAT), ((7, 7, 7.5, 8), CAT)])
    points, _ = as_points(data, NOTHING)
    assert (points.boxes[:, 2:] - points.boxes[:, :2]).tolist() == [[10, 20], [0, 0]]
    assert data.boxes[0].tolist() == [2, 4, 13, 25]


def test_the_pixel_is_no_choice_for_coco():
    with pytest.raises(ValueError, match="a choice for voc and voc07"):
        diagnose(data_of([]), NOTHING, protocol="coco", pixels="continuous")


def test_the_choice_of_the_pixel_is_written_and_shown():
    diagnosis = diagnose(data_of([(TEN, CAT)]), NOTHING, pixels="continuous")
    assert diagnosis.to_json()["pixels"] == "continuous"
    assert "boxes xmax - xmin wide" in shown(diagnosis)


# Tables


def test_the_tables_hold_the_figures_of_every_class_and_error():
    data = replace(data_of([(TEN, CAT)], [(TEN, CAT), (FAR, DOG)]), classes=("[b]cat", "dog"))
    text = shown(diagnose(data, columns_of((0, TEN, 0.75, CAT), (1, FAR, 0.25, CAT))))
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert rows["[b]cat"][:2] == ["2", "0.5000"]
    assert rows["[b]cat"][2:] == ["0.750", "1.000", "0.500", "0.667"]
    assert rows["dog"] == ["1", "0.0000"]
    assert "95 %: needs 10 images with the class" in text
    assert rows["AP50"][:2] == ["3", "0.2500"]
    assert rows["classification"][:2] == ["1", "0.500"]
    assert rows["missed"][0] == "1"
    assert "AP of objects by size: small 0.250, medium none, large none" in text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tables_fit_into_eighty_columns(protocol):
    data = data_of(*[[(TEN, 0), (FAR, 1)]] * 12, classes=("traffic light", "baseball glove"))
    found = columns_of(*((image, TEN, 0.75, 0) for image in range(6)))
    diagnosis = diagnose(data, found, protocol=protocol)
    tables = shown(diagnosis, width=80)
    low, high = diagnosis.classes[0].interval
    assert "traffic light" in tables
    assert "baseball glove" in tables
    assert f"{low:.3f}-{high:.3f}" in tables


def test_a_threshold_is_cut_so_that_the_detection_still_counts():
    assert cut(0.7999999) == "0.799"
    assert cut(math.nan) == ""
