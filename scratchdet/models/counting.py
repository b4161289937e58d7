"""What a network amounts to: parameters, multiply-adds, maps and priors. Nothing is computed."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scratchdet.models.detector import Shape
from scratchdet.models.published import PUBLISHED, Choices
from scratchdet.models.zoo import choices_of, create_model, defaults_of
from scratchdet.ops.priors import make_priors


class Amounts(NamedTuple):
    """What `amounts` counts, for one image of `input_size`."""

    parameters: int
    macs: int
    input_size: tuple[int, int]
    maps: list[Shape]
    """(channels, height, width) of what the head is fed, fine to coarse."""
    priors: int


def amounts(name: str, choices: Choices, *, num_classes: int = 20) -> Amounts:
    """What the named detector amounts to; it is built without memory, in an instant."""
    with torch.device("meta"):
        detector = create_model(name, num_classes, **choices).eval()  # type: ignore[arg-type]
    size = detector.input_size
    counts = watched(detector)
    image = torch.empty(1, detector.in_channels, *size, device="meta")
    maps = detector.neck(detector.backbone(image))
    detector.head(maps)
    sizes = [(features.shape[2], features.shape[3]) for features in maps]
    return Amounts(
        parameters=count_parameters(detector),
        macs=sum(counts),
        input_size=size,
        maps=[(features.shape[1], *side) for features, side in zip(maps, sizes, strict=True)],
        priors=len(make_priors(detector.specs, sizes, size)),
    )


def count_parameters(module: nn.Module) -> int:
    """Learned numbers; the running mean and variance of a BatchNorm are none."""
    return sum(parameter.numel() for parameter in module.parameters())


def watched(network: nn.Module) -> list[int]:
    """A list to which convolutions will append their multiply-adds whenever they are run.

    Linear layers that are run at every location are convolutions too. Left out, as published
    figures have it, are biases, norms, activations, pooling, and the linear layers of gates, which
    are run once for an image (of GRP-DSOD320, 0.24 of 19,277 million).
    """
    counts: list[int] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.ndim == 2:  # a linear layer that is run once for an image
            return
        weight = layer.get_parameter("weight")
        # A weight belongs to one output and one of its inputs; a transposed convolution is stored
        # and run the other way round: each of its inputs is spread over weight[0].
        values = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        counts.append(values.numel() * weight[0].numel())

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.register_forward_hook(count)
    return counts


def variants(name: str) -> Iterator[Choices]:
    """The choices that make another network of a model, from {}, its defaults, on.

    One choice after the other takes its further values; what has been published of several choices
    together comes last.
    """
    yield {}
    defaults = defaults_of(name)
    for choice, values in choices_of(name).items():
        yield from ({choice: value} for value in values if value != defaults[choice])
    yield from (one.choices for one in PUBLISHED.get(name, ()) if len(one.choices) > 1)
