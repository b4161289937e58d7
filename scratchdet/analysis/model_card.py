"""The card of a model: what it detects, how good it is, where it comes from, how to use it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from scratchdet.analysis.expectations import SMALL, is_small
from scratchdet.analysis.prior_overlaps import boxes_at
from scratchdet.analysis.report.contents import Contents, Judged, Network, Share
from scratchdet.analysis.report.words import (
    count,
    duration,
    figure,
    interval,
    listed,
    millions,
    sureness,
)
from scratchdet.evaluation.metrics import PROTOCOLS
from scratchdet.files import write_text
from scratchdet.recipes.rates import scaled_rate

FEW_IMAGES = 500  # of training; our choice
FEW_OBJECTS = 50  # of a class
SHOWN_CLASSES = 50
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&@]|(?<=www)\.|:(?=//))")  # addresses are no links either


def write_card(contents: Contents, path: Path, *, step: int, judged: bool) -> None:
    """Writes the card of the model of `step` to `path`, completely or not at all."""
    write_text(path, model_card(contents, step=step, judged=judged))


def model_card(contents: Contents, *, step: int, judged: bool) -> str:
    """Markdown. judged: the figures of `contents` are of this model, not of another one of the run.

    The figures of another are those of the evaluation during the training, if there was one.
    """
    parts = [
        f"# {_text(contents.name)}: {_text(contents.recipe.model.name)}",
        *_what(contents, step),
        *_figures(contents, step, judged=judged),
        *_input(contents),
        *_limits(contents, judged=judged),
        *_origin(contents),
        *_use(contents),
    ]
    return "\n\n".join(parts) + "\n"


def _what(contents: Contents, step: int) -> Iterator[str]:
    recipe, network, train = contents.recipe, contents.network, contents.share("training")
    names = list(network.classes) if network else []
    shown = listed([_text(name) for name in names], SHOWN_CLASSES)
    size = f", {millions(network.parameters)} parameters" if network else ""
    yield (
        f"Finds {count(len(names), 'class', 'classes')} of objects in images, each as a box with a "
        f"score: {shown}."
    )
    yield "## How it was trained"
    if train:
        objects = count(sum(train.objects.values()), "object")
        yield f"On {count(train.images, 'image')} ({_text(train.split)}) with {objects}."
        yield _table(
            ["class", "objects"],
            [[_text(name), f"{n:,}"] for name, n in list(train.objects.items())[:SHOWN_CLASSES]],
        )
    batch, precision = count(recipe.data.batch, "image"), recipe.run.precision
    time = "" if math.isnan(contents.seconds) else f"; {duration(contents.seconds)} in all"
    average = ", weights averaged over the steps" if recipe.optim.ema else ""
    norms = contents.norms.partition(". NOTE")[0].removeprefix("norm: ")
    yield (
        f"{_text(recipe.model.name)}{size}: {count(step, 'step')} of {batch}{average}{time}. "
        f"{_text(norms or 'Norms as in the recipe')}. SGD, lr {scaled_rate(recipe):.3g} at most, "
        f"momentum {recipe.optim.momentum:g}, {precision}, augmentation "
        f"{_text(recipe.data.augment)}. Every value is in the file's metadata, as TOML."
    )


def _figures(contents: Contents, step: int, *, judged: bool) -> Iterator[str]:
    yield "## How good it is"
    if judged and contents.judged is not None:
        yield from _judged(contents.judged, chosen_by=contents.chosen_by)
        return
    values = dict(contents.evaluations).get(step, {})
    what = "the validation images, which helped to choose the model"
    if judged and contents.figures.get("ap50") is not None:
        values, what = contents.figures, _text(str(contents.figures.get("split")))
    if values.get("ap50") is None:
        yield "Nothing was measured: there were no images with objects to measure it on."
        return
    yield f"AP50 {figure(values['ap50'])} on {what}."
    rows = [[_text(name), figure(ap)] for name, ap in (values.get("ap_per_class") or {}).items()]
    yield _table(["class", "AP"], rows)


def _judged(judged: Judged, *, chosen_by: bool) -> Iterator[str]:
    diagnosis = judged.diagnosis
    metrics = diagnosis.metrics
    part = "also chose the model" if chosen_by else "had no part in training"
    yield (
        f"On {_text(judged.split)}, {count(metrics.num_images, 'image')} with "
        f"{count(metrics.num_objects, 'object')}, which {part}: AP50 {figure(metrics.ap50)} "
        f"({sureness(diagnosis.intervals.ap50, images=metrics.num_images)}). AP of a class: "
        f"{PROTOCOLS[metrics.protocol].average}."
    )
    rows = [
        [
            _text(one.name),
            f"{one.num_objects:,}",
            figure(one.ap),
            interval(one.interval),
            figure(one.best.threshold),
            figure(one.best.precision),
            figure(one.best.recall),
        ]
        for one in diagnosis.classes[:SHOWN_CLASSES]
    ]
    head = ["class", "objects", "AP", "95 %", "best score", "precision", "recall"]
    yield _table(head, rows)
    yield "Best score: from there on F1 is highest; precision and recall are those there."


def _input(contents: Contents) -> Iterator[str]:
    network = contents.network
    if network is None:
        return
    height, width = network.input_size
    kind = f"{count(network.in_channels, 'channel')}, {network.image_dtype}"
    files = f", of the files {_code(network.files)}" if network.files else ""
    yield "## Input"
    yield (
        f"Images of any size, {kind}{files}, as they are read from the file: they are resized to "
        f"{width} x {height} and normalised inside."
    )


def _limits(contents: Contents, *, judged: bool) -> Iterator[str]:
    yield "## Limits"
    yield "\n".join(f"- {limit}" for limit in limits(contents, judged=judged))


def limits(contents: Contents, *, judged: bool) -> Iterator[str]:
    """What the model cannot be trusted with, read off the data; Markdown."""
    train = contents.share("training")
    if train:
        yield from _of_training(train)
    if contents.judged is None or not judged:
        yield "How good it is on images that it was not trained on was not measured at the end."
    elif contents.network is not None:
        yield from _of_judged(contents.judged, contents.network)
    yield (
        "It knows images like those it was trained on: another camera, place or season has to be "
        "measured first (scratchdet eval)."
    )
    yield "It finds upright boxes: no masks, no rotation, no identity from frame to frame."


def _of_training(train: Share) -> Iterator[str]:
    if train.images < FEW_IMAGES:
        yield (
            f"Trained on {count(train.images, 'image')}, which are few: what looks different from "
            "them may be missed."
        )
    rare = [_text(name) for name, number in train.objects.items() if 0 < number < FEW_OBJECTS]
    if rare:
        yield f"Fewer than {FEW_OBJECTS} objects to learn from: {listed(rare, 10)}."
    if none := [_text(name) for name, number in train.objects.items() if not number]:
        yield f"No object to learn from: {listed(none, 10)}; it cannot find them."
    if not train.empty:
        yield "No image without objects was among them: it has not learned what is nothing at all."


def _of_judged(judged: Judged, network: Network) -> Iterator[str]:
    diagnosis = judged.diagnosis
    if weak := [_text(one.name) for one in diagnosis.classes if one.num_objects and one.ap < 0.5]:
        yield f"AP below 0.5: {listed(weak, 10)}."
    if absent := [_text(one.name) for one in diagnosis.classes if not one.num_objects]:
        yield f"Not measured, as the images have none: {listed(absent, 10)}."
    boxes = boxes_at(judged.data, network.input_size)[~judged.data.ignore]
    if small := int(is_small(boxes).sum()):
        yield (
            f"{count(small, 'object')} of {len(boxes):,} that it was measured on "
            f"{'is' if small == 1 else 'are'} under {SMALL:.0f} pixels at the network's input (the "
            "square root of the area): such are seldom found."
        )


def _origin(contents: Contents) -> Iterator[str]:
    recipe = contents.recipe
    rows = [
        ["weights", _text(contents.provenance)],
        ["training data", _code(recipe.data.path)],
        ["fingerprint of the data", _code(contents.fingerprint)],
        ["seed", str(recipe.run.seed)],
        ["code", f"scratchdet {_text(contents.code)}"],
        ["device", _text(contents.device)],
    ]
    yield "## Where it comes from"
    yield _table(["what", "is"], [row for row in rows if row[1]], numbers=False)
    if recipe.model.init:
        yield (
            "**Licence:** the weights were fine-tuned from other weights, and the licence of those "
            "and of the training data apply."
        )
    else:
        yield (
            "**Licence:** no external weights are in it; what the training data are licensed under "
            "is what applies. The code is Apache-2.0."
        )


def _use(contents: Contents) -> Iterator[str]:
    yield "## How to use it"
    threshold = contents.judged.diagnosis.confusion.threshold if contents.judged else None
    score = f" --min-score {threshold:.2f}" if threshold else ""
    yield (
        "```sh\n"
        f"scratchdet detect model.safetensors IMAGES --out found{score}\n"
        "scratchdet eval model.safetensors DATA\n"
        "scratchdet export model.safetensors\n"
        "```"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    """A table whose cells are Markdown already. numbers: in all columns but the first."""
    lines = [head, ["---", *["---:" if numbers else "---"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(text: str) -> str:
    """The text, which no character of it turns into markup or a link, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """The text as code; in a table, too."""
    if not text:
        return ""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{' '.join(text.split())}{pad}{fence}".replace("|", r"\|")
