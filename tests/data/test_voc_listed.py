"""Images of a challenge's test, which are published without annotations."""

import cv2
import numpy as np
import pytest

from scratchdet.data.voc_listed import lacks_annotations, read_listed
from scratchdet.structures import DataError


def write(root, *ids, split="test", annotated=(), lines=None):
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for image_id in ids:
        picture = cv2.imencode(".jpg", np.zeros((30, 40, 3), np.uint8))[1]
        (root / f"JPEGImages/{image_id}.jpg").write_bytes(picture.tobytes())
    for image_id in annotated:
        (root / f"Annotations/{image_id}.xml").write_text("<annotation/>")
    (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(lines or ids))
    return root


def test_a_list_of_no_images_lacks_nothing(tmp_path):
    write(tmp_path)
    assert not lacks_annotations(tmp_path, split="test")
    data = read_listed(tmp_path, split="test", classes=["cat"])
    assert (len(data), data.classes, data.problems) == (0, ("cat",), ())


def test_all_images_of_the_list_are_there_whether_annotated_or_not(tmp_path):
    write(tmp_path, "b", "a", "c", annotated="ac")
    write(tmp_path, "d", split="train", annotated="d")
    assert lacks_annotations(tmp_path, split="test")
    assert not lacks_annotations(tmp_path, split="train")
    data = read_listed(tmp_path, split="test", classes=["cat", "dog"])
    assert list(data.ids) == ["b", "a", "c"]
    assert data.paths[0] == str(tmp_path / "JPEGImages/b.jpg")
    assert data.sizes.tolist() == [[40, 30]] * 3
    assert (data.num_objects, data.classes, data.problems) == (0, ("cat", "dog"), ())


def test_flags_of_lists_are_no_part_of_the_ids(tmp_path):
    write(tmp_path, "a", "b", lines=["a -1", "b  1", "a"], annotated="ab")
    assert not lacks_annotations(tmp_path, split="test")
    assert list(read_listed(tmp_path, split="test", classes=[]).ids) == ["a", "b"]


def test_images_that_are_not_there_or_are_none_are_problems(tmp_path):
    write(tmp_path, "a", "b", lines=["a", "b", "c"])
    (tmp_path / "JPEGImages/b.jpg").write_bytes(b"")
    data = read_listed(tmp_path, split="test", classes=[])
    assert list(data.ids) == ["a"]
    wheres = [problem.where for problem in data.problems]
    assert wheres == [f"{tmp_path}/ImageSets/Main/test.txt: {name}" for name in "bc"]
    assert {problem.action for problem in data.problems} == {"image dropped"}


def test_years_are_read_together_unless_they_share_an_id(tmp_path):
    write(tmp_path / "VOC2007", "a", annotated="a")
    write(tmp_path / "VOC2012", "b")
    assert lacks_annotations(tmp_path, split="test")
    assert not lacks_annotations(tmp_path, split="VOC2007/test")
    assert list(read_listed(tmp_path, split="test", classes=[]).ids) == ["a", "b"]
    write(tmp_path / "VOC2012", "a")
    with pytest.raises(DataError, match="two years have an image a: name one"):
        read_listed(tmp_path, split="test", classes=[])
    assert len(read_listed(tmp_path, split="VOC2012/test", classes=[])) == 1


def test_images_of_several_files_are_one(tmp_path):
    write(tmp_path, "a_1", "a_2", lines=["a"])
    pattern = "{stem}_1.jpg,{stem}_2.jpg"
    data = read_listed(tmp_path, split="test", classes=[], files=pattern)
    folder = tmp_path / "JPEGImages"
    assert list(data.paths) == [f"{folder}/a_1.jpg|{folder}/a_2.jpg"]
