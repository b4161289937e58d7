"""DSOD: densely connected detectors, the first to be trained well from scratch.

Shen et al., DSOD, ICCV 2017; its release (`model_libs.py`, `DSOD300_pascal.py`, `DSOD300_coco.py`)
and the sizes of the model files published with it.
"""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from scratchdet.models.backbones.densenet import DenseNet
from scratchdet.models.checkpointing import Checkpointing
from scratchdet.models.detector import Detector, Neck, build_detector
from scratchdet.models.layers import Norm
from scratchdet.models.necks.dense import DensePrediction, L2Normalised, PlainPrediction
from scratchdet.models.ssd import (
    PRIOR_SIZES_300,
    SSD300_RATIOS,
    PriorSizes,
    Size,
    ssd512_priors,
)
from scratchdet.ops.priors import PriorSpec, ssd_specs

LAYERS = (6, 8, 8, 8)  # of the dense blocks; DSOD, table 1
LITE_LAYERS = (3, 4, 4, 4)  # half as many: our guess, see dsod300_lite
DSOD300_WIDTHS = (256, 256, 128, 128, 128)  # half of each map's channels; DSOD300_V3_Body
DSOD512_WIDTHS = (256, 256, 128, 128, 128, 128)  # DSOD512_V3_Body
PLAIN_EXTRAS = ((512, 512), (128, 256), (128, 256), (128, 256))  # our guess, see dsod300


def released_steps(input_size: Size, released: int) -> tuple[float | None, ...]:
    """The distance between locations, in pixels, of the six levels of DSOD.

    The release keeps SSD's last two, 100 px and the whole input, though its last map is 2x2: three
    of its four locations lie outside the image. So do ours at the input size of the release, where
    the published weights were learned so; at any other, the last two maps are spread evenly.
    """
    last = (100.0, float(released)) if input_size == (released, released) else (None, None)
    return (8.0, 16.0, 32.0, 64.0, *last)


def dsod300_priors(input_size: Size, *, sizes: PriorSizes = "voc") -> tuple[PriorSpec, ...]:
    """8,744 priors at 300 x 300."""
    first, smallest = PRIOR_SIZES_300[sizes]
    return ssd_specs(
        min(input_size),
        ratios=SSD300_RATIOS,
        steps=released_steps(input_size, 300),
        first=first,
        smallest=smallest,
    )


def _dense_neck(widths: Sequence[int], norm: Norm) -> Neck:
    def neck(channels: list[int]) -> nn.Module:
        prediction = DensePrediction(channels, widths=widths, norm=norm)
        return nn.Sequential(prediction, L2Normalised(prediction.channels))

    return neck


def _plain_neck(norm: Norm) -> Neck:
    def neck(channels: list[int]) -> nn.Module:
        prediction = PlainPrediction(channels, extras=PLAIN_EXTRAS, norm=norm)
        return nn.Sequential(prediction, L2Normalised(prediction.channels))

    return neck


def dsod300(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (300, 300),
    prediction: Literal["dense", "plain"] = "dense",
    prior_sizes: PriorSizes = "voc",
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
    checkpointing: Checkpointing = "off",
) -> Detector:
    """DSOD300, DS/64-192-48-1.

    prior_sizes: "coco" for the smaller priors of the network published for COCO.
    prediction "plain": DSOD's figure 1 draws it, with 18.2 M parameters, but it was not released.
    Ours (a guess that meets that number, 18.15 M and 18.23 M with statistics) puts SSD's extra
    layers on the fourth block, each by a stride of 2 so that the maps are the same, the first with
    512 channels between its convolutions.
    """
    backbone = DenseNet(
        in_channels,
        layers=LAYERS,
        bottleneck=192,
        growth=48,
        norm=norm_backbone,
        checkpointing=checkpointing,
    )
    dense = prediction == "dense"
    return build_detector(
        backbone,
        _dense_neck(DSOD300_WIDTHS, norm_backbone) if dense else _plain_neck(norm_backbone),
        dsod300_priors(input_size, sizes=prior_sizes),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )


def dsod300_lite(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (300, 300),
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
    checkpointing: Checkpointing = "off",
) -> Detector:
    """DSOD300-lite, DS/64-256-64-1: wider layers, and half as many (3, 4, 4, 4 in the four blocks).

    The name is all that was released of its structure. The number of layers is our guess: with it
    there are 10.40 M parameters, and 41.75 MB with statistics; published are 10.4 M and 41.8 MB.
    """
    backbone = DenseNet(
        in_channels,
        layers=LITE_LAYERS,
        bottleneck=256,
        growth=64,
        norm=norm_backbone,
        checkpointing=checkpointing,
    )
    return build_detector(
        backbone,
        _dense_neck(DSOD300_WIDTHS, norm_backbone),
        dsod300_priors(input_size),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )


def dsod300_smallest(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (300, 300),
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
    checkpointing: Checkpointing = "off",
) -> Detector:
    """DSOD300-smallest, DS/64-64-16-1: layers a third as wide."""
    backbone = DenseNet(
        in_channels,
        layers=LAYERS,
        bottleneck=64,
        growth=16,
        norm=norm_backbone,
        checkpointing=checkpointing,
    )
    return build_detector(
        backbone,
        _dense_neck(DSOD300_WIDTHS, norm_backbone),
        dsod300_priors(input_size),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )


def dsod512(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (512, 512),
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
    checkpointing: Checkpointing = "off",
) -> Detector:
    """DSOD at 512 px: one level more, with the priors of SSD512."""
    backbone = DenseNet(
        in_channels,
        layers=LAYERS,
        bottleneck=192,
        growth=48,
        norm=norm_backbone,
        checkpointing=checkpointing,
    )
    return build_detector(
        backbone,
        _dense_neck(DSOD512_WIDTHS, norm_backbone),
        ssd512_priors(input_size),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )
