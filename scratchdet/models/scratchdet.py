"""ScratchDet: Root-ResNet as backbone, 300 and 512 px, and a small one of our own.

Zhu et al., ScratchDet, CVPR 2019, section 3.2. `variant` "paper" is the network as the paper draws
it; "caffe" and "mmdet" are the two that the authors released.
"""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from scratchdet.models.backbones.released_resnet import CaffeRootResNet, MmdetRootResNet
from scratchdet.models.backbones.resnet import STEMS, RootResNet, Stem
from scratchdet.models.detector import Detector, Neck, build_detector
from scratchdet.models.layers import Norm
from scratchdet.models.necks.extras import (
    SSD300_EXTRAS,
    SSD512_EXTRAS,
    Extra,
    ResidualExtras,
    SSDExtras,
)
from scratchdet.models.necks.released_extras import AddedExtras, PreActivationSSDExtras
from scratchdet.models.ssd import (
    BLOCKS_18,
    ROOT,
    WIDTHS,
    PriorSizes,
    Size,
    ssd300_priors,
    ssd512_priors,
)
from scratchdet.ops.priors import ssd_specs

CAFFE_STRIDES = (2, 2, 1, 1)  # of the extra levels; Resnet34rootV2_res
MMDET_STRIDES = (1, 2, 2, 2, 2, 2, 2, 1)  # of all stages; ssd_root34_300.py
BLOCKS_34 = (3, 4, 6, 3)  # He et al., Deep Residual Learning, table 1
EXTRA_WIDTH = 128  # of Root-ResNet-34's residual extra levels; ScratchDet, section 3.2


Variant = Literal["paper", "caffe", "mmdet"]


def _root_resnet18(
    variant: Variant, in_channels: int, norm: Norm, extras: Sequence[Extra]
) -> tuple[nn.Module, Neck]:
    if variant == "paper":
        return (
            RootResNet(in_channels, root=ROOT, widths=WIDTHS, blocks=BLOCKS_18, norm=norm),
            lambda channels: SSDExtras(channels, extras, norm=norm),
        )
    return (
        CaffeRootResNet(
            in_channels, root=ROOT, widths=WIDTHS, blocks=BLOCKS_18, norm=norm, first_activates=True
        ),
        lambda channels: PreActivationSSDExtras(channels, extras, norm=norm),
    )


def _root_resnet34(
    variant: Variant, in_channels: int, norm: Norm, levels: int
) -> tuple[nn.Module, Neck]:
    if variant == "paper":
        return (
            RootResNet(in_channels, root=ROOT, widths=WIDTHS, blocks=BLOCKS_34, norm=norm),
            lambda channels: ResidualExtras(channels, levels=levels, width=EXTRA_WIDTH, norm=norm),
        )
    if variant == "caffe":
        return (
            CaffeRootResNet(
                in_channels,
                root=ROOT,
                widths=WIDTHS,
                blocks=BLOCKS_34,
                norm=norm,
                first_activates=False,
            ),
            lambda channels: AddedExtras(
                channels, width=EXTRA_WIDTH, strides=CAFFE_STRIDES, norm=norm
            ),
        )
    return (
        MmdetRootResNet(
            in_channels,
            root=ROOT,
            widths=(*WIDTHS, *[EXTRA_WIDTH] * levels),
            blocks=(*BLOCKS_34, *[1] * levels),
            strides=MMDET_STRIDES,
            norm=norm,
        ),
        lambda channels: nn.Identity(),  # its extra levels are stages of the backbone
    )


def scratchdet300_r18(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (300, 300),
    variant: Literal["paper", "caffe"] = "paper",
    prior_sizes: PriorSizes = "voc",
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """ScratchDet on Root-ResNet-18, with SSD's extra layers."""
    backbone, neck = _root_resnet18(variant, in_channels, norm_backbone, SSD300_EXTRAS)
    return build_detector(
        backbone,
        neck,
        ssd300_priors(input_size, sizes=prior_sizes),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )


def scratchdet300_r34(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (300, 300),
    variant: Literal["paper", "caffe", "mmdet"] = "paper",
    prior_sizes: PriorSizes = "voc",
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """ScratchDet on Root-ResNet-34, with residual extra layers of 128 channels."""
    backbone, neck = _root_resnet34(variant, in_channels, norm_backbone, levels=4)
    return build_detector(
        backbone,
        neck,
        ssd300_priors(input_size, sizes=prior_sizes),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
        initial="he" if variant == "mmdet" else "xavier",
    )


def scratchdet512_r18(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (512, 512),
    prior_sizes: PriorSizes = "voc",
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """ScratchDet on Root-ResNet-18 at 512 px: one level more."""
    backbone, neck = _root_resnet18("paper", in_channels, norm_backbone, SSD512_EXTRAS)
    return build_detector(
        backbone,
        neck,
        ssd512_priors(input_size, sizes=prior_sizes),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )


def scratchdet512_r34(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (512, 512),
    prior_sizes: PriorSizes = "voc",
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """ScratchDet on Root-ResNet-34 at 512 px: one level more."""
    backbone, neck = _root_resnet34("paper", in_channels, norm_backbone, levels=5)
    return build_detector(
        backbone,
        neck,
        ssd512_priors(input_size, sizes=prior_sizes),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )


def scratchdet_nano(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (160, 160),
    stem: Stem = "root",
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """ScratchDet made small for CPU and edge: root block, residual stages, about 1 M parameters.

    With a stem of stride 2 every map has half the side, as in `ssd300_resnet18`.
    """
    # Priors follow the maps; where the last maps are too coarse for a whole stride, evenly.
    whole = (8.0, 16.0, 32.0, 64.0) if STEMS[stem][0][1] == 1 else (16.0, 32.0, 64.0, None)
    return build_detector(
        RootResNet(
            in_channels,
            stem=stem,
            root=16,
            widths=(24, 48, 80, 112),
            blocks=(1, 2, 2, 2),
            norm=norm_backbone,
        ),
        lambda channels: ResidualExtras(channels, levels=3, width=64, norm=norm_backbone),
        ssd_specs(
            min(input_size),
            ratios=((2.0,), (2.0,), (2.0,), (2.0,), (2.0,)),
            steps=(*whole, None),
        ),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
        initial="he",
    )
