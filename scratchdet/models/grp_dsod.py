"""GRP-DSOD: DSOD with a gated recurrent feature pyramid.

Shen et al., Learning Object Detectors from Scratch with Gated Recurrent Feature Pyramids, 2017; its
release (`model_libs.py`, `GRP_DSOD320_pascal.py`) and the sizes of the files published with it. The
release never learns the transposed convolutions, which it fills with one bilinear filter for all
channels; here they are learned like any other.
"""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from scratchdet.models.backbones.densenet import DenseNet
from scratchdet.models.checkpointing import Checkpointing
from scratchdet.models.detector import Detector, build_detector
from scratchdet.models.dsod import LAYERS, dsod300_priors, released_steps
from scratchdet.models.layers import Norm
from scratchdet.models.necks.dense import DensePrediction, L2Normalised
from scratchdet.models.necks.recurrent_pyramid import RecurrentPyramid
from scratchdet.models.ssd import SSD300_RATIOS, Size
from scratchdet.ops.priors import PriorSpec, ssd_specs

# GRP_DSOD320_V6_Recurrent_Pyramid of the release.
EPS = 1e-4
EARLY = 128
WIDTHS = (171, 86, 86, 86, 128)  # half of each map's channels before the pyramid
RECURRENT = (128, 171, 86, 86, 86)  # channels of what comes from the next coarser map
KERNELS_320 = (2, 2, 2, 1, 1)  # of the doublings, from 20 10 5 3 2 to 40 20 10 5 3
KERNELS_300 = (2, 1, 2, 1, 1)  # in its comments: from 19 10 5 3 2 to 38 19 10 5 3

Version = Literal["320*", "320"]
RATIOS: dict[Version, tuple[tuple[float, ...], ...]] = {
    "320*": (*((1.6, 2.0, 3.0),) * 4, (1.6, 2.0), (1.6, 2.0)),  # GRP_DSOD320_pascal.py
    "320": SSD300_RATIOS,
}


def grp_dsod320_priors(input_size: Size, *, version: Version = "320*") -> tuple[PriorSpec, ...]:
    """17,078 priors at 320 x 320; 9,602 of version "320"."""
    steps = released_steps(input_size, 320)
    return ssd_specs(min(input_size), ratios=RATIOS[version], steps=steps)


def grp_dsod320(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (320, 320),
    version: Version = "320*",
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
    checkpointing: Checkpointing = "off",
) -> Detector:
    """GRP-DSOD320* of the release, with priors of aspect ratio 1.6 as well: 79.0 mAP published.

    version "320": the smaller one, 14.2 M parameters and 78.7 mAP. That its priors are SSD's is
    concluded from the size of its file: ours has 56.78 MB, published are 56.8 MB.
    """
    return _grp_dsod(
        grp_dsod320_priors(input_size, version=version),
        kernels=KERNELS_320,
        num_classes=num_classes,
        in_channels=in_channels,
        input_size=input_size,
        norm_backbone=norm_backbone,
        norm_head=norm_head,
        checkpointing=checkpointing,
    )


def grp_dsod300(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (300, 300),
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
    checkpointing: Checkpointing = "off",
) -> Detector:
    """GRP-DSOD300, with the priors of DSOD300: 14.1 M parameters and 78.5 mAP published.

    The release has only the network for 320 px, and in its comments what differs at 300. That the
    priors are SSD's is concluded from the size of the file: ours has 56.42 MB without the names
    of its layers, published are 56.5 MB.
    """
    return _grp_dsod(
        dsod300_priors(input_size),
        kernels=KERNELS_300,
        num_classes=num_classes,
        in_channels=in_channels,
        input_size=input_size,
        norm_backbone=norm_backbone,
        norm_head=norm_head,
        checkpointing=checkpointing,
    )


def _grp_dsod(
    specs: Sequence[PriorSpec],
    *,
    kernels: Sequence[int],
    num_classes: int,
    in_channels: int,
    input_size: Size,
    norm_backbone: Norm,
    norm_head: Norm,
    checkpointing: Checkpointing,
) -> Detector:
    backbone = DenseNet(
        in_channels,
        layers=LAYERS,
        bottleneck=192,
        growth=48,
        norm=norm_backbone,
        order="conv-norm-relu",
        eps=EPS,
        early=EARLY,
        checkpointing=checkpointing,
    )

    def neck(channels: list[int]) -> nn.Module:
        prediction = DensePrediction(
            channels, widths=WIDTHS, norm=norm_backbone, order="conv-norm-relu", eps=EPS
        )
        pyramid = RecurrentPyramid(
            prediction.channels, widths=RECURRENT, kernels=kernels, norm=norm_backbone, eps=EPS
        )
        return nn.Sequential(prediction, pyramid, L2Normalised(pyramid.channels))

    return build_detector(
        backbone,
        neck,
        specs,
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )
