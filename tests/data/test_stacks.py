"""Images of several files: which belong together, and what is missing."""

import json
from pathlib import Path

import numpy as np
import pytest

from scratchdet.data.formats import read_data
from scratchdet.data.images import read_image
from scratchdet.data.references import files_of
from scratchdet.data.stacks import find_stack, group, templates
from scratchdet.structures import DataError

PAIR = "{stem}_temp.jpg,{stem}_test.jpg"


@pytest.fixture
def there(tmp_path, monkeypatch):
    """Makes empty files in the current folder."""
    monkeypatch.chdir(tmp_path)

    def make(*names) -> list[Path]:
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()
        return [Path(name) for name in names]

    return make


@pytest.mark.parametrize("pattern", ["a.jpg", "{stem}{stem}.jpg", "{stem}.jpg,", "/{stem}.png",
                                     "../{stem}.png", "{name}_a.png"])  # fmt: skip
def test_what_is_no_pattern_is_refused_with_an_example(pattern):
    with pytest.raises(DataError, match=r"data\.files is .*\{stem\}_a\.png,\{stem\}_b\.png"):
        templates(pattern)


def test_spaces_after_the_commas_are_no_part_of_the_names():
    assert templates("{stem}_a.png, {stem}_b.png") == ("{stem}_a.png", "{stem}_b.png")


@pytest.mark.parametrize("name", ["7.v2", "7.v2.jpg", "7.v2_temp.jpg", "7.v2_test.jpg"])
def test_an_annotation_names_the_stem_or_one_of_the_files(there, name):
    there("in/7.v2_temp.jpg", "in/7.v2_test.jpg")
    stack = find_stack("in", name, PAIR)
    assert stack == (Path("in/7.v2.jpg"), "in/7.v2_temp.jpg|in/7.v2_test.jpg", ())


def test_what_is_missing_is_listed(there):
    there("in/7_test.jpg")
    assert find_stack("in", "7_test.jpg", PAIR).missing == ("in/7_temp.jpg",)
    assert find_stack("in", "8", PAIR).missing == ("in/8_temp.jpg", "in/8_test.jpg")


def test_files_are_grouped_and_the_others_are_told_with_the_reason(there):
    files = there("a_temp.jpg", "a_test.jpg", "b_test.jpg", "notes.jpg", "deep/a_test.jpg",
                  "deep/a_temp.jpg")  # fmt: skip
    images, left_over = group(files, PAIR)
    assert [stack.reference for stack in images] == [
        "a_temp.jpg|a_test.jpg",
        "deep/a_temp.jpg|deep/a_test.jpg",
    ]
    assert left_over == {
        Path("b_test.jpg"): "there is no b_temp.jpg to go with it",
        Path("notes.jpg"): "is not called like any of {stem}_temp.jpg, {stem}_test.jpg",
    }


def test_no_files_are_no_images():
    assert group([], PAIR) == ([], {})


def test_files_may_be_in_folders_and_the_name_that_says_most_decides(there):
    files = there("in/vis/a b.png", "in/ir/a b.png", "a.jpg", "a_ir.jpg")
    (image,), _ = group(files[:2], "vis/{stem}.png,ir/{stem}.png")
    assert image == (Path("in/a b.png"), "in/vis/a b.png|in/ir/a b.png", ())
    images, left_over = group(files[2:], "{stem}.jpg,{stem}_ir.jpg")
    assert [stack.reference for stack in images] == ["a.jpg|a_ir.jpg"]
    assert left_over == {}


# The formats


def save(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.full((30, 40), level, np.uint16))


STACK = "{stem}_a.npy,{stem}_b.npy"


@pytest.fixture(params=["stem", "file"])
def named(request):
    """How the annotation calls an image: by its stem, or by the file it was drawn on."""
    return (lambda stem: stem) if request.param == "stem" else (lambda stem: f"{stem}_b")


VOC = """<annotation><filename>{}.npy</filename><object><name>dog</name><bndbox><xmin>3</xmin>
<ymin>5</ymin><xmax>12</xmax><ymax>24</ymax></bndbox></object></annotation>"""


def write_voc(root, named, stems):
    (root / "Annotations").mkdir(parents=True)
    for stem in stems:
        (root / "Annotations" / f"{named(stem)}.xml").write_text(VOC.format(named(stem)))
    return root / "JPEGImages"


def write_coco(root, named, stems):
    root.mkdir()
    entries = [{"id": i, "file_name": f"{named(stem)}.npy"} for i, stem in enumerate(stems)]
    boxes = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [2, 4, 10, 20]}
        for i in range(len(stems))
    ]
    categories = [{"id": 1, "name": "dog"}]
    content = {"images": entries, "annotations": boxes, "categories": categories}
    (root / "train.json").write_text(json.dumps(content))
    return root / "images"


def write_yolo(root, named, stems):
    (root / "labels").mkdir(parents=True)
    (root / "classes.txt").write_text("dog\n")
    for stem in stems:
        (root / "labels" / f"{named(stem)}.txt").write_text(f"0 {7 / 40} {14 / 30} .25 {2 / 3}\n")
    return root / "images"


@pytest.mark.parametrize("write", [write_voc, write_coco, write_yolo])
def test_every_format_finds_the_files_of_an_image_and_lists_what_is_missing(tmp_path, named, write):
    root = tmp_path / "data"
    images = write(root, named, ["one", "two", "half"])
    for stem, level in (("one", 500), ("two", 700)):
        save(images / f"{stem}_a.npy", level)
        save(images / f"{stem}_b.npy", level + 1)
    save(images / "half_b.npy", 9)
    data = read_data(root, files=STACK)
    assert len(data) == 2
    assert data.boxes.tolist() == [[2, 4, 12, 24]] * 2
    assert data.sizes.tolist() == [[40, 30]] * 2
    by_name = {Path(files_of(record.path)[0]).name: record for record in data}
    assert sorted(by_name) == ["one_a.npy", "two_a.npy"]
    pixels = read_image(by_name["two_a.npy"].path, annotated_size=(40, 30))
    assert pixels.shape == (30, 40, 2)
    assert pixels[0, 0].tolist() == [700, 701]
    (problem,) = data.problems
    assert str(images / "half_a.npy") in problem.what
    assert problem.action == "image dropped"


def test_stacks_without_annotation_are_told_once(tmp_path):
    images = write_voc(tmp_path / "data", str, ["one"])
    for name in ("one_a", "one_b", "more_a", "more_b"):
        save(images / f"{name}.npy", 5)
    data = read_data(tmp_path / "data", files=STACK)
    assert len(data) == 1
    (problem,) = data.problems
    assert problem.where == f"{images / 'more_a.npy'}|{images / 'more_b.npy'}"
    assert problem.what == "the image has no annotation"
