"""A detector as OpenVINO's two files, NAME.xml and NAME.bin, and what reads and runs them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchdet.files import replacing

if TYPE_CHECKING:
    import onnx

    from scratchdet.export.card import Card
    from scratchdet.export.verify import Difference
    from scratchdet.models.detector import Detector

ENTRY = ["scratchdet", "metadata"]
"""Where the metadata are among OpenVINO's runtime information: one JSON object of strings."""
MISSING = "OpenVINO is not installed: pip install openvino; an ONNX file needs onnxruntime alone"


def export_openvino(
    detector: Detector, path: Path, *, card: Card, images: Sequence[np.ndarray]
) -> Difference:
    """Writes `path` (.xml) and the weights beside it (.bin), if they say what the detector says.

    images: as read, of any sizes. Weights stay float32, and nothing is computed in less while it is
    verified. Raises RuntimeError, and writes nothing, if the exported network is not the same.
    """
    from scratchdet.export.onnx import with_checked
    from scratchdet.export.to_onnx import to_onnx
    from scratchdet.export.verify import verify, verify_file

    model = to_onnx(detector, card)
    network = compiled(_converted(with_checked(model)))

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        return {key.any_name: value for key, value in network({"images": batch}).items()}

    difference = verify(detector, run, images, card=card)
    save_openvino(
        model,
        path,
        metadata=card.to_strings(),
        check=lambda written: verify_file(written, run, images, card=card),
    )
    return difference


def save_openvino(
    model: onnx.ModelProto,
    path: Path,
    *,
    metadata: Mapping[str, str],
    check: Callable[[Path], None] | None = None,
) -> None:
    """Writes an ONNX network as `path` (.xml) and its weights beside it, both or none.

    check: is given what was written before it takes its place; raises an error if that is wrong.
    """
    openvino = _library()
    converted = _converted(model)
    converted.set_rt_info(json.dumps(metadata), ENTRY)
    # The weights take their place first: the .xml is what a reader opens.
    with replacing(path) as description, replacing(path.with_suffix(".bin")):
        openvino.save_model(converted, description, compress_to_fp16=False)
        if check is not None:
            check(description)


def read_ir(path: Path) -> Any:
    """OpenVINO's model at `path` (.xml); ValueError where there is none."""
    if not path.with_suffix(".bin").is_file():
        raise FileNotFoundError(f"{path} is without its weights: there is no {path.stem}.bin")
    try:
        return _library().Core().read_model(path)
    except RuntimeError as error:
        raise ValueError(f"{path} is no OpenVINO model, or damaged: {error}") from error


def compiled(model: Any, *, threads: int | None = None) -> Any:
    """The model ready to run on the CPU, one batch at a time; in float32 where it is not INT8.

    Left to itself OpenVINO computes in bfloat16 where a processor has it, and no longer what was
    verified.
    """
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    return _library().Core().compile_model(model, "CPU", settings)


def _converted(model: onnx.ModelProto) -> Any:
    library = _library()
    try:  # Not `convert_model`, which reports to its makers that it was used.
        return library.Core().read_model(io.BytesIO(model.SerializeToString()))
    except RuntimeError as error:  # it has no pooling of maps that are smaller than the window
        raise RuntimeError(
            "OpenVINO cannot run this network at this input size; take a larger one, or ONNX. "
            f"Nothing was written. It says: {error}"
        ) from error


def _library() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise ImportError(MISSING) from error
    return openvino
