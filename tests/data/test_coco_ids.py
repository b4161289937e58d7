"""What annotation files call their images and categories."""

import json

import pytest

from scratchdet.data.coco import read
from scratchdet.data.coco_ids import Ids, read_ids
from scratchdet.structures import DataError


def write(path, *ids, kinds=((90, "zebra"), (2, "owl"))):
    path.parent.mkdir(exist_ok=True)
    size = {"width": 40, "height": 30}
    images = [{"id": key, "file_name": f"{key}.png"} | size for key in ids]
    categories = [{"id": key, "name": name} for key, name in kinds]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": categories}))
    return path


def test_a_file_of_nothing_has_no_ids(tmp_path):
    assert read_ids(write(tmp_path / "a.json", kinds=())) == Ids({}, {})


@pytest.mark.parametrize("ids", [(7, 3), ("7", "x")])
def test_ids_are_numbers_or_texts_as_in_the_file_and_found_by_those_of_the_data(tmp_path, ids):
    path = write(tmp_path / "a.json", *ids)
    found = read_ids(path)
    assert found == Ids(dict(zip(map(str, ids), ids, strict=True)), {"zebra": [90], "owl": [2]})
    assert list(found.images) == list(read(path).ids)


def test_a_class_has_the_ids_of_all_categories_of_its_name(tmp_path):
    path = write(tmp_path / "a.json", kinds=((1, "cat"), (5, "dog"), (3, "cat")))
    assert read_ids(path).categories == {"cat": [1, 3], "dog": [5]}


def test_files_are_read_together_unless_they_share_an_image_id(tmp_path):
    write(tmp_path / "annotations/instances_train.json", 1, 2)
    write(tmp_path / "annotations/instances_val.json", 3, kinds=((90, "zebra"), (5, "owl")))
    found = read_ids(tmp_path)
    assert found == Ids({"1": 1, "2": 2, "3": 3}, {"zebra": [90], "owl": [2, 5]})
    assert read_ids(tmp_path, split="val").categories == {"zebra": [90], "owl": [5]}
    write(tmp_path / "annotations/instances_val.json", 2)
    with pytest.raises(DataError, match=r"instances_val\.json: image id 2 .* name one split"):
        read_ids(tmp_path)
    assert read_ids(tmp_path, split="val").images == {"2": 2}
