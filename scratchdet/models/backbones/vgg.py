"""VGG-16 with its fully connected layers as dilated convolutions, as SSD uses it.

Liu et al., SSD, ECCV 2016, section 3; the SSD Caffe release, `VGGNetBody`.
"""

from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.layers import L2Norm, Norm, conv

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
FC = 1024  # the 4096 of VGG, subsampled
FC6_DILATION = 6


class VGG16(nn.Module):
    """Maps of stride 8 (conv4_3, 512 channels) and 16 (fc7, 1024 channels).

    Without a norm, conv4_3 is L2-normalised on its way to the head, because its features are larger
    than those of the other sources (SSD, section 3.1); a norm makes that superfluous.
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
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.scale = L2Norm(512) if norm == "none" else nn.Identity()
        self.fc = nn.Sequential(
            nn.MaxPool2d(3, 1, padding=1),
            conv(512, FC, 3, norm=norm, dilation=FC6_DILATION),
            conv(FC, FC, 1, norm=norm),
        )

    def forward(self, images: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        features = self.stages[0](images)
        for stage in list(self.stages)[1:4]:
            features = stage(self.pool(features))
        conv4_3 = features
        conv5_3 = self.stages[4](self.pool(conv4_3))
        return [self.scale(conv4_3), self.fc(conv5_3)]
