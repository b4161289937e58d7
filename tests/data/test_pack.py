"""A packed data set is the data set: same annotations, same bytes, smaller only if asked."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchdet.data import packed
from scratchdet.data.formats import list_splits, list_year_splits, read_data
from scratchdet.data.images import read_image
from scratchdet.data.pack import pack
from scratchdet.data.pack_file import find_damages
from scratchdet.data.pack_writer import writing_pack
from scratchdet.data.references import files_of, join, read_bytes
from scratchdet.data.shrink import Shrink
from scratchdet.structures import DataError, Problem, Record, from_records

SIZES = {"a": (60, 40), "b": (40, 60), "c": (50, 50)}
BOXES = {"a": [("dog", 0, (6, 4, 30, 20)), ("cat", 1, (1, 1, 60, 40))], "b": [], "c": []}


def noise(size, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(sum(size))
    top = np.iinfo(dtype).max
    return rng.integers(0, top, (size[1], size[0], channels), dtype, endpoint=True)


def write_picture(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def write_voc(root, splits, *, suffix=".jpg", channels=3, dtype=np.uint8):
    """One year: corners from 1, one difficult object, images without objects."""
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name in sorted(set("".join(splits.values()))):
        width, height = SIZES[name]
        write_picture(
            root / "JPEGImages" / (name + suffix), noise((width, height), channels, dtype)
        )
        objects = "".join(
            f"<object><name>{kind}</name><difficult>{hard}</difficult><bndbox><xmin>{x1}</xmin>"
            f"<ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for kind, hard, (x1, y1, x2, y2) in BOXES[name]
        )
        (root / f"Annotations/{name}.xml").write_text(
            f"<annotation><size><width>{width}</width><height>{height}</height></size>"
            f"{objects}</annotation>"
        )
    for split, names in splits.items():
        (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(names))
    return root


def write_coco(root):
    """Two splits with the same ids and classes of their own, images in any order; one crowd."""
    for split, names in {"train": "ba", "val": "ac"}.items():
        for name in names:
            write_picture(root / split / f"{name}.png", noise(SIZES[name]))
        images = [
            {
                "id": key,
                "file_name": f"{name}.png",
                "width": SIZES[name][0],
                "height": SIZES[name][1],
            }
            for key, name in enumerate(names)
        ]
        objects = [
            {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1.25, 2, 30, 7.5], "iscrowd": 1},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [3, 2, 0, 5]},
        ]
        objects[0]["area"] = 100.25 + len(split)
        kinds = [{"id": 1, "name": "cat"}, {"id": 2, "name": f"only {split}"}]
        content = {"images": images, "annotations": objects, "categories": kinds}
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/instances_{split}.json").write_text(json.dumps(content))
    return root


def write_yolo(root):
    for split, name in {"train": "a", "val": "b"}.items():
        write_picture(root / f"images/{split}/{name}.png", noise(SIZES[name]))
        (root / "labels" / split).mkdir(parents=True)
    (root / "labels/train/a.txt").write_text("1 0.5 0.5 0.25 0.5\n0 0.3 0.3 0.1 0.1")
    (root / "labels/val/b.txt").touch()
    (root / "classes.txt").write_text("cat\ndog")
    return root


def write_years(root):
    write_voc(root / "VOC2007", {"train": "a", "trainval": "ab", "val": "b", "test": "c"})
    write_voc(root / "VOC2012", {"train": "b", "val": "a", "trainval": "ab"})
    return root


SOURCES = {
    "voc": lambda root: write_voc(root, {"train": "ab", "val": "c", "trainval": "abc"}),
    "years": write_years,
    "coco": write_coco,
    "yolo": write_yolo,
    "no splits": lambda root: write_voc(root, {}),
}


@pytest.fixture(params=SOURCES)
def source(request, tmp_path):
    return SOURCES[request.param](tmp_path / "data")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.lmdb"


def assert_same(data, wanted, *, files=True):
    """Everything is equal but where the images are; and what they hold."""
    for name in ("classes", "problems", "notes"):
        assert getattr(data, name) == getattr(wanted, name), name
    assert list(data.ids) == list(wanted.ids)
    for name in ("sizes", "offsets", "boxes", "labels", "ignore"):
        ours, other = getattr(data, name), getattr(wanted, name)
        assert ours.dtype == other.dtype, name
        np.testing.assert_array_equal(ours, other, err_msg=name)
    assert (data.areas is None) == (wanted.areas is None)
    np.testing.assert_array_equal(data.areas, wanted.areas)
    for ours, other in zip(data.paths, wanted.paths, strict=True):
        for one, two in zip(files_of(ours), files_of(other), strict=True):
            assert not files or read_bytes(one) == read_bytes(two)


def test_every_split_is_what_it_was(source, out):
    done = pack(source, out)
    assert find_damages(out) == []
    assert list_splits(out) == list_splits(source)
    assert list_year_splits(out) == list_year_splits(source)
    for split in (None, *list_splits(source), *list_year_splits(source)):
        assert_same(read_data(out, split=split), read_data(source, split=split))
    assert done.files == len(set(read_data(source).paths))


def test_splits_are_joined(source, out):
    pack(source, out)
    splits = list_splits(source)[:2]
    if not splits:
        pytest.skip("there are none")
    ours, other = (read_data(path, split="+".join(splits)) for path in (out, source))
    assert sorted(ours.ids) == sorted(other.ids)
    assert ours.classes == other.classes
    assert sorted(ours.boxes.tolist()) == sorted(other.boxes.tolist())
    assert len(set(ours.paths)) == len(ours)


def test_an_image_of_two_splits_is_joined_once(tmp_path, out):
    pack(write_voc(tmp_path / "data", {"train": "ab", "trainval": "abc"}), out)
    assert list(read_data(out, split="trainval+train").ids) == ["a", "b", "c"]


def test_only_the_splits_asked_for_are_packed(tmp_path, out):
    source = write_years(tmp_path / "data")
    done = pack(source, out, split="VOC2007/train+VOC2012/val")
    assert done.files == 2
    assert list_splits(out) == ["VOC2007/train", "VOC2012/val"]
    assert_same(read_data(out), read_data(source, split="VOC2007/train+VOC2012/val"))
    with pytest.raises(DataError, match="no split 'test'; there are: VOC2007/train, VOC2012/val"):
        read_data(out, split="test")
    with pytest.raises(DataError, match="no split 'tset'"):
        pack(source, out, split="tset")


def test_packing_twice_gives_the_same_file(source, out, tmp_path):
    pack(source, out, threads=1)
    pack(source, tmp_path / "other.lmdb", threads=3)
    assert out.read_bytes() == (tmp_path / "other.lmdb").read_bytes()


def test_a_pack_can_be_packed(source, out, tmp_path):
    pack(source, out)
    pack(out, tmp_path / "other.lmdb")
    assert_same(read_data(tmp_path / "other.lmdb"), read_data(source))


def test_an_image_that_cannot_be_read_is_left_out_and_said(tmp_path, out):
    source = write_voc(tmp_path / "data", {"train": "ab", "val": "c"})
    (source / "JPEGImages/b.jpg").write_bytes(b"")
    done = pack(source, out)
    data = read_data(out, split="train")
    assert list(data.ids) == ["a"]
    path = str(source / "JPEGImages/b.jpg")
    problem = Problem(path, "the file is empty", "image dropped", "unreadable-image")
    assert data.problems == (problem,)
    assert done.files == 2
    assert read_data(out, split="val").problems == ()


@pytest.mark.parametrize(
    ("suffix", "channels", "dtype"),
    [
        (".png", 1, np.uint16),
        (".png", 3, np.uint16),
        (".tif", 3, np.uint8),
        (".npy", 5, np.uint8),
        (".npy", 5, np.int16),
    ],
)
def test_every_kind_of_pixels_is_packed_as_it_is_and_smaller(
    tmp_path, out, suffix, channels, dtype
):
    splits = {"train": "abc"}
    source = write_voc(tmp_path / "x", splits, suffix=suffix, channels=channels, dtype=dtype)
    pack(source, out)
    assert_same(read_data(out), read_data(source))
    for ours, other in zip(read_data(out), read_data(source), strict=True):
        np.testing.assert_array_equal(read_image(ours.path), read_image(other.path))
    pack(source, out, shrink=Shrink(short=20))
    for ours, other in zip(read_data(out), read_data(source), strict=True):
        whole, small = read_image(other.path), read_image(ours.path)
        assert (small.dtype, small.shape[2]) == (whole.dtype, whole.shape[2])
        assert small.shape[1::-1] == ours.size
        assert min(ours.size) == 20
        assert abs(small.mean() / whole.mean() - 1) < 0.01


def test_files_that_are_one_image_stay_one(tmp_path, out):
    source = write_voc(tmp_path / "data", {"train": "ab"}, suffix="_1.png", channels=1)
    for name in "ab":
        write_picture(source / f"JPEGImages/{name}_2.png", noise(SIZES[name], 1))
    pattern = "{stem}_1.png,{stem}_2.png"
    stacked = read_data(source, files=pattern)
    done = pack(source, out, files=pattern)
    assert done.files == 4
    data = read_data(out)
    assert_same(data, stacked)
    for ours, other in zip(data, stacked, strict=True):
        assert len(files_of(ours.path)) == 2
        np.testing.assert_array_equal(read_image(ours.path), read_image(other.path))


def test_resized_images_have_their_boxes_resized_with_them(tmp_path, out):
    source = write_voc(tmp_path / "data", {"train": "abc"})
    done = pack(source, out, shrink=Shrink(short=45))
    data = read_data(out)
    assert done.resized == 1
    assert data.sizes.tolist() == [[60, 40], [40, 60], [45, 45]]
    assert read_bytes(data.paths[0]) == (source / "JPEGImages/a.jpg").read_bytes()
    pack(source, out, shrink=Shrink(short=20))
    data = read_data(out)
    assert data.sizes.tolist() == [[30, 20], [20, 30], [20, 20]]
    np.testing.assert_allclose(data.boxes, read_data(source).boxes / 2)
    assert bytes(read_bytes(data.paths[0])[:2]) == b"\xff\xd8"


def test_areas_go_with_their_objects(tmp_path, out):
    source = write_coco(tmp_path / "data")
    pack(source, out, shrink=Shrink(short=20))  # "b" is 40 x 60, "a" 60 x 40: half as long and wide
    assert read_data(source, split="train").areas.tolist() == [105.25]
    assert read_data(out, split="train").areas.tolist() == [105.25 / 4]
    assert read_data(out, split="train", classes=["only train"]).areas.tolist() == []
    assert len(read_data(out).areas) == 2


def test_jpegs_are_encoded_anew_at_the_quality_asked_for_others_never(tmp_path, out):
    jpegs, pngs = (write_voc(tmp_path / s, {"train": "a"}, suffix=s) for s in (".jpg", ".png"))
    sizes = []
    for quality in (20, 90):
        pack(jpegs, out, shrink=Shrink(quality=quality))
        sizes.append(len(read_bytes(read_data(out).paths[0])))
        assert read_data(out)[0].size == SIZES["a"]
    assert sizes[0] < sizes[1] / 2
    pack(pngs, out, shrink=Shrink(quality=20))
    assert_same(read_data(out), read_data(pngs))


def test_an_image_turned_by_its_exif_is_stored_turned(tmp_path, out):
    source = write_voc(tmp_path / "data", {"train": "b"})  # 40 x 60 once turned
    path = source / "JPEGImages/b.jpg"
    slope = np.tile(np.arange(60, dtype=np.uint8) * 4, (40, 1))
    lying = cv2.imencode(".jpg", slope)[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    path.write_bytes(lying[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + lying[2:])
    pack(source, out, shrink=Shrink(short=20))
    (record,) = read_data(out)
    assert record.size == (20, 30)
    rows = read_image(record.path).mean(axis=(1, 2))
    np.testing.assert_allclose(rows, read_image(path)[:, 20, 0].reshape(30, 2).mean(axis=1), atol=2)
    assert rows[-1] > 200


def test_an_image_that_cannot_be_decoded_is_left_out_where_it_has_to_be(tmp_path, out):
    source = write_voc(tmp_path / "data", {"train": "ab"})
    (source / "JPEGImages/a.jpg").write_bytes(b"no image")
    assert len(pack(source, out).data) == 2
    done = pack(source, out, shrink=Shrink(short=20))
    assert [problem.action for problem in done.data.problems] == ["image dropped"]
    assert list(done.data.ids) == ["b"]


def test_a_name_too_long_for_a_pack_is_refused_before_anything_is_written(tmp_path, out):
    source = write_yolo(tmp_path / "data")
    deep = source / "images/train" / "/".join(["x" * 200] * 3)
    write_picture(deep / "a.png", noise((8, 8)))
    (source / "data.yaml").write_text(f"names: [cat]\ntrain: {deep}\nval: images/val")
    with pytest.raises(DataError, match="too long for a pack"):
        pack(source, out)
    assert not out.exists()


def test_progress_counts_files_written_and_checked(tmp_path, out):
    reports = []
    source = write_voc(tmp_path / "data", {"train": "abc"})
    pack(source, out, progress=lambda done, total: reports.append((done, total)))
    assert {total for _, total in reports} == {6}
    done = [done for done, _ in reports]
    assert done == sorted(done)
    assert done[-1] == 6


names = st.text(max_size=8) | st.binary(max_size=8).map(
    lambda name: name.decode("utf-8", "surrogateescape")
)
boxes = st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 4)
objects = st.lists(st.tuples(boxes, st.integers(0, 2), st.booleans()), max_size=4)
records = st.lists(st.tuples(names, names, objects), max_size=5)


@settings(deadline=None, max_examples=50)
@given(records=records, problems=st.lists(st.tuples(names, names, names), max_size=2))
def test_columns_of_anything_come_out_as_they_went_in(records, problems, tmp_path_factory):
    data = from_records(
        [
            Record(
                id=image_id,
                path=path.replace("/", ""),
                size=(7, 9),
                boxes=np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
                labels=np.array([label for _, label, _ in found], np.int64),
                ignore=np.array([flag for _, _, flag in found], bool),
            )
            for image_id, path, found in records
        ],
        ["ä", "b", "\udcff"],
    )
    data = replace(data, problems=tuple(Problem(*problem) for problem in problems), notes=("n",))
    path = tmp_path_factory.mktemp("pack") / "x.lmdb"
    with writing_pack(path) as put:
        put(*packed.contents_entry(packed.Contents([], [], 0, 0)))
        for key, value in packed.table_entries(0, data):
            put(key, value)
    found = packed.read(path)
    assert_same(found, data, files=False)
    wanted = [join([f"{path}/{file}" for file in files_of(one)]) for one in data.paths]
    assert list(found.paths) == wanted
