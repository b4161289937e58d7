"""The learning rate over a run, and what weight decay acts on."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from scratchdet.models.zoo import create_model
from scratchdet.train.optim import learning_rate, make_sgd, set_learning_rate

cosine = partial(learning_rate, highest=0.1, steps=24, warmup_steps=4, shape="cosine")


def test_warm_up_rises_linearly_and_ends_at_the_highest_rate():
    rates = [cosine(step) for step in range(5)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])


def test_without_warm_up_the_first_step_has_the_highest_rate():
    assert cosine(0, warmup_steps=0) == 0.1


def test_cosine_starts_at_the_top_is_half_way_in_the_middle_and_zero_after_the_last_step():
    assert cosine(4) == pytest.approx(0.1)
    assert cosine(14) == pytest.approx(0.05)
    assert cosine(24) == pytest.approx(0.0)
    assert cosine(9) == pytest.approx(0.1 * (1 + math.sqrt(0.5)) / 2)


def test_cosine_falls_at_every_step_after_warm_up_and_the_last_step_still_learns():
    rates = [cosine(step) for step in range(4, 24)]
    assert all(after < before for before, after in pairwise(rates))
    assert rates[-1] > 0


def test_drops_multiply_from_their_step_on():
    rate = partial(
        learning_rate, highest=0.1, steps=40, warmup_steps=2, shape="drops", drops=(10, 20)
    )
    assert [rate(step) for step in (2, 9, 10, 19, 20, 39)] == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    )
    assert rate(15, drop_factor=0.5) == pytest.approx(0.05)


def test_a_run_that_is_all_warm_up_has_a_rate_everywhere():
    assert cosine(4, steps=4) == pytest.approx(0.1)


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_weights_of_convolutions_decay_and_nothing_else_does(norm):
    detector = create_model("ssd300_vgg16", 2, norm_backbone=norm, norm_head=norm)
    decaying, others = make_sgd(detector, lr=0.1, momentum=0.9, weight_decay=5e-4).param_groups
    assert decaying["weight_decay"] == 5e-4
    assert others["weight_decay"] == 0
    kernels = {id(layer.weight) for layer in detector.modules() if isinstance(layer, nn.Conv2d)}
    assert {id(parameter) for parameter in decaying["params"]} == kernels
    everything = {id(parameter) for parameter in detector.parameters()}
    assert {id(parameter) for parameter in others["params"]} == everything - kernels


def test_the_rate_is_set_in_every_group():
    layer = nn.Linear(1, 1)
    optimiser = make_sgd(layer, lr=0.1, momentum=0.0, weight_decay=0.5)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(1.0)
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    set_learning_rate(optimiser, 0.2)
    optimiser.step()
    assert layer.weight.item() == pytest.approx(1 - 0.2 * (1 + 0.5))
    assert layer.bias.item() == pytest.approx(1 - 0.2)
