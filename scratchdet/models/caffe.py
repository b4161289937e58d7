"""The weights of a published Caffe network, put into ours."""

from collections.abc import Sequence
from itertools import product
from math import isclose
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from scratchdet.models.caffe_names import caffe_modules
from scratchdet.models.caffemodel import CaffeLayer
from scratchdet.models.detector import Detector
from scratchdet.models.head import MultiBoxHead
from scratchdet.models.layers import L2Norm
from scratchdet.models.zoo import choices_of, create_model

# Whose layers caffe_modules knows, and those of their choices that are about priors.
CAFFE_MODELS = ("dsod300", "dsod300_lite", "dsod300_smallest", "grp_dsod300", "grp_dsod320")
PRIOR_CHOICES = ("prior_sizes", "version")
CAFFE_MEAN = (104.0, 117.0, 123.0)  # blue, green, red in 0..255: transform_param of the releases
SAME_SIZE = 0.01  # pixels; the file has sizes in float32
TYPES: dict[type[nn.Module], str] = {
    nn.Conv2d: "Convolution",
    nn.ConvTranspose2d: "Deconvolution",
    nn.Linear: "InnerProduct",
    L2Norm: "Normalize",
}


class FileForm(NamedTuple):
    """What a file says of the network that its weights belong to."""

    num_classes: int
    choices: dict[str, Any]
    """Of the model, where there are published networks with several kinds of priors."""


class _Place(NamedTuple):
    """Where the blobs of a layer go."""

    type: str
    tensors: Sequence[Tensor]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the blobs: one for each tensor, and the factor of a BatchNorm's statistics."""
        shapes = [tuple(tensor.shape) for tensor in self.tensors]
        return [*shapes, (1,)] if self.type == "BatchNorm" else shapes


def check_published(model: str) -> None:
    """Raises ValueError for a model that has no published .caffemodel, and lists those that do."""
    if model not in CAFFE_MODELS:
        known = ", ".join(CAFFE_MODELS)
        raise ValueError(f"no .caffemodel is known of {model!r}; choose from {known}")


def published_form(model: str, layers: Sequence[CaffeLayer]) -> FileForm:
    """The classes and choices with which `create_model(model, ...)` is the network of the file.

    Where the file has no sizes of priors, they are the model's own. Raises ValueError where it is
    another network.
    """
    check_published(model)
    allowed = choices_of(model)
    names = [name for name in PRIOR_CHOICES if name in allowed]
    differences = []
    for values in product(*(allowed[name] for name in names)):
        choices: dict[str, Any] = dict(zip(names, values, strict=True))
        with torch.device("meta"):
            probe = create_model(model, num_classes=1, **choices)
        stored = _by_name(probe, layers)
        if not (difference := _other_priors(probe, layers, stored)):
            return FileForm(_count_classes(probe, stored), choices)
        differences.append(difference)
    raise ValueError(differences[0])


def load_caffe(detector: Detector, layers: Sequence[CaffeLayer]) -> None:
    """Puts the weights of `layers` into `detector`, with the input that they were learned for.

    That input is BGR less the mean, not divided. Raises ValueError where a layer is missing, left
    over, of another shape or not finite, or where classes or priors are others; the message names
    the layer, and the detector stays as it was.
    """
    stored = _by_name(detector, layers)
    if difference := _other_priors(detector, layers, stored):
        raise ValueError(difference)
    if (count := _count_classes(detector, stored)) != len(detector.classes):
        raise ValueError(
            f"the file is for {count} classes, the detector for {len(detector.classes)}: "
            f"make it with num_classes={count}"
        )
    places = _places(detector)
    new = {name: _values(stored[name], place) for name, place in places.items()}
    with torch.no_grad():
        for name, place in places.items():
            for tensor, values in zip(place.tensors, new[name], strict=True):
                tensor.copy_(torch.from_numpy(values.astype(np.float32)))
    detector.mean.copy_(torch.tensor(CAFFE_MEAN))
    detector.std.fill_(1.0)
    detector.channel_order = "bgr"


def _by_name(detector: Detector, layers: Sequence[CaffeLayer]) -> dict[str, CaffeLayer]:
    """The layers with weights; exactly those that the detector wants."""
    stored: dict[str, CaffeLayer] = {}
    for layer in layers:
        if layer.blobs and layer.name in stored:
            raise ValueError(f"two layers are called {layer.name!r}")
        if layer.blobs:
            stored[layer.name] = layer
    wanted = caffe_modules(detector)
    missing = [name for name in wanted if name not in stored]
    surplus = [name for name in stored if name not in wanted]
    if not missing and not surplus:
        return stored
    differences = []
    if missing:
        differences.append(f"layer {missing[0]!r} is missing{_and_more(missing)}")
    if surplus:
        differences.append(f"layer {surplus[0]!r} has no place in it{_and_more(surplus)}")
    model = detector.built_as["name"] if detector.built_as else "the detector"
    raise ValueError(f"not the weights of {model}: {'; '.join(differences)}")


def _and_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _outputs(
    detector: Detector, stored: dict[str, CaffeLayer], predictors: nn.ModuleList
) -> list[tuple[str, int]]:
    """Name of the layer, and its outputs in the file, of the head's convolution on every level."""
    names = {module: name for name, module in caffe_modules(detector).items()}
    layers = [stored[names[predictor.get_submodule("0")]] for predictor in predictors]
    return [(layer.name, (*layer.blobs[0].shape, 0)[0]) for layer in layers]


def _other_priors(
    detector: Detector, layers: Sequence[CaffeLayer], stored: dict[str, CaffeLayer]
) -> str:
    """How the priors of the file differ from the detector's, in number or size; or nothing."""
    boxes = _outputs(detector, stored, cast(MultiBoxHead, detector.head).boxes)
    for (name, outputs), spec in zip(boxes, detector.specs, strict=True):
        if outputs != 4 * len(spec):
            return (
                f"layer {name!r} has {outputs} outputs, but {len(spec)} priors at a location "
                f"need {4 * len(spec)}"
            )
    stated = sorted(layer.prior_sizes for layer in layers if layer.prior_sizes)
    if stated and len(stated) != len(detector.specs):
        return f"it has {len(stated)} layers of priors, not {len(detector.specs)}"
    for theirs, spec in zip(stated, detector.specs, strict=False):
        ours = (spec.min_size, spec.max_size or 0.0)
        if not _close(theirs, ours):
            return f"it has priors of the sizes {_sizes(theirs)} px, not {_sizes(ours)} px"
    return ""


def _close(theirs: Sequence[float], ours: Sequence[float]) -> bool:
    return len(theirs) == len(ours) and all(
        isclose(a, b, rel_tol=0, abs_tol=SAME_SIZE) for a, b in zip(theirs, ours, strict=True)
    )


def _sizes(sizes: Sequence[float]) -> str:
    return ", ".join(f"{size:g}" for size in sizes[:9])


def _count_classes(detector: Detector, stored: dict[str, CaffeLayer]) -> int:
    name, outputs = _outputs(detector, stored, cast(MultiBoxHead, detector.head).classes)[0]
    priors = len(detector.specs[0])
    if outputs % priors or outputs < 2 * priors:
        raise ValueError(
            f"layer {name!r} has {outputs} outputs: not so many for each of {priors} priors, "
            "one of them background"
        )
    return outputs // priors - 1


def _places(detector: Detector) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    normed = set()
    for name, module in caffe_modules(detector).items():
        if not isinstance(module, nn.BatchNorm2d):
            kind = next(TYPES[kind] for kind in TYPES if isinstance(module, kind))
            places[name] = _Place(kind, [*module.parameters()])
        elif module in normed:
            places[name] = _Place("Scale", [module.weight, module.bias])
        else:
            normed.add(module)
            places[name] = _Place(
                "BatchNorm",
                [module.get_buffer("running_mean"), module.get_buffer("running_var")],
            )
    return places


def _values(layer: CaffeLayer, place: _Place) -> list[np.ndarray]:
    """One array for each tensor of `place`, of its shape and finite in float32."""
    if layer.type not in (place.type, ""):
        raise ValueError(f"layer {layer.name!r} is {layer.type!r}, not {place.type}")
    shapes = place.shapes
    if len(layer.blobs) != len(shapes):
        raise ValueError(
            f"layer {layer.name!r} has {len(layer.blobs)} blobs; "
            f"{len(shapes)} are expected: {_listed(shapes)}"
        )
    for index, (blob, shape) in enumerate(zip(layer.blobs, shapes, strict=True)):
        # Before 2015 every blob had four axes, with ones in front.
        if blob.shape not in (shape, (1,) * (4 - len(shape)) + shape):
            raise ValueError(
                f"layer {layer.name!r}, blob {index}: its shape is {_listed([blob.shape])}; "
                f"{_listed([shape])} is expected"
            )
    arrays = [blob.reshape(shape) for blob, shape in zip(layer.blobs, shapes, strict=True)]
    _check_finite(layer.name, arrays)
    if place.type == "BatchNorm":
        arrays = _statistics(layer.name, *arrays)
        _check_finite(layer.name, arrays)
    return arrays


def _check_finite(name: str, arrays: list[np.ndarray]) -> None:
    with np.errstate(over="ignore"):
        if not all(np.isfinite(array.astype(np.float32)).all() for array in arrays):
            raise ValueError(f"layer {name!r} has weights that are not finite numbers")


def _statistics(
    name: str, mean: np.ndarray, variance: np.ndarray, factor: np.ndarray
) -> list[np.ndarray]:
    """Mean and variance, which are stored times a factor; of a factor of 0 Caffe makes zeros."""
    if (variance * np.sign(factor) < 0).any():
        raise ValueError(f"layer {name!r} has a negative variance")
    factor = factor.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        scale = np.divide(1, factor, out=np.zeros_like(factor), where=factor != 0)
        return [mean * scale, variance * scale]


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(" x ".join(map(str, shape)) or "a single number" for shape in shapes)
