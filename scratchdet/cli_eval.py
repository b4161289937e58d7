"""`scratchdet eval`: the figures of a detector on a data set."""

from json import dumps
from pathlib import Path
from typing import Literal

from rich.console import Console
from tyro.conf import Positional

from scratchdet.recipe_toml import from_toml
from scratchdet.terminal import progress_bar, say


def evaluate(
    model: Positional[Path],
    data: Positional[Path],
    /,
    split: str = "",
    protocol: Literal["voc", "voc07", "coco"] = "voc",
    device: str = "auto",
    json: bool = False,
) -> int:
    """Evaluate a trained detector on a data set.

    Examples:
      scratchdet eval runs/NAME path/to/data
      scratchdet eval runs/NAME/last/model.safetensors path/to/data --split test --protocol coco

    Args:
        model: The folder of a run (its best model), or a model file.
        data: A VOC folder, COCO JSON or YOLO folder.
        split: Default: test if there is one, else val, else all images.
        protocol: AP over the whole recall axis, over 11 points, or COCO's.
        device: auto, cpu, cuda.
        json: Print the figures as JSON, for scripts.
    """
    from scratchdet.evaluation import run
    from scratchdet.models.saved import find_model, read_metadata
    from scratchdet.predictors import load_predictor
    from scratchdet.train.prepare import shortened, trained_paths
    from scratchdet.train.results import show_metrics

    console = Console(stderr=json)
    detector = load_predictor(model, device=device)
    data = data.resolve()  # as the recipe of a run has it, so that paths can be compared
    chosen = split or run.default_split(data)
    images = run.read_known(data, split=chosen, detector=detector)
    for line in shortened(images.problems):
        say(console, line)
    recipe = from_toml(
        read_metadata(find_model(model)).get("recipe", ""), source=f"{model}, recipe", bases={}
    )
    if recipe.data.path and Path(recipe.data.path) == data:
        trained = trained_paths(recipe.data)
        unseen = [index for index, path in enumerate(images.paths) if path not in trained]
        seen = len(images) - len(unseen)
        if seen and unseen and not split:
            say(console, f"{seen} images are left out: the detector was trained on them")
            images = images.subset(unseen)
        elif seen:
            say(console, f"NOTE: the detector was trained on {seen} of these {len(images)} images")
    with progress_bar(console, "evaluating") as report:
        metrics = run.evaluate(
            detector, images, protocol, progress=lambda done: report(done, len(images))
        )
    if json:
        print(dumps({"split": chosen, **metrics.to_json()}, indent=2))
    else:
        show_metrics(console, metrics, what=chosen or "all images")
    return 0
