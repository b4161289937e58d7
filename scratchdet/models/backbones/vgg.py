"""VGG-16 with its fully connected layers as dilated convolutions, as SSD uses it.

Liu et al., SSD, ECCV 2016, section 3; the SSD Caffe release, `VGGNetBody`. With a norm: the
ScratchDet Caffe release, `VGGNetBNBody`.
"""

from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.layers import L2Norm, Norm, conv, pre_activation

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
FC = 1024  # the 4096 of VGG, subsampled
FC6_DILATION = 6


class VGG16(nn.Module):
    """Maps of stride 8 (conv4_3, 512 channels) and 16 (fc7, 1024 channels).

    Without a norm, conv4_3 is L2-normalised on its way to the head, because its features are larger
    than those of the other sources (SSD, section 3.1); a norm makes that superfluous. With one, the
    result of every pooling is normalised once more, as the release does.
    """

    def __init__(self, in_channels: int = 3, *, norm: Norm) -> None:
        super().__init__()
        channels, stages = in_channels, []
        for widths in STAGES:
            layers: list[nn.Module] = []
            for width in widths:
                layers.append(conv(channels, width, 3, norm=norm))
                channels = width
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)
        # Pooling rounds up, as Caffe does: 75 px become 38.
        self.pools = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2, 2, ceil_mode=True), *_after_pool(widths[-1], norm))
            for widths in STAGES[:-1]
        )
        self.scale = L2Norm(512) if norm == "none" else nn.Identity()
        self.fc = nn.Sequential(
            nn.MaxPool2d(3, 1, padding=1),
            *_after_pool(512, norm),
            conv(512, FC, 3, norm=norm, dilation=FC6_DILATION),
            conv(FC, FC, 1, norm=norm),
        )

    def forward(self, images: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        features, maps = images, []
        for stage, pool in zip(self.stages, [nn.Identity(), *self.pools], strict=True):
            features = stage(pool(features))
            maps.append(features)
        return [self.scale(maps[3]), self.fc(maps[4])]


def _after_pool(channels: int, norm: Norm) -> list[nn.Module]:
    return [] if norm == "none" else [*pre_activation(channels, norm)]
