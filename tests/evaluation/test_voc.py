"""VOC average precision: by hand, by the toy set's published figures, by properties."""

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from defusedxml import ElementTree
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchdet.evaluation import match
from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.curve import Curve, average_precision, eleven_points, every_hit
from scratchdet.evaluation.voc import curves
from scratchdet.structures import DetectionData, Record, from_records


def eleven_point(curve: Curve) -> float:
    return average_precision(curve, eleven_points)


def area(curve: Curve) -> float:
    return average_precision(curve, every_hit)


TEN = (0, 0, 10, 10)
OVERLAPS_TEN_BY_HALF = (0, 0, 10, 5)  # IoU with TEN is exactly 0.5
FAR = (50, 50, 60, 60)


def data_of(*images, classes=("cat",)) -> DetectionData:
    """Each image a list of (box, label, ignore)."""
    records = [
        Record(
            id=str(index),
            path=Path(f"{index}.jpg"),
            size=(100, 100),
            boxes=np.array([box for box, _, _ in objects], np.float32).reshape(-1, 4),
            labels=np.array([label for _, label, _ in objects], np.int64),
            ignore=np.array([ignore for _, _, ignore in objects], bool),
        )
        for index, objects in enumerate(images)
    ]
    return from_records(records, classes)


def columns_of(*rows) -> Columns:
    """Each row (image, box, score, label)."""
    return Columns(
        image_index=np.array([row[0] for row in rows], np.int64),
        boxes=np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
        scores=np.array([row[2] for row in rows], np.float32),
        labels=np.array([row[3] for row in rows], np.int64),
    )


def only_curve(data: DetectionData, *rows, threshold: float = 0.5) -> Curve:
    (curve,) = curves(data, columns_of(*rows), threshold=threshold)
    return curve


@pytest.mark.parametrize("average", [eleven_point, area])
def test_class_without_objects_has_no_ap(average):
    for data in (data_of(), data_of([]), data_of([(TEN, 0, True)])):
        assert math.isnan(average(only_curve(data)))
    assert math.isnan(average(only_curve(data_of([]), (0, TEN, 0.9, 0))))


@pytest.mark.parametrize("average", [eleven_point, area])
def test_objects_without_detections_have_ap_zero(average):
    assert average(only_curve(data_of([(TEN, 0, False)]))) == 0


def test_recall_of_a_class_without_objects_is_undefined():
    curve = only_curve(data_of([]), (0, TEN, 0.9, 0))
    assert np.isnan(curve.recall).all()
    assert curve.precision.tolist() == [0]


def test_iou_of_exactly_the_threshold_is_a_hit():
    data = data_of([(TEN, 0, False)])
    assert area(only_curve(data, (0, OVERLAPS_TEN_BY_HALF, 0.9, 0))) == 1
    assert area(only_curve(data, (0, (0, 0, 10, 4.99), 0.9, 0))) == 0


def test_half_open_widths_take_no_further_pixel():
    """In inclusive corners 1..10 and 1..5: 10 and 5 pixels, IoU 0.5, where 11 and 6 give 0.545."""
    data = data_of([((0, 0, 10, 1), 0, False)])
    assert area(only_curve(data, (0, (0, 0, 5, 1), 0.9, 0), threshold=0.501)) == 0


def test_second_detection_of_an_object_is_a_false_positive():
    curve = only_curve(data_of([(TEN, 0, False)]), (0, TEN, 0.8, 0), (0, TEN, 0.9, 0))
    assert curve.hits.tolist() == [1, 1]
    assert curve.precision.tolist() == [1, 0.5]
    np.testing.assert_array_equal(curve.scores, np.float32([0.9, 0.8]))


def test_detection_whose_best_object_is_taken_does_not_turn_to_another():
    """Both objects are overlapped by more than half, but the devkit looks at the best one only."""
    data = data_of([(TEN, 0, False), ((0, 0, 10, 8), 0, False)])
    curve = only_curve(data, (0, TEN, 0.9, 0), (0, (0, 0, 10, 9.5), 0.8, 0))
    assert curve.hits.tolist() == [1, 1]


def test_detection_that_overlaps_two_objects_alike_takes_the_first():
    data = data_of([((0, 0, 10, 10), 0, False), ((10, 0, 20, 10), 0, True)])
    assert only_curve(data, (0, (0, 0, 20, 10), 0.9, 0)).hits.tolist() == [1]


def test_ignored_object_is_neither_hit_nor_miss():
    data = data_of([(TEN, 0, True), (FAR, 0, False)])
    curve = only_curve(data, (0, TEN, 0.9, 0), (0, TEN, 0.8, 0), (0, FAR, 0.7, 0))
    assert curve.num_objects == 1
    assert curve.hits.tolist() == [1]
    assert area(curve) == eleven_point(curve) == 1


def test_objects_of_another_class_or_image_are_not_found():
    data = data_of([(TEN, 0, False)], [(TEN, 1, False)], classes=("cat", "dog"))
    cat, dog = curves(data, columns_of((1, TEN, 0.9, 0), (0, TEN, 0.9, 1)))
    assert cat.hits.tolist() == dog.hits.tolist() == [0]
    cat, dog = curves(data, columns_of((1, TEN, 0.9, 1), (0, TEN, 0.9, 0)))
    assert cat.hits.tolist() == dog.hits.tolist() == [1]


def test_equal_scores_rank_in_row_order():
    data = data_of([(TEN, 0, False)])
    assert only_curve(data, (0, TEN, 0.5, 0), (0, FAR, 0.5, 0)).hits.tolist() == [1, 1]
    assert only_curve(data, (0, FAR, 0.5, 0), (0, TEN, 0.5, 0)).hits.tolist() == [0, 1]


def test_box_without_area_overlaps_nothing():
    empty = (5, 5, 5, 5)
    data = data_of([(empty, 0, False)])
    assert only_curve(data, (0, empty, 0.9, 0)).hits.tolist() == [0]


def test_averages_of_a_curve_worked_by_hand():
    """Hit, miss, hit of four objects: precision 1 to recall 1/4, 2/3 to 1/2, then nothing."""
    curve = Curve(hits=np.array([1, 1, 2]), scores=np.array([0.9, 0.8, 0.7]), num_objects=4)
    np.testing.assert_allclose(curve.recall, [0.25, 0.25, 0.5])
    assert area(curve) == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    assert eleven_point(curve) == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)  # 0 .1 .2, .3 .4 .5


def test_recall_of_six_tenths_reaches_the_threshold_of_six_tenths():
    """0.1 * 6 is 0.6000000000000001 in floats; so are 0.3 and 0.7 off."""
    for found in range(11):
        curve = Curve(np.arange(1, found + 1), np.linspace(1, 0, found), num_objects=10)
        assert eleven_point(curve) == pytest.approx((found + (found > 0)) / 11)


@pytest.mark.parametrize(
    ("threshold", "points", "whole"), [(0.5, 0.8864, 0.8958), (0.75, 0.4924, 0.5097)]
)
def test_toy_set_gives_its_published_figures(shared, threshold, points, whole):
    folder = shared / "data/evaluation/toy"
    if not folder.is_dir():
        pytest.skip("toy evaluation set absent: ../shared/data")
    half_open = np.array([-1, -1, 0, 0])
    images, rows = [], []
    for index, path in enumerate(sorted((folder / "gts_vocpascal_format").glob("*.xml"))):
        boxes = [
            [float(box.findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax")]
            for box in ElementTree.parse(path).iter("bndbox")
        ]
        images.append([(np.array(box) + half_open, 0, False) for box in boxes])
        found = folder / "dets_classid_abs_xyx2y2" / f"{path.stem}.txt"
        for line in found.read_text().splitlines():
            _, score, *box = map(float, line.split())
            rows.append((index, np.array(box) + half_open, score, 0))
    assert (len(images), sum(map(len, images)), len(rows)) == (10, 12, 12)

    curve = only_curve(data_of(*images), *rows, threshold=threshold)
    assert eleven_point(curve) == pytest.approx(points, abs=5e-5)
    assert area(curve) == pytest.approx(whole, abs=5e-5)


@st.composite
def scenes(draw):
    """A data set of up to 4 images and 3 classes, and detections with distinct scores."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corners = rng.integers(0, 12, (draw(st.integers(0, 4)), draw(st.integers(0, 6)), 2))
    sides = rng.integers(1, 10, corners.shape)
    boxes = np.concatenate([corners, corners + sides], axis=2)
    images = [
        [(box, rng.integers(3), rng.random() < 0.2) for box in image[: rng.integers(7)]]
        for image in boxes
    ]
    flat = boxes.reshape(-1, 4)
    noisy = np.concatenate([flat, flat]) + rng.integers(0, 3, (2 * len(flat), 4)) * [0, 0, 1, 1]
    scores = rng.permutation(len(noisy)) / max(len(noisy), 1)
    rows = [
        (rng.integers(len(images)), box, score, rng.integers(3))
        for box, score in zip(noisy, scores, strict=True)
    ]
    return data_of(*images, classes=("a", "b", "c")), columns_of(*rows)


def averages(data: DetectionData, detections: Columns) -> list[float]:
    found = curves(data, detections)
    return [average(curve) for average in (eleven_point, area) for curve in found]


@given(scenes())
def test_ap_lies_between_zero_and_one_or_is_undefined(scene):
    data, detections = scene
    without_objects = [not ((data.labels == k) & ~data.ignore).any() for k in range(3)] * 2
    for value, undefined in zip(averages(data, detections), without_objects, strict=True):
        assert math.isnan(value) if undefined else 0 <= value <= 1


@given(scenes(), st.randoms(use_true_random=False))
def test_ap_does_not_depend_on_the_order_of_images_or_rows(scene, random):
    data, detections = scene
    images = random.sample(range(len(data)), len(data))
    rows = random.sample(range(len(detections.scores)), len(detections.scores))
    shuffled = Columns(*(column[rows] for column in detections))
    renumbered = shuffled._replace(
        image_index=np.argsort(images)[shuffled.image_index] if images else shuffled.image_index
    )
    np.testing.assert_array_equal(
        averages(data, detections), averages(data.subset(images), renumbered)
    )


@given(scenes())
def test_detecting_every_object_exactly_gives_one(scene):
    """Of equal boxes the first takes all detections, so each object gets a place of its own."""
    data, _ = scene
    apart = data.boxes + 100 * np.arange(data.num_objects, dtype=np.float32)[:, None]
    data = replace(data, boxes=apart)
    detections = Columns(
        image_index=np.repeat(np.arange(len(data)), np.diff(data.offsets)),
        boxes=apart,
        scores=np.linspace(0, 1, data.num_objects, dtype=np.float32),
        labels=data.labels.astype(np.int64),
    )
    assert all(value == 1 or math.isnan(value) for value in averages(data, detections))


@given(scenes())
def test_false_positive_below_all_others_changes_no_ap(scene):
    data, detections = scene
    if not len(data):
        return
    last = columns_of(*((0, (900, 900, 950, 950), -1.0, label) for label in range(3)))
    more = Columns(*(np.concatenate(pair) for pair in zip(detections, last, strict=True)))
    np.testing.assert_array_equal(averages(data, detections), averages(data, more))


@settings(max_examples=30)
@given(scenes())
def test_pairs_compared_in_blocks_give_the_same_matches(scene):
    data, detections = scene
    whole = match.best_overlaps(data, detections)
    sizes = []

    def recording_pair_ious(first, second):
        sizes.append(len(first))
        return match_pair_ious(first, second)

    match_pair_ious = match.pair_ious
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(match, "PAIRS_PER_BLOCK", 3)
        patch.setattr(match, "pair_ious", recording_pair_ious)
        blocks = match.best_overlaps(data, detections)
    np.testing.assert_array_equal(whole.objects, blocks.objects)
    np.testing.assert_array_equal(whole.ious, blocks.ious)
    most_of_one_detection = 6  # objects in an image
    assert all(size < 3 + most_of_one_detection for size in sizes)


def test_a_million_detections_take_seconds():
    """5,000 images, 20 classes, 200 detections an image: measured at half a second on one core."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 400, (5000 * 200, 2))
    boxes = np.concatenate([corners, corners + 80], axis=1).astype(np.float32)
    labels = rng.integers(0, 20, len(boxes))
    images = [[(boxes[3 * i + j], labels[3 * i + j], False) for j in range(3)] for i in range(5000)]
    data = data_of(*images, classes=tuple("abcdefghijklmnopqrst"))
    scores = rng.random(len(boxes), dtype=np.float32)
    start = time.perf_counter()
    curves(data, Columns(np.repeat(np.arange(5000), 200), boxes, scores, labels))
    assert time.perf_counter() - start < 10
