"""What runs exported files: onnxruntime, or OpenVINO. Without torch."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from scratchdet.export.card import Card, from_json, from_strings

Run = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Images (B, H, W, C) -> the outputs of the network, in their order."""


def open_file(path: Path, *, threads: int | None = None) -> tuple[Run, Card]:
    """The network in a file, ready to run, and what it says about itself.

    threads: that compute; None takes OMP_NUM_THREADS, or all cores that this process may use.
    Raises FileNotFoundError, ValueError where the file is not an exported detector, and ImportError
    where what runs it is not installed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no model at {path}: there is no such file")
    if path.suffix.lower() not in ENGINES:
        raise ValueError(f"{path} is no exported network: their names end in {', '.join(ENGINES)}")
    return ENGINES[path.suffix.lower()](path, threads or _threads())


def _open_onnx(path: Path, threads: int) -> tuple[Run, Card]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("ONNX files are run by onnxruntime: pip install onnxruntime") from error
    from onnxruntime.capi import onnxruntime_pybind11_state as refusals

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; what is wrong with a file is told below
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except (
        refusals.Fail,
        refusals.InvalidArgument,
        refusals.InvalidGraph,
        refusals.InvalidProtobuf,
        refusals.NotImplemented,
        refusals.RuntimeException,
    ) as error:
        raise ValueError(f"{path} is no ONNX file, or damaged: {error}") from error
    card = from_strings(session.get_modelmeta().custom_metadata_map, source=path)
    return lambda images: session.run(None, {"images": images}), card


def _open_openvino(path: Path, threads: int) -> tuple[Run, Card]:
    from scratchdet.export.openvino import ENTRY, compiled, read_ir

    model = read_ir(path)
    text = model.get_rt_info(ENTRY).value if model.has_rt_info(ENTRY) else "{}"
    card = from_json(text, source=path)
    network = compiled(model, threads=threads)
    return lambda images: list(network({"images": images}).values()), card


ENGINES: dict[str, Callable[[Path, int], tuple[Run, Card]]] = {
    ".onnx": _open_onnx,
    ".xml": _open_openvino,
}
"""By the suffix of the file."""


def _threads() -> int:
    """OMP_NUM_THREADS where it is a number, else the cores that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
