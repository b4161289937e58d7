"""SSD: on VGG-16 with or without norms, and on ResNet-18 with four stems.

Liu et al., SSD, ECCV 2016; the SSD Caffe release (`ssd_pascal.py`).
"""

from typing import Literal

from scratchdet.models.backbones.resnet import STEMS, RootResNet, Stem
from scratchdet.models.backbones.vgg import VGG16
from scratchdet.models.detector import Detector, build_detector
from scratchdet.models.layers import Norm
from scratchdet.models.necks.extras import SSD300_EXTRAS, SSD512_EXTRAS, SSDExtras
from scratchdet.ops.priors import PriorSpec, ssd_specs

Size = tuple[int, int]
PriorSizes = Literal["voc", "coco"]

SSD300_RATIOS = ((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), (2.0,), (2.0,))
# The release states 8 16 32 64 100 300 for an input of 300. The first four are the strides of the
# maps; the last two are 300 / 3 and 300 / 1, a map spread over the image, and said so here, so that
# it holds for every input.
SSD300_STEPS = (8.0, 16.0, 32.0, 64.0, None, None)
SSD512_RATIOS = ((2.0,), *((2.0, 3.0),) * 4, (2.0,), (2.0,))
# At 512 the release's 128 256 512 are maps of 4, 2 and 1 location, spread over the image.
SSD512_STEPS = (8.0, 16.0, 32.0, 64.0, None, None, None)
# Fractions of the input: the first level's size and the second's, from which they grow linearly.
PRIOR_SIZES_300: dict[PriorSizes, tuple[float, float]] = {
    "voc": (0.10, 0.20),  # ssd_pascal.py; ScratchDet's and DSOD's are the same
    "coco": (0.07, 0.15),  # ssd_coco.py of ScratchDet, DSOD300_coco.py
}
PRIOR_SIZES_512: dict[PriorSizes, tuple[float, float]] = {
    "voc": (0.07, 0.15),  # ssd_pascal.py, 512
    "coco": (0.04, 0.10),  # ssdbn_head.py and ssd512_scratchdet_coco.py of ScratchDet
}
# He et al., Deep Residual Learning, table 1.
ROOT = 64
WIDTHS = (64, 128, 256, 512)
BLOCKS_18 = (2, 2, 2, 2)


def ssd300_priors(input_size: Size, *, sizes: PriorSizes = "voc") -> tuple[PriorSpec, ...]:
    """8,732 priors at 300 x 300 (SSD, section 3.1)."""
    first, smallest = PRIOR_SIZES_300[sizes]
    return ssd_specs(
        min(input_size), ratios=SSD300_RATIOS, steps=SSD300_STEPS, first=first, smallest=smallest
    )


def ssd512_priors(input_size: Size, *, sizes: PriorSizes = "voc") -> tuple[PriorSpec, ...]:
    """24,564 priors at 512 x 512: one level more, and smaller ones than at 300."""
    first, smallest = PRIOR_SIZES_512[sizes]
    return ssd_specs(
        min(input_size), ratios=SSD512_RATIOS, steps=SSD512_STEPS, first=first, smallest=smallest
    )


def ssd300_vgg16(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (300, 300),
    prior_sizes: PriorSizes = "voc",
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """SSD300 on VGG-16; with BatchNorm in backbone and head the first system of ScratchDet."""
    return build_detector(
        VGG16(in_channels, norm=norm_backbone),
        lambda channels: SSDExtras(channels, SSD300_EXTRAS, norm=norm_backbone, ends_raw=True),
        ssd300_priors(input_size, sizes=prior_sizes),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )


def ssd512_vgg16(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (512, 512),
    prior_sizes: PriorSizes = "voc",
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """SSD512 on VGG-16: one level more."""
    return build_detector(
        VGG16(in_channels, norm=norm_backbone),
        lambda channels: SSDExtras(channels, SSD512_EXTRAS, norm=norm_backbone, ends_raw=True),
        ssd512_priors(input_size, sizes=prior_sizes),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )


def ssd300_resnet18(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (300, 300),
    stem: Stem = "7x7/2",
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """SSD300 on ResNet-18 with one of four stems: the ablation of the root block.

    ScratchDet, section 4.1. The variants differ in the stem alone, so that with a stem of stride 2
    every map has half the side: 19 10 5 3 1 1.
    """
    backbone = RootResNet(
        in_channels, stem=stem, root=ROOT, widths=WIDTHS, blocks=BLOCKS_18, norm=norm_backbone
    )
    stem_stride = STEMS[stem][0][1]
    # Priors follow the maps; where the last maps are too coarse for a whole stride, evenly.
    steps = SSD300_STEPS if stem_stride == 1 else (16.0, 32.0, 64.0, None, None, None)
    return build_detector(
        backbone,
        lambda channels: SSDExtras(channels, SSD300_EXTRAS, norm=norm_backbone),
        ssd_specs(min(input_size), ratios=SSD300_RATIOS, steps=steps),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )
