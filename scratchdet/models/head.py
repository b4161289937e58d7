"""The multibox head: two 3x3 convolutions on every map, one for classes and one for boxes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.layers import Norm, make_conv, make_norm
from scratchdet.structures import Raw

HEAD_EPS = 0.001  # ConvBNLayer of the ScratchDet and DSOD releases
# With a gain of one, normalised outputs start as offsets and logits of unit variance, far from the
# small ones that are right for most priors, and hundreds of steps go into shrinking them. Our
# choice; benchmarks/output_gain.py measures it.
OUTPUT_GAIN = 0.2

Maps = list[Float[Tensor, "B _ _ _"]]


class MultiBoxHead(nn.Module):
    """Logits and offsets of every prior, in the order of the priors: level, row, column, prior.

    With a norm the convolutions have no bias and their *outputs* are normalised: BatchNorm in the
    head, as in ScratchDet, section 3.1, and DSOD. A group norm takes all outputs of a level as one
    group: smaller ones would normalise the scores of a single prior on a map of 1x1.
    """

    def __init__(
        self,
        channels: Sequence[int],
        priors_per_location: Sequence[int],
        *,
        num_classes: int,
        norm: Norm,
    ) -> None:
        super().__init__()
        self.columns = num_classes + 1  # with background
        self.classes = nn.ModuleList(
            _predictor(inputs, priors * self.columns, norm)
            for inputs, priors in zip(channels, priors_per_location, strict=True)
        )
        self.boxes = nn.ModuleList(
            _predictor(inputs, priors * 4, norm)
            for inputs, priors in zip(channels, priors_per_location, strict=True)
        )

    def forward(self, maps: Maps) -> Raw:
        classes, boxes = self.predictions(maps)
        return Raw(logits=flatten(classes, self.columns), offsets=flatten(boxes, 4))

    def predictions(self, maps: Maps) -> tuple[Maps, Maps]:
        """Classes and boxes of each level, as maps: what the convolutions compute."""
        return (
            [predict(features) for predict, features in zip(self.classes, maps, strict=True)],
            [predict(features) for predict, features in zip(self.boxes, maps, strict=True)],
        )


def _predictor(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    normalise = make_norm(norm, outputs, eps=HEAD_EPS, groups=1)
    if norm != "none":
        nn.init.constant_(normalise.get_parameter("weight"), OUTPUT_GAIN)
    return nn.Sequential(make_conv(norm, inputs, outputs, 3, padding=1), normalise)


def flatten(predictions: Maps, columns: int) -> Float[Tensor, "B P columns"]:
    """A row for each prior, in their order, of the maps that `predictions` computes."""
    rows = [
        prediction.permute(0, 2, 3, 1).reshape(prediction.shape[0], -1, columns)
        for prediction in predictions
    ]
    return torch.cat(rows, dim=1)
