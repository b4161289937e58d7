"""Images that a detector is made for, to run what was exported of it on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scratchdet.data.formats import LAYOUTS, read_data
from scratchdet.data.images import EXTENSIONS, read_image
from scratchdet.data.stacks import group
from scratchdet.evaluation.run import default_split
from scratchdet.models.detector import Detector
from scratchdet.ops.pixels import saturated
from scratchdet.recipe_toml import from_toml
from scratchdet.structures import DataError

COUNT = 8
GENERATED_SIZES = ((240, 320), (320, 240))  # pixels: height, width


def some_images(
    detector: Detector, *, data: Path | None, recipe: str = "", count: int = COUNT
) -> tuple[list[np.ndarray], str]:
    """Up to `count` images, spread over all there are, and in words which.

    data: an image, a folder of images or a data set. Without it those that the model was tested or
    validated on, by its `recipe` (TOML); where they are gone, generated pictures. Raises DataError
    if there is `data`, and no image in it can be read.
    """
    if data is not None:
        return read_some(detector, _paths(detector, data), count=count), str(data)
    trained = from_toml(recipe, source="the recipe of the model", bases={}).data.path
    if trained and any(layout.recognises(Path(trained)) for layout in LAYOUTS.values()):
        split = default_split(trained)
        found = read_data(trained, split=split, classes=detector.classes, files=detector.files)
        if len(found):
            chosen = read_some(detector, found.paths, count=count)
            return chosen, f"{trained}, {split or 'all images'}"
    return generated(detector, count=count), "generated pictures (--data PATH takes real ones)"


def _paths(detector: Detector, path: Path) -> Sequence[str]:
    """The references of all images at `path`; DataError if there are none."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if any(layout.recognises(path) for layout in LAYOUTS.values()):
        paths: Sequence[str] = read_data(path, files=detector.files).paths
    else:
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        images = [file for file in files if file.suffix.lower() in EXTENSIONS]
        paths = list(map(str, images))
        if detector.files:
            paths = [stack.reference for stack in group(images, detector.files).images]
    if not paths:
        raise DataError(f"{path}: no image here; looked for {', '.join(EXTENSIONS)}")
    return paths


def read_some(detector: Detector, paths: Sequence[str], *, count: int) -> list[np.ndarray]:
    """The images at `count` of the paths, but for those that cannot be read."""
    images, problem = [], None
    for index in np.unique(np.linspace(0, len(paths) - 1, count).astype(int)):
        try:
            images.append(
                read_image(
                    Path(paths[index]), channels=detector.in_channels, dtype=detector.image_dtype
                )
            )
        except DataError as error:
            problem = error
    if problem is not None and not images:
        raise problem
    return images


def generated(detector: Detector, *, count: int, seed: int = 0) -> list[np.ndarray]:
    """Pictures of bright and dark rectangles on noise, in the range of the detector's pixels."""
    rng = np.random.default_rng(seed)
    mean, std = detector.mean.numpy(force=True), detector.std.numpy(force=True)
    images = []
    for number in range(count):
        height, width = GENERATED_SIZES[number % len(GENERATED_SIZES)]
        image = rng.normal(mean, std / 4, (height, width, len(mean)))
        for _ in range(5):
            top, left = rng.integers(0, height - 20), rng.integers(0, width - 20)
            sides = rng.integers(10, 100, 2)
            image[top : top + sides[0], left : left + sides[1]] += rng.normal(0, 2, len(mean)) * std
        images.append(saturated(image, detector.image_dtype))
    return images
