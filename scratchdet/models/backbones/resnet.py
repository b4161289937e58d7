"""Root-ResNet: a residual network whose stem keeps the resolution of the image.

Zhu et al., ScratchDet, CVPR 2019, section 3.2: the 7x7 convolution of stride 2 is replaced by the
*root block*, three 3x3 convolutions of stride 1, so that the small objects' detail reaches the
head; freed of pre-trained weights, the stem may be anything. Blocks are pre-activation (He et al.,
Identity Mappings, ECCV 2016), as in the release.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.layers import Norm, conv, pre_activation

ROOT_CONVOLUTIONS = 3


class PreActivationBlock(nn.Module):
    """Norm, ReLU, 3x3 and once more, added to the input.

    Where the shape changes, the shortcut is a 1x1 convolution of the activated input. `padding=0`
    makes the first convolution an unpadded one (the map shrinks by two; stride 1 only).
    """

    def __init__(
        self, inputs: int, outputs: int, *, norm: Norm, stride: int = 1, padding: int = 1
    ) -> None:
        super().__init__()
        bias = norm == "none"
        self.activate = pre_activation(inputs, norm)
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=padding, bias=bias),
            *pre_activation(outputs, norm),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias),
        )
        self.crop = 1 - padding
        projects = inputs != outputs or stride != 1
        self.shortcut = (
            nn.Conv2d(inputs, outputs, 1, stride=stride, bias=bias) if projects else None
        )

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B _ _ _"]:
        activated = self.activate(features)
        kept = features if self.shortcut is None else self.shortcut(activated)
        if self.crop:  # what the unpadded convolution leaves
            kept = kept[..., 1:-1, 1:-1]
        return kept + self.residual(activated)


class RootResNet(nn.Module):
    """The maps of the last two stages, normalised and rectified: strides 8 and 16.

    widths, blocks: channels and number of residual blocks of each of the four stages; every stage
    but the first halves the map. Root-ResNet-18: (64, 128, 256, 512), (2, 2, 2, 2).
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        root: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        norm: Norm,
    ) -> None:
        super().__init__()
        inputs = (in_channels, *[root] * (ROOT_CONVOLUTIONS - 1))
        self.root = nn.Sequential(*(conv(channels, root, 3, norm=norm) for channels in inputs))
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(
                PreActivationBlock(inputs, width, norm=norm, stride=1 if level == 0 else 2),
                *(PreActivationBlock(width, width, norm=norm) for _ in range(count - 1)),
            )
            for level, (inputs, width, count) in enumerate(
                zip((root, *widths), widths, blocks, strict=False)
            )
        )
        self.outputs = nn.ModuleList(pre_activation(width, norm) for width in widths[-2:])

    def forward(self, images: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        features = self.pool(self.root(images))
        maps = []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return [activate(map_) for activate, map_ in zip(self.outputs, maps[-2:], strict=True)]
