"""Whether boxes belong to their images, by a detector that finds what is bright."""

from dataclasses import replace

import numpy as np
import pytest

from scratchdet.data.formats import read_data
from scratchdet.data.voc_write import write_voc
from scratchdet.structures import Arrays, DetectionData, from_records, nothing_found
from scratchdet.train.unseen import FEWEST, try_unseen

THRESHOLD = 120  # the noise is below 80


class Bright:
    """Finds the one bright rectangle of an image."""

    classes = ("a", "b")
    in_channels = 3
    image_dtype = "uint8"
    files = ""
    input_size = (64, 64)

    def predict(self, images, *, input_size=None, **choices):
        return [self._found(image) for image in images]

    def _found(self, image):
        rows, columns = np.nonzero(image.max(axis=2) > THRESHOLD)
        if not len(rows):
            return nothing_found()
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return Arrays(np.array([box], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))


class Blind(Bright):
    def predict(self, images, *, input_size=None, **choices):
        return [nothing_found() for _ in images]


def moved_on(data: DetectionData) -> DetectionData:
    """Every image with the objects of the next."""
    records = list(data)
    return from_records(
        [
            replace(record, boxes=other.boxes, labels=other.labels, ignore=other.ignore)
            for record, other in zip(records, records[1:] + records[:1], strict=True)
        ],
        data.classes,
    )


@pytest.fixture(scope="module")
def data(scenes, tmp_path_factory) -> DetectionData:
    folder = write_voc(
        tmp_path_factory.mktemp("unseen") / "voc", {"train": scenes(12)}, classes=("a", "b")
    )
    return read_data(folder)


def test_boxes_of_their_own_image_fit_it_best(data):
    found = try_unseen(Bright(), data)
    assert found.images == 12
    assert len(found.exchanged) == 11
    assert found.own == pytest.approx(1.0)
    assert found.fit == "own"


def test_boxes_of_other_images_are_noticed(data):
    found = try_unseen(Bright(), moved_on(data))
    assert found.own < max(found.exchanged)
    assert found.fit == "any"


def test_classes_play_no_part(data):
    swapped = replace(data, labels=1 - data.labels)
    assert try_unseen(Bright(), swapped).own == pytest.approx(1.0)


def test_objects_that_are_at_the_same_place_in_every_image_tell_nothing(data):
    still = replace(data, boxes=np.tile(np.float32([[8, 8, 40, 40]]), (len(data), 1)))

    class Still(Bright):
        def _found(self, image):
            return Arrays(
                np.float32([[8, 8, 40, 40]]), np.ones(1, np.float32), np.zeros(1, np.int64)
            )

    found = try_unseen(Still(), still)
    assert found.own == max(found.exchanged) == pytest.approx(1.0)
    assert found.fit == "alike"


def test_a_detector_that_finds_nothing_shows_nothing(data):
    found = try_unseen(Blind(), data)
    assert found.own == 0
    assert found.fit == "any"


def test_objects_are_compared_by_their_place_in_images_of_any_size(scenes, tmp_path):
    small, large = scenes(4, size=48), scenes(4, size=96, seed=1)
    mixed = [*small, *((f"large{name}", scene) for name, scene in large)]
    folder = write_voc(tmp_path / "voc", {"train": mixed}, classes=("a", "b"))
    assert try_unseen(Bright(), read_data(folder)).own == pytest.approx(1.0)


@pytest.mark.parametrize("images", [0, 1, FEWEST - 1])
def test_few_images_tell_nothing(data, images):
    assert try_unseen(Bright(), data.subset(range(images))) is None
