"""OpenCV 4 and its importer of Caffe networks, gone from OpenCV 5: an independent engine."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
OPENCV4 = HERE.parents[1] / ".venv" / "opencv4"


@pytest.fixture(scope="session")
def opencv4(tmp_path_factory) -> Callable[..., dict[str, Tensor]]:
    """A function from a Caffe network and its inputs by name to the blobs named `outputs`.

    The prototxt is without the inputs, the weights are the content of a .caffemodel. Blobs named in
    `again` are computed once more, each by a call of its own, and come as `NAME again`.
    """
    if not OPENCV4.is_dir() and not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip(f"no {OPENCV4} (`make .venv/opencv4`), and {cv2.__version__} reads no Caffe")
    path = {"PYTHONPATH": str(OPENCV4)} if OPENCV4.is_dir() else {}
    folder = tmp_path_factory.mktemp("opencv4")

    def computed(
        prototxt: str,
        inputs: dict[str, Tensor],
        outputs: list[str],
        *,
        weights: bytes = b"",
        again: Sequence[str] = (),
    ) -> dict[str, Tensor]:
        job, result = folder / "job.npz", folder / "result.npz"
        shapes = {
            name: " ".join(f"dim: {side}" for side in blob.shape) for name, blob in inputs.items()
        }
        head = "".join(
            f'input: "{name}" input_shape {{ {shape} }}\n' for name, shape in shapes.items()
        )
        np.savez(
            job,
            prototxt=np.frombuffer((head + prototxt).encode(), np.uint8),
            weights=np.frombuffer(weights, np.uint8),
            outputs=np.array(outputs),
            again=np.array(again, dtype=str),
            **{name: blob.numpy() for name, blob in inputs.items()},
        )
        ran = subprocess.run(
            [sys.executable, HERE / "opencv4.py", job, result],
            env=os.environ | path,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        with np.load(result, allow_pickle=False) as blobs:
            return {name: torch.from_numpy(blobs[name]) for name in blobs.files}

    return computed
