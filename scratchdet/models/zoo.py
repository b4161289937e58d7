"""The named detectors: one function each. All of them are untrained, always.

A detector here is `model(num_classes=..., in_channels=..., input_size=(height, width), ...)`; what
follows are its own choices. Published figures are PASCAL VOC 2007 test mAP, trained from scratch on
VOC 07+12, from Zhu et al., ScratchDet, CVPR 2019; nothing here was trained to them by us.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial

from scratchdet.models.backbones.resnet import RootResNet
from scratchdet.models.backbones.vgg import VGG16
from scratchdet.models.detector import Detector, build_detector
from scratchdet.models.layers import Norm
from scratchdet.models.necks.extras import SSD300_EXTRAS, ResidualExtras, SSDExtras
from scratchdet.ops.priors import PriorSpec, ssd_specs

Size = tuple[int, int]

SSD300_RATIOS = ((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), (2.0,), (2.0,))
# The release states 8 16 32 64 100 300 for an input of 300. The first four are the strides of the
# maps; the last two are 300 / 3 and 300 / 1, a map spread over the image, and said so here, so that
# it holds for every input.
SSD300_STEPS = (8.0, 16.0, 32.0, 64.0, None, None)


def ssd300_priors(input_size: Size) -> tuple[PriorSpec, ...]:
    """8,732 priors at 300 x 300 (SSD, section 3.1)."""
    return ssd_specs(min(input_size), ratios=SSD300_RATIOS, steps=SSD300_STEPS)


def ssd300_vgg16(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (300, 300),
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """SSD300 on VGG-16; with BatchNorm in backbone and head the first system of ScratchDet."""
    return build_detector(
        VGG16(in_channels, norm=norm_backbone),
        lambda channels: SSDExtras(channels, SSD300_EXTRAS, norm=norm_backbone),
        ssd300_priors(input_size),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )


def scratchdet300_r18(
    *,
    num_classes: int,
    in_channels: int,
    input_size: Size = (300, 300),
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """ScratchDet on Root-ResNet-18, with SSD's extra layers."""
    return build_detector(
        RootResNet(
            in_channels,
            root=64,
            widths=(64, 128, 256, 512),
            blocks=(2, 2, 2, 2),
            norm=norm_backbone,
        ),
        lambda channels: SSDExtras(channels, SSD300_EXTRAS, norm=norm_backbone),
        ssd300_priors(input_size),
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
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """ScratchDet on Root-ResNet-34, with residual extra layers of 128 channels."""
    return build_detector(
        RootResNet(
            in_channels,
            root=64,
            widths=(64, 128, 256, 512),
            blocks=(3, 4, 6, 3),
            norm=norm_backbone,
        ),
        partial(ResidualExtras, levels=4, width=128, norm=norm_backbone),
        ssd300_priors(input_size),
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
    norm_backbone: Norm = "batch",
    norm_head: Norm = "batch",
) -> Detector:
    """ScratchDet made small for CPU and edge: root block, residual stages, about 1 M parameters."""
    return build_detector(
        RootResNet(
            in_channels,
            root=16,
            widths=(24, 48, 80, 112),
            blocks=(1, 2, 2, 2),
            norm=norm_backbone,
        ),
        partial(ResidualExtras, levels=3, width=64, norm=norm_backbone),
        ssd_specs(
            min(input_size),
            ratios=((2.0,), (2.0,), (2.0,), (2.0,), (2.0,)),
            steps=(8.0, 16.0, 32.0, 64.0, None),
        ),
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
        norm_head=norm_head,
    )


MODELS: dict[str, Callable[..., Detector]] = {
    "ssd300_vgg16": ssd300_vgg16,
    "scratchdet300_r18": scratchdet300_r18,
    "scratchdet300_r34": scratchdet300_r34,
    "scratchdet_nano": scratchdet_nano,
}


def list_models() -> list[str]:
    """The names that `create_model` knows."""
    return list(MODELS)


def create_model(
    name: str,
    num_classes: int = 20,
    in_channels: int = 3,
    *,
    classes: Sequence[str] | None = None,
    **choices: object,
) -> Detector:
    """An untrained detector. num_classes: foreground only. choices: of the model, see its function.

    `input_size` may be one number for a square. classes: the names, instead of `num_classes`.
    Raises ValueError for a name or a choice that does not exist, and lists those that do.
    """
    if name not in MODELS:
        raise ValueError(f"no model is called {name!r}; there are {', '.join(MODELS)}")
    allowed = [
        parameter
        for parameter in inspect.signature(MODELS[name]).parameters
        if parameter not in ("num_classes", "in_channels")
    ]
    if unknown := [choice for choice in choices if choice not in allowed]:
        raise ValueError(f"{name} has no choice {unknown[0]!r}; it has {', '.join(allowed)}")
    if isinstance(size := choices.get("input_size"), int):
        choices = {**choices, "input_size": (size, size)}
    count = len(classes) if classes is not None else num_classes
    detector = MODELS[name](num_classes=count, in_channels=in_channels, **choices)
    if classes is not None:
        detector.classes = tuple(classes)
    detector.built_as = {"name": name, "in_channels": in_channels, **choices}
    return detector
