"""The prediction layers of DSOD, dense and plain: the coarser maps, and their L2 normalisation.

Shen et al., DSOD, ICCV 2017, section 3.1 and figure 1; the release, `DSOD300_V3_Body`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.backbones.densenet import Order, Unit, make_pool, make_unit
from scratchdet.models.layers import NORM_EPS, L2Norm, Norm

Maps = list[Float[Tensor, "B _ _ _"]]


class DenseStep(nn.Module):
    """The next coarser map, half of it learned and half of it the map before, pooled."""

    def __init__(self, inputs: int, width: int, unit: Unit) -> None:
        super().__init__()
        self.pooled = nn.Sequential(make_pool(), *unit(inputs, width, 1))
        self.learned = nn.Sequential(*unit(inputs, width, 1), *unit(width, width, 3, stride=2))

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B _ h w"]:
        return torch.cat([self.pooled(features), self.learned(features)], dim=1)


class DensePrediction(nn.Module):
    """The first map as it is, and `len(widths)` more, of 2 * width channels each.

    channels: of the backbone's two maps. The second map is one half from the last map of the
    backbone and one half from its first.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        widths: Sequence[int],
        norm: Norm,
        order: Order = "norm-relu-conv",
        eps: float = NORM_EPS,
    ) -> None:
        super().__init__()
        unit = make_unit(order, norm=norm, eps=eps)
        first, last = channels
        self.channels = [first, *(2 * width for width in widths)]
        """Of the maps that come out."""
        self.transition = unit(last, widths[0], 1)
        self.pooled = nn.Sequential(make_pool(), *unit(first, widths[0], 1))
        self.steps = nn.ModuleList(
            DenseStep(inputs, width, unit)
            for inputs, width in zip(self.channels[1:], widths[1:], strict=False)
        )

    def forward(self, maps: Maps) -> Maps:
        first, last = maps
        result = [first, torch.cat([self.transition(last), self.pooled(first)], dim=1)]
        for step in self.steps:
            result.append(step(result[-1]))
        return result


class PlainPrediction(nn.Module):
    """The backbone's maps, and on top of the last one more for every (squeeze, outputs), as in SSD.

    Each by 1x1 to `squeeze` channels and 3x3 of stride 2 to `outputs`.
    """

    def __init__(
        self, channels: Sequence[int], *, extras: Sequence[tuple[int, int]], norm: Norm
    ) -> None:
        super().__init__()
        unit = make_unit("norm-relu-conv", norm=norm, eps=NORM_EPS)
        self.channels = [*channels, *(outputs for _, outputs in extras)]
        """Of the maps that come out."""
        self.steps = nn.ModuleList(
            nn.Sequential(*unit(inputs, squeeze, 1), *unit(squeeze, outputs, 3, stride=2))
            for inputs, (squeeze, outputs) in zip(self.channels[1:], extras, strict=False)
        )

    def forward(self, maps: Maps) -> Maps:
        result = list(maps)
        for step in self.steps:
            result.append(step(result[-1]))
        return result


class L2Normalised(nn.Module):
    """Every map, L2-normalised at each location."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(L2Norm(width) for width in channels)

    def forward(self, maps: Maps) -> Maps:
        return [scale(features) for scale, features in zip(self.scales, maps, strict=True)]
