"""`--batch auto`: as many images as fit into the memory."""

import numpy as np
import pytest
import torch

from scratchdet.recipe import RecipeError, differing
from scratchdet.structures import from_records
from scratchdet.train import fit
from scratchdet.train.distributed import Ranks
from scratchdet.train.fit import fit_batch
from scratchdet.train.prepare import Prepared

CPU = torch.device("cpu")
GIGABYTE = 2**30


def prepared(channels: int = 3, dtype: str = "uint8") -> Prepared:
    return Prepared(
        train=from_records([], ("a", "b")),
        val=None,
        val_split="",
        test=None,
        channels=channels,
        mean=np.full(channels, 40.0),
        std=np.full(channels, 20.0),
        notes=(),
        problems=(),
        dtype=dtype,
    )


@pytest.fixture
def free(monkeypatch):
    """Sets the bytes that the machine says are free."""
    return lambda count: monkeypatch.setattr(fit, "free_memory", lambda: count)


def found(recipe, data=None, **ranks) -> int:
    return fit_batch(recipe, data or prepared(), ranks=Ranks(**ranks), device=CPU)[0]


def test_with_much_memory_it_is_the_batch_that_the_recipe_is_for(tiny, free):
    free(100 * GIGABYTE)
    recipe = differing(tiny, optim={"reference_batch": 24})
    batch, line = fit_batch(recipe, prepared(), ranks=Ranks(), device=CPU)
    assert batch == 24
    assert "24 images a step, as many as the recipe is for" in line


def test_without_a_reference_there_is_a_limit_too(tiny, free):
    free(10_000 * GIGABYTE)
    assert found(tiny) == fit.MOST


def test_half_the_memory_holds_about_half_the_images(tiny, free):
    recipe = differing(tiny, optim={"reference_batch": 100_000})
    free(4 * GIGABYTE)
    much = found(recipe)
    free(2 * GIGABYTE)
    little = found(recipe)
    assert 0.4 < little / much < 0.55
    assert little % fit.EIGHTS == much % fit.EIGHTS == 0


def test_larger_images_and_more_channels_take_more(tiny, free):
    free(4 * GIGABYTE)
    recipe = differing(tiny, optim={"reference_batch": 100_000})
    larger = differing(recipe, model={"input_size": (128, 128)})
    assert found(larger) < 0.5 * found(recipe)
    assert found(recipe, prepared(channels=100, dtype="uint16")) < found(recipe)


def test_parts_add_up_to_a_larger_batch(tiny, free):
    free(2 * GIGABYTE)
    recipe = differing(tiny, optim={"reference_batch": 100_000})
    parts = differing(recipe, data={"accumulate": 3})
    assert found(parts) == 3 * found(recipe)


def test_too_little_memory_is_an_error_with_what_an_image_takes(tiny, free):
    free(GIGABYTE // 1000)
    with pytest.raises(RecipeError, match=r"fewer than 2 images fit, \d+ MiB an image"):
        found(tiny)


def test_a_system_that_does_not_say_is_told_of(tiny, free):
    free(None)
    with pytest.raises(RecipeError, match="does not say how much memory is free"):
        found(tiny)
