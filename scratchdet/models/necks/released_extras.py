"""The further levels of Root-ResNet in the Caffe release of ScratchDet.

They go on from the last of the maps they are given, the sum after the last stage, which itself is
no source of the head; and the head is fed outputs of convolutions, not yet normalised.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.backbones.resnet import PreActivationBlock
from scratchdet.models.layers import Norm, make_conv, pre_activation
from scratchdet.models.necks.extras import Extra
from scratchdet.models.padding import at_least


class PreActivationSSDExtras(nn.Module):
    """SSD's extra levels with norm and ReLU before every convolution (Root-ResNet-18)."""

    def __init__(self, channels: Sequence[int], extras: Sequence[Extra], *, norm: Norm) -> None:
        super().__init__()
        inputs = [channels[-1], *(extra.outputs for extra in extras)]
        self.smallest = [extra.smallest for extra in extras]
        self.extras = nn.ModuleList(
            nn.Sequential(
                *pre_activation(before, norm),
                make_conv(norm, before, extra.squeeze, 1),
                *pre_activation(extra.squeeze, norm),
                make_conv(
                    norm,
                    extra.squeeze,
                    extra.outputs,
                    extra.kernel,
                    stride=extra.stride,
                    padding=extra.padding,
                ),
            )
            for before, extra in zip(inputs, extras, strict=False)
        )

    def forward(self, maps: list[Float[Tensor, "B _ _ _"]]) -> list[Float[Tensor, "B _ _ _"]]:
        *result, features = maps
        for extra, smallest in zip(self.extras, self.smallest, strict=True):
            features = extra(at_least(features, smallest))
            result.append(features)
        return result


class AddedExtras(nn.Module):
    """Residual blocks of `width` channels; a source is what a block adds (Root-ResNet-34).

    strides: of each block. The release's are 2 2 1 1, so that the maps are 10 5 5 5 at 300 x 300.
    """

    def __init__(
        self, channels: Sequence[int], *, width: int, strides: Sequence[int], norm: Norm
    ) -> None:
        super().__init__()
        inputs = [channels[-1], *[width] * (len(strides) - 1)]
        self.extras = nn.ModuleList(
            PreActivationBlock(before, width, norm=norm, stride=stride)
            for before, stride in zip(inputs, strides, strict=True)
        )

    def forward(self, maps: list[Float[Tensor, "B _ _ _"]]) -> list[Float[Tensor, "B _ _ _"]]:
        *result, features = maps
        for extra in self.extras:
            features, added = extra(features)
            result.append(added)
        return result
