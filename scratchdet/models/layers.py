"""The layers that every network here is made of, and how they are initialised."""

from math import gcd
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.padding import at_least

Norm = Literal["none", "batch", "sync_batch", "group", "group_ws"]
Initial = Literal["xavier", "he", "own"]

CHANNELS_PER_GROUP = 16  # Wu and He, Group Normalization, ECCV 2018, table 3
L2_SCALE = 20.0  # Liu et al., ParseNet, and the SSD Caffe release for conv4_3
L2_EPS = 1e-10  # of Caffe's Normalize layer
WEIGHT_EPS = 1e-10  # BiT's: weights of no spread, all alike, stay finite
NORM_EPS = 1e-5  # the default of Caffe and of PyTorch


def make_norm(
    norm: Norm, channels: int, *, eps: float = NORM_EPS, groups: int | None = None
) -> nn.Module:
    """The normalisation for `channels`; "none" is the identity, "group_ws" a group norm.

    groups: of a group norm, if not one for every 16 channels. Not a fixed 32, which would leave two
    channels to a group in narrow networks: on a map of 1x1 only their signs would survive. Where
    the groups do not divide the channels, their greatest common divisor is taken.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels, eps=eps)
    if norm == "sync_batch":
        return nn.SyncBatchNorm(channels, eps=eps)
    if norm in ("group", "group_ws"):
        wanted = groups or max(1, channels // CHANNELS_PER_GROUP)
        return nn.GroupNorm(gcd(wanted, channels), channels, eps=eps)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm {norm!r} is not known; choose from {', '.join(get_args(Norm))}")


class StridedConv(nn.Conv2d):
    """A convolution of any stride, the same as PyTorch's, on the smallest maps too.

    In bf16 on a CPU the weight gradient of a convolution of stride 2 on a map one pixel wide is
    memory that nobody wrote to (oneDNN, PyTorch 2.15): the training ends in NaN. A second row and
    column of zeros is what the padding would be anyway.
    """

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B _ _ _"]:
        return self._convolved(features, self.weight)

    def _convolved(
        self, features: Float[Tensor, "B C H W"], weight: Float[Tensor, "outputs inputs k k"]
    ) -> Float[Tensor, "B _ _ _"]:
        if self.training and self.stride[0] > 1 and min(features.shape[-2:]) == 1:
            features = at_least(features, 2)
        return self._conv_forward(features, weight, self.bias)


class StandardisedConv(StridedConv):
    """A convolution whose weights have mean 0 and variance 1 / inputs for every output channel.

    Qiao et al., Weight Standardization, 2019, and Kolesnikov et al., BiT, ECCV 2020, with variance
    1; the norm that follows undoes any factor. Ours, as in Brock et al., ICLR 2021, keeps the size
    of maps that are added up or reach the head without a norm, and is what `initialise` fills. The
    weights that are kept, trained and saved are those before.
    """

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B _ _ _"]:
        return self._convolved(features, self.standardised())

    def standardised(self) -> Float[Tensor, "outputs inputs k k"]:
        """The weights that it convolves with."""
        dims = (1, 2, 3)
        variance, mean = torch.var_mean(self.weight, dims, correction=0, keepdim=True)
        inputs = self.weight[0].numel()
        return (self.weight - mean) * torch.rsqrt(inputs * variance + WEIGHT_EPS)


def make_conv(
    norm: Norm,
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> StridedConv:
    """The convolution for a network with this norm: without one it has a bias instead."""
    kind = StandardisedConv if norm == "group_ws" else StridedConv
    return kind(
        inputs,
        outputs,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        bias=norm == "none",
    )


def conv(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    norm: Norm,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    eps: float = NORM_EPS,
) -> nn.Sequential:
    """Convolution, normalisation, ReLU; see `make_conv`. padding: None keeps the size."""
    padding = dilation * (kernel // 2) if padding is None else padding
    return nn.Sequential(
        make_conv(norm, inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation),
        make_norm(norm, outputs, eps=eps),
        nn.ReLU(inplace=True),
    )


def pre_activation(channels: int, norm: Norm) -> nn.Sequential:
    """Normalisation and ReLU, as they stand before a convolution in a pre-activation network."""
    # Not in place: the shortcut still needs the input.
    return nn.Sequential(make_norm(norm, channels), nn.ReLU())


class L2Norm(nn.Module):
    """Every location's channels scaled to length one, times a learned scale per channel."""

    def __init__(self, channels: int, scale: float = L2_SCALE) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        # Caffe's Normalize adds the eps under the root, so that a location of nothing but zeros, as
        # ReLU may leave one, has a gradient of 1e5 and not of 1e10.
        lengths = torch.sqrt(features.pow(2).sum(1, keepdim=True) + L2_EPS)
        return features / lengths * self.scale[None, :, None, None]


def initialise(module: nn.Module, scheme: Initial) -> None:
    """Fills every convolution of `module` in place, as the papers and releases say.

    "xavier": uniform, of variance 1 / inputs, which is what Caffe calls so (Glorot and Bengio 2010
    take the mean of inputs and outputs). The fillers of backbones and extra layers in the Caffe
    releases: SSD and ScratchDet (`VGGNetBNBody`, `Resnet34rootV2_res`) and DSOD (`bn_relu_conv`).
    "he": normal, of variance 2 / inputs (He et al. 2015), of ScratchDet's mmdetection release.
    "own": left as the module initialised itself. Biases start at zero, norms as the identity.

    Two things start elsewhere: L2Norm at `L2_SCALE`, and the norms of predictors at
    `head.OUTPUT_GAIN`, our one deviation. The releases fill predictors that have a norm with
    gaussians of 0.01 (`ConvBNLayer`); the norm divides by whatever it is, so ours are "xavier" too.
    """
    if scheme == "own":
        return
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if scheme == "he":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
