"""What a run is fed with: from a recipe's values to the batches of every step."""

from collections.abc import Iterator

import numpy as np
from rich.console import Console

from scratchdet.data.augment import PRESETS
from scratchdet.data.augment_colour import distortion_for
from scratchdet.data.augment_mix import copy_paste, mosaic
from scratchdet.data.cache import choose_cache
from scratchdet.data.dataset import TrainingSamples
from scratchdet.data.loader import Batch, make_batches
from scratchdet.data.order import SampleOrder, repeat_factors
from scratchdet.recipe import Recipe
from scratchdet.terminal import say
from scratchdet.train.distributed import Ranks
from scratchdet.train.prepare import Prepared


def samples_from(
    recipe: Recipe, prepared: Prepared, *, fill: np.ndarray, ranks: Ranks, console: Console
) -> TrainingSamples:
    """The training images, augmented as the recipe says, in memory if they fit.

    fill: the colour around an image made smaller.
    """
    cache, line = choose_cache(
        recipe.data.cache,
        prepared.train.sizes,
        channels=prepared.channels,
        dtype=np.dtype(prepared.dtype),
        processes=ranks.local_size,
    )
    say(console, line)
    distort = distortion_for(
        dtype=prepared.dtype, is_rgb=prepared.is_rgb, mean=prepared.mean, std=prepared.std
    )
    return TrainingSamples(
        prepared.train,
        PRESETS[recipe.data.augment](recipe.model.input_size, fill, distort),
        channels=prepared.channels,
        seed=recipe.run.seed,
        dtype=prepared.dtype,
        mixes=((recipe.data.copy_paste, copy_paste), (recipe.data.mosaic, mosaic)),
        cache=cache,
    )


def batches_from(
    recipe: Recipe, samples: TrainingSamples, *, start: int, stop: int, ranks: Ranks
) -> Iterator[Batch]:
    """This rank's share of the batches of the steps from `start` to `stop`."""
    order = SampleOrder(
        len(samples),
        batch=recipe.data.batch,
        seed=recipe.run.seed,
        start=start,
        stop=stop,
        rank=ranks.rank,
        size=ranks.size,
        repeats=repeat_factors(samples.data, below=recipe.data.repeat_below),
    )
    return make_batches(
        samples, order=order, workers=recipe.data.workers, pin=recipe.run.device != "cpu"
    )
