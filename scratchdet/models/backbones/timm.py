"""Any network of timm (huggingface/pytorch-image-models) as backbone, untrained by construction."""

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchdet.models.layers import make_norm
from scratchdet.models.padding import reduced_from, to_multiples

TimmNorm = Literal["batch", "sync_batch", "group"]

REDUCTIONS = (8, 16, 32)  # of the maps that SSD's first three levels stand on
PROBE = (32, 64)  # height, width: the smallest that has all maps, and not square


class TimmBackbone(nn.Module):
    """The maps of reduction 8, 16 and 32 of the timm network `name`, as timm initialises it.

    Weights are never loaded: names of weights (`resnet50.a1_in1k`) and of the hub are refused.
    norm: "batch" leaves the network's own norms, whatever they are; "sync_batch" and "group"
    make those of its BatchNorms. It cannot be had without: its convolutions count on them. Nor with
    standardised weights: which of its convolutions stand before a norm is not told.

    Images are padded with zeros, below and on the right, to multiples of 32, and the maps cut to
    the image. So any H x W gives ceil(H / 8) x ceil(W / 8) locations, and so on, of every network;
    by themselves, some round down, and some take multiples of 32 only.

    Raises ValueError for networks that cannot be used: unknown ones, those without one of the maps
    (vision transformers), and those made for one image size.
    """

    def __init__(self, name: str, in_channels: int, *, norm: TimmNorm = "batch") -> None:
        super().__init__()
        kept, idle = _examine(name)
        self.network = _create(name, in_channels=in_channels, kept=kept)
        for parameter in idle:  # distributed training would wait for their gradients
            self.network.get_parameter(parameter).requires_grad_(False)
        if norm == "sync_batch":
            from timm.layers import convert_sync_batchnorm

            convert_sync_batchnorm(self.network)
        elif norm == "group":
            _replace_norms(name, self.network)

    def forward(self, images: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        maps = _maps(self.network, to_multiples(images, REDUCTIONS[-1]))
        return [
            reduced_from(features, images, reduction)
            for features, reduction in zip(maps, REDUCTIONS, strict=True)
        ]


def _create(name: str, *, in_channels: int = 3, kept: tuple[int, ...] | None = None) -> nn.Module:
    """The network without its classifier, and without layers that none of its maps needs.

    kept: timm's indices of the maps that it makes; None means all of them.
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError(f"the backbone {name} comes with timm: pip install timm") from error
    # Names of weights or of the hub are not in this list. For the latter, timm would fetch files.
    if name not in (known := timm.list_models()):
        similar = get_close_matches(name.partition(".")[0], known, n=5)
        raise ValueError(
            f"timm has no network called {name!r} (nothing pre-trained is loaded, so names of "
            f"weights are not taken); similar: {', '.join(similar) or 'none, see timm.list_models'}"
        )
    chosen: dict[str, Any] = {} if kept is None else {"out_indices": kept}
    return timm.create_model(
        name, pretrained=False, features_only=True, in_chans=in_channels, **chosen
    )


def _maps(network: nn.Module, images: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
    maps = network(images)
    if getattr(network, "output_fmt", "NCHW") == "NHWC":
        return [features.permute(0, 3, 1, 2) for features in maps]
    return list(maps)


@cache
def _examine(name: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Which of timm's maps are those of `REDUCTIONS`, and the parameters that none of them needs.

    Of several maps of one reduction, the last. Of all networks that were tried, HRNets alone have
    such parameters. ValueError if it cannot be a backbone.
    """
    with torch.device("meta"), torch.enable_grad():
        info: Any = _create(name).feature_info
        index_of = dict(zip(info.reduction(), info.out_indices, strict=True))
        if not set(REDUCTIONS) <= set(index_of):
            raise ValueError(
                f"timm's {name} has maps of reduction {_listed(info.reduction())}; "
                f"a backbone here needs {_listed(REDUCTIONS)}"
            )
        kept = tuple(index_of[reduction] for reduction in REDUCTIONS)
        probe = _create(name, kept=kept)
        torch.stack([features.sum() for features in _probed(name, probe)]).sum().backward()
    idle = [key for key, parameter in probe.named_parameters() if parameter.grad is None]
    return kept, tuple(idle)


def _probed(name: str, network: nn.Module) -> list[Float[Tensor, "B _ _ _"]]:
    """The maps of a small image. ValueError if the network does not take it, or cuts its edges."""
    height, width = PROBE
    try:
        maps = _maps(network, torch.empty(2, 3, height, width))
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f"timm's {name} does not take images of every size, which a backbone here has to: "
            f"at {height} x {width} it says {error!r}"
        ) from error
    shapes = [tuple(features.shape[-2:]) for features in maps]
    needed = [(height // reduction, width // reduction) for reduction in REDUCTIONS]
    if shapes != needed:
        raise ValueError(
            f"timm's {name} makes maps of {_listed(shapes)} of an image of {PROBE}; "
            f"a backbone here has to make {_listed(needed)}"
        )
    return maps


def _replace_norms(name: str, network: nn.Module) -> None:
    """Puts group norms in the place of BatchNorms; their scales, some zero, and shifts stay."""
    from timm.layers import BatchNormAct2d

    for path, layer in list(network.named_modules()):
        if type(layer) not in (nn.BatchNorm2d, BatchNormAct2d):
            continue
        group = make_norm("group", layer.num_features, eps=layer.eps)
        group.weight, group.bias = layer.weight, layer.bias
        after = (layer.drop, layer.act) if isinstance(layer, BatchNormAct2d) else ()
        network.set_submodule(path, nn.Sequential(group, *after))
    left = {
        type(layer).__name__
        for layer in network.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    }
    if left:
        raise ValueError(
            f"timm's {name} has norms that no group norm can stand for: {_listed(sorted(left))}. "
            "Choose batch"
        )


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
