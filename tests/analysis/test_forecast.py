"""Where AP is heading: made-up curves whose end is known, and what is not to be told."""

import math
from functools import partial

import numpy as np
import pytest

from scratchdet.analysis.forecast import (
    LEAST,
    LEVEL,
    Gain,
    curve_of,
    forecast,
    gain_if_longer,
    learning_done,
    outlook,
    rounded,
)
from scratchdet.train.optim import learning_rate

STEPS = 1000
EVEN = learning_done(lambda step: 1.0, STEPS)


def saturating(x, *, highest=0.8, scale=0.3, shape=1.2):
    return highest * (1 - math.exp(-((x / scale) ** shape)))


def curve(until, *, every=50, course=saturating, noise=0.0, seed=0, learned=EVEN):
    rng = np.random.default_rng(seed)
    steps = range(every, until + 1, every)
    return [(s, float(np.clip(course(learned[s]) + noise * rng.normal(), 0, 1))) for s in steps]


@pytest.mark.parametrize("count", range(LEAST))
def test_before_four_evaluations_nothing_is_said(count):
    few = curve(1000)[:count]
    assert forecast(few, learned=EVEN) is None
    assert gain_if_longer(few, learned=EVEN) is None
    assert outlook(few, learned=EVEN) == {}


@pytest.mark.parametrize(
    "values", [(0.0,) * 6, (0.5,) * 6, (0.5, 0.4, 0.3, 0.2), (0.5, 0.6, 0.4, 0.5)]
)
def test_of_ap_that_does_not_rise_nothing_is_said(values):
    assert outlook([(10 * at, value) for at, value in enumerate(values)], learned=EVEN) == {}


def test_a_beginning_that_may_lead_anywhere_is_not_told():
    assert forecast([(10, 0.0), (20, 0.0), (30, 0.001), (40, 0.002)], learned=EVEN) is None


@pytest.mark.parametrize(("last", "told"), [(0.0003, False), (0.049, False), (0.05, True)])
def test_out_of_next_to_nothing_nothing_is_foretold(last, told):
    """Evaluations of 0.0000 to 0.0003 were said to gain 0.011 by more steps."""
    few = [(at * STEPS // 4, last * at / 4) for at in range(1, 5)]
    assert (gain_if_longer(few, learned=EVEN) is not None) == told
    assert bool(outlook(few, learned=EVEN)) == told


def test_a_curve_without_noise_is_carried_on():
    expected = forecast(curve(500), learned=EVEN)
    assert expected.step == STEPS
    assert expected.ap50 == pytest.approx(saturating(1.0), abs=0.05)
    assert expected.low < saturating(1.0) < expected.high
    assert expected.high - expected.low < 0.15


def test_the_later_it_is_the_surer_it_gets():
    widths = []
    for until in (300, 500, 950):
        expected = forecast(curve(until), learned=EVEN)
        widths.append(expected.high - expected.low)
    assert widths == sorted(widths, reverse=True)


def test_limits_are_within_0_and_1():
    expected = forecast(
        curve(600, course=partial(saturating, highest=1.0, scale=0.1)), learned=EVEN
    )
    assert 0 <= expected.low <= expected.ap50 <= expected.high <= 1


@pytest.mark.parametrize(
    ("shape", "until"), [(0.7, 500), (1.2, 500), (0.7, 750), (1.2, 750), (2.5, 750)]
)
def test_about_four_of_five_ends_are_within_the_limits(shape, until):
    held, told = 0, 0
    for seed in range(25):
        whole = curve(STEPS, course=partial(saturating, shape=shape), noise=0.012, seed=seed)
        expected = forecast([one for one in whole if one[0] <= until], learned=EVEN)
        if expected is not None:
            told += 1
            held += expected.low <= whole[-1][1] <= expected.high
    assert told >= 20
    assert held / told >= LEVEL - 0.2


def test_where_the_learning_rate_ends_the_curve_ends_too():
    cosine = partial(learning_rate, highest=1.0, steps=STEPS, warmup_steps=0, shape="cosine")
    learned = learning_done(cosine, STEPS)
    course = partial(saturating, scale=0.9)  # far from saturated: the schedule ends it
    expected = forecast(curve(700, course=course, learned=learned), learned=learned)
    assert expected.low < course(1.0) < expected.high
    straight_on = forecast(curve(700, course=course, learned=learned), learned=EVEN)
    assert expected.ap50 < straight_on.ap50


def test_learning_done_is_the_share_of_the_rates_before():
    drops = partial(learning_rate, highest=3.0, steps=10, warmup_steps=0, shape="drops", drops=(5,))
    assert learning_done(drops, 10) == pytest.approx(
        np.array([0, 1, 2, 3, 4, 5, 5.1, 5.2, 5.3, 5.4, 5.5]) / 5.5
    )
    assert learning_done(lambda step: 1.0, 1) == pytest.approx([0, 1])


@pytest.mark.filterwarnings("error")
def test_where_nothing_is_learned_the_steps_count():
    assert learning_done(lambda step: 0.0, 4) == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_of_a_long_training_not_every_step_is_looked_at():
    asked = []
    done = learning_done(lambda step: asked.append(step) or 1.0 + step, 100_000)
    assert len(asked) == 2000
    exact = np.cumsum(1.0 + np.arange(100_000))
    assert done[1:] == pytest.approx(exact / exact[-1], abs=1e-6)


def test_a_plateau_is_where_less_than_a_hundredth_is_left():
    course = partial(saturating, scale=0.1, shape=1.0)
    early = forecast(curve(400, every=20, course=course), learned=EVEN)
    assert 400 <= early.plateau < 500  # 0.015 are left at 400, by the true curve
    late = forecast(curve(400, every=20, course=partial(saturating, scale=0.35)), learned=EVEN)
    assert 600 < late.plateau <= STEPS


def test_a_saturated_curve_gains_nothing_by_more_steps_and_a_rising_one_does():
    flat = gain_if_longer(curve(STEPS, course=partial(saturating, scale=0.1)), learned=EVEN)
    assert flat.high < 0.01
    assert str(flat).startswith("more steps would hardly have helped: a run of 2000 is expected")
    course = partial(saturating, scale=1.0, shape=1.0)
    assert course(2.0) - course(1.0) == pytest.approx(0.186, abs=0.001)
    rising = gain_if_longer(curve(STEPS, course=course), learned=EVEN)
    assert rising.low < 0.186 < rising.high  # what that curve gains from 1 to 2
    assert str(rising).startswith("more steps would probably have helped")
    assert str(Gain(0.02, 0.001, 0.05, 200)) == (
        "more steps may or may not have helped: a run of 200 is expected to gain 0.020 AP50 (0.001 "
        "to 0.050)"
    )


def test_a_forecast_in_words_and_as_values():
    expected = forecast(curve(500), learned=EVEN)._replace(
        ap50=0.71249, low=0.66, high=0.78, plateau=900
    )
    assert str(expected) == (
        "forecast for step 1000: AP50 0.712 (0.660 to 0.780), hardly rising from step 900 on"
    )
    assert str(expected._replace(plateau=1000)).endswith("(0.660 to 0.780)")
    assert rounded(expected) == {
        "ap50": 0.7125,
        "low": 0.66,
        "high": 0.78,
        "step": 1000,
        "plateau": 900,
    }


def test_the_curve_of_a_log_leaves_out_what_is_not_defined():
    log = [
        {"step": 1, "loss": 2.0},
        {"step": 2, "evaluation": {"ap50": None}},
        {"step": 4, "evaluation": {"ap50": 0.5}},
    ]
    assert curve_of(log) == [(4, 0.5)]


def test_the_outlook_is_a_forecast_and_at_the_end_a_gain():
    assert list(outlook(curve(500), learned=EVEN)) == ["forecast"]
    assert list(outlook(curve(STEPS), learned=EVEN)) == ["if_longer"]
