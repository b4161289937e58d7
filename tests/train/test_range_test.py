"""The range test: where the loss turns up for good is the largest stable rate."""

import json
import math

import pytest

from scratchdet.train.range_test import RangeTest, growing_rates, run_range_test


def descent(curvature: float):
    """Gradient descent on curvature / 2 * x², whose largest stable rate is known by hand."""
    place = 1.0

    def step(rate: float) -> float:
        nonlocal place
        loss = curvature / 2 * place**2
        place -= rate * curvature * place
        return loss

    return step


def scripted(*losses: float):
    """A step that returns these, one after another, whatever the rate."""
    rest = iter(losses)
    return lambda rate: next(rest)


@pytest.mark.parametrize("curvature", [0.5, 4.0, 300.0])
def test_gradient_descent_on_a_parabola_is_stable_up_to_two_over_its_curvature(curvature):
    rates = growing_rates(100)
    found = run_range_test(descent(curvature), rates)
    factor = rates[1] / rates[0]
    assert 1 / factor < found.stable * curvature / 2 < factor**3
    assert found.is_limit
    assert found.ended == "diverged"


def test_the_rate_in_force_when_the_loss_stopped_being_a_number_is_not_stable():
    # The loss that the seventh rate leads to is no number.
    rates = growing_rates(9)
    found = run_range_test(scripted(9.0, 8.0, 6.0, 4.0, 3.0, 3.0, 2.0, math.nan), rates)
    assert found.rates == tuple(rates[:7])
    assert found.losses == (8.0, 6.0, 4.0, 3.0, 3.0, 2.0, math.inf)
    assert found.stable == rates[5]
    assert found.ended == "diverged"


def test_a_loss_that_is_no_number_from_the_start_has_no_stable_rate():
    found = run_range_test(scripted(math.nan), [0.1, 0.2])
    assert (found.rates, found.stable, found.steepest, found.ended) == ((), None, None, "diverged")


def test_a_single_hard_batch_is_not_taken_for_the_end():
    losses = [10.0, 8.0, 6.0, 4.0, 9.0, 4.0, 3.0, 3.0, 3.0, 3.0]
    rates = growing_rates(9)
    found = run_range_test(scripted(*losses), rates)
    assert found.stable == rates[-1]
    assert not found.is_limit
    assert found.ended == "highest"


def test_a_loss_that_turns_up_slowly_ends_the_stable_rates_without_having_diverged():
    losses = [10.0, 6.0, 4.0, 3.0, 3.0, 3.0, 5.0, 6.0, 6.0, 6.0, 7.0]
    rates = growing_rates(10)
    found = run_range_test(scripted(*losses), rates)
    assert found.ended == "highest"
    assert found.stable == rates[4]
    assert found.is_limit


def test_steepest_is_where_the_loss_falls_most():
    losses = [10.0, 10.0, 10.0, 10.0, 10.0, 4.0, 4.0, 4.0, 3.9, 3.9, 3.9]
    rates = growing_rates(10)
    assert run_range_test(scripted(*losses), rates).steepest == rates[4]


def test_a_loss_that_never_falls_has_no_stable_rate():
    found = run_range_test(scripted(*[5.0] * 8), growing_rates(7))
    assert found.stable is None
    assert not found.is_limit


@pytest.mark.parametrize("rates", [[], growing_rates(0)])
def test_no_step_is_an_empty_result(rates):
    found = run_range_test(scripted(), rates)
    assert found == RangeTest(rates=(), losses=(), start=found.start, planned=0, ended="highest")
    assert found.stable is None
    json.dumps(found.to_json(), allow_nan=False)


def test_it_stops_by_the_clock_and_says_so():
    seconds = iter(range(100))
    found = run_range_test(
        descent(1.0), growing_rates(50), deadline=10, clock=lambda: next(seconds)
    )
    assert found.ended == "time"
    assert len(found.rates) == 9  # ten losses, the first of which is from before the first step
    assert found.planned == 50


def test_rates_are_a_factor_apart():
    rates = growing_rates(4, lowest=0.01, highest=10)
    assert rates == pytest.approx([0.01, 0.1, 1, 10])


def test_what_is_not_finite_is_null_in_the_json():
    found = run_range_test(scripted(9.0, 5.0, math.inf), [0.1, 0.2, 0.3])
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["losses"] == [5.0, None]
