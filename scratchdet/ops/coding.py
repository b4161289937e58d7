"""Boxes relative to priors, and back: what the localisation branch learns (SSD, equation 2)."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.ops import box_convert

VARIANCES = (0.1, 0.2)  # of centre and size; SSD Caffe release, prior_variance
MAX_LOG_SCALE = log(1000.0)  # an untrained network may ask for e^50; nothing needs 1000 x a prior


def encode(
    boxes: Float[Tensor, "*batch P 4"], priors: Float[Tensor, "P 4"]
) -> Float[Tensor, "*batch P 4"]:
    """Offsets that turn each prior into its box. boxes: xyxy, priors: cxcywh, in the same units.

    Boxes need an area; a box without one gives infinite offsets.
    """
    boxes_cxcywh = box_convert(boxes, "xyxy", "cxcywh")
    centres = (boxes_cxcywh[..., :2] - priors[:, :2]) / priors[:, 2:] / VARIANCES[0]
    sizes = torch.log(boxes_cxcywh[..., 2:] / priors[:, 2:]) / VARIANCES[1]
    return torch.cat([centres, sizes], dim=-1)


def decode(
    offsets: Float[Tensor, "*batch P 4"], priors: Float[Tensor, "P 4"]
) -> Float[Tensor, "*batch P 4"]:
    """xyxy boxes in the units of the priors (cxcywh)."""
    centres = priors[:, :2] + offsets[..., :2] * VARIANCES[0] * priors[:, 2:]
    scales = (offsets[..., 2:] * VARIANCES[1]).clamp(max=MAX_LOG_SCALE).exp()
    return box_convert(torch.cat([centres, priors[:, 2:] * scales], dim=-1), "cxcywh", "xyxy")
