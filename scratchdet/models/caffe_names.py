"""The layers of DSOD's and GRP-DSOD's published .caffemodel files, and where their weights go."""

from collections import Counter
from collections.abc import Iterator, Mapping

from torch import nn

from scratchdet.models.backbones.densenet import DenseNet
from scratchdet.models.detector import Detector
from scratchdet.models.head import MultiBoxHead
from scratchdet.models.necks.dense import DensePrediction, L2Normalised
from scratchdet.models.necks.recurrent_pyramid import RecurrentPyramid

DSOD_SOURCES: tuple[str, ...] = ("First", "Second", "Third", "Fourth", "Fifth", "Sixth")
GRP_SOURCES = tuple(f"Recurrent{level}" for level in range(1, 7))
# What Caffe calls the layers of a kind, numbered from 1, where the release gives no name.
KINDS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("Convolution",),
    nn.ConvTranspose2d: ("Deconvolution",),
    nn.BatchNorm2d: ("BatchNorm", "Scale"),
    nn.Linear: ("InnerProduct",),
}

Names = dict[str, nn.Module]


def caffe_modules(detector: Detector) -> Names:
    """The module that holds the weights of each layer, by the layer's name, in the file's order.

    A BatchNorm2d stands behind two names: one for its running statistics (BatchNorm4, X_bn), one
    for its weight and bias (Scale4, X_scale). Raises ValueError for a detector that was never
    published in this format.
    """
    backbone, neck, head = detector.backbone, detector.neck, detector.head
    parts = [*neck.children()] if isinstance(neck, nn.Sequential) else []
    match parts:
        case [DensePrediction(), L2Normalised() as normalised]:
            sources = DSOD_SOURCES
        case [DensePrediction(), RecurrentPyramid(), L2Normalised() as normalised]:
            sources = GRP_SOURCES
        case _:
            raise ValueError(_refusal("it is neither DSOD nor GRP-DSOD with dense prediction"))
    if not isinstance(backbone, DenseNet) or not isinstance(head, MultiBoxHead):
        raise ValueError(_refusal("its backbone or head is another"))
    if len(normalised.scales) != len(sources):
        raise ValueError(_refusal(f"it has {len(normalised.scales)} levels, not {len(sources)}"))
    if not _batch_norms_alone(detector):
        raise ValueError(_refusal("it has other norms than batch norms"))
    given = _given(backbone, parts[1])
    body = _numbered([backbone, *parts[:-1]], given)
    gated = [f"{source}_gate" if sources is GRP_SOURCES else source for source in sources]
    return {**dict(body), **dict(_head(gated, normalised, head))}


def _refusal(reason: str) -> str:
    return (
        f"no .caffemodel was published of this detector: {reason}; build dsod300 or one of its "
        "kin, with batch norms in backbone and head"
    )


def _batch_norms_alone(detector: Detector) -> bool:
    layers = [*detector.modules()]
    biased = any(isinstance(layer, nn.Conv2d) and layer.bias is not None for layer in layers)
    return not biased and not any(
        isinstance(layer, nn.GroupNorm | nn.SyncBatchNorm) for layer in layers
    )


def _given(backbone: DenseNet, part: nn.Module) -> dict[nn.Module, str]:
    """The layers of the body that have names of their own, because the release refers to them."""
    if isinstance(part, RecurrentPyramid):
        return {
            gate.get_submodule("squeeze"): f"{source}_fc"
            for source, gate in zip(GRP_SOURCES, part.gates, strict=True)
        }
    return {backbone.transition2[-1]: DSOD_SOURCES[0]}


def _numbered(
    parts: list[nn.Module], given: Mapping[nn.Module, str]
) -> Iterator[tuple[str, nn.Module]]:
    numbers: Counter[str] = Counter()
    for layer in (layer for part in parts for layer in part.modules()):
        if layer in given:
            yield given[layer], layer
            continue
        for kind in next((KINDS[kind] for kind in KINDS if isinstance(layer, kind)), ()):
            numbers[kind] += 1
            yield f"{kind}{numbers[kind]}", layer


def _head(
    sources: list[str], normalised: L2Normalised, head: MultiBoxHead
) -> Iterator[tuple[str, nn.Module]]:
    levels = zip(sources, normalised.scales, head.boxes, head.classes, strict=True)
    for source, scale, boxes, classes in levels:
        yield f"{source}_norm", scale
        for kind, predictor in (("loc", boxes), ("conf", classes)):
            name = f"{source}_norm_mbox_{kind}"
            yield name, predictor.get_submodule("0")
            yield f"{name}_bn", predictor.get_submodule("1")
            yield f"{name}_scale", predictor.get_submodule("1")
