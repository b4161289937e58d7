"""The charts of a diagnosis: drawn for one class and for many, and for nothing at all."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from scratchdet.analysis.evaluation_plots import (
    confusion,
    error_costs,
    f1_over_score,
    precision_recall,
    write_plots,
)
from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.diagnosis import Diagnosis, diagnose
from scratchdet.structures import DetectionData, Strings

NAMES = ["precision_recall.png", "f1.png", "confusion.png", "errors.png"]


def diagnosis_of(classes: int, *, images: int = 40, protocol: str = "voc") -> Diagnosis:
    """Two objects an image, most of them found, one in ten as the next class."""
    rng = np.random.default_rng(0)
    count = 2 * images
    corners = rng.uniform(0, 40, (count, 2)) + np.tile([[0, 0], [50, 50]], (images, 1))
    boxes = np.concatenate([corners, corners + 40], axis=1).astype(np.float32)
    labels = np.arange(count) % max(classes, 1)
    names = Strings(str(index) for index in range(images))
    data = DetectionData(
        classes=tuple(f"class number {label}" for label in range(classes)),
        ids=names,
        paths=names,
        sizes=np.full((images, 2), 140, np.int32),
        offsets=np.arange(images + 1) * 2 if classes else np.zeros(images + 1, np.int64),
        boxes=boxes if classes else boxes[:0],
        labels=(labels if classes else labels[:0]).astype(np.int32),
        ignore=np.zeros(count if classes else 0, bool),
    )
    kept = rng.random(count) < (0.9 if classes else 0)
    found = (labels + (rng.random(count) < 0.1)) % max(classes, 1)
    rows = Columns(
        np.repeat(np.arange(images), 2)[kept],
        (boxes + rng.normal(0, 3, boxes.shape)).astype(np.float32)[kept],
        rng.random(count, dtype=np.float32)[kept],
        found[kept],
    )
    return diagnose(data, rows, protocol=protocol)


@pytest.mark.parametrize("classes", [0, 1, 8, 30])
def test_every_chart_is_written_as_a_picture(classes, tmp_path):
    written = write_plots(diagnosis_of(classes), tmp_path / "new")
    assert [path.name for path in written] == NAMES
    for path in written:
        picture = cv2.imread(str(path))
        assert min(picture.shape[:2]) > 300
        assert picture.std() > 5  # something is drawn


def test_few_classes_have_each_a_name_and_of_many_the_best_and_the_worst():
    few, many = diagnosis_of(3), diagnosis_of(20)
    for chart, value in ((precision_recall, "ap50"), (f1_over_score, "f1")):
        for diagnosis, count in ((few, 3), (many, 6)):
            (axes,) = chart(diagnosis).axes
            entries = [text.get_text() for text in axes.get_legend().get_texts()]
            assert len(entries) == count + 1
            assert entries[-1] == f"mean of {len(diagnosis.classes)}"
            figures = [float(entry.rsplit(" ", 1)[1]) for entry in entries[:-1]]
            known = [one.ap50 if value == "ap50" else one.best.f1 for one in diagnosis.classes]
            assert figures == sorted(figures, reverse=True)
            assert figures[0] == pytest.approx(max(known), abs=1e-3)
            assert figures[-1] == pytest.approx(min(known), abs=1e-3)
            assert len([line for line in axes.lines if len(line.get_xdata()) > 1]) == (
                len(diagnosis.classes) + 1
            )


def test_a_line_ends_at_the_recall_that_is_reached():
    diagnosis = diagnosis_of(1)
    (axes,) = precision_recall(diagnosis).axes
    (line,) = axes.lines
    assert line.get_xdata()[-1] == pytest.approx(diagnosis.classes[0].curve.recall[-1])
    assert line.get_xdata()[0] == 0


def test_counts_are_written_into_few_cells_and_not_into_many():
    few = diagnosis_of(3)
    (axes,) = confusion(few.confusion, [one.name for one in few.classes]).axes
    texts = sorted(int(text.get_text()) for text in axes.texts)
    assert texts == sorted(few.confusion.counts[few.confusion.counts > 0].tolist())
    assert [tick.get_text() for tick in axes.get_yticklabels()][-1] == "no object"
    many = diagnosis_of(30)
    (axes,) = confusion(many.confusion, [one.name for one in many.classes]).axes
    assert not axes.texts
    assert len(axes.get_xticklabels()) == 31


def test_a_bar_is_as_long_as_the_error_costs():
    diagnosis = diagnosis_of(3)
    (axes,) = error_costs(diagnosis.errors, ap50=diagnosis.metrics.ap50).axes
    costs = [cost.ap50 for cost in diagnosis.errors.rows().values()]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(costs)
    assert sum(f"({cost.number})" in text.get_text() for cost, text in zip(
        diagnosis.errors.rows().values(), axes.texts, strict=True)
    ) == len(costs)  # fmt: skip


def test_no_window_system_is_asked_for():
    code = (
        "import sys, scratchdet.analysis.evaluation_plots; "
        "assert not {'matplotlib.pyplot', 'torch'} & {*sys.modules}"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
