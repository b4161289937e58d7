"""Each kind of fault, put into a clean data set, is found; a clean one has none."""

import io
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from scratchdet.data.check import Hygiene, check_hygiene, with_files
from scratchdet.data.check_alike import nearest_rows
from scratchdet.data.check_files import check_name
from scratchdet.data.duplicates import Pairs, differing_bits
from scratchdet.data.findings import KINDS
from scratchdet.data.formats import detect_format
from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import DataRecipe
from scratchdet.train.gathered import as_trained_on, gather
from scratchdet.train.hygiene import notes_of, show_hygiene

CLASSES = ("a", "b")


@pytest.fixture
def clean(tmp_path, scenes) -> Path:
    """VOC data without a fault: six images to train on, four to validate on."""
    everything = scenes(10)
    splits = {"train": everything[:6], "val": everything[6:]}
    return write_voc(tmp_path / "voc", splits, classes=CLASSES)


def checked(root: Path, **settings) -> Hygiene:
    recipe = DataRecipe(path=str(root), **settings)
    gathered = gather(recipe, threads=1, console=Console(quiet=True))
    parts = as_trained_on(gathered.parts, recipe)
    found = check_hygiene(parts, input_size=(64, 64), refusals=gathered.refusals)
    return with_files(found, parts, format=detect_format(root))


def kinds(hygiene: Hygiene) -> list[str]:
    return [finding.kind for finding in hygiene.findings]


def image(root: Path, number: int) -> Path:
    (found,) = (root / "JPEGImages").glob(f"{number:03d}.*")
    return found


def annotation(root: Path, number: int) -> Path:
    return root / "Annotations" / f"{number:03d}.xml"


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def with_box(file: Path, box: tuple[float, ...], name: str = "a") -> None:
    """The file with one more object, its corners as VOC writes them."""
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inner = "".join(f"<{corner}>{value}</{corner}>" for corner, value in corners)
    added = f"<object><name>{name}</name><bndbox>{inner}</bndbox></object></annotation>"
    replaced(file, "</annotation>", added)


def pixels(root: Path, number: int) -> np.ndarray:
    return cv2.imread(str(image(root, number)))


def save(file: Path, picture: np.ndarray) -> None:
    file.write_bytes(cv2.imencode(file.suffix, picture)[1].tobytes())


def exif(root: Path, orientation: int, size=(64, 64)) -> None:
    file = image(root, 1)
    block = Image.Exif()
    block[0x0112] = orientation
    width, height = size
    picture = Image.open(file).convert("RGB").resize((height, width))
    picture.save(file, exif=block)
    xml = annotation(root, 1)
    replaced(xml, "<width>64", f"<width>{width}")
    replaced(xml, "<height>64", f"<height>{height}")


def cut_off(root: Path) -> None:
    image(root, 1).write_bytes(image(root, 1).read_bytes()[:-40])


def listed_twice(root: Path) -> None:
    with (root / "ImageSets/Main/val.txt").open("a") as lines:
        lines.write("\n001\n")


def shifted_light(root: Path, source: int, target: int) -> None:
    """An image that is another one, brighter and of other noise."""
    picture = pixels(root, source).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 2, picture.shape)
    save(image(root, target), np.clip(picture * 1.1 + noise, 0, 255).astype(np.uint8))


def next_frame(root: Path) -> None:
    """A validation image that resembles the training image before it, as 5 follows 6."""
    one, other = (pixels(root, number).astype(np.float32) for number in (5, 6))
    save(image(root, 6), (0.62 * one + 0.38 * other).astype(np.uint8))


def empty(root: Path, *numbers: int) -> None:
    for number in numbers:
        text = annotation(root, number).read_text()
        start, end = text.index("<object>"), text.rindex("</object>") + len("</object>")
        annotation(root, number).write_text(text[:start] + text[end:])


SEEDS: dict[str, Callable[[Path], object]] = {
    "duplicate-across": lambda root: shutil.copy(image(root, 1), image(root, 7)),
    "case-classes": lambda root: [
        replaced(annotation(root, number), "<name>a<", "<name>A<") for number in (0, 6)
    ],
    "unreadable-image": cut_off,
    "missing-image": lambda root: image(root, 1).unlink(),
    "other-shape": lambda root: save(image(root, 1), pixels(root, 1)[:40]),
    "missing-annotation": lambda root: annotation(root, 1).unlink(),
    "unreadable-annotation": lambda root: annotation(root, 1).write_text("<annotation>"),
    "unreadable-box": lambda root: with_box(annotation(root, 1), ("x", 3, 20, 20)),
    "box-outside": lambda root: with_box(annotation(root, 1), (70, 3, 90, 20)),
    "near-across": lambda root: shifted_light(root, 1, 8),
    "frames-across": next_frame,
    "unsure-turn": lambda root: exif(root, 3),
    "box-without-area": lambda root: with_box(annotation(root, 1), (20, 3, 20, 3)),
    "clipped-box": lambda root: with_box(annotation(root, 1), (30, 3, 90, 20)),
    "tiny-box": lambda root: with_box(annotation(root, 1), (30, 30, "30.5", 40)),
    "repeated-box": lambda root: [with_box(annotation(root, 1), (5, 5, 9, 9)) for _ in range(2)],
    "box-of-two-classes": lambda root: [
        with_box(annotation(root, 1), (5, 5, 9, 9), name) for name in CLASSES
    ],
    "ignored-class": lambda root: [
        with_box(annotation(root, number), (5, 5, 9, 9), "Don't care") for number in (1, 7)
    ],
    "class-without-objects": lambda root: with_box(annotation(root, 1), (5, 5, 9, 9), "c"),
    "mostly-empty": lambda root: empty(root, 0, 1, 2, 3),
    "resized-image": lambda root: save(image(root, 1), cv2.resize(pixels(root, 1), (128, 128))),
    "duplicate-image": lambda root: shutil.copy(image(root, 1), image(root, 3)),
    "wrong-extension": lambda root: image(root, 1).write_bytes(
        cv2.imencode(".png", pixels(root, 1))[1].tobytes()
    ),
    "full-box": lambda root: with_box(annotation(root, 1), (1, 1, 64, 64)),
    "near-duplicate": lambda root: shifted_light(root, 1, 4),
    "turned-image": lambda root: exif(root, 6, size=(64, 48)),
    "grey-among-rgb": lambda root: save(image(root, 1), pixels(root, 1)[..., 0]),
    "empty-images": lambda root: empty(root, 0),
    "decimals": lambda root: with_box(annotation(root, 9), (5.25, 5, 9, 9)),
    "empty-element": lambda root: replaced(annotation(root, 1), "<depth>3<", "<depth><"),
    "other-filename": lambda root: replaced(
        annotation(root, 1), image(root, 1).name + "</filename>", "IMG_7.jpg</filename>"
    ),
}
"""How each kind comes into VOC data."""

BESIDES = {"tiny-box": {"decimals"}}
"""What cannot be there without another kind: a box of VOC's is two pixels wide at least."""


def test_a_clean_data_set_has_nothing_to_tell_of(clean):
    found = checked(clean)
    assert found.findings == ()
    assert not found.must_be_fixed
    assert (found.counts["training"].images, found.counts["validation"].images) == (6, 4)
    assert found.counts["training"].per_class == {"a": 3, "b": 3}
    assert found.counts["training"].pixels == {"uint8, 3 channels": 6}


@pytest.mark.parametrize("kind", SEEDS)
def test_each_kind_of_fault_is_found_and_no_other(clean, kind):
    SEEDS[kind](clean)
    found = checked(clean)
    assert set(kinds(found)) == {kind} | BESIDES.get(kind, set())
    assert found.must_be_fixed == (KINDS[kind].level == "error")
    assert found.to_json()["kinds"][kind]["number"] == kinds(found).count(kind)


@pytest.mark.parametrize(
    ("kind", "lost"),
    [("missing-labels", "labels/train/1.txt"), ("label-without-image", "images/train/1.png")],
)
def test_files_that_yolo_data_lack_are_found(tmp_path, scenes, kind, lost):
    (tmp_path / "classes.txt").write_text("a\nb\n")
    for number, (_, scene) in enumerate(scenes(6)):
        for folder in ("images/train", "labels/train"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        save(tmp_path / f"images/train/{number}.png", np.asarray(scene.image))
        label = tmp_path / f"labels/train/{number}.txt"
        label.write_text(f"{number % 2} 0.5 0.5 0.4 0.4\n")
    assert kinds(checked(tmp_path, val_split="none")) == []
    (tmp_path / lost).unlink()
    found = checked(tmp_path, val_split="none")
    assert set(kinds(found)) - {"empty-images"} == {kind}
    assert not found.must_be_fixed


def test_boxes_of_an_image_that_is_left_out_are_not_told_of(clean):
    for kind in ("box-outside", "clipped-box"):
        SEEDS[kind](clean)
    assert set(kinds(checked(clean))) == {"box-outside", "clipped-box"}
    SEEDS["other-shape"](clean)
    assert kinds(checked(clean)) == ["other-shape"]


def test_a_file_that_is_not_what_its_name_says_is_told_what_to_be_called(clean):
    SEEDS["wrong-extension"](clean)
    (finding,) = checked(clean).findings
    assert finding.what == "is a PNG: its name should end in .png"


def test_of_a_box_that_is_no_numbers_it_is_told_what_stands_in_the_file(clean):
    with_box(annotation(clean, 1), ("abc", 3, "", 20))
    (finding,) = checked(clean).findings
    assert finding.what.endswith("has a coordinate that is not a number: abc 3 nothing 20")


def test_images_trained_on_that_are_validated_on_are_refused(clean):
    listed_twice(clean)
    assert kinds(checked(clean))[:2] == ["refused", "duplicate-across"]


def test_nothing_to_train_on_is_refused(clean):
    empty(clean, *range(10))
    assert "refused" in kinds(checked(clean))


def test_pixels_of_several_types_are_refused_and_the_annotations_checked_all_the_same(clean):
    deep = pixels(clean, 1)[..., 0].astype(np.uint16) * 200
    image(clean, 1).write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    SEEDS["repeated-box"](clean)
    assert set(kinds(checked(clean))) == {"refused", "repeated-box", "wrong-extension"}


def test_the_order_of_the_images_does_not_matter(clean):
    for kind in ("repeated-box", "near-across", "box-outside"):
        SEEDS[kind](clean)
    before = checked(clean)
    for name in ("train", "val"):
        file = clean / f"ImageSets/Main/{name}.txt"
        file.write_text("\n".join(reversed(file.read_text().split())) + "\n")
    after = checked(clean)
    assert set(after.findings) == set(before.findings)
    assert len(before.findings) == 3


def test_images_held_out_are_compared_with_those_trained_on(clean):
    shutil.rmtree(clean / "ImageSets")
    every = sorted((clean / "JPEGImages").iterdir())
    assert "duplicate-across" not in kinds(checked(clean, hold_out=0.5))
    for file in every[1:]:
        shutil.copy(every[0], file)
    found = checked(clean, hold_out=0.5)
    assert "duplicate-across" in kinds(found)
    assert found.counts["validation"].split == "held out"


@pytest.mark.parametrize("images", [1, 2])
def test_one_image_of_one_class_is_ordinary(tmp_path, scenes, images):
    root = write_voc(tmp_path / "voc", {"train": scenes(images, classes=1)}, classes=("a",))
    assert kinds(checked(root)) == []


def test_an_empty_data_set_is_refused_in_words(tmp_path):
    root = write_voc(tmp_path / "voc", {"train": []}, classes=("a",))
    assert "refused" in kinds(checked(root))


def test_ten_thousand_findings_fit_on_a_page(clean):
    for _ in range(400):
        with_box(annotation(clean, 1), (70, 3, 90, 20))
    SEEDS["repeated-box"](clean)
    found = checked(clean)
    console = Console(file=io.StringIO(), width=30)
    show_hygiene(console, found, root=clean)
    lines = console.file.getvalue().splitlines()
    assert len(lines) < 40
    whole = [line for line in lines if "Annotations/001.xml:" in line and ": box " in line]
    assert len(whole) >= 3  # no path is broken
    assert any("400 x box-outside" in line for line in lines)
    assert any("... and 397 more" in line for line in lines)
    listed = found.to_json(most=100)
    assert listed["kinds"]["box-outside"]["number"] == 400
    assert len(listed["findings"]) == 101


def test_before_a_training_there_is_a_line_for_what_matters(clean):
    SEEDS["near-across"](clean)
    (note,) = notes_of(checked(clean), root=clean)
    before, after = image(clean, 1).name, image(clean, 8).name
    assert note == (
        "NOTE: images that are nearly the same as one of another part: validation: "
        f"JPEGImages/{after}: is nearly the same as JPEGImages/{before} of training "
        "(scratchdet check)"
    )


def test_nothing_but_ignored_objects_is_refused_and_each_class_told(clean):
    for file in (clean / "Annotations").iterdir():
        replaced(file, "<difficult>0<", "<difficult>1<")
    found = checked(clean)
    assert kinds(found) == ["refused"] + ["class-without-objects"] * 4
    assert "no object in 6 images but 6 that are to be ignored" in found.findings[0].what
    assert found.findings[1].what == "no object in train but 3 to be ignored"
    learned = checked(clean, ignored="object")
    assert {finding.part for finding in learned.findings} == {"validation"}


def test_what_cannot_be_opened_does_not_end_the_check(clean, monkeypatch):
    monkeypatch.setattr(Path, "is_file", Mock(side_effect=PermissionError))
    assert [*check_name("training", str(image(clean, 1)))] == []


def test_annotations_in_a_tree_like_that_of_voc_are_none_where_the_data_are_not(clean):
    annotation(clean, 1).write_text("<!DOCTYPE a []><annotation>")
    recipe = DataRecipe(path=str(clean))
    parts = gather(recipe, threads=1, console=Console(quiet=True)).parts
    found = check_hygiene(parts)
    SEEDS["decimals"](clean)
    annotation(clean, 2).write_text("<annotation>")  # since it was read
    seen = []
    told = with_files(found, parts, format="voc", progress=lambda *now: seen.append(now))
    assert [one.kind for one in told.findings if one not in found.findings] == ["decimals"]
    assert seen[-1] == (len(seen), len(seen))
    assert with_files(found, parts, format="coco") == found


def test_black_images_in_two_parts_are_no_leak(clean):
    for number in (1, 7):
        save(image(clean, number).with_suffix(".jpg"), np.zeros((64, 64, 3), np.uint8))
    assert kinds(checked(clean)) == ["blank-across"]


def prints(*flipped: int) -> np.ndarray:
    """Prints of one scene, so many of whose first bits are turned."""
    bits = np.tile(np.random.default_rng(0).integers(0, 2, 256, dtype=np.uint8), (len(flipped), 1))
    for row, count in enumerate(flipped):
        bits[row, :count] ^= 1
    return np.packbits(bits, axis=1)


def test_the_neighbour_is_named_and_not_the_first_of_those_tied_by_others():
    def pairs_of(*flipped):
        found = [
            (a, b)
            for a, b in combinations(range(len(flipped)), 2)
            if abs(flipped[a] - flipped[b]) <= 32
        ]
        first, second = np.array(found).T
        return Pairs(first, second, differing_bits(prints(*flipped), first, second))

    use = np.array([0, 0, 1, 1])
    # 20 and 30 bits are near to 0, 50 near to 30 alone.
    assert nearest_rows(pairs_of(0, 20, 30, 50), use) == {0: 1, 1: 2, 2: 1, 3: 1}
    assert nearest_rows(pairs_of(0, 10, 30, 60), use) == {0: 1, 1: 0, 2: 1, 3: 2}
