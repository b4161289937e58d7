"""From what is looked at to pictures and lines of JSON."""

import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from scratchdet.detecting.sources import Sources
from scratchdet.files import DiskFull
from scratchdet.structures import DataError


def names(folder) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_nothing_to_look_at_gives_an_empty_list(tmp_path, look):
    done = look(Sources([], []), tmp_path / "out")
    assert (done.summary.images, done.summary.objects, done.lines) == (0, 0, [])


def test_a_line_has_the_image_and_its_objects(tmp_path, look, picture):
    file = picture(tmp_path / "in" / "zwölf.png")
    done = look([file], tmp_path / "out")
    assert (done.summary.images, done.summary.objects, done.unreadable) == (1, 1, [])
    box = [2.12, 3.0, 20.0, 30.46]
    assert done.lines == [
        {"image": str(file), "objects": [{"class": "b [x]", "score": 0.8765, "box": box}]}
    ]


def test_names_are_written_as_they_are(tmp_path, look, picture):
    look([picture(tmp_path / "in" / "zwölf.png")], tmp_path / "out")
    assert "zwölf.png" in (tmp_path / "out" / "detections.jsonl").read_text(encoding="utf-8")


def test_an_image_without_objects_has_a_line_and_a_picture(tmp_path, look, picture, finder):
    done = look([picture(tmp_path / "in/a.png")], tmp_path / "out", finder(count=0))
    assert (done.summary.images, done.summary.objects) == (1, 0)
    assert done.lines[0]["objects"] == []
    assert names(tmp_path / "out") == {"detections.jsonl", "a.png"}


def test_pictures_are_not_written_where_nobody_wants_them(tmp_path, look, picture):
    look([picture(tmp_path / "in/a.png")], tmp_path / "out", pictures=False)
    assert names(tmp_path / "out") == {"detections.jsonl"}


def test_the_picture_is_as_large_as_the_image_and_shows_the_box(tmp_path, look, picture):
    file = picture(tmp_path / "a.png", size=(300, 400))
    look([file], tmp_path / "out")
    drawn = cv2.imread(str(tmp_path / "out" / "a.png"))
    assert drawn.shape == (300, 400, 3)
    assert (drawn != 90).any()
    assert (drawn[200:, 300:] == 90).all()
    assert (cv2.imread(str(file)) == 90).all()


def test_a_small_image_is_enlarged_with_its_boxes(tmp_path, look, picture):
    done = look([picture(tmp_path / "a.png", size=(40, 30))], tmp_path / "out")
    assert done.lines[0]["objects"][0]["box"] == [2.12, 3.0, 20.0, 30.46]  # of the image as it is
    drawn = cv2.imread(str(tmp_path / "out" / "a.png"))
    assert drawn.shape == (320, 240, 3)  # eight times
    rows, columns = np.nonzero((drawn != 90).any(axis=2))
    assert abs(columns.max() - 20 * 8) <= 8
    assert abs(rows.max() - 30.456 * 8) <= 8


def test_files_of_the_same_name_get_pictures_of_their_own(tmp_path, look, picture):
    files = [picture(tmp_path / name) for name in ("1/a.png", "2/a.png", "3/a.jpg", "4/a-2.png")]
    done = look(files, tmp_path / "out")
    assert len(done.lines) == 4
    assert names(tmp_path / "out") == {
        "detections.jsonl", "a.png", "a-2.png", "a-3.png", "a-2-2.png",
    }  # fmt: skip


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_unreadable_images_are_skipped_and_told_whatever_the_batch(tmp_path, look, picture, batch):
    good = [picture(tmp_path / f"{name}.png") for name in "acde"]
    bad = tmp_path / "b.jpg"
    bad.write_bytes(b"no image")
    done = look([tmp_path], tmp_path / "out", batch=batch)
    assert (done.summary.images, done.summary.objects, done.summary.unreadable) == (4, 4, 1)
    (why,) = done.unreadable
    assert why.startswith(f"{bad}: not an image, or a damaged one")
    assert [line["image"] for line in done.lines] == [str(file) for file in good]
    assert done.progress == [(n, 5) for n in range(1, 6)]


def test_a_batch_without_any_readable_image_is_passed_over(tmp_path, look, picture, finder):
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(b"")
    picture(tmp_path / "c.png")
    detector = finder()
    done = look([tmp_path], tmp_path / "out", detector, batch=2)
    assert detector.batches == [1]
    assert (done.summary.images, done.summary.unreadable) == (1, 2)


@pytest.mark.parametrize(("batch", "batches"), [(1, [1] * 5), (2, [2, 2, 1]), (8, [5])])
def test_the_detector_is_given_batches(tmp_path, look, picture, finder, batch, batches):
    for name in "abcde":
        picture(tmp_path / f"{name}.png")
    detector = finder()
    look([tmp_path], tmp_path / "out", detector, batch=batch)
    assert detector.batches == batches


def test_a_name_that_is_not_unicode_does_not_stop_it(tmp_path, look, picture):
    file = picture(tmp_path / os.fsdecode(b"caf\xe9.png"))
    done = look([file], tmp_path / "out")
    assert done.summary.images == 1
    assert done.lines[0]["image"] == str(file)


def test_the_detector_is_asked_for_the_least_score_and_others_are_dropped(
    tmp_path, look, picture, finder
):
    detector = finder()
    least = np.array([0.25, 0.9], np.float32)
    done = look([picture(tmp_path / "a.png")], tmp_path / "out", detector, least=least)
    assert detector.min_scores == [0.25]
    assert done.summary.objects == 0  # they are of the other class


def test_images_with_as_many_detections_as_are_kept_are_counted(tmp_path, look, picture, finder):
    file = picture(tmp_path / "a.png")
    least = np.full(2, 0.9, np.float32)  # whatever is done with them
    counts = {
        (count, keep): look([file], tmp_path / "out", finder(count), least=least, keep=keep)
        for count, keep in [(49, 50), (50, 50), (50, 200), (50, None)]
    }
    assert {asked: done.summary.full for asked, done in counts.items()} == {
        (49, 50): 0, (50, 50): 1, (50, 200): 0, (50, None): 0,
    }  # fmt: skip


def test_pictures_of_the_user_are_not_overwritten(tmp_path, look, picture, monkeypatch):
    file, other = picture(tmp_path / "1/a.jpg"), picture(tmp_path / "2/a.png")
    before = other.read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"2/a\.png: is no annotated picture or video"):
        look([file], tmp_path / "2")
    assert names(tmp_path / "2") == {"a.png"}
    look([file], tmp_path / "2", pictures=False)
    for source in (file, "2/a.png"):
        with pytest.raises(DataError, match=r"2/a\.png: is no annotated picture or video"):
            look([source], tmp_path / "2")  # among results now
    assert other.read_bytes() == before


def test_a_picture_of_the_users_among_annotated_ones_is_not_overwritten(tmp_path, look, picture):
    file, out = picture(tmp_path / "in/a.png"), tmp_path / "out"
    look([file], out)
    before = picture(out / "b.png").read_bytes()
    lines = (out / "detections.jsonl").read_bytes()
    with pytest.raises(DataError, match=r"out/b\.png: is no annotated picture or video"):
        look([file, picture(tmp_path / "in/b.png")], out)
    assert (out / "b.png").read_bytes() == before
    assert (out / "detections.jsonl").read_bytes() == lines


def test_an_annotated_picture_is_not_looked_at_and_overwritten(tmp_path, look, picture):
    look([picture(tmp_path / "a.png")], tmp_path / "out")
    with pytest.raises(DataError, match=r"a\.png would be overwritten by its result"):
        look([tmp_path / "out/a.png"], tmp_path / "out")


def test_a_picture_that_cannot_be_written_is_named_itself(tmp_path, look, picture, monkeypatch):
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    file = picture(tmp_path / "a.png")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFull, match=r"'.*/out/a\.png'$"):
        look([file], tmp_path / "out", formats=["jsonl", "voc"])


def test_a_second_call_replaces_the_results_of_the_first(tmp_path, look, picture, finder):
    file = picture(tmp_path / "in/a.png")
    look([file], tmp_path / "out")
    assert look([file], tmp_path / "out", finder(2)).summary.objects == 2
    assert names(tmp_path / "out") == {"detections.jsonl", "a.png"}


def test_who_wants_to_stop_gets_what_was_found_until_then(tmp_path, look, picture, finder):
    for name in "abcde":
        picture(tmp_path / f"{name}.png")
    detector = finder()
    done = look(
        [tmp_path], tmp_path / "out", detector, batch=2, stop=lambda: len(detector.batches) == 1
    )
    assert done.summary.interrupted
    assert [line["image"][-5:] for line in done.lines] == ["a.png", "b.png"]


def test_results_are_complete_or_not_there(tmp_path, look, picture, finder):
    file = picture(tmp_path / "in/a.png")
    detector = finder()
    detector.predict = None
    for formats in (["jsonl", "coco", "voc"], ["yolo", "csv"]):
        with pytest.raises(TypeError):
            look([file], tmp_path / "out", detector, formats=formats)
        assert names(tmp_path / "out") == set()
