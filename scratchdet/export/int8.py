"""A detector in INT8: calibrated on the user's images, kept if its average precision is."""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from scratchdet.export.card import Card, Form
from scratchdet.export.onnx import save_onnx, session_of
from scratchdet.export.openvino import save_openvino
from scratchdet.export.quiet import quiet
from scratchdet.export.runtime import ExportedDetector
from scratchdet.export.to_onnx import OUTPUTS, to_onnx
from scratchdet.export.verify import verify, verify_file
from scratchdet.models.detector import Detector
from scratchdet.ops.pixels import fitted
from scratchdet.structures import Predictor

QUANTISED = ("Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "Add", "Concat", "Relu")
"""ONNX operators that are computed in INT8. Every engine has them; all else stays in float32."""
VERIFIED = 8  # images on which the network in float32 is verified first

Save = Callable[..., None]
SAVERS: dict[str, Save] = {".onnx": save_onnx, ".xml": save_openvino}
"""(network, path, metadata=, check=) -> None, by the suffix of the file."""


class Figures(NamedTuple):
    """Average precision of the exported network."""

    float32: float
    int8: float


def export_int8(
    detector: Detector,
    path: Path,
    *,
    card: Card,
    calibration: Sequence[np.ndarray],
    measure: Callable[[Predictor], float],
    max_drop: float,
    metadata: Mapping[str, str] | None = None,
) -> Figures:
    """Writes `path` (.onnx or .xml), if INT8 costs at most `max_drop` of AP; the AP of both.

    calibration: images as read, of any sizes. measure: the AP, in [0, 1], of what it is given: the
    exported network before and after, in the engine that will run it. metadata: entries of the file
    besides the card and the figures. Raises RuntimeError, and writes nothing, if the AP drops
    further, or the network in float32 is not the same as the detector.
    """
    check_possible(path, form=card.form)
    if not calibration:
        raise ValueError("INT8 is calibrated on images: there is none")
    shown, save = calibration[:VERIFIED], SAVERS[path.suffix]
    model = to_onnx(detector, card)
    verify(detector, session_of(model), shown, card=card)
    quantised = quantise(model, calibration, size=card.input_size)
    entries = card.to_strings() | dict(metadata or {}) | {"precision": "int8"}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}{path.suffix}" for name in Figures._fields]
        for network, file in zip((model, quantised), files, strict=True):
            save(network, file, metadata=entries)
        measured = [ExportedDetector(file) for file in files]
        figures = Figures(*map(measure, measured))
        _check_drop(figures, max_drop=max_drop)

        def run(batch: np.ndarray) -> dict[str, np.ndarray]:
            return dict(zip(OUTPUTS[card.form], measured[1].run(batch), strict=True))

        entries |= {"ap_float32": f"{figures.float32:.4f}", "ap_int8": f"{figures.int8:.4f}"}
        save(
            quantised,
            path,
            metadata=entries,
            check=lambda written: verify_file(written, run, shown, card=card),
        )
    return figures


def check_possible(path: Path, *, form: Form) -> None:
    """Raises ValueError if `export_int8` writes no such file, or not in this form."""
    if path.suffix not in SAVERS:
        raise ValueError(f"INT8 is for {' and '.join(SAVERS)}, not {path.name}")
    if form != "end-to-end":
        raise ValueError("INT8 is measured by its detections: leave --form raw out")


def _check_drop(figures: Figures, *, max_drop: float) -> None:
    if math.isnan(figures.float32):
        raise ValueError("the AP is not defined: there is no object in what INT8 is measured on")
    if not figures.float32 - figures.int8 <= max_drop:
        raise RuntimeError(
            f"AP drops from {figures.float32:.4f} to {figures.int8:.4f} in INT8, by more than "
            f"{max_drop:g} (--max-drop). Nothing was written"
        )


def quantise(
    model: onnx.ModelProto, images: Sequence[np.ndarray], *, size: tuple[int, int]
) -> onnx.ModelProto:
    """The network with its convolutions, and what lies between them, in INT8.

    images: as read, of any sizes; what the network computes of them decides the range of every
    quantity. After the last convolutions all is as before: scores, boxes and which are chosen.
    """
    named = onnx.ModelProto()
    named.CopyFrom(model)
    for number, node in enumerate(named.graph.node):
        node.name = node.name or f"node_{number}"
    with tempfile.TemporaryDirectory() as folder, quiet():
        file = Path(folder) / "int8.onnx"
        quantize_static(
            named,
            file,
            _Fed(images, size),
            quant_format=QuantFormat.QDQ,  # what other engines read, too
            op_types_to_quantize=list(QUANTISED),
            nodes_to_quantize=before_last_convolutions(named),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Weights from -64 to 64: processors without VNNI add up pairs of products in 16 bits,
            # where larger ones overflow. So the AP measured here is the AP everywhere.
            reduce_range=True,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(file)


def before_last_convolutions(model: onnx.ModelProto) -> list[str]:
    """The names of the convolutions, and of every node whose result one of them needs."""
    maker = {output: node for node in model.graph.node for output in node.output}
    found: dict[str, None] = {}
    waiting = [node for node in model.graph.node if node.op_type == "Conv"]
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found[node.name] = None
            waiting.extend(maker[name] for name in node.input if name in maker)
    return list(found)


class _Fed(CalibrationDataReader):
    """The images, one at a time, as onnxruntime's calibration asks for them."""

    def __init__(self, images: Sequence[np.ndarray], size: tuple[int, int]) -> None:
        self.batches = ({"images": fitted([image], size)} for image in images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)
