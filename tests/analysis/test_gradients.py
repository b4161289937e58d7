"""The landscape along the gradient, where it is known exactly: linear and quadratic losses."""

import json
import math

import pytest
import torch

from scratchdet.analysis.gradients import MULTIPLES, along_gradient

SIZES = (0.25, 0.5, 2.0)  # powers of two: nothing is rounded


def quadratic(matrix):
    """The loss x A x / 2, whose gradient is A x."""

    def loss_and_gradient(weights):
        (x,) = weights
        return (0.5 * x @ matrix @ x).item(), [matrix @ x]

    return loss_and_gradient


def test_along_an_eigenvector_the_smoothness_is_its_eigenvalue():
    matrix = torch.diag(torch.tensor([8.0, 1.0]))
    for vector, eigenvalue in (([1.0, 0.0], 8.0), ([0.0, 1.0], 1.0)):
        x = torch.tensor(vector)
        found = along_gradient(quadratic(matrix), [x], blocks={"all": [0]}, step_sizes=SIZES)
        assert found.smoothness == eigenvalue
        assert found.gradient_norm == eigenvalue
        # At x - t A x, of the same direction, everything is multiplied by 1 - t eigenvalue.
        shrunk = [1 - size * eigenvalue for size in SIZES]
        assert found.loss == eigenvalue / 2
        assert found.losses == [0.5 * eigenvalue * by**2 for by in shrunk]
        assert found.distances == [size * eigenvalue**2 for size in SIZES]
        assert found.blocks == {"all": [eigenvalue * abs(by) for by in (1, *shrunk)]}


def test_of_a_mixed_direction_the_smoothness_is_between_the_curvatures():
    matrix = torch.diag(torch.tensor([8.0, 1.0]))
    x = torch.tensor([0.5, 4.0])  # its gradient is 4, 4
    found = along_gradient(quadratic(matrix), [x], blocks={}, step_sizes=SIZES)
    assert found.smoothness == pytest.approx(math.hypot(8, 1) / math.sqrt(2))


def test_a_linear_loss_is_as_smooth_as_can_be():
    slope = [torch.tensor([3.0]), torch.tensor([[4.0]])]

    def linear(weights):
        return sum((w * s).sum() for w, s in zip(weights, slope, strict=True)).item(), slope

    weights = [torch.tensor([1.0]), torch.tensor([[1.0]])]
    found = along_gradient(
        linear, weights, blocks={"first": [0], "second": [1], "both": [0, 1]}, step_sizes=SIZES
    )
    assert found.smoothness == 0
    assert found.distances == [0, 0, 0]
    assert (found.loss, found.losses) == (7, [7 - 25 * size for size in SIZES])
    assert found.blocks == {"first": [3] * 4, "second": [4] * 4, "both": [5] * 4}


def test_the_smoothness_is_that_of_the_worst_step():
    """Behind a kink the gradient is another one: the nearer, the rougher."""

    def kinked(weights):
        (x,) = weights
        return x.abs().item(), [x.sign()]

    found = along_gradient(kinked, [torch.tensor(1.0)], blocks={}, step_sizes=(0.5, 2.0, 4.0))
    assert found.distances == [0, 2, 2]
    assert found.smoothness == 2 / 2.0


def test_the_weights_are_left_alone():
    x = torch.tensor([1.0, 2.0])
    along_gradient(quadratic(torch.eye(2)), [x], blocks={}, step_sizes=SIZES)
    assert x.tolist() == [1, 2]


def test_where_the_gradient_is_zero_there_is_no_smoothness():
    x = torch.zeros(2)
    found = along_gradient(quadratic(torch.eye(2)), [x], blocks={"all": [0]}, step_sizes=SIZES)
    assert math.isnan(found.smoothness)
    assert found.to_json()["smoothness"] is None
    assert found.distances == [0, 0, 0]


def test_what_overflows_is_null_in_json():
    def wild(weights):
        (x,) = weights
        return (x**2).item(), [torch.where(x < 0, torch.inf, x)]

    found = along_gradient(wild, [torch.tensor([1e20])], blocks={"all": [0]}, step_sizes=(0.5, 2.0))
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert record["losses"] == [None, None]
    assert record["distances"] == [pytest.approx(5e19), None]
    assert record["smoothness"] is None
    assert record["blocks"] == {"all": [pytest.approx(1e20), pytest.approx(5e19), None]}
    assert record["step_sizes"] == [0.5, 2]


def test_steps_reach_from_half_the_learning_rate_to_four_times_it():
    assert (min(MULTIPLES), max(MULTIPLES)) == (0.5, 4.0)
    assert 1.0 in MULTIPLES
    assert list(MULTIPLES) == sorted(MULTIPLES)
