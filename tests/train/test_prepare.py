"""Data for a run: which splits, what is dropped and said, and what is refused."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from scratchdet.data.formats import read_data
from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import DataRecipe
from scratchdet.structures import DataError, Problem, Strings
from scratchdet.train.prepare import fingerprint, prepare, write_problems
from scratchdet.train.splits import choose_splits


def prepared(path, **choices):
    recipe = DataRecipe(path=str(path), **choices)
    return prepare(recipe, threads=1, console=Console(file=io.StringIO()))


@pytest.fixture
def voc(tmp_path, scenes):
    """Makes a VOC folder whose splits have the numbered scenes of those names."""

    def make(classes=("a", "b"), channels=3, empty=(), name="voc", **splits: range) -> Path:
        used = sorted({number for numbers in splits.values() for number in numbers})
        everything = scenes(40, classes=len(classes), channels=channels, empty=empty)
        everything = {"all": [everything[number] for number in used]}
        root = write_voc(tmp_path / name, everything, classes=classes)
        lists = root / "ImageSets/Main"
        (lists / "all.txt").unlink()
        for split, numbers in splits.items():
            (lists / f"{split}.txt").write_text("".join(f"{n:03d}\n" for n in numbers))
        return root

    return make


def write_coco(root: Path, scenes, **splits: range) -> Path:
    """A COCO folder; image and annotation ids begin anew in every file, as exports have it."""
    (root / "annotations").mkdir(parents=True)
    for split, numbers in splits.items():
        images, annotations = [], []
        (root / split).mkdir()
        for index, number in enumerate(numbers):
            name, sample = scenes[number]
            cv2.imwrite(str(root / split / f"{name}.png"), sample.image[..., ::-1])
            height, width = sample.image.shape[:2]
            images.append(
                {"id": index, "file_name": f"{name}.png", "width": width, "height": height}
            )
            for box, label in zip(sample.boxes.tolist(), sample.labels.tolist(), strict=True):
                box = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
                annotations.append(
                    {"id": len(annotations), "image_id": index, "category_id": label, "bbox": box}
                )
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}],
        }
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def splits_of(path, **choices):
    return choose_splits(DataRecipe(path=str(path), **choices))


@pytest.mark.parametrize(
    ("available", "chosen"),
    [
        ({"train": range(4), "val": range(4, 6), "test": range(6, 8)}, ("train", "val")),
        ({"train": range(4), "trainval": range(6), "val": range(4, 6)}, ("train", "val")),
        ({"trainval": range(6), "test": range(6, 8)}, ("trainval", None)),
        ({"train": range(4), "valid": range(4, 6)}, ("train", "valid")),
        ({"train2017": range(4), "val2017": range(4, 6)}, ("train2017", "val2017")),
        ({"train2012": range(4), "trainval2012": range(6)}, ("train2012", None)),
        ({"train2014": range(4), "minival2014": range(4, 6)}, ("train2014", None)),
        (
            {"train2014": range(4), "val2014": range(4, 6), "valminusminival2014": range(4, 5)},
            ("train2014", "val2014"),
        ),
        ({"mine": range(4)}, ("mine", None)),
    ],
)
def test_splits_are_found_by_their_names(voc, available, chosen):
    assert splits_of(voc(**available)) == chosen


def test_data_without_splits_is_used_whole(voc):
    root = voc(train=range(4))
    (root / "ImageSets/Main/train.txt").unlink()
    assert splits_of(root) == (None, None)
    assert splits_of(root, val_split="none") == (None, None)


def test_splits_that_are_asked_for_are_taken(voc):
    root = voc(train=range(4), val=range(4, 6), test=range(6, 8))
    assert splits_of(root, split="val") == ("val", None)
    assert splits_of(root, split="train+val", val_split="test") == ("train+val", "test")
    assert splits_of(root, val_split="none") == ("train", None)


@pytest.mark.parametrize(
    ("split", "val_split"),
    [("VOC2007/train", "val"), ("VOC2007/trainval + VOC2007/test", None), ("VOC2007/val", None)],
)
def test_nothing_is_validated_on_that_is_trained_on_as_a_split_of_one_year(voc, split, val_split):
    root = voc(name="VOC2007", train=range(4), val=range(4, 6), trainval=range(6), test=range(6, 8))
    assert splits_of(root.parent, split=split) == (split, val_split)


def test_trainval35k_is_not_validated_on_val2014(voc):
    available = {"train2014": range(4), "val2014": range(4, 6), "valminusminival2014": range(4, 5)}
    split = "train2014+valminusminival2014"
    assert splits_of(voc(**available), split=split) == (split, None)


def test_unclear_splits_are_asked_about(voc):
    with pytest.raises(DataError, match=r"There are blue, red: say --split NAME"):
        splits_of(voc(red=range(3), blue=range(3, 6)))


def test_a_split_that_does_not_exist_is_refused_with_those_that_do(voc):
    with pytest.raises(DataError, match=r"no split 'night'; there are: train, val"):
        prepared(voc(train=range(3), val=range(3, 5)), split="night")


def test_each_part_has_its_images_and_the_notes_say_so(voc):
    found = prepared(
        voc(train=range(5), val=range(5, 7), test=range(7, 10), empty={0}), test_split="test"
    )
    assert [*found.train.ids] == ["000", "001", "002", "003", "004"]
    assert [*found.val.ids] == ["005", "006"]
    assert [*found.test.ids] == ["007", "008", "009"]
    notes = "\n".join(found.notes)
    assert "training on train: 5 images, 1 of them without objects, 4 objects of 2 classes" in notes
    assert "validation on val: 2 images, 2 objects" in notes
    assert "test on test: 3 images" in notes
    assert "corners count from 1" in notes
    assert found.problems == ()


def test_a_test_split_that_is_not_used_is_said_not_to_have_been_looked_at(voc):
    path = voc(train=range(4), val=range(4, 6), test=range(6, 8))
    said = f"test was not looked at: scratchdet check {path}"
    assert said in prepared(path).notes
    for choices in ({"test_split": "test"}, {"val_split": "val+test"}):
        assert said not in prepared(path, **choices).notes


def test_a_tenth_is_held_out_where_there_is_no_validation_split(voc):
    root = voc(train=range(40))
    found = prepared(root)
    held = set(found.val.ids)
    assert set(found.train.ids) | held == {f"{number:03d}" for number in range(40)}
    assert not set(found.train.ids) & held
    assert 1 <= len(held) <= 8
    assert f"{len(held)} of the training images are held out" in "\n".join(found.notes)
    assert set(prepared(root).val.ids) == held
    assert len(prepared(root, hold_out=0.5).val) > 12


def test_without_validation_every_image_is_trained_on(voc):
    found = prepared(voc(train=range(4), val=range(4, 6)), val_split="none")
    assert len(found.train) == 4
    assert found.val is None
    assert "no validation: the last model is the result" in found.notes


def test_one_image_is_trained_on_and_the_lack_of_validation_said(voc):
    found = prepared(voc(train=range(1)))
    assert len(found.train) == 1
    assert found.val is None
    assert "no validation: the last model is the result" in found.notes


@pytest.mark.parametrize("choices", [{"val_split": "val"}, {"test_split": "val"}, {}])
def test_images_that_are_both_trained_on_and_evaluated_are_refused(voc, choices):
    root = voc(train=range(4), val=range(3, 6))
    with pytest.raises(DataError, match=r"1 image of val is also trained on \(.*003\.jpg"):
        prepared(root, split="train", **choices)


def test_coco_splits_whose_ids_begin_anew_do_not_overlap(tmp_path, scenes):
    root = write_coco(tmp_path / "coco", scenes(6), train2017=range(4), val2017=range(4, 6))
    found = prepared(root)
    assert [*found.train.ids] == ["0", "1", "2", "3"]
    assert [*found.val.ids] == ["0", "1"]


def test_an_empty_validation_split_is_an_empty_data_set(voc):
    found = prepared(voc(train=range(3), val=range(0)))
    assert len(found.val) == 0
    assert len(found.train) == 3


def test_labels_of_every_part_follow_the_training_classes(tmp_path, scenes):
    root = write_coco(tmp_path / "coco", scenes(4), train=range(2), val=range(2, 4))
    file = root / "annotations/instances_val.json"
    content = json.loads(file.read_text())
    content["categories"] = [{"id": 0, "name": "b"}, {"id": 1, "name": "a"}]
    file.write_text(json.dumps(content))
    found = prepared(root)
    assert found.train.classes == found.val.classes == ("a", "b")
    assert found.val.labels.tolist() == [1, 0]


def test_grey_data_has_one_channel_and_mean_and_spread_are_of_the_training_images(voc):
    found = prepared(voc(channels=1, train=range(4), val=range(4, 6)))
    assert found.channels == 1
    assert found.mean.shape == found.std.shape == (1,)
    pixels = np.stack([cv2.imread(path, cv2.IMREAD_GRAYSCALE) for path in found.train.paths])
    assert found.mean[0] == pytest.approx(pixels.mean())
    assert found.std[0] == pytest.approx(pixels.std())


def break_box(root: Path, number: str) -> None:
    """Moves the box of an image out of it."""
    file = root / "Annotations" / f"{number}.xml"
    text = file.read_text()
    for corner in ("xmin", "xmax"):
        text = text.replace(f"<{corner}>", f"<{corner}>9")
    file.write_text(text)


def test_bad_boxes_are_dropped_and_listed_by_file_and_line(voc):
    root = voc(train=range(4), val=range(4, 6))
    break_box(root, "001")
    break_box(root, "005")
    found = prepared(root)
    assert (found.train.num_objects, found.val.num_objects) == (3, 1)
    assert len(found.problems) == 2
    first, second = map(str, found.problems)
    assert "001.xml:" in first
    assert "lies outside the image" in first
    assert "[dropped]" in first
    assert "005.xml:" in second


def test_bad_boxes_are_an_error_where_that_is_asked_for(voc):
    root = voc(train=range(4), val=range(4, 6))
    break_box(root, "001")
    with pytest.raises(DataError, match=r"001\.xml:\d+: box 0 \(b\) lies outside"):
        prepared(root, on_bad_box="error")


def test_unreadable_images_are_dropped_and_listed(voc):
    root = voc(train=range(4), val=range(4, 6))
    (root / "JPEGImages/002.jpg").write_bytes(b"not an image")
    found = prepared(root)
    assert [*found.train.ids] == ["000", "001", "003"]
    assert [(Path(p.where).name, p.action) for p in found.problems] == [
        ("002.jpg", "image dropped")
    ]


def test_data_without_a_usable_image_are_refused_with_the_reasons(voc):
    root = voc(train=range(12), val=range(12, 14))
    for image in (root / "JPEGImages").iterdir():
        image.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        prepared(root)
    first, *reasons = str(caught.value).splitlines()
    assert first == f"{root}: no usable image to train on"
    assert "000.jpg: the file is empty" in reasons[0]
    assert reasons[-1] == "... and 2 more"
    assert len(reasons) == 11


def test_data_without_any_object_are_refused(voc):
    with pytest.raises(DataError, match="no object in 3 images to train on"):
        prepared(voc(train=range(3), val=range(3, 5), empty=range(40)))


def test_ignored_objects_stay_so_in_evaluation_and_are_learned_if_asked_for(tmp_path, scenes):
    everything = [(name, replace(s, ignore=~s.ignore)) for name, s in scenes(5)]
    parts = {"train": [*everything[:2], *scenes(5)[4:]], "val": everything[2:4]}
    root = write_voc(tmp_path / "voc", parts, classes=("a", "b"))
    neutral, learned = prepared(root), prepared(root, ignored="object")
    assert neutral.train.ignore.tolist() == [True, True, False]
    assert not learned.train.ignore.any()
    assert neutral.val.ignore.all()
    assert learned.val.ignore.all()
    assert neutral.hygiene["kinds"]["class-without-objects"]["number"] == 3  # b; in val, a as well
    assert learned.hygiene["kinds"]["class-without-objects"]["number"] == 2


def test_nothing_but_ignored_objects_is_refused_unless_they_are_learned(tmp_path, scenes):
    crowds = [(name, replace(scene, ignore=~scene.ignore)) for name, scene in scenes(4)]
    root = write_voc(tmp_path / "voc", {"train": crowds}, classes=("a", "b"))
    with pytest.raises(DataError, match="no object in 4 images but 4 that are to be ignored"):
        prepared(root)
    assert prepared(root, ignored="object").train.num_objects == 3  # one image is held out


def test_of_many_findings_a_hundred_of_a_kind_are_kept_and_all_counted(tmp_path, scenes):
    (name, scene), *others = scenes(3)
    many = replace(
        scene,
        boxes=np.tile(scene.boxes, (200, 1)),
        labels=np.tile(scene.labels, 200),
        ignore=np.tile(scene.ignore, 200),
    )
    root = write_voc(tmp_path / "voc", {"train": [(name, many), *others]}, classes=("a", "b"))
    hygiene = prepared(root, val_split="none").hygiene
    assert hygiene["kinds"]["repeated-box"]["number"] == 199
    assert [found["kind"] for found in hygiene["findings"]].count("repeated-box") == 100


def test_the_list_of_problems_counts_them(tmp_path):
    write_problems([], tmp_path / "none.txt")
    assert (tmp_path / "none.txt").read_text() == "0 problems\n"
    write_problems([Problem("ä.xml:3", "box 0 has no area", "dropped")], tmp_path / "one.txt")
    assert (tmp_path / "one.txt").read_text(encoding="utf-8") == (
        "1 problems\nä.xml:3: box 0 has no area [dropped]\n"
    )


def test_a_file_name_that_is_not_unicode_can_be_listed(tmp_path):
    problem = Problem(os.fsdecode(b"caf\xe9.jpg"), "cannot be decoded", "image dropped")
    write_problems([problem], tmp_path / "problems.txt")
    assert "caf\\udce9.jpg: cannot be decoded" in (tmp_path / "problems.txt").read_text("utf-8")


def changed(data, column: str):
    values = getattr(data, column).copy()
    values.flat[-1] = ~values.flat[-1] if values.dtype == bool else values.flat[-1] + 1
    return replace(data, **{column: values})


def test_the_fingerprint_depends_on_everything_annotated_and_on_nothing_else(voc, tmp_path):
    data = read_data(voc(train=range(4)))
    assert fingerprint(read_data(voc(train=range(4), name="moved"))) == fingerprint(data)
    others = [
        *(changed(data, column) for column in ("sizes", "boxes", "labels", "ignore")),
        data.subset([0, 1, 2]),
        data.subset([1, 0, 2, 3]),
        replace(data, classes=("a", "c")),
        replace(data, ids=Strings(["000", "001", "002", "00x"])),
    ]
    assert len({fingerprint(other) for other in (data, *others)}) == len(others) + 1
