"""The recorded outputs of the released networks: what is behind them, and the fault in one of them.

The README beside the recordings says how the weights and the image come about, which are not
stored. They were computed by OpenCV 4.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from caffe_writer import write_caffemodel
from torch import Tensor, nn

from scratchdet.models.caffe import load_caffe, published_form
from scratchdet.models.caffemodel import CaffeLayer, read_caffemodel
from scratchdet.models.detector import Detector
from scratchdet.models.necks.recurrent_pyramid import Doubling
from scratchdet.models.zoo import create_model

NETWORKS = {"dsod300": "dsod300_voc", "grp_dsod320": "grp_dsod320_voc"}
MEAN_BGR = torch.tensor([104.0, 117.0, 123.0])[:, None, None]

Listed = list[tuple[str, str, list[list[int]]]]
"""Name and type of every layer that has weights, and the shape of each blob."""


def recording(name: str, folder: Path) -> tuple[Listed, dict[str, np.ndarray]]:
    """The layers of a network, and the outputs that were recorded of it."""
    listed = json.loads((folder / f"{NETWORKS[name]}_layers.json").read_text())
    with np.load(folder / f"{NETWORKS[name]}.npz") as outputs:
        return listed, dict(outputs)


def documented_blob(kind: str, name: str, number: int, shape: list[int]) -> np.ndarray:
    """Blob `number` of a layer, by the rule in the README."""
    seed = zlib.crc32(f"{name}/{number}".encode())
    z = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    match kind, number:
        case (("Convolution" | "Deconvolution"), _):
            return z * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        case "BatchNorm", 0:
            return 0.1 * z
        case "BatchNorm", 1:
            return 1 + 0.2 * np.tanh(z)
        case "BatchNorm", 2:
            return np.ones_like(z)
        case "Scale", 0:
            return 1 + 0.1 * z
        case "Scale", 1:
            return 0.1 * z
        case "Normalize", 0:
            return 20 * (1 + 0.05 * z)
        case "InnerProduct", 0:
            return z / np.float32(np.sqrt(shape[1]))
        case "InnerProduct", 1:
            return 0.01 * z
    raise ValueError(f"layer {name!r}: no rule for blob {number} of {kind}")


def documented_layers(listed: Listed, *, factor: float) -> list[CaffeLayer]:
    """The documented weights, with statistics stored times `factor` as Caffe does."""
    return [
        CaffeLayer(
            name,
            kind,
            tuple(
                documented_blob(kind, name, number, shape)
                * np.float32(factor if kind == "BatchNorm" else 1)
                for number, shape in enumerate(shapes)
            ),
        )
        for name, kind, shapes in listed
    ]


def imported(name: str, listed: Listed, file: Path, *, factor: float = 1.0) -> Detector:
    """The detector with the documented weights, by way of a .caffemodel that is written first."""
    write_caffemodel(file, documented_layers(listed, factor=factor))
    layers = read_caffemodel(file)
    form = published_form(name, layers)
    detector = create_model(name, num_classes=form.num_classes, **form.choices)
    load_caffe(detector, layers)
    return detector.eval()


def recorded_images(detector: Detector) -> Tensor:
    """The image as it is fed: blue, green, red already, so `detector.normalise` is not for it."""
    pixels = np.random.default_rng(1234).integers(0, 256, (1, 3, *detector.input_size))
    return torch.from_numpy(pixels).float() - MEAN_BGR


@torch.no_grad()
def put_in_the_fault(network: nn.Module) -> None:
    """Adds the bias of every norm behind a transposed convolution once more, as OpenCV 4 does.

    It makes the two one layer of bias b, and does so again in every call for another output, from
    what the last has left: b becomes gain * b + b. GRP-DSOD's mbox_loc was recorded in the first
    call, its mbox_conf in a second. test_against_opencv.py shows it in a network of its own.
    """
    for module in network.modules():
        if isinstance(module, Doubling):
            norm = module.activate[0]
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            norm.bias += gain * (norm.bias - gain * norm.running_mean)
