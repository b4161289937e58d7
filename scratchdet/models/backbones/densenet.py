"""The DenseNet of DSOD, with a stem of three small convolutions and four dense blocks.

Shen et al., DSOD, ICCV 2017, section 3.1 and table 1; the release, `DSOD300_V3_Body`; for GRP-DSOD
`GRP_DSOD320_V6_Recurrent_Pyramid`. DSOD writes it DS/A-B-k-theta: A channels of the first
convolution, B of a bottleneck, k of a layer's growth, theta of what transitions keep: all (1).
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.checkpointing import Checkpointing, recomputed
from scratchdet.models.layers import NORM_EPS, Norm, conv, make_conv, make_norm

STEM = (64, 64, 128)  # channels; DSOD, table 1

Order = Literal["norm-relu-conv", "conv-norm-relu"]
Unit = Callable[..., nn.Sequential]
"""unit(inputs, outputs, kernel, stride=1): a convolution with its norm and ReLU."""


def make_unit(order: Order, *, norm: Norm, eps: float) -> Unit:
    """The unit that all of a network but its stem is made of: DSOD's order, or GRP-DSOD's."""
    return partial(_activated_conv if order == "norm-relu-conv" else conv, norm=norm, eps=eps)


def _activated_conv(
    inputs: int, outputs: int, kernel: int, *, norm: Norm, eps: float, stride: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        make_norm(norm, inputs, eps=eps),
        nn.ReLU(),
        make_conv(norm, inputs, outputs, kernel, stride=stride, padding=kernel // 2),
    )


def make_pool() -> nn.MaxPool2d:
    """Halves a map; 75 px become 38, because Caffe rounds up."""
    return nn.MaxPool2d(2, 2, ceil_mode=True)


class DenseLayer(nn.Module):
    """`growth` channels from all maps before: 1x1 to `bottleneck` channels, then 3x3."""

    def __init__(self, inputs: int, *, bottleneck: int, growth: int, unit: Unit) -> None:
        super().__init__()
        self.units = nn.Sequential(unit(inputs, bottleneck, 1), unit(bottleneck, growth, 3))

    def forward(self, *maps: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B _ H W"]:
        return self.units(torch.cat(maps, dim=1))


class DenseBlock(nn.Module):
    """The input and what each of `layers` dense layers adds to it, side by side.

    checkpointing: "blocks" keeps the maps themselves for the backward pass, and computes once more
    what each layer makes of them; what is kept then grows with the layers, not with their square.
    """

    def __init__(
        self,
        inputs: int,
        *,
        layers: int,
        bottleneck: int,
        growth: int,
        unit: Unit,
        checkpointing: Checkpointing,
    ) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.outputs = inputs + layers * growth
        self.layers = nn.ModuleList(
            DenseLayer(channels, bottleneck=bottleneck, growth=growth, unit=unit)
            for channels in range(inputs, self.outputs, growth)
        )

    def forward(self, features: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B _ H W"]:
        maps = [features]
        for layer in self.layers:
            maps.append(
                recomputed(layer, *maps) if self.checkpointing == "blocks" else layer(*maps)
            )
        return torch.cat(maps, dim=1)


class DenseNet(nn.Module):
    """Maps of stride 8 and 16: after the second block, as a transition leaves it, and the fourth.

    layers: of each block. early: if given, the first map also gets so many channels each of two
    maps before it, the stem's and the first block's (GRP-DSOD).
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        layers: tuple[int, int, int, int],
        bottleneck: int,
        growth: int,
        norm: Norm,
        order: Order = "norm-relu-conv",
        eps: float = NORM_EPS,
        early: int | None = None,
        checkpointing: Checkpointing = "off",
    ) -> None:
        super().__init__()
        unit = make_unit(order, norm=norm, eps=eps)

        def block(inputs: int, count: int) -> DenseBlock:
            return DenseBlock(
                inputs,
                layers=count,
                bottleneck=bottleneck,
                growth=growth,
                unit=unit,
                checkpointing=checkpointing,
            )

        # In the order of the released files, which `caffe_names` relies on.
        self.stem = nn.Sequential(
            conv(in_channels, STEM[0], 3, norm=norm, stride=2, eps=eps),
            conv(STEM[0], STEM[1], 3, norm=norm, eps=eps),
            conv(STEM[1], STEM[2], 3, norm=norm, eps=eps),
        )
        self.pool = make_pool()
        self.block1 = block(STEM[2], layers[0])
        channels1 = self.block1.outputs
        self.transition1 = unit(channels1, channels1, 1)
        self.block2 = block(channels1, layers[1])
        channels2 = self.block2.outputs
        self.transition2 = unit(channels2, channels2, 1)
        sources = () if early is None else (STEM[2], channels1)
        self.early = nn.ModuleList(unit(channels, early, 1) for channels in sources)
        self.block3 = block(channels2, layers[2])
        channels3 = self.block3.outputs
        self.transition3 = unit(channels3, channels3, 1)
        self.block4 = block(channels3, layers[3])

    def forward(self, images: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        stem = self.pool(self.stem(images))
        first = self.pool(self.transition1(self.block1(stem)))
        second = self.transition2(self.block2(first))
        third = self.transition3(self.block3(self.pool(second)))
        taken = zip(self.early, (self.pool(stem), first), strict=False)
        source = torch.cat([second, *(take(features) for take, features in taken)], dim=1)
        return [source, self.block4(third)]
