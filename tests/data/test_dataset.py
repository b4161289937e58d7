"""Training samples: a function of seed, epoch and index."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from scratchdet.data.augment import PRESETS
from scratchdet.data.augment_mix import mosaic
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
    sample = samples(data, "none")[0, 1].sample
    assert sample.boxes.shape == (0, 4)
    assert sample.labels.shape == sample.ignore.shape == (0,)
    assert sample.image.shape == (48, 32, 3)


def test_the_same_seed_epoch_and_index_give_the_same_sample_whatever_was_read_before(data):
    wanted = samples(data)[2, 0].sample
    other = samples(data)
    other[0, 1], other[2, 2]
    assert same(other[2, 0].sample, wanted)


@pytest.mark.parametrize(("seed", "key"), [(0, (3, 0)), (1, (2, 0))])
def test_another_epoch_or_seed_gives_another_sample(data, seed, key):
    assert not same(samples(data)[2, 0].sample, samples(data, seed=seed)[key].sample)


def test_generators_of_different_keys_are_unrelated():
    draws = [random_for(*keys).random() for keys in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (0, 1))]
    assert len(set(draws)) == 4
    assert random_for(0, 1, 2).random() == draws[0]


def test_without_augmentation_a_sample_is_the_image_and_its_boxes_resized(data):
    sample = samples(data, "none")[0, 0].sample
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
    assert samples(data, channels=1)[0, 0].sample.image.shape == (48, 32, 1)


def damaged(tmp_path, scenes, *, count, bad):
    """A data set of `count` images, and the paths of those in `bad`, which are empty files."""
    root = write_voc(tmp_path / "voc", {"train": scenes(count)}, classes=("a", "b"))
    data = read_data(root)
    for index in bad:
        Path(data.paths[index]).write_bytes(b"")
    return data, [data.paths[index] for index in bad]


def test_an_image_that_has_vanished_is_replaced_and_named(tmp_path, scenes):
    data, (path,) = damaged(tmp_path, scenes, count=2, bad=[0])
    Path(path).unlink()
    sample, unreadable = samples(data, "none")[0, 0]
    assert same(sample, samples(data, "none")[0, 1].sample)
    assert {(bad.where, bad.what) for bad in unreadable} == {
        (path, "cannot be read (No such file or directory)")
    }


def test_an_image_drawn_in_the_place_of_another_may_be_unreadable_too(tmp_path, scenes):
    data, paths = damaged(tmp_path, scenes, count=5, bad=[0, 1, 3, 4])
    drawn = [samples(data, "none")[epoch, 0] for epoch in range(8)]
    good = samples(data, "none")[0, 2].sample
    assert all(same(one.sample, good) for one in drawn)
    assert all(one.unreadable[0].where == paths[0] for one in drawn)
    assert {bad.where for one in drawn for bad in one.unreadable} == set(paths)


def test_the_replacement_depends_on_seed_epoch_and_index_alone(tmp_path, scenes):
    data, _ = damaged(tmp_path, scenes, count=9, bad=[0])
    first = [samples(data)[epoch, 0] for epoch in range(6)]
    again = [samples(data)[epoch, 0] for epoch in reversed(range(6))][::-1]
    for one, other in zip(first, again, strict=True):
        assert same(one.sample, other.sample)
        assert one.unreadable == other.unreadable
    assert len({one.sample.image.tobytes() for one in first}) > 1


def test_a_data_set_without_a_readable_image_is_an_error(tmp_path, scenes):
    data, _ = damaged(tmp_path, scenes, count=2, bad=[0, 1])
    with pytest.raises(DataError, match=r"in turn cannot be read.*\.jpg: the file is empty"):
        samples(data)[0, 0]


def test_an_image_of_another_size_than_its_boxes_were_drawn_on_is_unreadable(tmp_path, scenes):
    data, (path,) = damaged(tmp_path, scenes, count=2, bad=[0])
    cv2.imwrite(path, np.zeros((20, 30, 3), np.uint8))
    assert samples(data)[0, 0].unreadable[0].what == "is 30x20, not 64x64 as its boxes are"


def test_an_image_of_another_depth_than_the_others_is_unreadable(tmp_path, scenes):
    data, (path,) = damaged(tmp_path, scenes, count=2, bad=[0])
    png = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint16))[1]
    Path(path).write_bytes(png.tobytes())
    assert samples(data)[0, 0].unreadable[0].what == "is uint16, not uint8 as the others are"
    steps = PRESETS["none"]((48, 32), MEAN)
    deep = TrainingSamples(data, steps, channels=3, seed=0, dtype="uint16")
    sample, unreadable = deep[0, 1]
    assert sample.image.dtype == "uint16"
    assert unreadable[0].where == data.paths[1]


def test_what_is_mixed_in_comes_through_the_generator_of_the_sample(data):
    def with_another(sample, another, rng):
        return another()

    steps = PRESETS["none"]((48, 32), MEAN)
    mixing = TrainingSamples(data, steps, channels=3, seed=0, mixes=((0.5, with_another),))
    found = [mixing[epoch, 1].sample for epoch in range(60)]
    plain = [samples(data, "none")[0, index].sample for index in range(3)]
    counts = [sum(same(one, other) for one in found) for other in plain]
    assert sum(counts) == 60
    assert counts[0] > 0 and counts[2] > 0  # noqa: PT018
    assert 25 < counts[1] < 55  # half of them unmixed, and a third of the others by chance
    assert all(same(mixing[epoch, 1].sample, found[epoch]) for epoch in (5, 3))


def test_an_unreadable_image_that_was_to_be_mixed_in_is_named_too(tmp_path, scenes):
    data, (path,) = damaged(tmp_path, scenes, count=2, bad=[1])
    steps = PRESETS["none"]((48, 32), MEAN)
    mixing = TrainingSamples(data, steps, channels=3, seed=0, mixes=((1.0, mosaic),))
    named = {bad.where for epoch in range(4) for bad in mixing[epoch, 0].unreadable}
    assert named == {path}
