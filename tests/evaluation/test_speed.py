"""The comparison with pycocotools of benchmarks/evaluation_speed.py, on little data."""

import importlib
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "benchmarks")
    return importlib.import_module("evaluation_speed")


def test_coco_figures_are_those_of_pycocotools_and_take_a_fifth_of_its_time(speed):
    """Measured: a twentieth. Scores have three decimals, so that many are equal; crowds are in."""
    size = (200, 100, 5)
    data, detections = speed.made_up(*size)
    assert len(data) == 200
    assert np.bincount(detections.image_index).tolist() == [100] * 200
    assert len(np.unique(detections.scores)) < len(detections.scores) / 10
    assert 10 < data.ignore.sum() < 100
    ours = speed.timed(speed.by_coco, size)
    theirs = speed.timed(speed.by_pycocotools, size)
    assert ours["figures"] == pytest.approx(theirs["figures"], abs=1e-9)
    assert 0.2 < ours["figures"][0] < 0.8
    assert 5 * ours["cpu_seconds"] < theirs["cpu_seconds"]


def test_more_detections_of_an_image_and_class_than_count_are_left_out(speed):
    """400 an image of two classes, so that the limits of 1, 10 and 100 all bite."""
    size = (20, 400, 2)
    ours = speed.timed(speed.by_coco, size)["figures"]
    theirs = speed.timed(speed.by_pycocotools, size)["figures"]
    assert ours == pytest.approx(theirs, abs=1e-9)
    ar1, ar10, ar100 = ours[6:9]
    assert ar1 < ar10 < ar100
