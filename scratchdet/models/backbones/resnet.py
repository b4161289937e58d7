"""Root-ResNet: a residual network whose stem keeps the resolution of the image.

Zhu et al., ScratchDet, CVPR 2019, section 3.2: the 7x7 convolution of stride 2 is replaced by the
*root block*, three 3x3 convolutions of stride 1, so that the small objects' detail reaches the
head; freed of pre-trained weights, the stem may be anything. Blocks are pre-activation (He et al.,
Identity Mappings, ECCV 2016). The networks as they were released are in `released_resnet`.
"""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.layers import Norm, conv, make_conv, pre_activation

Stem = Literal["7x7/2", "3x3x3/2", "7x7/1", "root"]

STEMS: dict[Stem, tuple[tuple[int, int], ...]] = {  # (kernel, stride) of every convolution
    "7x7/2": ((7, 2),),
    "3x3x3/2": ((3, 2), (3, 1), (3, 1)),
    "7x7/1": ((7, 1),),
    "root": ((3, 1), (3, 1), (3, 1)),
}


def make_stem(stem: Stem, in_channels: int, width: int, *, norm: Norm) -> nn.Sequential:
    """The convolutions before the first pooling (ScratchDet, section 4.1, root block)."""
    if stem not in STEMS:
        raise ValueError(f"stem {stem!r} is not known; choose from {', '.join(STEMS)}")
    inputs = [in_channels, *[width] * (len(STEMS[stem]) - 1)]
    return nn.Sequential(
        *(
            conv(channels, width, kernel, norm=norm, stride=stride)
            for channels, (kernel, stride) in zip(inputs, STEMS[stem], strict=True)
        )
    )


class PreActivationBlock(nn.Module):
    """Norm, ReLU, 3x3 and once more, added to the input.

    Where the shape changes, the shortcut is a 1x1 convolution of the activated input. `padding=0`
    makes the first convolution an unpadded one (the map shrinks by two; stride 1 only).
    activates: whether the input is normalised and rectified first, or is already.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        norm: Norm,
        stride: int = 1,
        padding: int = 1,
        activates: bool = True,
    ) -> None:
        super().__init__()
        self.activate = pre_activation(inputs, norm) if activates else nn.Identity()
        self.residual = nn.Sequential(
            make_conv(norm, inputs, outputs, 3, stride=stride, padding=padding),
            *pre_activation(outputs, norm),
            make_conv(norm, outputs, outputs, 3, padding=1),
        )
        self.crop = 1 - padding
        projects = inputs != outputs or stride != 1
        self.shortcut = make_conv(norm, inputs, outputs, 1, stride=stride) if projects else None

    def forward(
        self, features: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B _ _ _"], Float[Tensor, "B _ _ _"]]:
        """The sum, and what was added in it: the output of the last convolution."""
        activated = self.activate(features)
        kept = features if self.shortcut is None else self.shortcut(activated)
        if self.crop:  # what the unpadded convolution leaves
            kept = kept[..., 1:-1, 1:-1]
        added = self.residual(activated)
        return kept + added, added


class Stage(nn.Module):
    """Pre-activation blocks; the first of them may halve the map, and normalise its input or not.

    As a block, it returns the sum, and what its last block added.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        blocks: int,
        norm: Norm,
        stride: int,
        activates: bool = True,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [
                PreActivationBlock(inputs, outputs, norm=norm, stride=stride, activates=activates),
                *(PreActivationBlock(outputs, outputs, norm=norm) for _ in range(blocks - 1)),
            ]
        )

    def forward(
        self, features: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B _ _ _"], Float[Tensor, "B _ _ _"]]:
        added = features
        for block in self.blocks:
            features, added = block(features)
        return features, added


def make_stages(
    root: int,
    widths: Sequence[int],
    blocks: Sequence[int],
    *,
    norm: Norm,
    first_activates: bool = True,
) -> nn.ModuleList:
    """Stages of so many blocks each; every stage but the first halves the map.

    first_activates: whether the first block normalises and rectifies its input, the pooled stem.
    """
    return nn.ModuleList(
        Stage(
            inputs,
            width,
            blocks=count,
            norm=norm,
            stride=1 if level == 0 else 2,
            activates=first_activates or level > 0,
        )
        for level, (inputs, width, count) in enumerate(
            zip((root, *widths), widths, blocks, strict=False)
        )
    )


class RootResNet(nn.Module):
    """The maps of the last two stages, normalised and rectified: strides 8 and 16.

    root: channels of the stem. widths, blocks: channels and number of residual blocks of each of
    the four stages. Root-ResNet-18: (64, 128, 256, 512), (2, 2, 2, 2).
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        stem: Stem = "root",
        root: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        norm: Norm,
    ) -> None:
        super().__init__()
        self.root = make_stem(stem, in_channels, root, norm=norm)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.stages = make_stages(root, widths, blocks, norm=norm)
        self.outputs = nn.ModuleList(pre_activation(width, norm) for width in widths[-2:])

    def forward(self, images: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        features = self.pool(self.root(images))
        maps = []
        for stage in self.stages:
            features, _ = stage(features)
            maps.append(features)
        return [activate(map_) for activate, map_ in zip(self.outputs, maps[-2:], strict=True)]
