"""Which objects the shipped priors match, and fitted ones, on data of all kinds; and how fast.

    python benchmarks/prior_coverage.py ../shared/data SENSORS DIGITS    # a minute

SENSORS: what benchmarks/sensors.py has written; DIGITS: what `scratchdet demo --data-only` has.
Splits, held-out images and inputs are those that `scratchdet check` takes. Beside the search of
`--fit-priors`, the other simple way: scales at quantiles of the boxes. Prints the table of
docs/check.md and writes `results/prior_coverage.json`.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import as_measured

from scratchdet.analysis.coverage import coverage, percent, sizes_of
from scratchdet.analysis.fit_priors import TRAINING, Priors, fit_priors, laid
from scratchdet.analysis.prior_overlaps import boxes_at, levels_of
from scratchdet.data.check import Part
from scratchdet.data.formats import list_splits
from scratchdet.data.split import split_called
from scratchdet.recipe import ModelRecipe, Recipe, differing
from scratchdet.recipes import load_recipe
from scratchdet.structures import DetectionData, Strings
from scratchdet.train.prior_check import VALIDATION, learned
from scratchdet.train.resolve import plan
from scratchdet.train.splits import choose_splits, read_split

RESULTS = Path(__file__).parent / "results" / "prior_coverage.json"
OBJECTS = 100_000
PAIR = "{stem}_temp.jpg,{stem}_test.jpg"


def data_sets(shared: Path, sensors: Path, digits: Path) -> dict[str, tuple[Path, str, str]]:
    """Where they are, the recipe that suits them, and the files of an image."""
    return {
        "BCCD": (shared / "bccd", "small_data", ""),
        "FOD-A": (shared / "fod_a_12", "small_data", ""),
        "HIT-UAV": (sensors / "hit_uav", "small_data", ""),
        "DeepPCB": (sensors / "deeppcb", "small_data", PAIR),
        "COCO, 100 images": (
            next((shared / "evaluation" / "coco_val2014_100").glob("*instances*.json")),
            "scratchdet300_small_data",
            "",
        ),
        "digits": (digits, "digits", ""),
    }


def parts_of(recipe: Recipe) -> dict[str, DetectionData]:
    """The images as annotated, as a training takes them apart."""
    split, val_split = choose_splits(recipe.data)
    train = read_split(recipe.data, split)
    parts = {TRAINING: Part(split or "", train, None)}
    if val_split:
        val = read_split(recipe.data, val_split, classes=train.classes)
        parts[VALIDATION] = Part(val_split, val, None)
    return learned(recipe.data, parts)


def by_quantiles(recipe: ModelRecipe, train: DetectionData) -> Priors:
    """Scales at evenly spaced quantiles of the sizes of the training boxes."""
    detector, side = plan(recipe), min(recipe.input_size)
    sizes = sizes_of(boxes_at(train, recipe.input_size)[~train.ignore]) / side
    count = len(detector.specs) + 1
    scales = np.quantile(sizes, (np.arange(count) + 0.5) / count)
    return Priors(tuple(np.maximum.accumulate(scales * 1.02 ** np.arange(count)).tolist()), ())


def measured(recipe: Recipe) -> dict[str, Any]:
    """The shares that are matched of each part: shipped, fitted, by quantiles."""
    parts, detector, size = parts_of(recipe), plan(recipe.model), recipe.model.input_size
    began = time.process_time()
    fit = fit_priors(detector, parts)
    seconds = time.process_time() - began
    levels, side = levels_of(detector, size), min(size)
    tried = {
        "shipped": levels,
        "fitted": laid(levels, detector.specs, fit.tried, side=side),
        "quantiles": laid(
            levels, detector.specs, by_quantiles(recipe.model, parts[TRAINING]), side=side
        ),
    }
    if name := split_called(list_splits(recipe.data.path), "test"):
        parts["test"] = read_split(recipe.data, name, classes=parts[TRAINING].classes)
    found = {
        name: {use: coverage(data, one, input_size=size) for use, data in parts.items()}
        for name, one in tried.items()
    }
    return {
        "network": recipe.model.name,
        "input": size,
        "objects": {use: one.all.objects for use, one in found["shipped"].items()},
        "percent": {
            name: {use: percent(one.all.share) for use, one in each.items()}
            for name, each in found.items()
        },
        "by_3_priors": {
            name: {
                use: percent(one.by_priors["3+"] / max(1, one.all.objects))
                for use, one in each.items()
            }
            for name, each in found.items()
        },
        "proposal": fit.proposal and fit.proposal._asdict(),
        "reason": fit.reason,
        "larger_input": fit.to_json()["larger_input"],
        "cpu_seconds": round(seconds, 2),
    }


def many() -> DetectionData:
    """A hundred thousand objects of all sizes, eight in an image of 500 x 375."""
    rng = np.random.default_rng(0)
    sides = np.exp(rng.uniform(np.log(8), np.log(300), (OBJECTS, 2)))
    corners = rng.uniform(0, 1, (OBJECTS, 2)) * ([500, 375] - sides)
    images = OBJECTS // 8
    names = Strings(map(str, range(images)))
    return DetectionData(
        classes=("a",),
        ids=names,
        paths=names,
        sizes=np.tile([500, 375], (images, 1)).astype(np.int32),
        offsets=np.arange(images + 1) * 8,
        boxes=np.hstack([corners, corners + sides]).astype(np.float32),
        labels=np.zeros(OBJECTS, np.int32),
        ignore=np.zeros(OBJECTS, bool),
    )


def row(name: str, one: dict[str, Any]) -> str:
    """A line of the table: of each part shipped, fitted, by quantiles."""
    shares = [
        " / ".join(one["percent"][kind][use].removesuffix(" %") for kind in one["percent"])
        if use in one["objects"]
        else "-"
        for use in (TRAINING, VALIDATION, "test")
    ]
    network = f"{one['network']}, {one['input'][0]} x {one['input'][1]}"
    return f"| {' | '.join([name, network, *shares, 'yes' if one['proposal'] else 'no'])} |"


def main() -> None:
    results = {}
    for name, (path, base, files) in data_sets(*map(Path, sys.argv[1:4])).items():
        results[name] = measured(
            differing(load_recipe(base), data={"path": str(path), "files": files})
        )
        print(row(name, results[name]), flush=True)
    ssd = plan(ModelRecipe(name="ssd300_vgg16", input_size=(300, 300)))
    data, levels = many(), levels_of(ssd, (300, 300))
    began = time.process_time()
    found = coverage(data, levels, input_size=(300, 300))
    seconds = round(time.process_time() - began, 2)
    as_measured(
        {
            "task": "share of the objects that a prior overlaps by 0.5, of the training images and "
            "of those for validation and test: with the shipped priors, with those of --fit-priors "
            "(those tried, where none are proposed), with scales at quantiles of the boxes",
            "data": results,
            "speed": {"objects": OBJECTS, "priors": found.priors, "cpu_seconds": seconds},
        },
        RESULTS,
    )


if __name__ == "__main__":
    main()
