"""Writes .caffemodel files through Google's protobuf, so that our reader is held against another.

Field numbers are those of caffe.proto in the SSD release.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from torch import nn

from scratchdet.models.caffe_names import caffe_modules
from scratchdet.models.caffemodel import CaffeLayer
from scratchdet.models.detector import Detector

Version = Literal["V1", "V2"]
FACTOR = 1024.0  # about what Caffe ends at, and a power of two, so that dividing undoes it
V1_NUMBERS = {"Convolution": 4, "InnerProduct": 14, "Deconvolution": 39}
OPTIONAL, REPEATED, PACKED = "optional", "repeated", "packed"
MESSAGES: dict[str, list[tuple[str, int, str, str]]] = {
    "BlobShape": [("dim", 1, "int64", PACKED)],
    "BlobProto": [
        ("num", 1, "int32", OPTIONAL),
        ("channels", 2, "int32", OPTIONAL),
        ("height", 3, "int32", OPTIONAL),
        ("width", 4, "int32", OPTIONAL),
        ("data", 5, "float", PACKED),
        ("diff", 6, "float", PACKED),
        ("shape", 7, "BlobShape", OPTIONAL),
        ("double_data", 8, "double", PACKED),
        ("double_diff", 9, "double", PACKED),
    ],
    "PriorBoxParameter": [("min_size", 1, "float", REPEATED), ("max_size", 2, "float", REPEATED)],
    "LayerParameter": [
        ("name", 1, "string", OPTIONAL),
        ("type", 2, "string", OPTIONAL),
        ("bottom", 3, "string", REPEATED),
        ("top", 4, "string", REPEATED),
        ("loss_weight", 5, "float", REPEATED),
        ("blobs", 7, "BlobProto", REPEATED),
        ("phase", 10, "int32", OPTIONAL),
        ("prior_box_param", 203, "PriorBoxParameter", OPTIONAL),
    ],
    "V1LayerParameter": [
        ("bottom", 2, "string", REPEATED),
        ("top", 3, "string", REPEATED),
        ("name", 4, "string", OPTIONAL),
        ("type", 5, "int32", OPTIONAL),
        ("blobs", 6, "BlobProto", REPEATED),
        ("blobs_lr", 7, "float", REPEATED),
    ],
    "NetParameter": [
        ("name", 1, "string", OPTIONAL),
        ("layers", 2, "V1LayerParameter", REPEATED),
        ("input", 3, "string", REPEATED),
        ("layer", 100, "LayerParameter", REPEATED),
    ],
}


def described() -> Any:
    """The class of NetParameter."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, fields in MESSAGES.items():
        entry = file.message_type.add(name=message)
        for name, number, kind, how_many in fields:
            field = entry.field.add(name=name, number=number)
            field.label = kinds.LABEL_OPTIONAL if how_many == OPTIONAL else kinds.LABEL_REPEATED
            field.options.packed = how_many == PACKED
            if kind in MESSAGES:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


NetParameter = described()


def to_bytes(layers: Iterable[CaffeLayer], *, version: Version = "V2") -> bytes:
    """The content of a file; V1 with the shapes and types of its time. float64 stays float64."""
    net = NetParameter(name="a network")
    for number, layer in enumerate(layers):
        entry = net.layer.add() if version == "V2" else net.layers.add()
        entry.name = layer.name
        entry.bottom.append(f"bottom {number}")
        entry.top.append(f"top {number}")
        if version == "V2":
            entry.type, entry.phase = layer.type, 1
            entry.loss_weight.append(1.0)
        elif layer.type in V1_NUMBERS:
            entry.type = V1_NUMBERS[layer.type]
        if layer.prior_sizes:
            small, large = layer.prior_sizes
            entry.prior_box_param.min_size.append(small)
            entry.prior_box_param.max_size.append(large)
        for values in layer.blobs:
            add_blob(entry, np.asarray(values), version)
    return net.SerializeToString()


def add_blob(entry: Any, values: np.ndarray, version: Version) -> None:
    blob = entry.blobs.add()
    if version == "V2":
        blob.shape.dim.extend(values.shape)
    else:
        sizes = (1,) * (4 - values.ndim) + values.shape
        blob.num, blob.channels, blob.height, blob.width = sizes
    data = blob.double_data if values.dtype == np.float64 else blob.data
    data.extend(values.reshape(-1).tolist())


def write_caffemodel(path: Path, layers: Iterable[CaffeLayer], *, version: Version = "V2") -> Path:
    path.write_bytes(to_bytes(layers, version=version))
    return path


def layers_of(detector: Detector, *, factor: float = FACTOR) -> list[CaffeLayer]:
    """The detector as Caffe would save it, with layers of its own that have no weights.

    factor: what the statistics of every BatchNorm are stored times.
    """
    layers = [CaffeLayer("data", "AnnotatedData", ())]
    for name, module in caffe_modules(detector).items():
        kind, tensors = kind_and_tensors(name, module, factor)
        layers.append(CaffeLayer(name, kind, tuple(array_of(tensor) for tensor in tensors)))
        if kind == "Scale":
            layers.append(CaffeLayer(f"ReLU of {name}", "ReLU", ()))
    return layers + [
        CaffeLayer(f"priors {level}", "PriorBox", (), (spec.min_size, spec.max_size or 0.0))
        for level, spec in enumerate(detector.specs)
    ]


def changed(layers: list[CaffeLayer], name: str, **fields: Any) -> list[CaffeLayer]:
    """The layers, with fields of the named one replaced."""
    assert name in [layer.name for layer in layers]
    return [layer._replace(**fields) if layer.name == name else layer for layer in layers]


def kind_and_tensors(
    name: str, module: nn.Module, factor: float
) -> tuple[str, Sequence[torch.Tensor]]:
    if isinstance(module, nn.BatchNorm2d):
        if "scale" in name.lower():
            return "Scale", [module.weight, module.bias]
        mean, variance = module.get_buffer("running_mean"), module.get_buffer("running_var")
        return "BatchNorm", [mean * factor, variance * factor, torch.tensor([factor])]
    if isinstance(module, nn.Linear):
        return "InnerProduct", [module.weight, module.bias]
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        kind = "Convolution" if isinstance(module, nn.Conv2d) else "Deconvolution"
        return kind, [module.weight] if module.bias is None else [module.weight, module.bias]
    return "Normalize", [module.get_parameter("scale")]


def array_of(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
