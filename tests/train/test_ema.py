"""Averaged weights, worked out by hand."""

import pytest
import torch

from scratchdet.models.zoo import create_model
from scratchdet.train.ema import AveragedWeights

MANY = 10**6  # updates: the limit of the first ones is far above any decay


def filled(detector, value: float):
    """`detector` with every weight and every statistic at `value`."""
    with torch.no_grad():
        for tensor in detector.state_dict().values():
            tensor.fill_(value)
    return detector


@pytest.fixture
def detector():
    return filled(create_model("scratchdet_nano", 1, input_size=64), 0.0)


def floats(detector) -> set[float]:
    """The values that occur in the weights and statistics."""
    tensors = [t for t in detector.state_dict().values() if t.is_floating_point()]
    return {round(value, 6) for tensor in tensors for value in tensor.unique().tolist()}


def test_the_average_moves_by_one_minus_the_decay(detector):
    ema = AveragedWeights(detector, 0.75)
    filled(detector, 8.0)
    ema.update(detector, MANY)
    assert floats(ema.detector) == {2.0}
    ema.update(detector, MANY)
    assert floats(ema.detector) == {3.5}
    filled(detector, 0.0)
    ema.update(detector, MANY)
    assert floats(ema.detector) == {2.625}


def test_the_first_updates_forget_faster(detector):
    ema = AveragedWeights(detector, 0.999)
    filled(detector, 10.0)
    ema.update(detector, 0)  # decay 1 / 10
    assert floats(ema.detector) == {9.0}
    filled(detector, 20.0)
    ema.update(detector, 2)  # decay 3 / 12
    assert floats(ema.detector) == {17.25}


def test_a_decay_of_zero_equals_the_trained_weights(detector):
    ema = AveragedWeights(detector, 0.0)
    torch.manual_seed(0)
    for updates in range(3):
        for tensor in detector.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape) * 10)
        ema.update(detector, updates)
        average = ema.detector.state_dict()
        for name, value in detector.state_dict().items():
            assert torch.equal(average[name], value), name


def test_counts_of_batches_are_copied_not_averaged(detector):
    ema = AveragedWeights(detector, 0.9)
    ema.update(filled(detector, 7.0), MANY)
    counts = [t for name, t in ema.detector.state_dict().items() if "num_batches" in name]
    assert counts
    assert all(count == 7 for count in counts)


def test_the_average_is_apart_from_the_training(detector):
    ema = AveragedWeights(detector.train(), 0.5)
    assert not ema.detector.training
    assert not any(parameter.requires_grad for parameter in ema.detector.parameters())
    filled(detector, 1.0)
    assert floats(ema.detector) == {0.0}
    ema.update(detector, MANY)
    assert floats(detector) == {1.0}
    assert detector.training
    assert all(parameter.requires_grad for parameter in detector.parameters())


def test_the_average_begins_anew_at_a_detector_and_at_its_normalisation(detector):
    ema = AveragedWeights(detector, 0.5)
    filled(detector, 3.0)
    detector.mean, detector.std = torch.full((3,), 1.0), torch.full((3,), 2.0)
    detector.channel_order = "bgr"
    ema.restart(detector)
    filled(detector, 5.0)
    assert floats(ema.detector) == {3.0}
    assert (ema.detector.mean.tolist(), ema.detector.std.tolist()) == ([1.0] * 3, [2.0] * 3)
    assert ema.detector.mean is not detector.mean
    assert ema.detector.channel_order == "bgr"
    assert not any(parameter.requires_grad for parameter in ema.detector.parameters())
