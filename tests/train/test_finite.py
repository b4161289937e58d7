"""Losses that are not finite are found, and explained, before anything is saved."""

import math

import numpy as np
import pytest
import torch

from scratchdet.ops.losses import Losses
from scratchdet.structures import DetectionData, Record, from_records
from scratchdet.train.finite import FiniteWatch, NonFiniteLoss


@pytest.fixture
def data(dataset_of) -> DetectionData:
    return dataset_of("a.jpg", "b.jpg", "c.jpg", "d.jpg")


@pytest.fixture
def dataset_of(tmp_path):

    def make(*names: str) -> DetectionData:
        empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
        return from_records([Record(name, tmp_path / name, (8, 8), *empty) for name in names], "a")

    return make


def test_nothing_seen_is_fine(data):
    FiniteWatch(data).check()


def see(watch: FiniteWatch, step: int, classification: float, norm: float = 1.0) -> None:
    losses = Losses(torch.tensor(classification), torch.tensor(0.5), torch.tensor(3))
    keys = ((step, 1), (step, 3)) if step == 17 else ((step, 0),)
    watch.see(step, losses, torch.tensor(norm), lr=step / 100, keys=keys)


def test_the_first_of_the_bad_steps_is_explained_with_its_terms_rate_and_images(data):
    watch = FiniteWatch(data)
    see(watch, 16, 1.0)
    see(watch, 17, math.inf)
    see(watch, 18, math.nan)
    with pytest.raises(NonFiniteLoss) as raised:
        watch.check()
    text = str(raised.value)
    assert "not finite at step 17: classification inf, localisation 0.5, 3 priors matched" in text
    assert "lr 0.17" in text
    assert text.splitlines()[1:] == [f"  {data.paths[1]}", f"  {data.paths[3]}"]


def test_a_gradient_that_is_not_finite_is_as_bad(data):
    watch = FiniteWatch(data)
    see(watch, 17, 1.0, norm=math.nan)
    with pytest.raises(NonFiniteLoss, match=r"gradient nan"):
        watch.check()


def test_what_was_checked_is_forgotten(data):
    watch = FiniteWatch(data)
    see(watch, 1, 1.0)
    assert watch.check() == 0
    assert watch.recent == []


def test_fp16_leaves_steps_out_and_they_are_counted(data):
    watch = FiniteWatch(data)
    for step, norm in enumerate([1.0, math.inf, 1.0, math.nan]):
        see(watch, step, 1.0, norm)
    assert watch.check(scale=1024.0) == 2


def test_fp16_gives_up_where_no_scale_helps(data):
    watch = FiniteWatch(data)
    see(watch, 17, math.inf)
    with pytest.raises(NonFiniteLoss, match=r"--run\.precision bf16 or fp32"):
        watch.check(scale=0.5)
