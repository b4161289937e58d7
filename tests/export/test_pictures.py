"""Where the images come from that an exported network is verified on."""

import cv2
import numpy as np
import pytest

from scratchdet.data.voc_write import write_voc
from scratchdet.export.pictures import generated, some_images
from scratchdet.structures import DataError


def test_a_folder_is_searched_with_its_sub_folders_and_unreadable_images_are_left_out(
    tmp_path, nano
):
    (tmp_path / "below").mkdir()
    for number in range(3):
        image = np.full((10 + number, 20, 3), 80, np.uint8)
        cv2.imwrite(str(tmp_path / "below" / f"{number}.png"), image)
    (tmp_path / "broken.png").write_bytes(b"no image")
    images, whose = some_images(nano, data=tmp_path)
    assert sorted(image.shape[0] for image in images) == [10, 11, 12]
    assert whose == str(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("none", None, "no such file or folder"), ("a.txt", b"words", "no image here")],
)
def test_a_path_without_images_is_refused_in_words(tmp_path, nano, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        some_images(nano, data=tmp_path / name)


def test_images_that_cannot_be_read_are_refused_where_there_are_no_others(tmp_path, nano):
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png"):
        some_images(nano, data=tmp_path)


def test_those_the_model_was_tested_on_are_found_by_its_recipe(tmp_path, nano, scenes):
    samples = scenes(14)
    splits = {"train": samples[:2], "test": samples[2:]}
    write_voc(tmp_path / "voc", splits, classes=nano.classes)
    recipe = f'[data]\npath = "{tmp_path / "voc"}"\n'
    images, whose = some_images(nano, data=None, recipe=recipe)
    assert len(images) == 8
    assert whose == f"{tmp_path / 'voc'}, test"


@pytest.mark.parametrize("recipe", ["", '[data]\npath = "/gone/for/ever"\n'])
def test_pictures_are_generated_where_there_are_none(nano, recipe):
    images, whose = some_images(nano, data=None, recipe=recipe)
    assert len(images) == 8
    assert "generated" in whose


@pytest.mark.parametrize("channels", [1, 2, 3, 10])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_generated_pictures_are_of_the_detectors_pixels(make, channels, dtype):
    detector = make.nano(in_channels=channels)
    detector.image_dtype = dtype
    images = generated(detector, count=3)
    assert len({image.shape for image in images}) == 2
    assert {image.shape[2] for image in images} == {channels}
    assert {image.dtype for image in images} == {np.dtype(dtype)}
    assert all(image.std() > 20 for image in images)
    again = generated(detector, count=3)
    assert all(np.array_equal(*pair) for pair in zip(images, again, strict=True))
