"""SSD and ScratchDet on any network of timm: without pre-trained weights, any backbone will do.

The backbone keeps timm's own initialisation. `norm_backbone` is the norm of the extra layers, and
of the backbone as `TimmBackbone` says. That gives three maps; the neck goes on with 5 3 1, or at
512 px with 8 4 2 1: SSD's extra levels without the first, which the backbone makes.
"""

from scratchdet.models.backbones.timm import TimmBackbone, TimmNorm
from scratchdet.models.detector import Detector, build_detector
from scratchdet.models.layers import Norm
from scratchdet.models.necks.extras import (
    SSD300_EXTRAS,
    SSD512_EXTRAS,
    ResidualExtras,
    SSDExtras,
)
from scratchdet.models.scratchdet import EXTRA_WIDTH
from scratchdet.models.ssd import Size, ssd300_priors, ssd512_priors

SMALL = "mobilenetv4_conv_small"  # as default: it trains on a CPU


def ssd300_timm(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (300, 300),
    backbone: str = SMALL,
    norm_backbone: TimmNorm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """SSD300 on any network of timm."""
    return build_detector(
        TimmBackbone(backbone, in_channels, norm=norm_backbone),
        lambda channels: SSDExtras(channels, SSD300_EXTRAS[1:], norm=norm_backbone),
        ssd300_priors(input_size),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
        initial="own",
    )


def ssd512_timm(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (512, 512),
    backbone: str = SMALL,
    norm_backbone: TimmNorm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """SSD512 on any network of timm: one level more."""
    return build_detector(
        TimmBackbone(backbone, in_channels, norm=norm_backbone),
        lambda channels: SSDExtras(channels, SSD512_EXTRAS[1:], norm=norm_backbone),
        ssd512_priors(input_size),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
        initial="own",
    )


def scratchdet300_timm(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (300, 300),
    backbone: str = SMALL,
    norm_backbone: TimmNorm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """ScratchDet on any network of timm, with Root-ResNet-34's residual extra layers."""
    return build_detector(
        TimmBackbone(backbone, in_channels, norm=norm_backbone),
        lambda channels: ResidualExtras(channels, levels=3, width=EXTRA_WIDTH, norm=norm_backbone),
        ssd300_priors(input_size),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
        initial="own",
    )
