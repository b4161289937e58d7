"""VOC folders as they come: corners, odd XML, years, lists."""

import cv2
import numpy as np
import pytest

from scratchdet.data.formats import list_splits
from scratchdet.data.voc import read
from scratchdet.data.voc_write import write_voc
from scratchdet.structures import DataError, Sample

SIZE = "<size><width>40</width><height>30</height><depth/></size>"


def item(corners, *, name="a", extra=""):
    tags = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
    return f"<object>{extra}<name>{name}</name><bndbox>{box}</bndbox></object>"


def write(root, image_id, *objects, head=SIZE, image=".png"):
    for folder in ("Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    text = "\n".join(("<annotation>", head, *objects, "</annotation>"))
    (root / "Annotations" / f"{image_id}.xml").write_text(text)
    if image:
        pixels = cv2.imencode(image, np.zeros((30, 40, 3), np.uint8))[1].tobytes()
        (root / "JPEGImages" / f"{image_id}{image}").write_bytes(pixels)


def write_list(root, split, *lines):
    (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(lines))


def test_corners_count_from_one_and_include_the_last_pixel(tmp_path):
    write(tmp_path, "x", item((1, 1, 40, 30)), item((5.5, 6, 7.5, 8)))
    data = read(tmp_path)
    assert data.boxes.tolist() == [[0, 0, 40, 30], [4.5, 5, 7.5, 8]]
    assert "count from 1" in data.notes[0]


@pytest.mark.parametrize("lowest", [0, 0.5])
def test_one_corner_below_one_anywhere_means_that_all_count_from_zero(tmp_path, lowest):
    write(tmp_path, "x", item((5, 6, 7, 8)))
    write(tmp_path, "y", item((9, lowest, 20, 20)))
    write_list(tmp_path, "train", "x")
    data = read(tmp_path, split="train")
    assert data.boxes.tolist() == [[5, 6, 7, 8]]
    assert "count from 0" in data.notes[0]
    assert "y.xml" in data.notes[0]


@pytest.mark.parametrize("corners", [(0, 0, 0, 0), (0, 5, 0, 9), (0, 5, "", 9), (0, 9, 8, 2)])
def test_a_box_without_area_does_not_decide_from_where_corners_count(tmp_path, corners):
    write(tmp_path, "x", item((5, 6, 7, 8)), item(corners))
    data = read(tmp_path)
    assert data.boxes.tolist() == [[4, 5, 7, 8]]
    assert "count from 1" in data.notes[0]


def test_a_bad_box_is_reported_by_file_line_and_place_in_the_file(tmp_path):
    nested = "<part><name>head</name><object>no</object></part>"
    write(
        tmp_path,
        "x",
        "<!-- <object> -->",
        item((3, 3, 9, 9), extra=nested),
        item((9, 9, 9, 12)),
        item(("one", 9, 9, 12)),
    )
    flat, text = read(tmp_path).problems
    assert str(flat) == f"{tmp_path}/Annotations/x.xml:5: box 1 (a) has no area: 9 9 9 12 [dropped]"
    assert text.where.endswith("x.xml:6")
    assert "not a number: one 9 9 12" in text.what


def test_names_inside_parts_and_attributes_are_not_classes(tmp_path):
    extra = "<part><name>head</name></part><attributes><name>id</name></attributes>"
    write(tmp_path, "x", item((3, 3, 9, 9), name="dog", extra=extra))
    assert read(tmp_path).classes == ("dog",)


def test_difficult_objects_are_ignored_and_a_missing_flag_means_not_difficult(tmp_path):
    flags = ("<difficult>1</difficult>", "<difficult>0</difficult>", "<difficult/>", "")
    write(tmp_path, "x", *(item((3, 3, 9, 9), extra=flag) for flag in flags))
    assert read(tmp_path).ignore.tolist() == [True, False, False, False]


def test_an_object_without_a_name_is_a_problem_and_no_class(tmp_path):
    write(tmp_path, "x", item((3, 3, 9, 9), name=""), item((3, 3, 9, 9)))
    data = read(tmp_path)
    assert data.classes == ("a",)
    assert data.num_objects == 1
    assert "is of none of the classes" in data.problems[0].what


@pytest.mark.parametrize("head", ["", "<size><width>0</width><height>0</height></size>"])
def test_a_missing_size_is_taken_from_the_image(tmp_path, head):
    write(tmp_path, "x", head=head)
    assert read(tmp_path)[0].size == (40, 30)


def test_classes_are_those_of_all_annotations_and_names_that_differ_in_case_are_noted(tmp_path):
    write(tmp_path, "x", item((3, 3, 9, 9), name="Car"))
    write(tmp_path, "y", item((3, 3, 9, 9), name="car"))
    write_list(tmp_path, "train", "x")
    data = read(tmp_path, split="train")
    assert data.classes == ("Car", "car")
    assert any("Car, car" in note for note in data.notes)


def test_the_image_is_the_one_of_the_same_stem_and_the_filename_decides_between_several(tmp_path):
    write(tmp_path, "x", head=SIZE + "<filename>y.png</filename>", image=".JPG")
    write(tmp_path, "y", head=SIZE + "<filename>y.png</filename>")
    write(tmp_path, "z", head=SIZE + "<filename>z.png</filename>", image=".bmp")
    write(tmp_path, "z", head=SIZE + "<filename>z.png</filename>", image=".png")
    write(tmp_path, "v", head=SIZE + "<filename>y.png</filename>", image=None)
    names = {record.id: record.path.name for record in read(tmp_path)}
    assert names == {"x": "x.JPG", "y": "y.png", "z": "z.png", "v": "y.png"}


def test_missing_files_are_problems_and_their_images_dropped(tmp_path):
    write(tmp_path, "x")
    write(tmp_path, "y", image=None)
    write_list(tmp_path, "train", "x", "y", "z")
    data = read(tmp_path, split="train")
    assert list(data.ids) == ["x"]
    assert [p.action for p in data.problems] == ["image dropped"] * 2
    assert "y.xml" in data.problems[0].where
    assert "z.xml" in data.problems[1].where


def test_images_without_annotation_are_problems_unless_lists_say_which_are_meant(tmp_path):
    write(tmp_path, "x")
    write(tmp_path, "y", head=SIZE + "<filename>z.png</filename>", image=None)
    write(tmp_path, "z")
    write(tmp_path, "forgotten", image=".jpg")
    (tmp_path / "Annotations/forgotten.xml").unlink()
    (tmp_path / "Annotations/z.xml").unlink()  # the image that y names
    data = read(tmp_path)
    assert list(data.ids) == ["x", "y"]
    image = tmp_path / "JPEGImages/forgotten.jpg"
    assert [str(p) for p in data.problems] == [
        f"{image}: the image has no annotation [image dropped]"
    ]
    write_list(tmp_path, "train", "x")
    assert read(tmp_path).problems == read(tmp_path, split="train").problems == ()


def test_malformed_xml_is_reported_by_line(tmp_path):
    write(tmp_path, "x", "<object>", "<name>a</nam>")
    write(tmp_path, "y", item((3, 3, 9, 9)))
    data = read(tmp_path)
    assert list(data.ids) == ["y"]
    assert data.problems[0].where.endswith("x.xml:4")
    with pytest.raises(DataError, match=r"x\.xml:4: malformed XML"):
        read(tmp_path, on_bad_box="error")


@pytest.mark.parametrize(
    "attack",
    [
        "<!DOCTYPE annotation><annotation/>",
        '<!DOCTYPE a [<!ENTITY e "harmless">]><annotation>&e;</annotation>',
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation>&e;</annotation>',
    ],
)
def test_document_types_and_entities_are_refused(tmp_path, attack):
    write(tmp_path, "x")
    (tmp_path / "Annotations/x.xml").write_text(attack)
    data = read(tmp_path)
    assert len(data) == 0
    assert data.problems[0].action == "image dropped"


def test_lists_may_carry_flags_and_those_of_single_classes_are_not_splits(tmp_path):
    for image_id in ("x", "y", "my 1"):
        write(tmp_path, image_id)
    write_list(tmp_path, "train", "x  1", "y -1", "my 1", "x")
    write_list(tmp_path, "cat_train", "x  1", "y -1")
    write_list(tmp_path, "small_train", "x")
    assert list_splits(tmp_path) == ["small_train", "train"]
    assert len(read(tmp_path, split="cat_train")) == 2
    assert sorted(set(read(tmp_path, split="cat_train+small_train").ids)) == ["x", "y"]


def test_the_years_of_a_devkit_are_joined_and_ids_used_twice_get_their_year(tmp_path):
    write(tmp_path / "VOC2007", "x", item((1, 1, 9, 9), name="b"))
    write(tmp_path / "VOC2012", "x", item((0, 1, 9, 9), name="a"))
    write(tmp_path / "VOC2012", "y")
    write_list(tmp_path / "VOC2007", "train", "x")
    write_list(tmp_path / "VOC2012", "train", "y")
    write_list(tmp_path / "VOC2012", "val", "x")
    data = read(tmp_path)
    assert list(data.ids) == ["VOC2007/x", "VOC2012/x", "VOC2012/y"]
    assert data.boxes.tolist() == [[0, 0, 9, 9], [0, 1, 9, 9]]
    assert data.classes == ("a", "b")
    train = read(tmp_path, split="train")
    assert list(train.ids) == ["x", "y"]
    assert train.classes == ("a", "b")
    assert len(read(tmp_path, split="val")) == 1


def devkit(root):
    """Two years of two images for each list, as the published ones lie, with lists of classes."""
    for year in ("VOC2007", "VOC2012"):
        for split in ("train", "val", "test"):
            ids = [f"{year[3:]}_{split}{n}" for n in range(2)]
            for image_id in ids:
                write(root / year, image_id, item((1, 1, 9, 9)))
            write_list(root / year, split, *ids)
            write_list(root / year, f"a_{split}", *(f"{image_id}  1" for image_id in ids))
        lists = root / year / "ImageSets/Main"
        both = (lists / "train.txt").read_text() + "\n" + (lists / "val.txt").read_text()
        (lists / "trainval.txt").write_text(both)
        for folder in ("Segmentation", "Layout", "Action"):
            (root / year / "ImageSets" / folder).mkdir()
            (root / year / "ImageSets" / folder / "other.txt").write_text("nothing")
    return root


@pytest.mark.parametrize(
    ("split", "years"),
    [
        ("VOC2007/trainval", {"2007": 4}),
        ("trainval", {"2007": 4, "2012": 4}),
        ("VOC2007/trainval+VOC2012/trainval", {"2007": 4, "2012": 4}),
        ("VOC2007/trainval + VOC2007/test+VOC2012/trainval", {"2007": 6, "2012": 4}),
        ("trainval+VOC2007/train", {"2007": 4, "2012": 4}),
        ("VOC2012/a_train", {"2012": 2}),
    ],
)
def test_a_split_may_be_of_one_year_of_a_devkit(tmp_path, split, years):
    ids = list(read(devkit(tmp_path), split=split).ids)
    assert len(ids) == len(set(ids))
    assert {year: sum(i.startswith(year) for i in ids) for year in {i[:4] for i in ids}} == years


def test_the_splits_of_single_years_are_named_where_one_is_asked_for_that_is_not_there(tmp_path):
    devkit(tmp_path)
    assert list_splits(tmp_path) == ["test", "train", "trainval", "val"]
    with pytest.raises(DataError, match="VOC2007/night") as error:
        read(tmp_path, split="VOC2007/night")
    assert "VOC2007/test" in str(error.value)
    assert "VOC2012/trainval" in str(error.value)
    assert "a_train" not in str(error.value)
    assert "other" not in str(error.value)


def test_a_year_on_its_own_has_splits_with_and_without_its_name(tmp_path):
    year = devkit(tmp_path) / "VOC2007"
    assert list(read(year, split="VOC2007/val").ids) == list(read(year, split="val").ids)
    with pytest.raises(DataError, match="there are: test, train, trainval, val \\("):
        read(year, split="VOC2012/val")


def test_a_test_list_without_any_annotation_is_one_problem(tmp_path):
    devkit(tmp_path)
    for n in range(2):
        (tmp_path / f"VOC2012/Annotations/2012_test{n}.xml").unlink()
    data = read(tmp_path, split="test")
    assert list(data.ids) == ["2007_test0", "2007_test1"]
    (problem,) = data.problems
    assert problem.where.endswith("VOC2012/ImageSets/Main/test.txt")
    assert "none of its 2 images has an annotation" in problem.what
    assert len(read(tmp_path, split="VOC2012/test")) == 0
    (tmp_path / "VOC2012/Annotations/2012_test1.xml").write_text("<annotation")
    assert len(read(tmp_path, split="VOC2012/test").problems) == 2


def test_years_that_are_links_to_folders_of_the_same_name_are_all_read(tmp_path):
    (tmp_path / "devkit").mkdir()
    for year in ("VOC2007", "VOC2012"):
        write(tmp_path / year / "data", "x", item((1, 1, 9, 9)))
        (tmp_path / "devkit" / year).symlink_to(tmp_path / year / "data")
    assert list(read(tmp_path / "devkit").ids) == ["VOC2007/x", "VOC2012/x"]


def test_the_folder_one_is_in_has_a_name_too(tmp_path, monkeypatch):
    write(tmp_path / "ships", "x")
    monkeypatch.chdir(tmp_path / "ships")
    assert read(".").notes[0].startswith("ships: ")


@pytest.mark.parametrize(("split", "images"), [("train", 205), ("val", 87), ("test", 72)])
def test_bccd_has_the_published_splits(shared, split, images):
    assert len(read(shared / "data/bccd", split=split)) == images


def test_bccd_has_two_empty_boxes_reported_by_file_and_line(shared):
    data = read(shared / "data/bccd")
    assert data.num_objects == 4888 - 2
    assert data.classes == ("Platelets", "RBC", "WBC")
    assert [problem.where.rpartition("/")[2] for problem in data.problems] == [
        "BloodImage_00338.xml:158",
        "BloodImage_00343.xml:50",
    ]


def test_float_corners_from_zero_are_read_as_they_are(shared):
    data = read(shared / "data/fod_a_12")
    assert (len(data), len(data.classes), data.problems) == (660, 12, ())
    record = next(record for record in data if record.id == "001059")
    np.testing.assert_allclose(record.boxes, [[151.7656, 184.0583, 161.1515, 217.9027]], rtol=1e-6)


def test_thermal_frames_count_from_zero_and_some_objects_are_difficult(shared):
    data = read(shared / "data/hit_uav_mini")
    assert (len(data), data.num_objects, data.ignore.sum()) == (97, 919, 6)
    assert "count from 0" in data.notes[0]


def test_an_id_may_end_like_a_flag(tmp_path):
    sample = Sample(
        np.zeros((20, 20, 3), np.uint8),
        np.array([[2, 2, 9, 9]], np.float32),
        np.zeros(1, np.int64),
        np.zeros(1, bool),
    )
    named = {"train": [("photo 1", sample), ("photo", sample)]}
    root = write_voc(tmp_path / "voc", named, classes=("a",))
    (root / "ImageSets/Main/train.txt").write_text("photo 1\nphoto -1\n")
    assert [*read(root, split="train").ids] == ["photo 1", "photo"]
