"""Shape checks for every test, small data and a small recipe, and the way to recorded data."""

from collections.abc import Callable, Container
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

from scratchdet.recipe import Recipe, differing
from scratchdet.structures import Sample

install_import_hook(["scratchdet.ops", "scratchdet.models"], "beartype.beartype")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what is parametrised with a model on a network of timm, where timm is not installed."""
    if find_spec("timm") is not None:
        return
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if any(str(value).endswith("_timm") for value in parameters):
            item.add_marker(pytest.mark.skip("timm is not installed"))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Networks this small are not faster on more, and far slower where other work is going on."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The developers' folder of recorded data; users do not have it, so their tests skip."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"recorded data absent: {folder}")
    return folder


COLOURS = ((240, 40, 40), (160, 240, 40), (200, 40, 240))  # apart in red alone too, for grey images


def make_scenes(
    count: int,
    *,
    size: int = 64,
    channels: int = 3,
    classes: int = 2,
    empty: Container[int] = (),
    seed: int = 0,
) -> list[tuple[str, Sample]]:
    """Square scenes for `write_voc`: one bright rectangle on dark noise, its class by its colour.

    empty: the numbers of scenes without an object.
    """
    rng = np.random.default_rng(seed)
    scenes = []
    for number in range(count):
        image = rng.integers(0, 80, (size, size, channels), dtype=np.uint8)
        left, top = rng.integers(2, size // 2, 2)
        width, height = rng.integers(size // 4, size // 2 - 2, 2)
        label = number % classes
        boxes = np.array([[left, top, left + width, top + height]], np.float32)
        if number in empty:
            boxes = boxes[:0]
        else:
            image[top : top + height, left : left + width] = COLOURS[label][:channels]
        objects = len(boxes)
        sample = Sample(image, boxes, np.full(objects, label), np.zeros(objects, bool))
        scenes.append((f"{number:03d}", sample))
    return scenes


@pytest.fixture(scope="session")
def scenes() -> Callable[..., list[tuple[str, Sample]]]:
    return make_scenes


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """Six steps of the nano network that take a second; one thread, as other work may be going on.

    With averaged weights, and evaluations and checkpoints that do not coincide.
    """
    return differing(
        Recipe(),
        model={"input_size": (64, 64)},
        data={"batch": 4, "workers": 0},
        optim={"ema": 0.9},
        schedule={
            "steps": 6,
            "warmup_steps": 2,
            "log_every": 1,
            "evaluate_every": 2,
            "checkpoint_every": 4,
        },
        run={"precision": "fp32", "threads": 1, "device": "cpu"},
    )
