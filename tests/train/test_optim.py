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


extended = partial(cosine, extended_at=(24,), steps=64)


def test_up_to_its_extension_a_training_has_the_rate_of_one_that_was_never_extended():
    assert [extended(step) for step in range(24)] == [cosine(step) for step in range(24)]


def test_an_extended_cosine_rises_to_what_the_new_length_has_there_and_falls_to_zero():
    peak = cosine(24, steps=64)  # 20 of 60 steps after the warm-up: a third of the way
    assert peak == pytest.approx(0.1 * 0.75)
    before = cosine(23)
    assert extended(24) == pytest.approx(before + (peak - before) / 2)  # 2 of 40 steps of warm-up
    assert extended(25) == extended(26) == pytest.approx(peak)
    assert extended(45) == pytest.approx(peak / 2)
    assert extended(64) == pytest.approx(0.0)
    rates = [extended(step) for step in range(26, 64)]
    assert all(after < before for before, after in pairwise(rates))
    assert rates[-1] > 0


def test_a_short_extension_has_a_lower_peak_than_a_long_one():
    peaks = [max(cosine(s, extended_at=(24,), steps=n) for s in range(24, n)) for n in (26, 48, 96)]
    assert all(one < other for one, other in pairwise(peaks))
    assert peaks[-1] < 0.1


def test_a_training_that_is_extended_twice_is_the_one_extended_once_until_then():
    twice = partial(cosine, extended_at=(24, 64), steps=204)
    assert [twice(step) for step in range(64)] == [extended(step) for step in range(64)]
    peak = cosine(64, steps=204)
    assert [twice(step) for step in (64, 70, 71)] == pytest.approx(
        [extended(63) + (peak - extended(63)) / 7, peak, peak]
    )
    assert twice(204) == pytest.approx(0.0)


def test_the_rate_of_an_extended_training_never_jumps():
    rates = [
        learning_rate(
            step,
            highest=1.0,
            steps=3_000,
            warmup_steps=50,
            shape="cosine",
            extended_at=(1_000, 1_100),
        )
        for step in range(3_001)
    ]
    steepest = max(abs(after - before) for before, after in pairwise(rates))
    assert steepest <= 1 / 50 + 1e-12  # the warm-up itself


def test_extended_drops_come_at_the_same_shares_of_the_new_length():
    rate = partial(
        learning_rate,
        highest=0.1,
        warmup_steps=0,
        shape="drops",
        drops=(60, 80),
        extended_at=(100,),
    )
    longer = partial(rate, steps=200)  # drops at 120 and 160
    assert [longer(step) for step in (59, 60, 80, 99)] == pytest.approx([0.1, 0.01, 0.001, 0.001])
    assert longer(100) == pytest.approx(0.001 + (0.1 - 0.001) / 5)  # 5 steps of warm-up
    assert [longer(step) for step in (104, 119, 120, 159, 160, 199)] == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    )
    # A tenth more: at the step where it begins, the longer one has dropped twice as well.
    assert [rate(step, steps=110) for step in range(100, 110)] == pytest.approx([0.001] * 10)


def test_an_extension_by_one_step_has_a_rate():
    assert 0 < cosine(24, extended_at=(24,), steps=25) < 0.001


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
