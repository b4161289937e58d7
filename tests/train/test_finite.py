"""Losses that are not finite are found, and explained, before anything is saved."""

import math

import pytest
import torch

from scratchdet.ops.losses import Losses
from scratchdet.structures import DetectionData, from_records
from scratchdet.train.finite import FiniteWatch, NonFiniteLoss


@pytest.fixture
def data(dataset_of) -> DetectionData:
    return dataset_of("a.jpg", "b.jpg", "c.jpg", "d.jpg")


@pytest.fixture
def dataset_of(tmp_path):
    import numpy as np

    from scratchdet.structures import Record

    def make(*names: str) -> DetectionData:
        empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
        return from_records([Record(name, tmp_path / name, (8, 8), *empty) for name in names], "a")

    return make


def losses(classification: float) -> Losses:
    return Losses(torch.tensor(classification), torch.tensor(0.5), torch.tensor(3))


def test_nothing_seen_is_fine(data):
    FiniteWatch(data).check()


def test_the_first_of_the_bad_steps_is_explained_with_its_terms_rate_and_images(data):
    watch = FiniteWatch(data)
    watch.see(16, losses(1.0), 0.1, ((4, 0),))
    watch.see(17, losses(math.inf), 0.2, ((4, 1), (5, 3)))
    watch.see(18, losses(math.nan), 0.3, ((5, 2),))
    with pytest.raises(NonFiniteLoss) as raised:
        watch.check()
    text = str(raised.value)
    assert "not finite at step 17: classification inf, localisation 0.5, 3 priors matched" in text
    assert "lr 0.2" in text
    assert text.splitlines()[1:] == [f"  {data.paths[1]}", f"  {data.paths[3]}"]


def test_what_was_checked_is_forgotten(data):
    watch = FiniteWatch(data)
    watch.see(1, losses(1.0), 0.1, ((0, 0),))
    watch.check()
    assert watch.recent == []
