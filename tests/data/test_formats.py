"""The same small data set in every format reads the same."""

import json
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from scratchdet.data.formats import FORMATS, LAYOUTS, detect_format, list_splits, read_data
from scratchdet.data.images import read_image
from scratchdet.data.pack import pack
from scratchdet.structures import DataError


class Scene(NamedTuple):
    """One image of the data set below."""

    split: str
    name: str
    size: tuple[int, int]
    objects: list[tuple[str, tuple[float, float, float, float]]]


CLASSES = ("cat", "dog")
SCENES = [
    Scene("train", "grey one.png", (64, 48), []),
    Scene("train", "naïve 漢.png", (60, 40), [("dog", (6, 4, 30, 20)), ("cat", (0, 0, 60, 40))]),
    Scene("val", "x.y.png", (40, 40), [("cat", (10, 10, 20, 30))]),
]
FLAT_BOX = ("dog", (5.0, 6.0, 5.0, 16.0))
WIDE_BOX = ("cat", (50.0, 10.0, 90.0, 30.0))


def write_image(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), 90, np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def write_voc(root, scenes):
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        write_image(root / "JPEGImages" / scene.name, scene.size)
        objects = "".join(
            f"<object>\n<name>{name}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
            f"<xmax>{x2 if x2 > x1 else x1 + 1}</xmax><ymax>{y2}</ymax></bndbox></object>\n"
            for name, (x1, y1, x2, y2) in scene.objects
        )
        width, height = scene.size
        (root / "Annotations" / scene.name).with_suffix(".xml").write_text(
            f"<annotation><filename>{scene.name}</filename><size><width>{width}</width>"
            f"<height>{height}</height><depth/></size>\n{objects}</annotation>",
            encoding="utf-8",
        )
    for split in {scene.split for scene in scenes}:
        ids = [scene.name.removesuffix(".png") for scene in scenes if scene.split == split]
        (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(ids), encoding="utf-8")


def write_coco(root, scenes):
    (root / "annotations").mkdir(parents=True)
    for split in {scene.split for scene in scenes}:
        images, annotations = [], []
        for key, scene in enumerate(scenes):
            if scene.split != split:
                continue
            write_image(root / split / scene.name, scene.size)
            width, height = scene.size
            images.append({"id": key, "file_name": scene.name, "width": width, "height": height})
            for name, (x1, y1, x2, y2) in scene.objects:
                annotations.append(
                    {
                        "id": 100 + len(annotations),
                        "image_id": key,
                        "category_id": {"cat": 3, "dog": 17}[name],
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                    }
                )
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 17, "name": "dog"}, {"id": 3, "name": "cat"}],
        }
        (root / f"annotations/instances_{split}.json").write_text(json.dumps(content))


def write_yolo(root, scenes):
    for scene in scenes:
        write_image(root / "images" / scene.split / scene.name, scene.size)
        width, height = scene.size
        lines = [
            f"{CLASSES.index(name)} {(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f}"
            f" {(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}"
            for name, (x1, y1, x2, y2) in scene.objects
        ]
        label = (root / "labels" / scene.split / scene.name).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("\n".join(lines))
    (root / "classes.txt").write_text("\n".join(CLASSES))


def write_pack(root, scenes):
    write_voc(root.with_suffix(".voc"), scenes)
    pack(root.with_suffix(".voc"), root.with_suffix(".lmdb"))


WRITERS = {"voc": write_voc, "coco": write_coco, "yolo": write_yolo, "pack": write_pack}


def write(format_name, root, scenes):
    """The data set in that format; where it is."""
    WRITERS[format_name](root, scenes)
    return root if root.exists() else root.with_suffix(".lmdb")


@pytest.fixture(params=FORMATS)
def format_name(request):
    return request.param


@pytest.fixture
def folder(format_name, tmp_path):
    return write(format_name, tmp_path / "data", SCENES)


def described(data):
    """Everything but ids and order, boxes to a hundredth of a pixel."""
    return sorted(
        (
            record.path.name,
            record.size,
            [data.classes[label] for label in record.labels],
            np.round(record.boxes, 2).tolist(),
        )
        for record in data
    )


def wanted(scenes):
    return sorted(
        (
            scene.name,
            scene.size,
            [name for name, _ in scene.objects],
            [[float(value) for value in box] for _, box in scene.objects],
        )
        for scene in scenes
    )


def test_every_format_is_found_by_itself(format_name, folder):
    assert detect_format(folder) == format_name


def test_all_formats_read_the_same(folder):
    data = read_data(folder)
    assert data.classes == CLASSES
    assert described(data) == wanted(SCENES)
    assert data.problems == ()
    assert not data.ignore.any()
    assert all(read_image(record.path).shape[1::-1] == record.size for record in data)
    assert len(set(data.ids)) == len(data)


def test_splits_are_listed_read_and_joined(folder):
    assert list_splits(folder) == ["train", "val"]
    for split in ("train", "val"):
        part = [scene for scene in SCENES if scene.split == split]
        data = read_data(folder, split=split)
        assert described(data) == wanted(part)
        assert data.classes == CLASSES
    assert described(read_data(folder, split="val+train")) == wanted(SCENES)


def test_a_split_that_does_not_exist_is_refused_with_those_that_do(folder):
    with pytest.raises(DataError, match="no split 'tset'; there are: train, val"):
        read_data(folder, split="train+tset")


def test_given_classes_set_the_labels_and_other_objects_are_problems(folder):
    turned = read_data(folder, classes=("dog", "cat"))
    assert described(turned) == wanted(SCENES)
    assert turned.classes == ("dog", "cat")
    dogs = read_data(folder, classes=("dog",))
    assert dogs.num_objects == 1
    assert [p.action for p in dogs.problems] == ["dropped", "dropped"]
    assert "(cat) is of none of the classes: dog" in dogs.problems[0].what


def test_bad_boxes_are_listed_and_dropped_or_clipped(format_name, tmp_path):
    good = SCENES[1]
    bad = good._replace(objects=[*good.objects, FLAT_BOX, WIDE_BOX])
    data = read_data(write(format_name, tmp_path / "data", [SCENES[0], bad]))
    assert [problem.action for problem in data.problems] == ["dropped", "clipped"]
    assert "box 2 (dog) has no area" in data.problems[0].what
    assert "box 3 (cat) reaches outside the image" in data.problems[1].what
    assert "60x40" in data.problems[1].what
    clipped = good._replace(objects=[*good.objects, ("cat", (50, 10, 60, 30))])
    assert described(data) == wanted([SCENES[0], clipped])


def test_bad_boxes_can_be_an_error_that_lists_ten_and_counts_all(format_name, tmp_path):
    scene = SCENES[1]._replace(objects=[FLAT_BOX] * 13)
    path = write(format_name, tmp_path / "data", [scene])
    with pytest.raises(DataError, match="13 problems") as caught:
        read_data(path, on_bad_box="error")
    assert str(caught.value).count("has no area") == 10
    assert "3 more" in str(caught.value)
    assert "--on-bad-box drop" in str(caught.value)


def test_a_data_set_of_empty_images_is_read(format_name, tmp_path):
    data = read_data(write(format_name, tmp_path / "data", SCENES[:1]))
    assert len(data) == 1
    assert data[0].boxes.shape == (0, 4)


def test_a_data_set_without_images_is_read(format_name, tmp_path):
    path = write(format_name, tmp_path / "data", SCENES)
    if format_name == "pack":
        listing = tmp_path / "data.voc/ImageSets/Main/train.txt"
        listing.write_text("")
        pack(tmp_path / "data.voc", path)
    for listing in (tmp_path / "data/ImageSets/Main").glob("train.txt"):
        listing.write_text("")
    for images in (tmp_path / "data/images/train").glob("*"):
        images.unlink()
    for file in (tmp_path / "data/annotations").glob("*train.json"):
        file.write_text('{"images": [], "annotations": [], "categories": []}')
    assert len(read_data(path, split="train")) == 0


def test_unknown_data_is_refused_with_what_was_looked_for_and_found(tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(DataError, match=r"notes\.md") as caught:
        detect_format(tmp_path)
    assert all(layout.description in str(caught.value) for layout in LAYOUTS.values())
    with pytest.raises(DataError, match="no such file"):
        detect_format(tmp_path / "gone")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_map.json", '{"images": 3, "names": {"cat": 1}}'),
        ("annotations/list.json", '["images", "categories"]'),
        ("settings.yaml", "model: x\n---\nmodel: y\nnames: [a]"),
        ("data.yaml", "names: [cat"),
        ("data.yml", "made: 2026-13-40"),
        ("latin.yaml", "names: caf\udce9"),
        ("deep.yaml", "[" * 5000),
    ],
)
def test_a_stray_file_is_not_taken_for_a_format(tmp_path, name, text):
    write_voc(tmp_path, SCENES)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    assert detect_format(tmp_path) == "voc"


def test_a_folder_of_the_name_of_a_yaml_or_json_file_is_no_data(tmp_path):
    write_voc(tmp_path, SCENES)
    (tmp_path / "a.yaml").mkdir()
    (tmp_path / "b.json").mkdir()
    assert detect_format(tmp_path) == "voc"


def test_a_yaml_file_that_cannot_be_read_is_named_where_nothing_is_found(tmp_path):
    (tmp_path / "data.yaml").write_text("names: [cat\ntrain: images")
    with pytest.raises(DataError, match=r"data\.yaml: malformed YAML.*line 2"):
        detect_format(tmp_path)


def test_data_in_two_formats_needs_to_be_told(tmp_path):
    write_voc(tmp_path, SCENES)
    write_yolo(tmp_path, SCENES)
    with pytest.raises(DataError, match="voc and as yolo; name a folder that holds only one"):
        read_data(tmp_path)
    assert described(read_data(tmp_path, format="yolo")) == wanted(SCENES)
    with pytest.raises(DataError, match="there are: voc, coco, yolo, pack"):
        read_data(tmp_path, format="xml")


def test_a_file_name_that_would_read_as_several_files_is_a_problem(format_name, tmp_path):
    odd = SCENES[0]._replace(name="a|b.png")
    data = read_data(write(format_name, tmp_path / "data", [odd, *SCENES[1:]]))
    assert described(data) == wanted(SCENES[1:])
    [problem] = data.problems
    assert problem.action == "image dropped"
    assert "a|b.png: its name contains '|'" in problem.what
    assert "rename it" in problem.what


@pytest.mark.parametrize("name", ["voc", "coco", "yolo"])
def test_a_folder_whose_name_would_split_the_paths_is_a_problem_of_its_images(name, tmp_path):
    data = read_data(write(name, tmp_path / "da|ta", SCENES))
    assert len(data) == 0
    reasons = [problem.what for problem in data.problems if problem.action == "image dropped"]
    assert len(reasons) == len(SCENES)
    assert all("its name contains '|'" in reason for reason in reasons)


@pytest.mark.parametrize("name", ["voc", "coco", "yolo"])
def test_a_stem_of_images_of_several_files_has_no_joint_of_its_own(name, tmp_path):
    folder = write(name, tmp_path / "data", [SCENES[0]._replace(name="a|b.png")])
    data = read_data(folder, files="{stem}.png,{stem}.png")
    assert len(data) == 0
    assert any("its name contains '|'" in problem.what for problem in data.problems)
