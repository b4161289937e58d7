"""Detections read from files, and what is said of files that are not right."""

import json
from pathlib import Path

import numpy as np
import pytest

from scratchdet.data.coco_ids import Ids
from scratchdet.detecting.views import View
from scratchdet.detecting.writers import WRITERS, Result
from scratchdet.evaluation.detections_file import is_detections_file, read_detections
from scratchdet.structures import Arrays, DataError, DetectionData, Record, from_records

IDS = Ids({"a": 1, "b": 2}, {"cat": [5], "dog": [7, 8]})
ENTRY = {"image_id": 1, "category_id": 5, "bbox": [10, 20, 30, 40], "score": 0.5}
LINE = {"image": "a.jpg", "objects": [{"class": "cat", "score": 0.5, "box": [10, 20, 40, 60]}]}


def data_of(*images, classes=("cat", "dog")) -> DetectionData:
    """Images by (id, path), without objects."""
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
    return from_records(
        [Record(name, Path(path), (100, 100), *nothing) for name, path in images], classes
    )


DATA = data_of(("a", "/images/a.jpg"), ("b", "/images/b.png"))


def write(path: Path, *lines) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)
    )
    return path


def voc_folder(folder: Path, **lines: str) -> Path:
    for name in ("cat", "dog"):
        write(folder / f"comp4_det_test_{name}.txt", *filter(None, [lines.get(name, "")]))
    return folder


def rows(columns) -> list[tuple]:
    return [
        (int(image), box.tolist(), round(float(score), 6), int(label))
        for image, box, score, label in zip(*columns, strict=True)
    ]


def test_a_file_without_detections_is_ordinary(tmp_path):
    for path in (
        write(tmp_path / "empty.jsonl"),
        write(tmp_path / "images.jsonl", {"image": "a.jpg", "objects": []}, "", " "),
        write(tmp_path / "results.json", " [ ]"),
        voc_folder(tmp_path / "voc"),
    ):
        assert is_detections_file(path)
        columns = read_detections(path, DATA, ids=IDS).detections
        assert rows(columns) == []
        assert [column.dtype for column in columns] == [np.int64, np.float32, np.float32, np.int64]
        assert columns.boxes.shape == (0, 4)


def test_what_is_no_file_of_detections_is_told_from_one(tmp_path):
    (tmp_path / "VOC/Annotations").mkdir(parents=True)
    for path in (
        tmp_path,
        tmp_path / "VOC",
        tmp_path / "absent.jsonl",
        tmp_path / "absent.json",
        write(tmp_path / "annotations.json", {"images": []}),
        write(tmp_path / "nothing.json"),
        write(tmp_path / "model.onnx", "["),
        write(tmp_path / "run/recipe.toml", ""),
    ):
        assert not is_detections_file(path)
    assert is_detections_file(write(tmp_path / "marked.json", "\ufeff\n [{}]"))


def test_each_format_gives_the_same_rows(tmp_path):
    expected = [(0, [10, 20, 40, 60], 0.5, 0), (1, [0, 0, 1, 1], 0.25, 1)]
    dog = {"class": "dog", "score": 0.25, "box": [0, 0, 1, 1]}
    ours = write(tmp_path / "x.jsonl", LINE, {"image": "/images/b.png", "objects": [dog]})
    more = {"image_id": 2.0, "category_id": 8, "bbox": [0, 0, 1, 1], "score": 0.25, "id": 3}
    results = write(tmp_path / "x.json", [ENTRY, more])
    folder = voc_folder(tmp_path / "voc", cat="a 0.5 11 21 40 60", dog="b 0.25 1 1 1 1")
    for path in (ours, results, folder):
        assert rows(read_detections(path, DATA, ids=IDS).detections) == expected


def test_images_are_known_by_path_then_id_then_stem(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = data_of(
        ("1", tmp_path / "left/a.jpg"),
        ("a", tmp_path / "right/b.jpg"),
        ("3", "/x/1.jpg"),
        ("4", tmp_path / "left/c.jpg"),
        ("5", tmp_path / "right/c.jpg"),
    )
    for name, index in {
        str(tmp_path / "left/a.jpg"): 0,
        "left/c.jpg": 3,
        "right/c.jpg": 4,
        "left/../right/c.jpg": 4,
        "a": 1,
        "elsewhere/a.png": 0,
        "elsewhere/1.jpg": 2,
        "3": 2,
    }.items():
        path = write(tmp_path / "x.jsonl", LINE | {"image": name})
        assert read_detections(path, data).detections.image_index.tolist() == [index], name


def test_images_of_several_files_are_known_by_their_reference(tmp_path):
    data = data_of(("a", "/images/a_temp.jpg|/images/a_test.jpg"))
    for name in ("/images/a_temp.jpg|/images/a_test.jpg", "moved/a_temp.jpg|moved/a_test.jpg"):
        path = write(tmp_path / "x.jsonl", LINE | {"image": name})
        assert read_detections(path, data).detections.image_index.tolist() == [0]


def test_an_image_that_could_be_two_of_the_data_is_an_error(tmp_path):
    data = data_of(("2007/a", "/2007/a.jpg"), ("2012/a", "/2012/a.jpg"))
    with pytest.raises(DataError, match=r"x\.jsonl:1: image a\.jpg could be several"):
        read_detections(write(tmp_path / "x.jsonl", LINE), data)
    for known in ("/2012/a.jpg", "2012/a"):
        path = write(tmp_path / "x.jsonl", LINE | {"image": known})
        assert read_detections(path, data).detections.image_index.tolist() == [1]
    twice = data_of(("a", "/left/a.jpg"), ("a", "/right/a.jpg"))
    with pytest.raises(DataError, match=r"cat\.txt:1: image a could be several"):
        read_detections(voc_folder(tmp_path / "voc", cat="a 0.5 1 1 2 2"), twice)


def changed(key, value) -> dict:
    return {**LINE, "objects": [LINE["objects"][0] | {key: value}]}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "malformed JSON"),
        ("[] []", "more text after its end"),
        ("7", "not an object with 'image': 7"),
        ("[" * 100_000, "not a JSON text"),
        ("1" * 5000, "not a JSON text"),
        ({"objects": []}, "has no 'image', only objects"),
        ({"image": 7, "objects": []}, "its 'image' is 7"),
        ({"image": "a.jpg"}, "has no 'objects'"),
        ({"image": "a.jpg", "objects": {}}, "its 'objects' is"),
        (LINE | {"image": "c.jpg"}, "image c.jpg is not in the data"),
        (LINE, "the image of line 1 again: a.jpg"),
        (changed("class", ["cat"]), "object 0: its 'class' is"),
        (changed("score", "0.5"), "object 0: its 'score' is '0.5'"),
        (changed("score", True), "object 0: its 'score' is True"),
        (changed("score", float("nan")), "object 0: score or box is not finite"),
        (changed("score", 10**400), "object 0: score or box is not finite"),
        (changed("box", [1, 2, 3]), "object 0: its 'box' is not four finite numbers"),
        (changed("box", [1, 2, 3, "4"]), "object 0: its 'box' is not four finite numbers"),
        (changed("box", [1, 2, 3, float("inf")]), "object 0: its 'box' is not four finite"),
        (changed("box", [1, 2, 3, 1e39]), "object 0: its 'box' is not four finite"),  # of float32
        (changed("box", [5, 2, 4, 3]), "object 0: the box ends before it begins"),
        (changed("box", None), "object 0: its 'box' is None"),
    ],
)
def test_a_wrong_line_of_ours_is_named(tmp_path, line, what):
    path = write(tmp_path / "x.jsonl", LINE, "", line)
    if isinstance(line, dict) and line is not LINE and line.get("image") == "a.jpg":
        path = write(tmp_path / "x.jsonl", "", "", line)
    with pytest.raises(DataError, match=r"x\.jsonl:3: ") as caught:
        read_detections(path, DATA)
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not a list of detections"),
        ("{}", "not a list of detections"),
        ("[", "detection 0: malformed JSON"),
        ("[1,]", "detection 0: not an object with 'image_id': 1"),
        (f"[{json.dumps(ENTRY)}", "detection 0: neither `,` nor `]` after it"),
        (f"[{json.dumps(ENTRY)} {json.dumps(ENTRY)}]", "detection 0: neither `,` nor `]` after it"),
        (f"[{json.dumps(ENTRY)},]", "detection 1: malformed JSON"),
        ("[] []", "more text after its end"),
        (b"[\xff]", "not a JSON text"),
        ([ENTRY, ENTRY | {"image_id": 3}], "detection 1: image id 3 is not in the data"),
        ([ENTRY | {"image_id": "1"}], "detection 0: image id '1' is not in the data"),
        ([ENTRY | {"image_id": 9}], "detection 0: image id 9 was left out when the data was read"),
        ([ENTRY | {"image_id": 1.5}], "detection 0: its 'image_id' is 1.5"),
        ([ENTRY | {"image_id": True}], "detection 0: its 'image_id' is True"),
        ([ENTRY | {"category_id": 6}], "category id 6 is not in the annotation file"),
        ([ENTRY | {"bbox": []}], "its 'bbox' is not four finite numbers: []"),
        ([ENTRY | {"bbox": [1, 2, -3, 4]}], "the box ends before it begins"),
        ([ENTRY | {"bbox": [3e38, 0, 3e38, 4]}], "score or box is not finite"),
        ([{"image_id": 1, "category_id": 5, "score": 1}], "has no 'bbox'"),
        ([{"image_id": 1, "category_id": 5, "bbox": [0, 0, 1, 1]}], "has no 'score'"),
    ],
)
def test_a_wrong_coco_result_is_named(tmp_path, text, what):
    ids = Ids({**IDS.images, "dropped": 9}, {**IDS.categories, "cow": [9]})
    path = tmp_path / "x.json"
    path.write_bytes(text if isinstance(text, bytes) else b"")
    if not isinstance(text, bytes):
        path.write_text(text if isinstance(text, str) else json.dumps(text))
    with pytest.raises(DataError, match=r"x\.json: ") as caught:
        read_detections(path, DATA, ids=ids)
    assert what in str(caught.value)


def test_a_coco_result_is_not_read_without_its_annotation_file(tmp_path):
    with pytest.raises(DataError, match="COCO annotation file"):
        read_detections(write(tmp_path / "x.json", [ENTRY]), DATA)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("a 0.5 1 1 2", "not `image_id score xmin ymin xmax ymax`: 'a 0.5 1 1 2'"),
        ("a 0.5 1 1 2 x", "not `image_id score xmin ymin xmax ymax`"),
        ("c 0.5 1 1 2 2", "image c is not in the data"),
        ("a b 0.5 1 1 2 2", "image a b is not in the data"),
        ("a nan 1 1 2 2", "score or box is not finite"),
        ("a 0.5 1 1 inf 2", "score or box is not finite"),
        ("a 0.5 -inf 1 2 2", "score or box is not finite"),
        ("a 0.5 5 1 3 2", "the box ends before it begins"),
    ],
)
def test_a_wrong_line_of_a_voc_file_is_named(tmp_path, line, what):
    folder = voc_folder(tmp_path / "voc", dog=f"b 1 1 1 1 1\n{line}")
    with pytest.raises(DataError, match=r"comp4_det_test_dog\.txt:2: ") as caught:
        read_detections(folder, DATA)
    assert what in str(caught.value)


def test_voc_folder_has_one_file_for_every_class(tmp_path):
    folder = voc_folder(tmp_path / "voc")
    (folder / "comp4_det_test_dog.txt").rename(folder / "dog.txt")
    with pytest.raises(DataError, match="no file of the class dog"):
        read_detections(folder, DATA)
    write(folder / "comp4_det_test_dog.txt")
    nameless = write(folder / "comp4_det_cow.txt")
    with pytest.raises(DataError, match=r"comp4_det_cow\.txt: named for no class"):
        read_detections(folder, DATA)
    without_set = nameless.rename(folder / "comp4_det_dog.txt")
    with pytest.raises(DataError, match=r"class dog has the file comp4_det_dog\.txt too"):
        read_detections(folder, DATA)
    without_set.rename(folder / "comp3_det_val_cat.txt")
    with pytest.raises(DataError, match=r"class cat has the file comp3_det_val_cat\.txt too"):
        read_detections(folder, DATA)


def test_class_whose_name_ends_as_another_has_its_own_file(tmp_path):
    data = data_of(("a", "a.jpg"), classes=("table", "dining_table"))
    for label, name in enumerate(data.classes):
        # py-faster-rcnn puts a random text into the names.
        write(tmp_path / f"comp4_7d0-2f_det_val_{name}.txt", f"a 0.{label + 1} 1 1 2 2")
    assert is_detections_file(tmp_path)
    columns = read_detections(tmp_path, data).detections
    assert dict(zip(columns.labels.tolist(), columns.scores.round(1).tolist(), strict=True)) == {
        0: pytest.approx(0.1),
        1: pytest.approx(0.2),
    }


COCO_DATA = {
    "images": [{"id": 1, "file_name": "x/b.png"}, {"id": 5, "file_name": "a.jpg"}],
    "categories": [{"id": 4, "name": "dog"}, {"id": 2, "name": "cat"}],
    "annotations": [
        {"image_id": 5, "category_id": 2, "bbox": [10, 20, 30, 40], "score": 0.5},
        {"image_id": 1, "category_id": 4, "bbox": [0, 0, 1, 1], "score": 0.25},
    ],
}


def test_a_coco_data_set_with_scores_is_read_by_its_names(tmp_path):
    path = write(tmp_path / "x.json", COCO_DATA)
    assert is_detections_file(path)
    read = read_detections(path, data_of(("7", "/images/a.jpg"), ("1", "/images/x/b.png")))
    assert rows(read.detections) == [(0, [10, 20, 40, 60], 0.5, 0), (1, [0, 0, 1, 1], 0.25, 1)]
    assert read.remarks == ()
    nothing = write(tmp_path / "none.json", COCO_DATA | {"images": [], "annotations": []})
    assert rows(read_detections(nothing, DATA).detections) == []


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ({"score": None}, "annotation 0: its 'score' is None"),
        ({"image_id": 9}, "annotation 0: image id 9 is not in the file"),
        ({"category_id": 9}, "annotation 0: category id 9 is not in the file"),
        ({"bbox": [1, 2, -3, 4]}, "annotation 0: the box ends before it begins"),
    ],
)
def test_a_wrong_annotation_of_a_coco_data_set_is_named(tmp_path, entry, what):
    wrong = COCO_DATA | {"annotations": [COCO_DATA["annotations"][0] | entry]}
    with pytest.raises(DataError, match=what):
        read_detections(write(tmp_path / "x.json", wrong), DATA)


def test_annotations_without_scores_are_no_detections(tmp_path):
    entry = {key: COCO_DATA["annotations"][0][key] for key in ("image_id", "category_id", "bbox")}
    path = write(tmp_path / "x.json", COCO_DATA | {"annotations": [entry]})
    with pytest.raises(DataError, match="annotation 0: has no 'score'"):
        read_detections(path, DATA)
    twice = [{"id": key, "file_name": "a.jpg"} for key in (1, 2)]
    path = write(tmp_path / "x.json", COCO_DATA | {"images": twice})
    with pytest.raises(DataError, match=r"image 1: image 0 again: a\.jpg"):
        read_detections(path, DATA)


COW = {"class": "cow", "score": 0.5, "box": [10, 20, 40, 60]}


def test_classes_that_only_the_file_has_come_after_those_of_the_data(tmp_path):
    ours = write(tmp_path / "x.jsonl", {"image": "a.jpg", "objects": [COW]})
    cows = COCO_DATA | {"categories": [{"id": 4, "name": "dog"}, {"id": 2, "name": "cow"}]}
    results = write(tmp_path / "result.json", [ENTRY | {"category_id": 9}])
    folder = voc_folder(tmp_path / "voc")
    write(folder / "comp4_det_test_cow.txt", "a 0.5 11 21 40 60")
    ids = Ids(IDS.images, {**IDS.categories, "cow": [9]})
    for path in (ours, write(tmp_path / "data.json", cows), results, folder):
        data, columns, remarks = read_detections(path, DATA, ids=ids)
        assert data.classes == ("cat", "dog", "cow")
        assert (0, [10, 20, 40, 60], 0.5, 2) in rows(columns)
        assert "the data do not: cow (" in remarks[-1]
    assert DATA.classes == ("cat", "dog")
    assert read_detections(ours, data_of(("a", "a.jpg"), classes=())).data.classes == ("cow",)


def test_a_class_of_the_file_alone_that_ends_as_one_of_the_data(tmp_path):
    for name in ("cart", "go_cart"):
        write(tmp_path / f"comp4_det_my_set_{name}.txt")
    data = read_detections(tmp_path, data_of(("a", "a.jpg"), classes=("cart",))).data
    assert data.classes == ("cart", "go_cart")
    with_one = read_detections(tmp_path, data_of(("a", "a.jpg"), classes=("go_cart", "cart"))).data
    assert with_one.classes == ("go_cart", "cart")


def test_images_that_the_file_does_not_have_are_counted(tmp_path):
    empty = {"image": "/images/b.png", "objects": []}
    results, folder = write(tmp_path / "x.json", [ENTRY, ENTRY]), voc_folder(tmp_path / "voc")
    without = COCO_DATA | {"images": COCO_DATA["images"][1:], "annotations": []}
    for path, expected in (
        (write(tmp_path / "all.jsonl", {**empty, "image": "a"}, empty), ()),
        (write(tmp_path / "one.jsonl", empty), ("1 of 2 images have no line",)),
        (write(tmp_path / "without.json", without), ("1 of 2 images have no entry",)),
        (results, ("1 of 2 images have no detection",)),
        (folder, ("2 of 2 images have no detection",)),
    ):
        remarks = read_detections(path, DATA, ids=IDS).remarks
        assert [line[: line.index(" in the file")] for line in remarks] == [*expected]


def test_images_known_by_their_stem_alone_are_counted(tmp_path):
    data = data_of(("1", "/left/a.jpg"), ("2", "/right/b.jpg"))
    lines = [{"image": name, "objects": []} for name in ("right/b.jpg", "/elsewhere/a.png")]
    (remark,) = read_detections(write(tmp_path / "x.jsonl", *lines), data).remarks
    assert remark.startswith("1 image was matched by name alone")
    assert remark.endswith("/elsewhere/a.png was taken for /left/a.jpg")
    lines[0]["image"] = "left/b.jpg"
    (remark,) = read_detections(write(tmp_path / "x.jsonl", *lines), data).remarks
    assert remark.startswith("2 images were matched by name alone")


def test_the_end_of_a_path_tells_images_of_one_name_apart(tmp_path):
    data = data_of(("1", "/data/left/a.jpg"), ("2", "/data/right/a.jpg"))
    path = write(tmp_path / "x.jsonl", {"image": "right/a.jpg", "objects": [COW]})
    assert read_detections(path, data).detections.image_index.tolist() == [1]


@pytest.mark.parametrize("form", ["jsonl", "coco"])
def test_what_detect_writes_is_read(tmp_path, form):
    found = Arrays(
        boxes=np.array([[1, 2, 30, 40], [5.5, 6, 7, 8.25]], np.float32),
        scores=np.array([0.75, 0.5], np.float32),
        labels=np.array([1, 0]),
    )
    pixels = np.zeros((100, 100, 3), np.uint8)
    with WRITERS[form](tmp_path, ("cat", "dog")) as write_result:
        for name in ("b.png", "a.jpg"):
            view = View(f"/images/{name}", name, pixels)
            write_result(Result(view=view, stem="b", image=pixels, found=found))
    (path,) = tmp_path.iterdir()
    assert is_detections_file(path)
    assert rows(read_detections(path, DATA).detections) == [
        (1, [1, 2, 30, 40], 0.75, 1), (1, [5.5, 6, 7, 8.25], 0.5, 0),
        (0, [1, 2, 30, 40], 0.75, 1), (0, [5.5, 6, 7, 8.25], 0.5, 0),
    ]  # fmt: skip
