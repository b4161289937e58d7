"""The further, ever coarser maps that single-shot detectors put on top of their backbone."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.backbones.resnet import PreActivationBlock
from scratchdet.models.layers import Norm, conv, pre_activation
from scratchdet.models.padding import at_least


class Extra(NamedTuple):
    """One extra level: `squeeze` channels by 1x1, then `outputs` by kernel x kernel."""

    squeeze: int
    outputs: int
    stride: int
    padding: int
    kernel: int = 3

    @property
    def smallest(self) -> int:
        """The side of the smallest map that it can be computed on."""
        return self.kernel - 2 * self.padding


# SSD Caffe release, AddExtraLayers: conv6 .. conv9 of SSD300, maps 10 5 3 1 from 19.
SSD300_EXTRAS = (
    Extra(256, 512, stride=2, padding=1),
    Extra(128, 256, stride=2, padding=1),
    Extra(128, 256, stride=1, padding=0),
    Extra(128, 256, stride=1, padding=0),
)
# ssd_pascal.py of the release at 512 x 512: conv6 .. conv10, maps 16 8 4 2 1 from 32.
SSD512_EXTRAS = (
    Extra(256, 512, stride=2, padding=1),
    Extra(128, 256, stride=2, padding=1),
    Extra(128, 256, stride=2, padding=1),
    Extra(128, 256, stride=2, padding=1),
    Extra(128, 256, stride=1, padding=1, kernel=4),
)


class SSDExtras(nn.Module):
    """The maps of the backbone and, on top of the last, one more for every `Extra`.

    ends_raw: with a norm, the last map is neither normalised nor rectified: the ScratchDet release
    of SSD has no BatchNorm after conv9_2.
    """

    def __init__(
        self,
        channels: Sequence[int],
        extras: Sequence[Extra],
        *,
        norm: Norm,
        ends_raw: bool = False,
    ) -> None:
        super().__init__()
        inputs = [channels[-1], *(extra.outputs for extra in extras)]
        self.smallest = [extra.smallest for extra in extras]
        self.extras = nn.ModuleList()
        last = len(extras) - 1
        for number, (before, extra) in enumerate(zip(inputs, extras, strict=False)):
            level = nn.Sequential(
                conv(before, extra.squeeze, 1, norm=norm),
                *conv(
                    extra.squeeze,
                    extra.outputs,
                    extra.kernel,
                    norm=norm,
                    stride=extra.stride,
                    padding=extra.padding,
                ),
            )
            raw = ends_raw and norm != "none" and number == last
            self.extras.append(level[:2] if raw else level)

    def forward(self, maps: list[Float[Tensor, "B _ _ _"]]) -> list[Float[Tensor, "B _ _ _"]]:
        result = list(maps)
        for extra, smallest in zip(self.extras, self.smallest, strict=True):
            result.append(extra(at_least(result[-1], smallest)))
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
            features, _ = extra(at_least(features, 3))
            result.append(activate(features))
        return result
