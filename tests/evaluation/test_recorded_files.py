"""Recorded detections, read from files alone, give the recorded figures to the last digit."""

import contextlib
import io
import shutil
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from scratchdet.data import coco, voc
from scratchdet.data.coco_ids import read_ids
from scratchdet.evaluation.detections_file import is_detections_file, read_detections
from scratchdet.evaluation.metrics import Metrics, evaluate_detections
from scratchdet.structures import DataError

FIGURES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")
# ../shared/data/README.md, computed with the COCO API.
VAL2014_100 = [
    0.5045806987, 0.6969727247, 0.5729816670, 0.5856257209, 0.5193996948, 0.5013978987,
    0.3868127796, 0.5936795763, 0.5953529829,
]  # fmt: skip
COCO_SETS = {
    "coco_val2014_100/instances_val2014_100.json": (
        "coco_val2014_100/instances_val2014_fakebbox100_results.json"
    ),
    "coco_100/gts/sampled_gts_bbox_area.json": "coco_100/cocoapi_results.json",
}


def coco_metrics(truth: Path, found: Path) -> Metrics:
    assert is_detections_file(found)
    data = coco.read(truth)
    with pytest.raises(DataError, match="has no 'score'"):
        read_detections(truth, data)
    return evaluate_detections(
        data, read_detections(found, data, ids=read_ids(truth)).detections, protocol="coco"
    )


def figures(metrics: Metrics) -> list[float]:
    return [getattr(metrics, name) for name in FIGURES]


def recorded(shared, name: str) -> Path:
    path = shared / "data" / name
    if not path.exists():
        pytest.skip(f"recorded data absent: {path}")
    return path


def test_coco_result_of_a_hundred_images_gives_the_recorded_figures(shared):
    truth, found = next(iter(COCO_SETS.items()))
    folder = recorded(shared, "evaluation")
    ours = figures(coco_metrics(folder / truth, folder / found))
    assert ours == pytest.approx(VAL2014_100, abs=1e-10)  # ten digits are recorded


@pytest.mark.parametrize(("truth", "found"), COCO_SETS.items())
def test_coco_results_give_what_pycocotools_says_of_the_same_files(shared, truth, found):
    folder = recorded(shared, "evaluation")
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO(str(folder / truth))
        run = COCOeval(api, api.loadRes(str(folder / found)), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    ours = coco_metrics(folder / truth, folder / found)
    assert figures(ours) == pytest.approx(list(run.stats[:9]), abs=1e-12)
    expected = run.eval["precision"][..., 0, -1].mean(axis=(0, 1))
    for value, name in zip(expected, ours.ap_per_class, strict=True):
        assert ours.ap_per_class[name] == pytest.approx(
            value if value >= 0 else float("nan"), abs=1e-12, nan_ok=True
        )


def as_voc_submission(lines: Path, folder: Path, classes: list[str]) -> Path:
    """The submission that files of `class score x1 y1 x2 y2` stand for, one file an image."""
    folder.mkdir()
    per_class: dict[str, list[str]] = {name: [] for name in classes}
    for file in sorted(lines.glob("*.txt")):
        for line in file.read_text().splitlines():
            label, rest = line.split(maxsplit=1)
            per_class[classes[int(label)]].append(f"{file.stem} {rest}\n")
    for name, found in per_class.items():
        (folder / f"comp3_det_val_{name}.txt").write_text("".join(found))
    return folder


def voc_data(annotations: Path, folder: Path) -> Path:
    """A VOC folder of these annotations, with an image for each that nobody looks into."""
    shutil.copytree(annotations, folder / "Annotations")
    (folder / "JPEGImages").mkdir()
    for file in annotations.glob("*.xml"):
        (folder / f"JPEGImages/{file.stem}.jpg").touch()
    return folder


def test_voc_files_of_the_toy_set_give_its_published_figures(shared, tmp_path):
    toy = recorded(shared, "evaluation/toy")
    data = voc.read(voc_data(toy / "gts_vocpascal_format", tmp_path / "data"))
    assert (len(data), data.num_objects, data.classes) == (10, 12, ("cat",))
    lines = toy / "dets_classid_abs_xyx2y2"
    labels = {line.split()[0] for file in lines.glob("*.txt") for line in file.open()}
    (label,) = map(int, labels)
    folder = as_voc_submission(lines, tmp_path / "results", ["cat"] * (label + 1))
    detections = read_detections(folder, data).detections
    assert len(detections.scores) == 12
    percents = {
        protocol: round(100 * evaluate_detections(data, detections, protocol=protocol).ap50, 2)
        for protocol in ("voc07", "voc")
    }
    assert percents == {"voc07": 88.64, "voc": 89.58}


def test_voc_files_of_a_hundred_images_are_read_whole(shared, tmp_path):
    """Their figures are held against the devkit's rules in test_voc_against_devkit.py."""
    source = recorded(shared, "voc2012_100")
    classes = (source / "voc.names").read_text().split()
    data = voc.read(voc_data(source / "Annotations", tmp_path / "data"), classes=classes)
    folder = as_voc_submission(source / "detections", tmp_path / "results", classes)
    assert is_detections_file(folder)
    detections = read_detections(folder, data).detections
    assert len(detections.scores) == 452
    ids = [data.ids[index] for index in detections.image_index]
    first = ids.index("2007_000027")
    assert detections.boxes[first].tolist() == [161, 95, 351, 341]
    assert (classes[detections.labels[first]], round(float(detections.scores[first]), 6)) == (
        "person",
        0.431418,
    )
