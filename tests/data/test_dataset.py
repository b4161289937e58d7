"""Training samples: a function of seed, epoch and index."""

import numpy as np
import pytest

from scratchdet.data.augment import PRESETS
from scratchdet.data.dataset import TrainingSamples, random_for
from scratchdet.data.formats import read_data
from scratchdet.data.voc_write import write_voc
from scratchdet.structures import DataError

MEAN = np.full(3, 40.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory, scenes):
    root = tmp_path_factory.mktemp("data") / "voc"
    write_voc(root, {"train": scenes(3, empty={1})}, classes=("a", "b"))
    return read_data(root)


def samples(data, preset="ssd", *, seed=0, channels=3):
    steps = PRESETS[preset]((48, 32), MEAN[:channels])
    return TrainingSamples(data, steps, channels=channels, seed=seed)


def same(one, two) -> bool:
    columns = ("image", "boxes", "labels", "ignore")
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in columns)


def test_an_image_without_objects_is_a_sample(data):
    sample = samples(data, "none")[0, 1]
    assert sample.boxes.shape == (0, 4)
    assert sample.labels.shape == sample.ignore.shape == (0,)
    assert sample.image.shape == (48, 32, 3)


def test_the_same_seed_epoch_and_index_give_the_same_sample_whatever_was_read_before(data):
    wanted = samples(data)[2, 0]
    other = samples(data)
    other[0, 1], other[2, 2]
    assert same(other[2, 0], wanted)


@pytest.mark.parametrize(("seed", "key"), [(0, (3, 0)), (1, (2, 0))])
def test_another_epoch_or_seed_gives_another_sample(data, seed, key):
    assert not same(samples(data)[2, 0], samples(data, seed=seed)[key])


def test_generators_of_different_keys_are_unrelated():
    draws = [random_for(*keys).random() for keys in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (0, 1))]
    assert len(set(draws)) == 4
    assert random_for(0, 1, 2).random() == draws[0]


def test_without_augmentation_a_sample_is_the_image_and_its_boxes_resized(data):
    sample = samples(data, "none")[0, 0]
    record = data[0]
    assert np.allclose(sample.boxes, record.boxes * [0.5, 0.75, 0.5, 0.75])  # 64 x 64 to 32 x 48
    assert sample.labels.tolist() == record.labels.tolist() == [0]
    left, top, right, bottom = sample.boxes[0].round().astype(int)
    assert sample.image[top + 2 : bottom - 2, left + 2 : right - 2, 0].min() > 200


def test_the_data_set_is_left_as_it_is(data):
    before = data.boxes.copy()
    for epoch in range(4):
        samples(data)[epoch, 0]
    assert np.array_equal(data.boxes, before)


def test_images_are_read_with_as_many_channels_as_asked(data):
    assert samples(data, channels=1)[0, 0].image.shape == (48, 32, 1)


def test_an_image_that_has_vanished_is_named(tmp_path, scenes):
    root = write_voc(tmp_path / "voc", {"train": scenes(1)}, classes=("a", "b"))
    data = read_data(root)
    next((root / "JPEGImages").iterdir()).unlink()
    with pytest.raises(DataError, match=r"000\.jpg: cannot be read"):
        samples(data)[0, 0]
