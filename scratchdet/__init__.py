"""Object detectors trained from scratch: no pre-trained weights, nothing but the user's own data.

import scratchdet

recipe = scratchdet.load_recipe("nano")
run = scratchdet.train(recipe, data="path/to/data", run_dir="runs/mine")
detector = scratchdet.load(run)
boxes, scores, labels = detector.predict([image])[0]
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scratchdet.evaluation.metrics import Metrics
    from scratchdet.evaluation.run import evaluate
    from scratchdet.models.detector import Detector
    from scratchdet.models.saved import load_model as load
    from scratchdet.models.zoo import create_model, list_models
    from scratchdet.recipe import Recipe
    from scratchdet.recipes import list_recipes, load_recipe
    from scratchdet.structures import DataError, Detections
    from scratchdet.train.loop import train

__all__ = [
    "DataError",
    "Detections",
    "Detector",
    "Metrics",
    "Recipe",
    "create_model",
    "evaluate",
    "list_models",
    "list_recipes",
    "load",
    "load_recipe",
    "train",
]

# Imported when first asked for: `scratchdet --help` need not wait for torch. One table, and the
# imports above say the same to type checkers; a test holds them together.
_HOMES = {
    "DataError": "scratchdet.structures",
    "Detections": "scratchdet.structures",
    "Detector": "scratchdet.models.detector",
    "Metrics": "scratchdet.evaluation.metrics",
    "Recipe": "scratchdet.recipe",
    "create_model": "scratchdet.models.zoo",
    "evaluate": "scratchdet.evaluation.run",
    "list_models": "scratchdet.models.zoo",
    "list_recipes": "scratchdet.recipes",
    "load": "scratchdet.models.saved",
    "load_recipe": "scratchdet.recipes",
}


def __getattr__(name: str) -> object:
    if name == "train":  # the package of that name is also the function: see there
        return import_module("scratchdet.train")
    if name not in _HOMES:
        raise AttributeError(f"module 'scratchdet' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), "load_model" if name == "load" else name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
