"""The VOC writer, read back with nothing but the standard library and OpenCV."""

from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchdet.data.voc_write import voc_corners, write_voc
from scratchdet.structures import DataError, Sample


def sample(boxes=(), *, channels=3, labels=None) -> Sample:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return Sample(
        image=np.full((40, 60, channels), 128, np.uint8),
        boxes=rows,
        labels=np.zeros(len(rows), np.int64) if labels is None else np.array(labels, np.int64),
        ignore=np.zeros(len(rows), bool),
    )


def corners(root, name):
    tree = ElementTree.parse(root / "Annotations" / f"{name}.xml")
    return [[int(value.text or "") for value in box] for box in tree.iter("bndbox")]


def test_a_split_without_images_and_an_image_without_boxes_are_written(tmp_path):
    root = write_voc(
        tmp_path / "a" / "voc", {"train": [], "test": [("x", sample())]}, classes=["cat"]
    )
    assert (root / "ImageSets/Main/train.txt").read_text() == ""
    assert (root / "ImageSets/Main/test.txt").read_text() == "x\n"
    assert corners(root, "x") == []


def test_corners_become_one_based_and_inclusive(tmp_path):
    boxes = [[0, 0, 1, 1], [10, 20, 30, 40], [0, 0, 60, 40]]
    root = write_voc(tmp_path / "voc", {"train": [("x", sample(boxes))]}, classes=["cat"])
    assert corners(root, "x") == [[1, 1, 1, 1], [11, 21, 30, 40], [1, 1, 60, 40]]


@given(
    st.integers(0, 58), st.integers(0, 38), st.integers(1, 60), st.integers(1, 40),
    st.floats(-0.49, 0.49),
)  # fmt: skip
def test_corners_cover_the_same_whole_pixels(x0, y0, width, height, error):
    size = (120, 80)
    box = np.array([x0, y0, x0 + width, y0 + height]) + error
    found = voc_corners(box, size=size)
    assert found == (x0 + 1, y0 + 1, x0 + width, y0 + height)


def test_names_flags_sizes_and_channels_are_written(tmp_path):
    thing = sample([[1, 2, 3, 4], [5, 6, 7, 8]], channels=1, labels=[1, 0])
    thing = Sample(thing.image, thing.boxes, thing.labels, np.array([True, False]))
    root = write_voc(tmp_path / "voc", {"train": [("ä ö", thing)]}, classes=["a & b", "Straße"])
    tree = ElementTree.parse(root / "Annotations" / "ä ö.xml")
    assert [name.text for name in tree.iter("name")] == ["Straße", "a & b"]
    assert [flag.text for flag in tree.iter("difficult")] == ["1", "0"]
    assert [tree.findtext(f"size/{key}") for key in ("width", "height", "depth")] == [
        "60", "40", "1",
    ]  # fmt: skip
    encoded = np.frombuffer((root / "JPEGImages" / "ä ö.jpg").read_bytes(), np.uint8)
    assert cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED).shape == (40, 60)


def test_red_stays_red(tmp_path):
    red = np.full((16, 16, 3), (250, 10, 10), np.uint8)
    thing = Sample(red, sample().boxes, sample().labels, sample().ignore)
    root = write_voc(tmp_path / "voc", {"train": [("x", thing)]}, classes=[])
    blue_green_red = cv2.imread(str(root / "JPEGImages/x.jpg"))
    assert blue_green_red[8, 8, 2] > 240
    assert blue_green_red[8, 8, 0] < 20


@pytest.mark.parametrize(
    ("box", "match"),
    [
        ([5, 5, 5, 9], "box 1 .cat. covers no whole pixel"),
        ([5, 5, 61, 9], "5 5 61 9"),
        ([-1, 5, 6, 9], "-1 5 6 9"),
        ([float("nan"), 5, 6, 9], "nan 5 6 9"),
    ],
)
def test_a_box_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path, box, match):
    samples = [("x", sample()), ("y", sample([[0, 0, 5, 5], box]))]
    with pytest.raises(DataError, match=match):
        write_voc(tmp_path / "voc", {"train": samples}, classes=["cat"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "a/b"])
def test_an_id_that_is_no_file_name_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="file name"):
        write_voc(tmp_path / "voc", {"train": [(name, sample())]}, classes=[])


def test_an_id_given_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match="twice"):
        write_voc(
            tmp_path / "voc", {"train": [("x", sample())], "val": [("x", sample())]}, classes=[]
        )


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        write_voc(tmp_path, {}, classes=[])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_picture_jpeg_cannot_hold_is_refused(tmp_path):
    deep = Sample(np.zeros((4, 4, 3), np.uint16), sample().boxes, sample().labels, sample().ignore)
    for bad in (deep, sample(channels=4)):
        with pytest.raises(DataError, match="JPEG"):
            write_voc(tmp_path / "voc", {"train": [("x", bad)]}, classes=[])
