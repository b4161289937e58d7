"""Pictures and lines of JSON from image files."""

import json
import os

import cv2
import numpy as np
import pytest
import torch

from scratchdet.data.pack import pack
from scratchdet.data.references import files_of
from scratchdet.detecting import detect_files, find_images, find_stacks
from scratchdet.structures import DataError, Detections


class Finder:
    """Finds one box of class `b` in every image, and says how sure it was asked to be."""

    classes = ("a", "b [x]")
    in_channels, image_dtype = 3, "uint8"

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.min_scores: list[float] = []

    def predict(self, images, *, min_score):
        self.min_scores.append(min_score)
        boxes = torch.tensor([[2.123, 3.0, 20.0, 30.456]]).expand(self.count, 4)
        scores = torch.full((self.count,), 0.87654321)
        labels = torch.ones(self.count, dtype=torch.int64)
        return [Detections(boxes, scores, labels) for _ in images]


def picture(path, *, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = cv2.imencode(".png", np.full((*size, 3), 90, np.uint8))[1]
    path.write_bytes(encoded.tobytes())
    return path


def detect(files, out, detector=None):
    reports = []
    summary = detect_files(
        detector or Finder(),
        files,
        out=out,
        min_score=0.4,
        progress=lambda done, total: reports.append((done, total)),
    )
    lines = (out / "detections.jsonl").read_text(encoding="utf-8").splitlines()
    return summary, [json.loads(line) for line in lines], reports


def names(folder) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.mark.parametrize("pattern", ["", "{stem}_1.png,{stem}_2.png"])
def test_the_images_of_a_pack_are_found_in_it(tmp_path, pattern):
    for name in ("x_1", "x_2"):
        picture(tmp_path / f"images/{name}.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("a")
    pack(tmp_path, tmp_path / "x.lmdb", files=pattern)
    files = find_images(tmp_path / "x.lmdb", leave_out=tmp_path / "out")
    if pattern:
        files, left_over = find_stacks(files, pattern)
        assert left_over == {}
        assert [len(files_of(file)) for file in files] == [2]
        return
    summary, lines, _ = detect(files, tmp_path / "out")
    assert (summary.images, summary.unreadable) == (2, ())
    assert [line["image"] for line in lines] == [f"{tmp_path}/x.lmdb/x_{n}.png" for n in (1, 2)]
    assert names(tmp_path / "out") == {"x_1.png", "x_2.png", "detections.jsonl"}


def test_no_file_gives_an_empty_list(tmp_path):
    summary, lines, _ = detect([], tmp_path / "out")
    assert summary == (0, 0, ())
    assert lines == []


def test_an_image_is_found_as_it_is_and_a_folder_is_searched_with_those_below(tmp_path):
    files = [picture(tmp_path / name) for name in ("b.png", "deep/er/a.PNG", "ü x.jpg", "c.tiff")]
    (tmp_path / "notes.txt").write_text("no image")
    assert find_images(files[0], leave_out=tmp_path / "found") == [files[0]]
    assert find_images(tmp_path, leave_out=tmp_path / "found") == sorted(files)


def test_nothing_to_find_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        find_images(tmp_path / "nowhere", leave_out=tmp_path / "found")
    with pytest.raises(DataError, match=r"no image here; looked for \.jpg, "):
        find_images(tmp_path, leave_out=tmp_path / "found")


def test_a_line_has_the_image_and_its_objects(tmp_path):
    file = picture(tmp_path / "in" / "zwölf.png")
    summary, lines, _ = detect([file], tmp_path / "out")
    assert summary == (1, 1, ())
    box = [2.12, 3.0, 20.0, 30.46]
    assert lines == [
        {"image": str(file), "objects": [{"class": "b [x]", "score": 0.8765, "box": box}]}
    ]


def test_names_are_written_as_they_are(tmp_path):
    detect([picture(tmp_path / "in" / "zwölf.png")], tmp_path / "out")
    assert "zwölf.png" in (tmp_path / "out" / "detections.jsonl").read_text(encoding="utf-8")


def test_an_image_without_objects_has_a_line_and_a_picture(tmp_path):
    summary, lines, _ = detect([picture(tmp_path / "a.png")], tmp_path / "out", Finder(count=0))
    assert summary == (1, 0, ())
    assert lines[0]["objects"] == []
    assert names(tmp_path / "out") == {"detections.jsonl", "a.png"}


def test_the_picture_is_as_large_as_the_image_and_shows_the_box(tmp_path):
    file = picture(tmp_path / "a.png", size=(300, 400))
    detect([file], tmp_path / "out")
    drawn = cv2.imread(str(tmp_path / "out" / "a.png"))
    assert drawn.shape == (300, 400, 3)
    assert (drawn != 90).any()
    assert (drawn[200:, 300:] == 90).all()
    assert (cv2.imread(str(file)) == 90).all()


def test_a_small_image_is_enlarged_with_its_boxes(tmp_path):
    _, lines, _ = detect([picture(tmp_path / "a.png", size=(40, 30))], tmp_path / "out")
    assert lines[0]["objects"][0]["box"] == [2.12, 3.0, 20.0, 30.46]  # of the image as it is
    drawn = cv2.imread(str(tmp_path / "out" / "a.png"))
    assert drawn.shape == (320, 240, 3)  # eight times
    rows, columns = np.nonzero((drawn != 90).any(axis=2))
    assert abs(columns.max() - 20 * 8) <= 8
    assert abs(rows.max() - 30.456 * 8) <= 8


def test_files_of_the_same_name_get_pictures_of_their_own(tmp_path):
    files = [picture(tmp_path / name) for name in ("1/a.png", "2/a.png", "3/a.jpg", "4/a-2.png")]
    _, lines, _ = detect(files, tmp_path / "out")
    assert len(lines) == 4
    assert len(names(tmp_path / "out")) == 5
    assert names(tmp_path / "out") >= {"a.png", "a-2.png", "a-3.png"}


def test_unreadable_images_are_skipped_and_told(tmp_path):
    good = [picture(tmp_path / "a.png"), picture(tmp_path / "c.png")]
    bad = tmp_path / "b.jpg"
    bad.write_bytes(b"no image")
    summary, lines, reports = detect([good[0], bad, good[1]], tmp_path / "out")
    assert summary[:2] == (2, 2)
    assert len(summary.unreadable) == 1
    assert summary.unreadable[0].startswith(f"{bad}: not an image, or a damaged one")
    assert [line["image"] for line in lines] == [str(file) for file in good]
    assert reports[-1] == (3, 3)


def test_progress_reaches_the_end_even_if_the_last_image_is_unreadable(tmp_path):
    bad = tmp_path / "b.jpg"
    bad.write_bytes(b"")
    _, _, reports = detect([picture(tmp_path / "a.png"), bad], tmp_path / "out")
    assert reports[-1] == (2, 2)


def test_a_name_that_is_not_unicode_does_not_stop_it(tmp_path):
    file = picture(tmp_path / os.fsdecode(b"caf\xe9.png"))
    summary, lines, _ = detect([file], tmp_path / "out")
    assert summary.images == 1
    assert lines[0]["image"] == str(file)


def test_the_score_asked_for_is_that_of_the_detector(tmp_path):
    detector = Finder()
    detect([picture(tmp_path / "a.png")], tmp_path / "out", detector)
    assert detector.min_scores == [0.4]
