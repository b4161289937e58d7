"""YOLO folders: the YAML file and its paths, label lines of every kind."""

from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from scratchdet.data.formats import detect_format, list_splits
from scratchdet.data.yolo import read
from scratchdet.structures import DataError


def write(root, name, *lines, folder="images/train"):
    image = root / folder / f"{name}.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 50)).save(image)
    label = root / folder.replace("images", "labels") / f"{name}.txt"
    label.parent.mkdir(parents=True, exist_ok=True)
    label.write_text("\n".join(lines))
    return label


def write_yaml(root, text):
    (root / "data.yaml").write_text(text)
    return root / "data.yaml"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\n\n")
    return tmp_path


def test_boxes_are_scaled_to_the_image(folder):
    write(folder, "a", "1 0.5 0.5 0.2 0.4", "", "0 0.1 0.2 0.2 0.4")
    data = read(folder)
    assert data.boxes.tolist() == [[40, 15, 60, 35], [0, 0, 20, 20]]
    assert data.labels.tolist() == [1, 0]
    assert data[0].size == (100, 50)


def test_polygons_become_their_bounding_boxes(folder):
    write(folder, "a", "0 0.1 0.2 0.5 0.4 0.3 0.8")
    assert read(folder).boxes.round(3).tolist() == [[10, 10, 50, 40]]


def test_the_score_of_a_detection_is_passed_over(folder):
    write(folder, "a", "0 0.5 0.5 0.1 0.1 0.9", "1 0.5 0.5 0.1 0.1 0")
    data = read(folder)
    assert (data.labels.tolist(), data.problems) == ([0, 1], ())


def test_boxes_with_a_sixth_number_are_counted(folder):
    """A triangle that has lost its last number looks like a box with a score."""
    write(folder, "a", "0 0.5 0.5 0.1 0.1", "0 0.1 0.2 0.5 0.4 0.3 0.8")
    assert read(folder).notes == ()
    label = write(folder, "b", "0 0.5 0.5 0.1 0.1", "0 0.1 0.1 0.5 0.1 0.5")
    (note,) = read(folder).notes
    assert note.startswith("1 box has a sixth number, a score, which is passed over")
    assert note.endswith(f"{label}:2")
    write(folder, "c", "1 0.5 0.5 0.1 0.1 0.9")
    assert read(folder).notes[0].startswith("2 boxes have")


def test_an_image_with_an_empty_label_file_has_no_objects(folder):
    write(folder, "a")
    data = read(folder)
    assert (len(data), data.num_objects, data.problems, data.notes) == (1, 0, (), ())


def test_each_label_file_that_is_not_there_is_told_apart_from_an_empty_one(folder):
    for name in "abc":
        write(folder, name, "0 0.5 0.5 0.1 0.1")
    write(folder, "d")
    lost = write(folder, "e", "0 0.5 0.5 0.1 0.1")
    lost.unlink()
    data = read(folder)
    assert (len(data), data.num_objects) == (5, 3)
    (problem,) = data.problems
    assert (problem.where, problem.action, problem.kind) == (str(lost), "kept", "missing-labels")
    assert data.notes == (
        "1 of 5 images without a label file, while others have an empty one, taken as images "
        f"without objects; the first: {lost}",
    )
    assert read(folder, on_bad_box="error").problems == data.problems
    assert not lost.exists()


def test_labels_without_an_image_are_left_out_and_told(folder):
    write(folder, "a", "0 0.5 0.5 0.1 0.1")
    left = write(folder, "b", "0 0.5 0.5 0.1 0.1")
    (folder / "images/train/b.png").unlink()
    data = read(folder)
    assert (len(data), data.num_objects) == (1, 1)
    (problem,) = data.problems
    assert (problem.where, problem.kind) == (str(left), "label-without-image")
    with pytest.raises(DataError, match="has no image"):
        read(folder, on_bad_box="error")


def test_labels_of_images_in_folders_below_or_in_another_list_have_their_image(folder):
    write(folder, "a", "0 0.5 0.5 0.1 0.1", folder="images/train/day")
    write(folder, "b", "0 0.5 0.5 0.1 0.1")
    assert read(folder).problems == ()
    (folder / "list.txt").write_text("images/train/b.png")
    assert read(write_yaml(folder, "train: list.txt\nnames: [cat]")).problems == ()


def test_lists_may_name_images_anywhere(tmp_path):
    write(tmp_path / "elsewhere", "a", "0 0.5 0.5 0.1 0.1")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/list.txt").write_text(f"{tmp_path}/elsewhere/images/train/a.png")
    assert read(write_yaml(tmp_path / "data", "train: list.txt\nnames: [cat]")).num_objects == 1


def test_names_may_be_numbers(tmp_path):
    write(tmp_path, "a")
    data = read(write_yaml(tmp_path, "train: images/train\nnames: {0: 7, '1': 2.5}"))
    assert data.classes == ("7", "2.5")


def test_an_alias_bomb_does_not_become_a_class_name_nor_a_message(tmp_path):
    layers = "".join(f"{new}: &{new} [{f'*{old}, ' * 9}]\n" for old, new in pairwise("abcdefgh"))
    bomb = f"a: &a [{'lol, ' * 9}]\n{layers}"
    for use in ("names: [*h]", "names: {0: *h}", "names: [a]\ntrain: [*h]", "names: [a]\npath: *h"):
        with pytest.raises(DataError, match=r"data\.yaml") as caught:
            read(write_yaml(tmp_path, f"{bomb}{use}\n" + "train: x\n" * ("train" not in use)))
        assert len(str(caught.value)) < 1000


def test_a_border_rounded_over_the_edge_is_no_problem(folder):
    write(folder, "a", "0 0.5 0.5 1.000001 1")
    data = read(folder)
    assert data.problems == ()
    assert data.boxes.tolist() == [[0, 0, 100, 50]]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("0 0.5 0.5 0.1", "4 numbers"),
        ("0 0.5 0.5 0.1 0.1 9", "6 numbers"),
        ("cat 0.5 0.5 0.1 0.1", "not numbers"),
        ("0.5 0.5 0.5 0.1 0.1", "the class is not a whole number"),
        ("nan 0.5 0.5 0.1 0.1", "the class is not a whole number"),
        ("-1 0.5 0.5 0.1 0.1", "the class is not a whole number"),
        ("2 0.5 0.5 0.1 0.1", "box 1 (class 2) is of none of the classes: cat, dog"),
        ("0 0.5 nan 0.1 0.1", "not a number"),
        ("0 0.5 0.5 0 0.1", "box 1 (cat) has no area: 0.5 0.5 0 0.1"),
        ("0 1.5 0.5 0.1 0.1", "box 1 (cat) lies outside the image"),
    ],
)
def test_a_bad_line_is_dropped_and_reported_by_its_number(folder, line, what):
    label = write(folder, "a", "0 0.5 0.5 0.1 0.1", "", line)
    data = read(folder)
    assert data.num_objects == 1
    assert data.problems[0].where == f"{label}:3"
    assert what in data.problems[0].what
    assert data.problems[0].action == "dropped"


def test_unreadable_images_are_dropped_and_reported(folder):
    write(folder, "a")
    (folder / "images/train/b.png").write_bytes(b"no image")
    data = read(folder)
    assert list(data.ids) == ["a"]
    assert "b.png" in data.problems[0].where


@pytest.mark.parametrize("names", ["[cat, dog]", "{1: dog, 0: cat}", "{0: cat, 7: dog}"])
def test_names_are_a_list_or_numbered(tmp_path, names):
    write(tmp_path, "a", "0 0.5 0.5 0.1 0.1")
    data = read(write_yaml(tmp_path, f"train: images/train\nnames: {names}"))
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0]


@pytest.mark.parametrize(
    "entries",
    [
        "train: images/train",
        "train: images/train/",
        "train: [images/train]",
        "train: ../images/train",
        "path: .\ntrain: images/train",
        "path: /of/another/machine\ntrain: images/train",
        "path: images\ntrain: train",
        "train: list.txt",
    ],
)
def test_the_ways_to_say_where_the_images_are(tmp_path, entries):
    write(tmp_path, "a", "0 0.5 0.5 0.1 0.1")
    (tmp_path / "list.txt").write_text("./images/train/a.png\n\n")
    write_yaml(tmp_path, f"{entries}\nval:\nnames: [cat]")
    assert detect_format(tmp_path) == "yolo"
    assert list_splits(tmp_path) == ["train"]
    data = read(tmp_path, split="train")
    assert (len(data), data.num_objects) == (1, 1)
    assert data[0].path.is_file()


def test_exports_keep_images_and_labels_inside_the_split(tmp_path):
    write(tmp_path, "a", "0 0.5 0.5 0.1 0.1", folder="valid/images")
    write_yaml(tmp_path, "val: ../valid/images\nnames: [cat]")
    assert read(tmp_path, split="val").num_objects == 1


def test_images_of_the_same_name_keep_different_ids(folder):
    write(folder, "a", folder="images/train/x")
    write(folder, "a", "0 0.5 0.5 0.1 0.1", folder="images/train/y")
    data = read(folder)
    assert len(set(data.ids)) == 2
    assert data.num_objects == 1


@pytest.mark.parametrize("name", ["flat", "images"])
def test_images_with_their_labels_beside_them_are_read_as_labelimg_writes_them(tmp_path, name):
    flat = tmp_path / name
    for stem, line in (("a", "1 0.5 0.5 0.2 0.4"), ("b", "")):
        (flat / f"{stem}.txt").parent.mkdir(exist_ok=True)
        Image.new("RGB", (100, 50)).save(flat / f"{stem}.png")
        (flat / f"{stem}.txt").write_text(line)
    Image.new("RGB", (100, 50)).save(flat / "not_annotated.png")
    with pytest.raises(DataError, match="no known data format"):
        detect_format(flat)
    (flat / "classes.txt").write_text("dog\ncat\n")
    assert detect_format(flat) == "yolo"
    assert list_splits(flat) == []
    data = read(flat)
    assert list(data.ids) == ["a", "b", "not_annotated"]
    assert data.boxes.tolist() == [[40, 15, 60, 35]]
    assert data.classes[data.labels[0]] == "cat"
    (missing,) = data.problems
    assert Path(missing.where).stem == "not_annotated"


def test_labels_in_their_folder_go_before_those_beside_the_images(folder):
    write(folder, "a", "1 0.5 0.5 0.2 0.4")
    (folder / "images/train/a.txt").write_text("0 0.5 0.5 0.1 0.1")
    assert read(folder).labels.tolist() == [1]


def test_a_folder_of_images_and_other_texts_is_no_yolo_data(folder):
    Image.new("RGB", (9, 9)).save(folder / "photo.png")
    (folder / "notes.txt").write_text("bought in 1998")
    with pytest.raises(DataError, match="no known data format"):
        detect_format(folder)


def test_images_without_split_folders_are_read_as_one(folder):
    write(folder, "a", "0 0.5 0.5 0.1 0.1", folder="images")
    assert list_splits(folder) == []
    assert read(folder).num_objects == 1
    with pytest.raises(DataError, match="no split 'train', as the data has no splits"):
        read(folder, split="train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [a\n", r"data\.yaml: malformed YAML"),
        ("train: images/train", r"data\.yaml: `names` must be"),
        ("names: cat", r"data\.yaml: `names` must be"),
        ("names: {cat: 0}", r"data\.yaml: `names` must be"),
        ("names: {²: cat}", r"data\.yaml: `names` must be"),
        ("names: [yes, no]", r"the name of class 0 is read as bool, not as text; put it in quotes"),
        ("names: [cat, ]\nnames: {0: }", r"the name of class 0 is read as NoneType"),
        ("names: [cat]\ntrain: 5", r"data\.yaml: `train` must be a folder"),
        ("names: [cat]\ntrain: {a: b}", r"data\.yaml: `train` must be a folder"),
        ("names: [cat]\ntrain: x\npath: 5", r"data\.yaml: `path` must be the name"),
        ("names: [cat]\ntrain: gone", "gone: no such folder of images"),
    ],
)
def test_a_yaml_file_that_does_not_say_enough_is_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(write_yaml(tmp_path, text))


def test_a_folder_without_class_names_is_refused(tmp_path):
    write(tmp_path, "a")
    with pytest.raises(DataError, match="no YOLO class names"):
        read(tmp_path)
