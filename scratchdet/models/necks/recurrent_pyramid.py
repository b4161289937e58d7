"""The gated recurrent feature pyramid of GRP-DSOD.

Shen et al., Learning Object Detectors from Scratch with Gated Recurrent Feature Pyramids, 2017; the
release, `GRP_DSOD320_V6_Recurrent_Pyramid` and `Gated_module`.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.layers import Norm, make_norm
from scratchdet.models.padding import as_large_as

REDUCTION = 16  # channels : hidden units of a gate; the release, Gated_module


class Doubling(nn.Module):
    """A coarse map at twice its size, fitted to that of the finer one.

    A kernel of 2 makes 2n locations of n, a kernel of 1 makes 2n - 1: what the release chose level
    by level for one input size. At others, the surplus is cut off, or zeros stand in its place.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, norm: Norm, eps: float) -> None:
        super().__init__()
        self.spread = nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, bias=norm == "none")
        self.activate = nn.Sequential(make_norm(norm, outputs, eps=eps), nn.ReLU(inplace=True))

    def forward(
        self, coarse: Float[Tensor, "B C h w"], fine: Float[Tensor, "B _ H W"]
    ) -> Float[Tensor, "B _ H W"]:
        return self.activate(as_large_as(self.spread(coarse), fine))


class Gate(nn.Module):
    """The map plus itself, weighed by one number per channel and one for all of it.

    The release rectifies the products once more, which changes nothing: a map of GRP-DSOD is
    nowhere negative, and neither are the weights.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // REDUCTION
        self.squeeze = nn.Linear(channels, hidden)
        self.per_channel = nn.Linear(hidden, channels)
        self.overall = nn.Linear(hidden, 1)

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        hidden = F.relu(self.squeeze(features.mean(dim=(2, 3))))
        weights = torch.sigmoid(self.per_channel(hidden)) * torch.sigmoid(self.overall(hidden))
        return features + features * weights[:, :, None, None]


class RecurrentPyramid(nn.Module):
    """Every map with the next coarser one beside it, and gated; the last is gated alone.

    widths, kernels: channels and kernel size of the doubled maps, one fewer than maps.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        widths: Sequence[int],
        kernels: Sequence[int],
        norm: Norm,
        eps: float,
    ) -> None:
        super().__init__()
        self.channels = [
            *(width + own for width, own in zip(widths, channels, strict=False)),
            channels[-1],
        ]
        """Of the maps that come out."""
        self.doublings = nn.ModuleList(
            Doubling(inputs, width, kernel, norm=norm, eps=eps)
            for inputs, width, kernel in zip(channels[1:], widths, kernels, strict=True)
        )
        self.gates = nn.ModuleList(Gate(width) for width in self.channels)

    def forward(self, maps: list[Float[Tensor, "B _ _ _"]]) -> list[Float[Tensor, "B _ _ _"]]:
        joined = [
            torch.cat([double(coarse, fine), fine], dim=1)
            for double, fine, coarse in zip(self.doublings, maps, maps[1:], strict=False)
        ]
        gated = zip(self.gates, [*joined, maps[-1]], strict=True)
        return [gate(features) for gate, features in gated]
