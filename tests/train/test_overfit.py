"""Every model learns 16 images by heart: data, network, loss, training and evaluation agree."""

import io

import numpy as np
import pytest
from rich.console import Console

from scratchdet.data.voc_write import write_voc
from scratchdet.evaluation.run import evaluate
from scratchdet.models.saved import load_model
from scratchdet.models.zoo import MODELS
from scratchdet.recipe import Recipe, differing
from scratchdet.structures import Sample
from scratchdet.train.loop import train

IMAGES = 16
SIZE = 96
SLOW = pytest.mark.slow
COLOURS = ((250, 60, 60), (60, 250, 60), (80, 80, 250))


def scene(rng: np.random.Generator, number: int) -> tuple[str, Sample]:
    """A large and a small rectangle, side by side, of different classes, on noise."""
    image = rng.integers(0, 90, (SIZE, SIZE, 3), dtype=np.uint8)
    boxes, labels = [], []
    for half, sides in enumerate(((30, 46), (24, 36))):
        width, height = rng.integers(*sides, 2)
        left = half * SIZE // 2 + rng.integers(0, SIZE // 2 - width + 1)
        top = rng.integers(0, SIZE - height + 1)
        label = int(rng.integers(len(COLOURS)))
        image[top : top + height, left : left + width] = COLOURS[label]
        boxes.append([left, top, left + width, top + height])
        labels.append(label)
    sample = Sample(image, np.array(boxes, np.float32), np.array(labels), np.zeros(2, bool))
    return f"{number:02d}", sample


# The networks of SSD300's size take minutes, and more steps; nano is in every run of the tests.
CASES = [
    pytest.param(name, 200) if name == "scratchdet_nano" else pytest.param(name, 300, marks=SLOW)
    for name in MODELS
]


@pytest.mark.parametrize(("model", "steps"), CASES)
def test_sixteen_images_are_learned_by_heart(tmp_path, model, steps):
    rng = np.random.default_rng(0)
    scenes = {"train": [scene(rng, number) for number in range(IMAGES)]}
    data = write_voc(tmp_path / "voc", scenes, classes=("red", "green", "blue"))
    side = 160 if "512" in model else SIZE  # less, and half of its maps would be of one pixel
    recipe = differing(
        Recipe(),
        model={"name": model, "input_size": (side, side)},
        data={"augment": "none", "batch": 8, "val_split": "none", "workers": 0},
        optim={"lr": 0.05},
        schedule={"steps": steps, "warmup_steps": 20, "checkpoint_every": 0},
        run={"threads": 1, "device": "cpu"},
    )
    run = train(recipe, data=data, run_dir=tmp_path / "run", console=Console(file=io.StringIO()))
    metrics = evaluate(load_model(run), data)
    assert metrics.num_objects == 2 * IMAGES
    assert metrics.ap50 > 0.95, metrics
