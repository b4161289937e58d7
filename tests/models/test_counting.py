"""Parameters and multiply-adds against figures worked out by hand."""

import pytest
import torch
from torch import nn

from scratchdet.models.counting import (
    amounts,
    count_parameters,
    variants,
    watched,
)
from scratchdet.models.detector import measure
from scratchdet.models.zoo import MODELS, choices_of, create_model, defaults_of


def macs_of(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Of one image (channels, height, width)."""
    counts = watched(network.eval())
    network(torch.empty(1, *shape))
    return sum(counts)


@pytest.mark.parametrize(
    ("layer", "shape", "macs", "parameters"),
    [
        (nn.Identity(), (3, 4, 5), 0, 0),
        (nn.MaxPool2d(2), (3, 4, 4), 0, 0),
        (nn.BatchNorm2d(3), (3, 4, 5), 0, 6),  # its running mean and variance are not learned
        # 20 places x 7 outputs, each of 3 x 3 x 3 inputs.
        (nn.Conv2d(3, 7, 3, padding=1, bias=False), (3, 4, 5), 20 * 7 * 27, 7 * 27),
        (nn.Conv2d(3, 7, 3, padding=1), (3, 4, 5), 20 * 7 * 27, 7 * 27 + 7),
        # 9 x 8 at stride 2, unpadded: 4 x 3 places.
        (nn.Conv2d(3, 7, 3, stride=2, bias=False), (3, 9, 8), 12 * 7 * 27, 7 * 27),
        (nn.Conv2d(3, 7, 3, dilation=2, bias=False), (3, 5, 6), 2 * 7 * 27, 7 * 27),
        # Two groups: each of the 6 outputs has 2 of the 4 channels.
        (nn.Conv2d(4, 6, 1, groups=2, bias=False), (4, 3, 3), 9 * 6 * 2, 6 * 2),
        (nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), (4, 3, 3), 9 * 4 * 9, 36),
        # Each of 6 places x 3 inputs is spread over 5 outputs at 2 x 2 places: 24 places in all, to
        # each of which one of the places contributes.
        (nn.ConvTranspose2d(3, 5, 2, stride=2, bias=False), (3, 2, 3), 24 * 5 * 3, 60),
        (nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), (4, 1, 1), 4 * 6 * 2, 4 * 3 * 4 + 6),
        # Applied to every row of 5 numbers.
        (nn.Linear(5, 7), (3, 4, 5), 12 * 35, 42),
        # Once for an image, as in a gate: not counted.
        (nn.Sequential(nn.Flatten(), nn.Linear(60, 7, bias=False)), (3, 4, 5), 0, 420),
    ],
    ids=lambda value: str(value) if isinstance(value, nn.Module) else "",
)
def test_layers_count_what_the_arithmetic_says(layer, shape, macs, parameters):
    assert macs_of(layer, shape) == macs
    assert count_parameters(layer) == parameters


def test_a_layer_used_twice_works_twice_and_is_learned_once():
    layer = nn.Conv2d(2, 2, 1, bias=False)
    twice = nn.Sequential(layer, nn.ReLU(), layer)
    assert macs_of(twice, (2, 3, 3)) == 2 * 9 * 4
    assert count_parameters(twice) == 4


def test_what_the_head_is_fed_is_told_with_its_priors():
    counted = amounts("scratchdet_nano", {"input_size": (96, 160)}, num_classes=3)
    detector = create_model("scratchdet_nano", 3, input_size=(96, 160))
    assert counted.parameters == sum(weight.numel() for weight in detector.parameters())
    assert counted.input_size == (96, 160)
    assert counted.maps == measure(detector.neck, measure(detector.backbone, (3, 96, 160)))
    assert counted.priors == len(detector.priors)


@pytest.mark.parametrize("name", MODELS)
def test_variants_are_the_defaults_and_every_other_value_of_every_choice(name):
    first, *others = variants(name)
    assert first == {}
    defaults, allowed = defaults_of(name), choices_of(name)
    for choice, values in allowed.items():
        single = [one[choice] for one in others if set(one) == {choice}]
        assert {*single, defaults[choice]} == {*values, defaults[choice]}
        assert len(single) == len(values) - (len(values) > 0)
    assert all(choices[choice] in allowed[choice] for choices in others for choice in choices)
