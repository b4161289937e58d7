"""Root-ResNet as the authors of ScratchDet released it, which is not quite as the paper has it.

The Caffe release (`model_libs.py`: Resnet18rootV2, Resnet34rootV2_res) is pre-activation, the
mmdetection one (`ssd_root34_300.py`) post-activation, as He et al. had it first (CVPR 2016).
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.backbones.resnet import make_stages, make_stem
from scratchdet.models.layers import Norm, conv, make_conv, make_norm


class CaffeRootResNet(nn.Module):
    """What is added to the sum by the last block of the third and of the fourth stage, and the sum.

    The head is fed the output of a stage's last convolution (conv4_12, conv5_6) before it is added;
    the third map, the sum after the last stage, is what the extra levels go on from.
    first_activates: whether the first block normalises the pooled stem once more: it does in
    Root-ResNet-18, not in 34.
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        root: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        norm: Norm,
        first_activates: bool,
    ) -> None:
        super().__init__()
        self.root = make_stem("root", in_channels, root, norm=norm)
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.stages = make_stages(root, widths, blocks, norm=norm, first_activates=first_activates)

    def forward(self, images: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        features, maps = self.pool(self.root(images)), []
        for stage in self.stages:
            features, added = stage(features)
            maps.append(added)
        return [*maps[-2:], features]


class PostActivationBlock(nn.Module):
    """3x3, norm, ReLU, 3x3, norm; added to the input, and rectified."""

    def __init__(self, inputs: int, outputs: int, *, norm: Norm, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv(inputs, outputs, 3, norm=norm, stride=stride),
            make_conv(norm, outputs, outputs, 3, padding=1),
            make_norm(norm, outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(
                make_conv(norm, inputs, outputs, 1, stride=stride), make_norm(norm, outputs)
            )
        self.relu = nn.ReLU()

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B _ _ _"]:
        return self.relu(self.shortcut(features) + self.residual(features))


class MmdetRootResNet(nn.Module):
    """The maps of all stages from the third on; the extra levels are stages like the others.

    widths, blocks, strides: of each stage.
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        root: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        strides: Sequence[int],
        norm: Norm,
    ) -> None:
        super().__init__()
        self.root = make_stem("root", in_channels, root, norm=norm)
        self.pool = nn.MaxPool2d(2, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                PostActivationBlock(inputs, width, norm=norm, stride=stride),
                *(PostActivationBlock(width, width, norm=norm) for _ in range(count - 1)),
            )
            for inputs, width, count, stride in zip(
                (root, *widths), widths, blocks, strides, strict=False
            )
        )

    def forward(self, images: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        features, maps = self.pool(self.root(images)), []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return maps[2:]
