"""Our VOC average precision against a slow transcription of the development kit's rules.

The transcription works as VOCevaldet.m does: 1-based inclusive corners, widths `xmax - xmin + 1`,
one detection after another.
"""

import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.metrics import evaluate_detections
from scratchdet.structures import Record, from_records

TO_HALF_OPEN = np.array([-1, -1, 0, 0], np.float32)


class Object(NamedTuple):
    image: int
    name: str
    box: tuple[float, float, float, float]
    difficult: bool


class Found(NamedTuple):
    image: int
    name: str
    score: float
    box: tuple[float, float, float, float]


def devkit_overlap(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return -math.inf
    area_a = (a[2] - a[0] + 1) * (a[3] - a[1] + 1)
    area_b = (b[2] - b[0] + 1) * (b[3] - b[1] + 1)
    return width * height / (area_a + area_b - width * height)


def devkit_verdicts(objects: list[Object], found: list[Found]) -> list[str]:
    taken = set()
    verdicts = []
    for detection in sorted(found, key=lambda one: -one.score):
        best, best_overlap = None, -math.inf
        for index, truth in enumerate(objects):
            if truth.image == detection.image:
                overlap = devkit_overlap(detection.box, truth.box)
                if overlap > best_overlap:
                    best, best_overlap = index, overlap
        if best is None or best_overlap < 0.5:
            verdicts.append("miss")
        elif objects[best].difficult:
            verdicts.append("neither")
        elif best in taken:
            verdicts.append("miss")
        else:
            taken.add(best)
            verdicts.append("hit")
    return verdicts


def devkit_ap(objects: list[Object], found: list[Found], protocol: str) -> float:
    num_objects = sum(not truth.difficult for truth in objects)
    if num_objects == 0:
        return math.nan
    hits = misses = 0
    points = []  # (recall, precision)
    for verdict in devkit_verdicts(objects, found):
        hits += verdict == "hit"
        misses += verdict == "miss"
        if hits + misses:
            points.append((Fraction(hits, num_objects), Fraction(hits, hits + misses)))

    def best_precision(recall: Fraction) -> Fraction:
        return max((p for r, p in points if r >= recall), default=Fraction(0))

    if protocol == "voc07":
        return float(sum(best_precision(Fraction(k, 10)) for k in range(11)) / 11)
    recalls = sorted({Fraction(0), *(r for r, _ in points)})
    steps = pairwise(recalls)
    return float(sum((high - low) * best_precision(high) for low, high in steps))


def compare_with_devkit(objects: list[Object], found: list[Found], *, num_images: int, classes):
    per_image = [[one for one in objects if one.image == i] for i in range(num_images)]
    records = [
        Record(
            id=str(index),
            path=Path(f"{index}.jpg"),
            size=(500, 500),
            boxes=np.array([one.box for one in image], np.float32).reshape(-1, 4) + TO_HALF_OPEN,
            labels=np.array([classes.index(one.name) for one in image], np.int64),
            ignore=np.array([one.difficult for one in image], bool),
        )
        for index, image in enumerate(per_image)
    ]
    detections = Columns(
        image_index=np.array([one.image for one in found], np.int64),
        boxes=np.array([one.box for one in found], np.float32).reshape(-1, 4) + TO_HALF_OPEN,
        scores=np.array([one.score for one in found], np.float32),
        labels=np.array([classes.index(one.name) for one in found], np.int64),
    )
    for protocol in ("voc07", "voc"):
        metrics = evaluate_detections(from_records(records, classes), detections, protocol=protocol)
        expected = {
            name: devkit_ap(
                [one for one in objects if one.name == name],
                [one for one in found if one.name == name],
                protocol,
            )
            for name in classes
        }
        assert metrics.ap_per_class == pytest.approx(expected, abs=1e-12, nan_ok=True)
        defined = [value for value in expected.values() if not math.isnan(value)]
        mean = sum(defined) / len(defined) if defined else math.nan
        assert metrics.ap50 == pytest.approx(mean, abs=1e-12, nan_ok=True)


def test_hundred_voc2012_images_give_the_devkits_figures(shared):
    folder = shared / "data/voc2012_100"
    if not folder.is_dir():
        pytest.skip("voc2012_100 absent: ../shared/data")
    classes = (folder / "voc.names").read_text().split()
    objects, found = [], []
    paths = sorted((folder / "Annotations").glob("*.xml"))
    for index, path in enumerate(paths):
        for node in ElementTree.parse(path).iter("object"):
            sides = ("xmin", "ymin", "xmax", "ymax")
            box = tuple(float(node.findtext(f"bndbox/{side}")) for side in sides)
            objects.append(
                Object(index, node.findtext("name"), box, node.findtext("difficult") == "1")
            )
        lines = folder / "detections" / f"{path.stem}.txt"
        # An image in which nothing was found has no file.
        for line in lines.read_text().splitlines() if lines.exists() else []:
            label, score, *box = line.split()
            found.append(Found(index, classes[int(label)], float(score), tuple(map(float, box))))
    assert (len(objects), sum(one.difficult for one in objects)) == (273, 38)
    assert len(found) == 452
    compare_with_devkit(objects, found, num_images=len(paths), classes=classes)


corner = st.integers(1, 8)
box = st.tuples(corner, corner, st.integers(0, 6), st.integers(0, 6)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
image, name = st.integers(0, 2), st.sampled_from(["cat", "dog"])
# Few distinct scores, so that many are equal and the order of rows decides.
score = st.integers(0, 8).map(lambda eighths: eighths / 8)


@given(
    st.lists(st.builds(Object, image, name, box, st.booleans()), max_size=12),
    st.lists(st.builds(Found, image, name, score, box), max_size=24),
)
def test_any_small_case_gives_the_devkits_figures(objects, found):
    by_image = sorted(objects, key=lambda one: one.image)
    compare_with_devkit(by_image, found, num_images=3, classes=["cat", "dog"])
