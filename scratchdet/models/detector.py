"""A detector: backbone, neck and head, with the priors that belong to their maps."""

import copy
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

from scratchdet.models.head import MultiBoxHead
from scratchdet.models.layers import Initial, Norm, initialise
from scratchdet.ops.pixels import check_images, fitted
from scratchdet.ops.postprocess import postprocess
from scratchdet.ops.priors import PriorSpec, make_priors
from scratchdet.structures import Detections, Raw

ChannelOrder = Literal["rgb", "bgr"]


class Detector(nn.Module):
    """`detector(images)` computes logits and offsets; `detector.predict(images)` finds objects.

    backbone: images -> list of maps; neck: list of maps -> list of maps; head: list of maps -> Raw.
    specs: the priors of each map. input_size: (height, width) that it is trained at and `predict`
    resizes to; `forward` takes any. mean, std: per channel, in units of the pixels (0..255 for
    uint8), of the images it is fed, in their `channel_order`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        head: nn.Module,
        *,
        specs: Sequence[PriorSpec],
        input_size: tuple[int, int],
        in_channels: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.backbone, self.neck, self.head = backbone, neck, head
        self.specs = tuple(specs)
        self.input_size = input_size
        self.in_channels = in_channels
        self.classes = tuple(f"class_{label}" for label in range(num_classes))
        self.channel_order: ChannelOrder = "rgb"
        """Of the images that `forward` is fed, where they have three channels. "bgr" only where
        the weights were learned so, in Caffe; images as read are always RGB."""
        self.image_dtype = "uint8"
        """Of images as read, one of `ops.pixels.DTYPES`: mean and std are for these."""
        self.files = ""
        """How the files of an image are called, if there are several: the recipe's `data.files`."""
        self.built_as: dict[str, object] | None = None
        """The call to `create_model` that rebuilds this network; None if it was not made by it."""
        self.mean: Tensor
        self.std: Tensor
        # Neither belongs to the weights: both are in the metadata of a saved model.
        self.register_buffer("mean", torch.full((in_channels,), 127.5), persistent=False)
        self.register_buffer("std", torch.full((in_channels,), 64.0), persistent=False)
        self._priors: dict[tuple[int, int], Tensor] = {}

    def forward(self, images: Float[Tensor, "B C H W"]) -> Raw:
        return self.head(self.neck(self.backbone(images)))

    @property
    def device(self) -> torch.device:
        return self.mean.device

    @property
    def priors(self) -> Float[Tensor, "P 4"]:
        """cxcywh in [0, 1], for images of `input_size`, on the device of the weights."""
        return self.priors_for(self.input_size)

    def priors_for(self, image_size: tuple[int, int]) -> Float[Tensor, "P 4"]:
        """cxcywh in [0, 1], for images of any (height, width)."""
        if image_size not in self._priors:
            shapes = measure(self.neck, measure(self.backbone, (self.in_channels, *image_size)))
            maps = [(height, width) for _, height, width in shapes]
            self._priors[image_size] = make_priors(self.specs, maps, image_size)
        self._priors[image_size] = self._priors[image_size].to(self.device)
        return self._priors[image_size]

    def normalise(self, images: Real[Tensor, "B H W C"]) -> Float[Tensor, "B C H W"]:
        """What `forward` wants, from images as they are read."""
        if self.channel_order == "bgr":
            images = images.flip(-1)
        scaled = (images.float() - self.mean) / self.std
        # A view: the channels stay last in memory, where convolutions are fastest.
        return scaled.permute(0, 3, 1, 2)

    @torch.no_grad()  # not inference_mode: priors kept from it could not be trained with
    def predict(
        self,
        images: Sequence[np.ndarray],
        *,
        input_size: tuple[int, int] | None = None,
        **choices: float | int,
    ) -> list[Detections]:
        """The objects in each image, in pixels of that image; switches to `eval()` meanwhile.

        images: (H, W, C) or, for one channel, (H, W); of `image_dtype`, any sizes. choices:
        `min_score`, `top_per_class`, `nms_iou`, `keep` of `postprocess`. Raises ValueError for
        anything else.
        """
        check_images(images, self.in_channels, dtype=self.image_dtype)
        if not images:
            return []
        size = input_size or self.input_size
        batch = torch.from_numpy(fitted(images, size))
        training = self.training
        self.eval()
        try:
            raw = self(self.normalise(batch.to(self.device)))
        finally:
            self.train(training)
        return postprocess(
            raw,
            self.priors_for(size),
            image_sizes=[(image.shape[0], image.shape[1]) for image in images],
            **choices,  # type: ignore[arg-type]
        )


Shape = tuple[int, int, int]
Neck = Callable[[list[int]], nn.Module]
"""Makes a neck, given the channels of the backbone's maps."""


def measure(module: nn.Module, shapes: Shape | list[Shape]) -> list[Shape]:
    """(channels, height, width) of every map that `module` makes of an image, or of maps.

    Runs a copy without memory (the meta device), in `eval()`: BatchNorm takes a batch of one there.
    """
    probe = copy.deepcopy(module).to("meta").eval()
    if isinstance(shapes, list):
        maps = probe([torch.empty(1, *shape, device="meta") for shape in shapes])
    else:
        maps = probe(torch.empty(1, *shapes, device="meta"))
    return [(map_.shape[1], map_.shape[2], map_.shape[3]) for map_ in maps]


def build_detector(
    backbone: nn.Module,
    neck: Neck,
    specs: Sequence[PriorSpec],
    *,
    input_size: tuple[int, int],
    in_channels: int,
    num_classes: int,
    norm_head: Norm,
    initial: Initial = "xavier",
) -> Detector:
    """An untrained detector of these parts; `neck` is given the channels of the backbone's maps.

    Nothing declares its channels: they are measured. initial: of the backbone's weights; the neck's
    are the same, or "he" where the backbone has its own.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}: one foreground class at least")
    shapes = measure(backbone, (in_channels, *input_size))
    necking = neck([channels for channels, _, _ in shapes])
    shapes = measure(necking, shapes)
    if len(shapes) != len(specs):
        raise ValueError(f"{len(specs)} prior specs for {len(shapes)} feature maps")
    head = MultiBoxHead(
        [channels for channels, _, _ in shapes],
        [len(spec) for spec in specs],
        num_classes=num_classes,
        norm=norm_head,
    )
    initialise(backbone, initial)
    initialise(necking, "he" if initial == "own" else initial)
    initialise(head, "xavier")
    return Detector(
        backbone,
        necking,
        head,
        specs=specs,
        input_size=input_size,
        in_channels=in_channels,
        num_classes=num_classes,
    )


def with_priors(detector: Detector, specs: Sequence[PriorSpec], *, norm_head: Norm) -> Detector:
    """The untrained detector with other priors, and with a new head for them.

    Backbone and neck are the same modules: what is built from one seed starts alike, whatever its
    priors.
    """
    shapes = measure(detector.backbone, (detector.in_channels, *detector.input_size))
    head = MultiBoxHead(
        [channels for channels, _, _ in measure(detector.neck, shapes)],
        [len(spec) for spec in specs],
        num_classes=len(detector.classes),
        norm=norm_head,
    )
    initialise(head, "xavier")
    return Detector(
        detector.backbone,
        detector.neck,
        head,
        specs=specs,
        input_size=detector.input_size,
        in_channels=detector.in_channels,
        num_classes=len(detector.classes),
    )
