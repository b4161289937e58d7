"""The splits of the recipes exist in the usual folders of VOC and COCO."""

import json
from dataclasses import replace

import pytest

from scratchdet.data.coco import read as read_coco
from scratchdet.data.voc import read as read_voc
from scratchdet.recipes import RECIPES
from scratchdet.train.splits import choose_splits

ANNOTATION = """<annotation><filename>{id}.jpg</filename><size><width>9</width><height>9</height>
</size><object><name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>
</bndbox></object></annotation>"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A VOCdevkit and a COCO folder of a few images, without the test images of VOC 2012."""
    root = tmp_path_factory.mktemp("data")
    lists = {"2007": {"trainval": 3, "test": 2}, "2012": {"trainval": 4}}
    for year, splits in lists.items():
        for split, count in splits.items():
            ids = [f"{year}_{split}{index}" for index in range(count)]
            for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
                (root / f"VOCdevkit/VOC{year}" / folder).mkdir(parents=True, exist_ok=True)
            place = root / f"VOCdevkit/VOC{year}"
            (place / f"ImageSets/Main/{split}.txt").write_text("\n".join(ids))
            for one in ids:
                (place / f"Annotations/{one}.xml").write_text(ANNOTATION.format(id=one))
                (place / f"JPEGImages/{one}.jpg").touch()
    (root / "COCO/annotations").mkdir(parents=True)
    for split, count in (("train2017", 5), ("val2017", 2)):
        content = {
            "images": [
                {"id": index, "file_name": f"{split}{index}.jpg", "width": 9, "height": 9}
                for index in range(count)
            ],
            "annotations": [],
            "categories": [{"id": 1, "name": "a"}],
        }
        (root / f"COCO/annotations/instances_{split}.json").write_text(json.dumps(content))
    return root


COUNTS = {  # of training and test images in `folders`
    "07+12": (3 + 4, 2),
    "07+12+COCO": (3 + 4, 2),
    "07++12": (3 + 2 + 4, None),
    "12": (4, None),
    "COCO trainval35k": (5, 2),
    "COCO trainval": (5 + 2, None),
}


@pytest.mark.parametrize(
    "name", [name for name, shipped in RECIPES.items() if shipped.data.name in COUNTS]
)
def test_a_recipe_finds_its_images_and_holds_none_out(name, folders):
    shipped = RECIPES[name]
    path = folders / shipped.data.path
    read = read_coco if shipped.data.path == "COCO" else read_voc
    data = replace(shipped.recipe.data, path=str(path))
    split, val_split = choose_splits(data)
    assert val_split is None
    training = read(path, split=split)
    train, test = COUNTS[shipped.data.name]
    assert len(training) == train
    if test is None:
        assert data.test_split == ""
        assert "nothing is tested here" in shipped.notes
    else:
        tested = read(path, split=data.test_split)
        assert len(tested) == test
        assert not set(tested.paths) & set(training.paths)


def test_every_data_set_of_a_recipe_is_among_these():
    assert {shipped.data.name for shipped in RECIPES.values()} == {*COUNTS, "your own"}
