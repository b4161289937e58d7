"""A small detector and its exported file, made once: the exporter takes seconds."""

import numpy as np
import pytest
import torch

from scratchdet.export.onnx import export_onnx
from scratchdet.models.zoo import create_model


def make_nano(*, seed=0, **choices):
    """An untrained small network, which sees objects everywhere."""
    torch.manual_seed(seed)
    chosen = {"classes": ["left", "right"], "input_size": (64, 96), **choices}
    return create_model("scratchdet_nano", **chosen).eval()


def make_images(count=5, *, channels=3, dtype="uint8", seed=0):
    """Noise of several sizes, none of them that of the network's input."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 250, (50 + 9 * number, 120 - 7 * number, channels)).astype(dtype)
        for number in range(count)
    ]


@pytest.fixture(scope="session")
def nano():
    return make_nano()


@pytest.fixture(scope="session")
def images():
    return make_images()


@pytest.fixture(scope="session")
def exported(tmp_path_factory, nano, images):
    """The file, in the end-to-end form."""
    path = tmp_path_factory.mktemp("exported") / "nano.onnx"
    about = {"provenance": "from a test", "recipe": 'name = "tést"\n'}
    export_onnx(nano, path, images=images, about=about)
    return path


@pytest.fixture(scope="session")
def make():
    """`make.nano(...)` and `make.images(...)`."""

    class Make:
        nano = staticmethod(make_nano)
        images = staticmethod(make_images)

    return Make
