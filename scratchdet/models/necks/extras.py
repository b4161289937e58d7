"""The further, ever coarser maps that single-shot detectors put on top of their backbone."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.backbones.resnet import PreActivationBlock
from scratchdet.models.layers import Norm, at_least, conv, pre_activation


class Extra(NamedTuple):
    """One extra level: `squeeze` channels by 1x1, then `outputs` by 3x3."""

    squeeze: int
    outputs: int
    stride: int
    padding: int


# SSD Caffe release, AddExtraLayers: conv6 .. conv9 of SSD300, maps 10 5 3 1 from 19.
SSD300_EXTRAS = (
    Extra(256, 512, stride=2, padding=1),
    Extra(128, 256, stride=2, padding=1),
    Extra(128, 256, stride=1, padding=0),
    Extra(128, 256, stride=1, padding=0),
)


class SSDExtras(nn.Module):
    """The maps of the backbone and, on top of the last, one more for every `Extra`."""

    def __init__(self, channels: Sequence[int], extras: Sequence[Extra], *, norm: Norm) -> None:
        super().__init__()
        inputs = [channels[-1], *(extra.outputs for extra in extras)]
        self.extras = nn.ModuleList(
            nn.Sequential(
                conv(before, extra.squeeze, 1, norm=norm),
                conv(
                    extra.squeeze,
                    extra.outputs,
                    3,
                    norm=norm,
                    stride=extra.stride,
                    padding=extra.padding,
                ),
            )
            for before, extra in zip(inputs, extras, strict=False)
        )

    def forward(self, maps: list[Float[Tensor, "B _ _ _"]]) -> list[Float[Tensor, "B _ _ _"]]:
        result = list(maps)
        for extra in self.extras:
            result.append(extra(at_least(result[-1], 3)))
        return result


class ResidualExtras(nn.Module):
    """The maps of the backbone and `levels` more, each by one residual block of `width` channels.

    ScratchDet, section 3.2, for Root-ResNet-34 (128 channels). Every block halves the map; the last
    has an unpadded convolution instead, as SSD's has, and takes 3x3 to 1x1. The paper gives the
    maps, 10 5 3 1, but not how the last one comes about; this is our reading of it.
    """

    def __init__(self, channels: Sequence[int], *, levels: int, width: int, norm: Norm) -> None:
        super().__init__()
        inputs = [channels[-1], *[width] * (levels - 1)]
        strides = [*[2] * (levels - 1), 1]
        self.extras = nn.ModuleList(
            PreActivationBlock(before, width, norm=norm, stride=stride, padding=int(stride == 2))
            for before, stride in zip(inputs, strides, strict=True)
        )
        self.outputs = nn.ModuleList(pre_activation(width, norm) for _ in range(levels))

    def forward(self, maps: list[Float[Tensor, "B _ _ _"]]) -> list[Float[Tensor, "B _ _ _"]]:
        result, features = list(maps), maps[-1]
        for extra, activate in zip(self.extras, self.outputs, strict=True):
            features = extra(at_least(features, 3))
            result.append(activate(features))
        return result
