"""COCO files: ids, crowds, images in their usual places, and what is wrong with them."""

import gc
import json
import time

import numpy as np
import pytest
from PIL import Image

from scratchdet.data.coco import list_splits, read
from scratchdet.data.coco_json import CHUNK, load
from scratchdet.data.formats import detect_format
from scratchdet.data.pack import pack
from scratchdet.structures import DataError

IMAGE = {"id": 7, "file_name": "a.png", "width": 40, "height": 30}
CATEGORIES = [{"id": 90, "name": "zebra"}, {"id": 2, "name": "owl"}]
OBJECT = {"id": 5, "image_id": 7, "category_id": 90, "bbox": [1, 2.5, 3, 4]}


def write(path, *, images=(IMAGE,), annotations=(OBJECT,), categories=CATEGORIES):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30)).save(path)


def test_an_empty_file_of_no_images_is_an_empty_data_set(tmp_path):
    data = read(write(tmp_path / "a.json", images=(), annotations=()))
    assert (len(data), data.num_objects, data.notes) == (0, 0, ())
    assert data.classes == ("owl", "zebra")


def test_labels_follow_the_category_ids_and_crowds_are_ignored(tmp_path):
    crowd = OBJECT | {"id": 6, "category_id": 2, "iscrowd": 1}
    data = read(write(tmp_path / "a.json", annotations=(OBJECT, crowd)))
    assert data.classes == ("owl", "zebra")
    assert data.labels.tolist() == [1, 0]
    assert data.ignore.tolist() == [False, True]
    assert data.boxes[0].tolist() == [1, 2.5, 4, 6.5]
    assert list(data.ids) == ["7"]


def test_areas_are_those_of_the_masks_or_of_the_boxes_where_there_are_none(tmp_path):
    """One object is dropped, and the images are not in the order of the objects."""
    images = (IMAGE, IMAGE | {"id": 3})
    areas = [{"area": 5.5}, {"bbox": [0, 0, 0, 0], "area": 9}, {"area": 7, "image_id": 3}]
    others = [{}, {"area": None}, {"area": "8"}, {"area": float("nan")}, {"area": 10**400}]
    objects = [
        OBJECT | {"id": key, "image_id": 7} | one for key, one in enumerate([*areas, *others])
    ]
    data = read(write(tmp_path / "a.json", images=images, annotations=objects))
    assert data.areas.tolist() == [5.5, 12, 12, 12, 12, 12, 7]
    assert data.subset([1, 0]).areas.tolist() == [7, 5.5, 12, 12, 12, 12, 12]
    assert read(write(tmp_path / "a.json", annotations=())).areas.tolist() == []


def test_objects_in_any_order_go_to_their_images(tmp_path):
    images = (IMAGE, IMAGE | {"id": 3}, IMAGE | {"id": 9})
    keys = (9, 7, 9, 7, 7)
    objects = [
        OBJECT | {"id": i, "image_id": key, "bbox": [i, 0, 2, 2]} for i, key in enumerate(keys)
    ]
    data = read(write(tmp_path / "a.json", images=images, annotations=objects))
    assert [record.boxes[:, 0].tolist() for record in data] == [[1, 3, 4], [], [0, 2]]


@pytest.mark.parametrize(
    ("file", "image"),
    [
        ("annotations/instances_val2014.json", "val2014/a.png"),
        ("annotations/instances_val2014.json", "images/val2014/a.png"),
        ("annotations/instances_val2014.json", "images/a.png"),
        ("val2014/_annotations.coco.json", "val2014/a.png"),
        ("val2014.json", "a.png"),
        ("annotations/val2014.json", "a.png"),
    ],
)
def test_images_are_found_in_the_usual_places_from_the_folder_and_the_file(tmp_path, file, image):
    path = write(tmp_path / file)
    write_image(tmp_path / image)
    for data in (read(tmp_path, split="val2014"), read(path)):
        assert data[0].path == tmp_path / image
        assert data.notes == ()


def published(root, year, **splits):
    """COCO as it is unpacked: an image for each split, in the folder that the value names."""
    for index, (split, folder) in enumerate(splits.items()):
        name = f"COCO_{folder}_{index}.png" if year == "2014" else f"{index:012d}.png"
        write(
            root / f"annotations/instances_{split}.json",
            images=[IMAGE | {"file_name": name, "id": index}],
            annotations=[OBJECT | {"image_id": index}],
        )
        write_image(root / folder / name)
    for other in ("captions_train", "person_keypoints_val", "stuff_val", "panoptic_val"):
        write(root / f"annotations/{other}{year}.json")
    write(root / f"annotations/image_info_test{year}.json", annotations=())
    write_image(root / f"test{year}/a.png")
    return root


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_the_published_folders_are_read_and_only_the_boxes_of_all_objects(tmp_path, year):
    train, val = f"train{year}", f"val{year}"
    published(tmp_path, year, **{train: train, val: val})
    assert list_splits(tmp_path) == [train, val]
    assert detect_format(tmp_path) == "coco"
    for split in (train, val):
        data = read(tmp_path, split=split)
        assert data[0].path.parent == tmp_path / split
        assert (len(data), data.problems, data.notes) == (1, (), ())


@pytest.mark.parametrize("top", ["", "images"])
def test_the_images_of_trainval35k_are_in_the_folders_of_train_and_val(tmp_path, top):
    splits = {"train2014": "train2014", "valminusminival2014": "val2014", "minival2014": "val2014"}
    published(tmp_path, "2014", **splits)
    if top:
        (tmp_path / top).mkdir()
        for folder in ("train2014", "val2014"):
            (tmp_path / folder).rename(tmp_path / top / folder)
    data = read(tmp_path, split="train2014+valminusminival2014")
    folders = [record.path.parent for record in data]
    assert folders == [tmp_path / top / "train2014", tmp_path / top / "val2014"]
    assert read(tmp_path, split="minival2014")[0].path.parent == tmp_path / top / "val2014"
    assert data.problems == data.notes == ()


def test_one_file_may_have_its_images_in_the_folders_of_train_and_val(tmp_path):
    names = ["COCO_train2014_1.png", "COCO_val2014_2.png"]
    images = [IMAGE | {"file_name": name, "id": index} for index, name in enumerate(names)]
    write(tmp_path / "annotations/instances_trainval35k.json", images=images, annotations=())
    places = [
        tmp_path / folder / name
        for folder, name in zip(("train2014", "val2014"), names, strict=True)
    ]
    for place in places:
        write_image(place)
    assert [record.path for record in read(tmp_path, split="trainval35k")] == places


def test_a_single_file_has_no_splits_and_a_folder_those_of_its_files(tmp_path):
    path = write(tmp_path / "annotations/instances_val2014.json")
    assert list_splits(path) == []
    assert list_splits(tmp_path) == ["val2014"]
    with pytest.raises(DataError, match="no split 'val2014', as the data has no splits"):
        read(path, split="val2014")


def test_detections_beside_the_annotations_are_not_a_split(tmp_path):
    write(tmp_path / "val.json")
    (tmp_path / "results.json").write_text("[]")
    assert len(read(tmp_path)) == 1


@pytest.mark.parametrize("distance", [0, CHUNK - 9, CHUNK - 4, CHUNK, 3 * CHUNK])
def test_a_file_of_any_name_is_found_by_its_keys_wherever_they_are(tmp_path, distance):
    text = '{"licence": "%s", "images": [], "categories": []}' % ("x" * max(0, distance - 20))
    (tmp_path / "labels.json").write_text(text)
    assert list_splits(tmp_path) == ["labels"]


def test_a_file_of_the_usual_name_that_is_cut_off_is_not_passed_over(tmp_path):
    path = write(tmp_path / "annotations/instances_train.json")
    path.write_text(path.read_text()[:20])
    with pytest.raises(DataError, match="malformed JSON"):
        read(tmp_path, split="train")


def test_where_some_images_are_there_missing_ones_are_problems(tmp_path):
    gone = IMAGE | {"id": 8, "file_name": "gone.png"}
    write_image(tmp_path / "a.png")
    other = OBJECT | {"image_id": 8}
    data = read(write(tmp_path / "a.json", images=(gone, IMAGE), annotations=(other, OBJECT)))
    assert list(data.ids) == ["7"]
    assert data.num_objects == 1
    assert data.problems[0].where.endswith("a.json: image id 8")
    assert data.problems[0].action == "image dropped"


def test_a_missing_size_is_taken_from_the_image(tmp_path):
    write_image(tmp_path / "a.png")
    image = {"id": 7, "file_name": "a.png"}
    assert read(write(tmp_path / "a.json", images=(image,)))[0].size == (40, 30)


def test_problems_are_reported_by_annotation_id(tmp_path):
    objects = (
        OBJECT | {"bbox": [1, 2, 0, 4]},
        OBJECT | {"id": 6, "category_id": 4},
        OBJECT | {"id": 8, "image_id": 99},
    )
    data = read(write(tmp_path / "a.json", annotations=objects))
    found = {problem.where.rpartition(": ")[2]: problem.what for problem in data.problems}
    assert found["annotation id 5"] == "box 0 (zebra) has no area: 1 2 0 4"
    assert "(category 4) is of none of the classes" in found["annotation id 6"]
    assert "image id 99" in found["annotation id 8"]
    assert data.num_objects == 0


@pytest.mark.parametrize(
    "bbox",
    [[], None, [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, "4"], [1, 2, None, 4], {"x": 1}, "1234"],
)
def test_a_bbox_that_is_not_four_numbers_is_a_problem_of_its_annotation(tmp_path, bbox):
    objects = (OBJECT | {"bbox": bbox}, OBJECT | {"id": 6})
    path = write(tmp_path / "a.json", annotations=objects)
    data = read(path)
    assert data.boxes.tolist() == [[1, 2.5, 4, 6.5]]
    (problem,) = data.problems
    assert problem.where == f"{path}: annotation id 5"
    assert "box 0 (zebra) has a coordinate that is not a number" in problem.what
    with pytest.raises(DataError, match="annotation id 5"):
        read(path, on_bad_box="error")


@pytest.mark.filterwarnings("error")
def test_infinite_numbers_are_problems_too(tmp_path):
    path = write(tmp_path / "a.json", annotations=(OBJECT | {"bbox": [-np.inf, 0, np.inf, 1]},))
    (problem,) = read(path).problems
    assert "has a coordinate that is not a number" in problem.what


def test_a_number_too_large_and_a_missing_bbox_are_problems_too(tmp_path):
    objects = ({"id": 5, "image_id": 7, "category_id": 90}, OBJECT | {"bbox": [0, 0, 10**400, 1]})
    data = read(write(tmp_path / "a.json", annotations=objects))
    assert [problem.action for problem in data.problems] == ["dropped", "dropped"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": [OBJECT, {"id": 8}]}, "annotation id 8: has no 'image_id'"),
        ({"annotations": [OBJECT, OBJECT | {"id": 8, "image_id": "7"}]}, "annotation id 8: its im"),
        ({"annotations": [OBJECT | {"image_id": [7]}]}, r"annotation id 5: its image_id is \[7\]"),
        ({"annotations": [OBJECT | {"category_id": {}}]}, "annotation id 5: its category_id is {}"),
        ({"images": [IMAGE | {"id": [7]}]}, r"image \[7\]: its id is \[7\]"),
        ({"images": [IMAGE, IMAGE | {"id": "x"}]}, "image 'x': its id is 'x'; ids are all numbers"),
        ({"images": [IMAGE | {"id": True}]}, "image True: its id is True"),
        ({"images": [IMAGE | {"file_name": None}]}, "image 7: its file_name is None"),
        ({"images": [IMAGE | {"width": "wide"}]}, "image 7: its width is 'wide'"),
        ({"images": [IMAGE | {"height": -3}]}, "image 7: its height is -3"),
        ({"images": [IMAGE | {"height": 1e400}]}, "image 7: its height is inf"),
        ({"categories": [*CATEGORIES, {"id": "3", "name": "x"}]}, "category '3': its id is '3'"),
        ({"categories": [{"id": None, "name": "x"}]}, "category None: its id is None"),
        ({"categories": [{"id": 1, "name": ["x"]}]}, "category 1: its name is"),
    ],
)
def test_entries_that_make_no_sense_are_refused_by_id(tmp_path, change, message):
    path = write(tmp_path / "a.json", **change)
    with pytest.raises(DataError, match=rf"a\.json: {message}"):
        read(path)


def test_ids_may_be_texts_and_have_decimal_points(tmp_path):
    data = read(
        write(
            tmp_path / "a.json",
            images=(IMAGE | {"id": "x"},),
            annotations=(OBJECT | {"image_id": "x", "category_id": 90.0},),
        )
    )
    assert (list(data.ids), data.labels.tolist()) == (["x"], [1])


@pytest.mark.parametrize("present", [True, False])
def test_file_names_that_lead_out_of_the_folder_are_problems(tmp_path, present):
    write_image(tmp_path / "secret.png")
    if present:
        write_image(tmp_path / "data/a.png")
    names = (f"{tmp_path}/secret.png", "../secret.png", "x/../../secret.png", "a.png")
    images = [IMAGE | {"id": i, "file_name": name} for i, name in enumerate(names)]
    data = read(write(tmp_path / "data/a.json", images=images, annotations=()))
    assert list(data.ids) == ["3"]
    assert [p.action for p in data.problems] == ["image dropped"] * 3
    assert all("leads out of the folder" in p.what for p in data.problems)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [],\n "annotations": [}', r"a\.json:2: malformed JSON"),
        ('{"images": []}', "no list of categories"),
        ("[]", "not COCO annotations"),
        ("[" * 100_000, "not a JSON text"),
        ("1" * 5000, "not a JSON text"),
        ('{"images": [{"id": 1}], "categories": []}', "image 1: has no 'file_name'"),
        ('{"images": [], "categories": [{"id": 1}]}', "category 1: has no 'name'"),
    ],
)
def test_files_that_are_not_coco_are_refused(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.json")


@pytest.mark.parametrize("present", [True, False])
def test_a_file_name_that_joins_another_file_never_gets_it_into_a_pack(tmp_path, present):
    secret = tmp_path / "secret" / "id_rsa"
    secret.parent.mkdir()
    secret.write_bytes(b"secret")
    folder = tmp_path / "data"
    folder.mkdir()
    if present:
        write_image(folder / "a.png")
    thief = IMAGE | {"id": 8, "file_name": f"a.png|{secret}"}
    data = read(write(folder / "a.json", images=(IMAGE, thief), annotations=()))
    assert list(data.ids) == ["7"]
    assert "contains '|'" in data.problems[0].what
    packed = pack(folder / "a.json", tmp_path / "a.lmdb")
    assert packed.files == int(present)


def test_ids_must_be_unique(tmp_path):
    with pytest.raises(DataError, match="image id 7 is there more than once"):
        read(write(tmp_path / "a.json", images=(IMAGE, IMAGE)))
    with pytest.raises(DataError, match="two categories have the same id"):
        read(write(tmp_path / "a.json", categories=(CATEGORIES[0], CATEGORIES[0])))


def test_a_repeated_id_is_found_in_a_moment_among_very_many(tmp_path):
    images = [{"id": key, "file_name": "a.png", "width": 4, "height": 3} for key in range(20000)]
    path = write(tmp_path / "a.json", images=(*images, images[-1]), annotations=())
    begin = time.perf_counter()
    with pytest.raises(DataError, match="image id 19999 is there more than once"):
        read(path)
    assert time.perf_counter() - begin < 2


def test_categories_of_the_same_name_are_one_class(tmp_path):
    data = read(write(tmp_path / "a.json", categories=[*CATEGORIES, {"id": 1, "name": "zebra"}]))
    assert data.classes == ("zebra", "owl")
    assert data.labels.tolist() == [0]
    assert any("zebra" in note for note in data.notes)


def test_ids_used_in_several_splits_get_the_name_of_their_split(tmp_path):
    write(tmp_path / "annotations/instances_train.json")
    write(tmp_path / "annotations/instances_val.json")
    assert list(read(tmp_path, split="train+val").ids) == ["train/7", "val/7"]


def test_polygons_are_not_kept_and_the_garbage_collector_runs_again(tmp_path):
    outlined = OBJECT | {"segmentation": [[1, 2, 3, 4, 5, 6]]}
    path = write(tmp_path / "a.json", annotations=(outlined,))
    assert load(path)["annotations"] == [OBJECT]
    assert read(path).num_objects == 1
    assert gc.isenabled()
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(DataError):
        read(tmp_path / "b.json")
    assert gc.isenabled()


def test_images_below_their_folder_and_those_linked_to_are_found(tmp_path):
    write_image(tmp_path / "elsewhere/b.png")
    write_image(tmp_path / "data/images/deep/a.png")
    (tmp_path / "data/images/b.png").symlink_to(tmp_path / "elsewhere/b.png")
    (tmp_path / "data/images/c.png").mkdir()  # a folder is no image
    images = [
        IMAGE | {"id": key, "file_name": name}
        for key, name in enumerate(["deep/a.png", "b.png", "c.png", "none/d.png"])
    ]
    data = read(write(tmp_path / "data/a.json", images=images, annotations=()))
    assert [path.name for path in (record.path for record in data)] == ["a.png", "b.png"]
    assert [problem.where.rpartition(" ")[2] for problem in data.problems] == ["2", "3"]


def test_a_hundred_images_of_coco_are_read_without_their_pixels(shared):
    data = read(shared / "data/evaluation/coco_val2014_100")
    assert (len(data), data.num_objects, int(data.ignore.sum())) == (100, 839, 9)
    assert len(data.classes) == 80
    assert data.problems == ()
    assert "none of the images is there" in data.notes[0]
    assert np.isfinite(data.boxes).all()
