"""Results as files: what is written is what our own readers read."""

import csv
import errno
import json
import os
import tracemalloc
from typing import NamedTuple, get_args, get_type_hints

import numpy as np
import pytest

from scratchdet.cli_detect import DetectCommand
from scratchdet.data import coco, voc, yolo
from scratchdet.data.images import image_size
from scratchdet.detecting.views import View
from scratchdet.detecting.writers import COLUMNS, WRITERS, Result, whole_pixels
from scratchdet.structures import Arrays, DataError, nothing_found

CLASSES = ("rot", "grün", "blau [x]")
SIZES = {"in/leer.png": (40, 30), "in/a.png": (30, 40), "in/tief/ü.png": (50, 60)}


class Box(NamedTuple):
    """One object as a reader gives it back."""

    image: str
    """The stem."""
    name: str
    corners: list[float]
    score: float | None
    """None where readers know no scores."""


def read_jsonl(out, _):
    lines = (out / "detections.jsonl").read_text(encoding="utf-8").splitlines()
    for line in map(json.loads, lines):
        for item in line["objects"]:
            stem = os.path.splitext(os.path.basename(line["image"]))[0]
            yield Box(stem, item["class"], item["box"], item["score"])


def read_csv(out, _):
    with (out / "detections.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            stem = os.path.splitext(os.path.basename(row["image"]))[0]
            corners = [float(row[corner]) for corner in ("x1", "y1", "x2", "y2")]
            yield Box(stem, row["class"], corners, float(row["score"]))


def read_coco(out, images):
    data = coco.read(out / "detections.coco.json")
    assert data.classes == CLASSES
    assert data.ids[:] == ["1", "2", "3"]
    assert data.sizes.tolist() == [list(size) for size in SIZES.values()]
    written = json.loads((out / "detections.coco.json").read_text(encoding="utf-8"))
    scores = [annotation["score"] for annotation in written["annotations"]]
    for box, score in zip(boxes(data), scores, strict=True):
        yield box._replace(score=score)


def read_voc(out, images):
    (out / "JPEGImages").symlink_to(images)
    yield from boxes(voc.read(out, classes=CLASSES))


def read_yolo(out, images):
    (out / "images").symlink_to(images)
    data = yolo.read(out)
    assert data.classes == CLASSES
    yield from boxes(data)


def boxes(data):
    """What a data set has, which must be read without a complaint."""
    assert data.problems == ()
    assert len(data) == len(SIZES)
    for record in data:
        for box, label in zip(record.boxes, record.labels, strict=True):
            yield Box(record.path.stem, data.classes[label], box.tolist(), None)


READ = {
    "jsonl": read_jsonl,
    "csv": read_csv,
    "coco": read_coco,
    "voc": read_voc,
    "yolo": read_yolo,
}
WITHIN = {"voc": 0.5, "yolo": 0.001}  # pixels; others are equal to the digits that are written


def found(*rows):
    """Detections from (label, score, box)."""
    labels, scores, corners = zip(*rows, strict=True)
    return Arrays(
        np.array(corners, np.float32), np.array(scores, np.float32), np.array(labels, np.int64)
    )


RESULTS = {
    "in/leer.png": nothing_found(),
    "in/a.png": found((1, 0.9, [0, 0, 30, 40]), (2, 0.8125, [3.25, 4.5, 10.75, 12.25])),
    "in/tief/ü.png": found((1, 0.5, [47.4, 57.3, 50, 60])),
}


def result(name, arrays, size, *, stem=None, frame=None, seconds=None) -> Result:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    view = View(f"/daten/{name}", name.removeprefix("in/"), image, frame, seconds)
    return Result(view, stem or os.path.splitext(os.path.basename(name))[0], image, arrays)


def write(kind, out, results):
    out.mkdir(exist_ok=True)
    with WRITERS[kind](out, CLASSES) as add:
        for one in results:
            add(one)


@pytest.fixture
def images(tmp_path, picture):
    folder = tmp_path / "bilder"
    for name, (width, height) in SIZES.items():
        file = picture(folder / os.path.basename(name), size=(height, width))
        assert image_size(file) == (width, height)
    return folder


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_written_is_read_back(kind, tmp_path, images):
    write(kind, tmp_path / "out", [result(name, RESULTS[name], SIZES[name]) for name in SIZES])
    read = sorted(READ[kind](tmp_path / "out", images))
    expected = [
        Box("a", "blau [x]", [3.25, 4.5, 10.75, 12.25], 0.8125),
        Box("a", "grün", [0, 0, 30, 40], 0.9),
        Box("ü", "grün", [47.4, 57.3, 50, 60], 0.5),
    ]
    assert [box[:2] for box in read] == [box[:2] for box in expected]
    for box, real in zip(read, expected, strict=True):
        assert box.corners == pytest.approx(real.corners, abs=WITHIN.get(kind, 0) + 1e-5)
        assert box.score in (None, pytest.approx(real.score))


@pytest.mark.parametrize("kind", WRITERS)
def test_nothing_at_all_is_written_too(kind, tmp_path):
    out = tmp_path / "out"
    write(kind, out, [])
    (made,) = out.iterdir()
    if kind == "coco":
        assert coco.read(made).classes == CLASSES
    if kind == "csv":
        assert made.read_text() == ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize("kind", WRITERS)
def test_frames_of_a_video_are_told_apart(kind, tmp_path):
    frames = [
        result(
            "in/film.mp4",
            RESULTS["in/a.png"],
            (30, 40),
            stem=f"film-frame-{number:06d}",
            frame=number,
            seconds=number / 30,
        )
        for number in (0, 2)
    ]
    write(kind, tmp_path, frames)
    if kind == "jsonl":
        lines = [json.loads(line) for line in (tmp_path / "detections.jsonl").open()]
        assert [(line["frame"], line["seconds"]) for line in lines] == [(0, 0.0), (2, 0.067)]
    elif kind == "csv":
        rows = list(csv.DictReader((tmp_path / "detections.csv").open(encoding="utf-8")))
        assert [(row["frame"], row["seconds"]) for row in rows] == [
            *[("0", "0.0")] * 2,
            *[("2", "0.067")] * 2,
        ]
    elif kind in ("voc", "yolo"):
        stems = {path.stem for path in tmp_path.glob("*/*")} - {"classes"}
        assert stems == {"film-frame-000000", "film-frame-000002"}


@pytest.mark.parametrize("kind", WRITERS)
def test_an_error_leaves_what_was_there_and_nothing_else(kind, tmp_path):
    for file in ("jsonl", "coco.json", "csv"):
        (tmp_path / f"detections.{file}").write_text("earlier")
    before = sorted(tmp_path.rglob("*"))
    a = result("in/a.png", RESULTS["in/a.png"], (30, 40))
    with pytest.raises(AttributeError), WRITERS[kind](tmp_path, CLASSES) as add:
        add(a), add(None)
    assert sorted(tmp_path.rglob("*")) == before
    assert {path.read_text() for path in before} == {"earlier"}


@pytest.mark.parametrize(("kind", "folder"), [("voc", "Annotations"), ("yolo", "labels")])
def test_a_folder_that_is_there_may_be_anyones_work(kind, folder, tmp_path):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "a.xml").write_text("mine")
    with pytest.raises(DataError, match=f"{folder}: is there already; give another --out"):
        write(kind, tmp_path, [result("in/a.png", nothing_found(), (30, 40))])
    assert [path.read_text() for path in (tmp_path / folder).iterdir()] == ["mine"]


@pytest.mark.parametrize(("kind", "folder"), [("voc", "Annotations"), ("yolo", "labels")])
def test_an_error_names_the_file_or_folder_that_it_is_about(kind, folder, tmp_path):
    a = result("in/a.png", nothing_found(), (30, 40))
    with pytest.raises(FileExistsError, match=rf"'{tmp_path}/{folder}'$"):
        write(kind, tmp_path, [a, a])
    with pytest.raises(PermissionError, match=r"'a\.png'$"), WRITERS[kind](tmp_path, CLASSES):
        raise OSError(errno.EACCES, "Permission denied", "a.png")


@pytest.mark.parametrize("kind", WRITERS)
def test_a_name_that_is_not_unicode_is_written_with_escapes(kind, tmp_path):
    odd = os.fsdecode(b"in/caf\xe9.png")
    write(kind, tmp_path, [result(odd, RESULTS["in/a.png"], (30, 40))])
    text = "".join(
        path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()
    )
    assert "rot" in text or "grün" in text
    assert kind == "yolo" or "\\udce9" in text


@pytest.mark.parametrize("kind", ["jsonl", "coco", "csv"])
def test_a_hundred_times_the_images_take_no_more_memory(kind, tmp_path):
    one = result("in/a.png", RESULTS["in/a.png"], (30, 40))

    def peak(count: int) -> int:
        tracemalloc.start()
        write(kind, tmp_path, (one for _ in range(count)))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(1)  # what is imported or cached by the first
    assert peak(3000) < peak(30) + 300_000  # of a megabyte that is written


@pytest.mark.parametrize(
    ("box", "corners"),
    [
        ([0, 0, 30, 40], (1, 1, 30, 40)),
        ([3.25, 4.5, 10.75, 12.25], (4, 5, 11, 12)),
        ([5.1, 5.2, 5.3, 5.4], (6, 6, 7, 7)),  # less than a pixel
        ([29.8, 39.9, 30, 40], (29, 39, 30, 40)),
    ],
)
def test_corners_of_voc_are_whole_pixels_that_count_from_one(box, corners):
    assert whole_pixels(box, size=(30, 40)) == corners


def test_the_command_line_offers_every_writer():
    kinds = get_args(get_args(get_type_hints(DetectCommand)["save"])[0])
    assert kinds == tuple(WRITERS)
