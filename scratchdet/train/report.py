"""What the report of a run is made of, gathered: while it goes on, and from its folder later on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from scratchdet.analysis.gradient_plots import read_gradients
from scratchdet.analysis.model_card import write_card
from scratchdet.analysis.report.contents import Contents, Judged, Network, Share, share_of
from scratchdet.analysis.report.page import write_report
from scratchdet.data.split import hold_out
from scratchdet.evaluation.columns import Columns, from_detections
from scratchdet.evaluation.diagnosis import diagnose
from scratchdet.evaluation.run import detect_all, read_known
from scratchdet.models.counting import count_parameters
from scratchdet.models.detector import Detector
from scratchdet.models.saved import find_model, load_model, read_metadata
from scratchdet.recipe import Recipe, differing
from scratchdet.recipe_toml import from_toml, to_toml
from scratchdet.recipes.lengths import has_ended
from scratchdet.structures import DataError, DetectionData
from scratchdet.terminal import progress_bar
from scratchdet.train.begin import Run
from scratchdet.train.checkpoint import Progress, checkpoint_of
from scratchdet.train.device import choose_device, describe_device
from scratchdet.train.log import read_log
from scratchdet.train.norms import plan_norms
from scratchdet.train.splits import choose_splits, holds_out, read_split
from scratchdet.version import describe_code

REPORT = "report.html"
CARD = "MODEL_CARD.md"


def report_progress(
    run: Run,
    detector: Detector,
    progress: Progress,
    *,
    judged: Judged | None,
    not_judged: str = "",
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Writes the report of a run that goes on, or that ends here with its `figures`; then also the
    cards of its models.

    Nothing is detected anew, and nothing of the training is changed.
    """
    prepared, recipe, ranks = run.prepared, run.recipe, run.ranks
    parts = {
        "training": (prepared.train, prepared.train_split),
        "validation": (prepared.val, prepared.val_split),
        "test": (prepared.test, recipe.data.test_split),
    }
    contents = _with_files(
        run.folder,
        name=run.folder.resolve().name,
        recipe=recipe,
        recipe_text=to_toml(recipe),
        step=progress.step,
        figures=figures or {},
        shares=tuple(
            share_of(data, use=use, split=split) for use, (data, split) in parts.items() if data
        ),
        network=network_of(detector),
        judged=judged,
        not_judged=not_judged,
        norms=norms_line(recipe, processes=ranks.size),
        provenance=progress.provenance,
        fingerprint=progress.data,
        code=describe_code(),
        device=describe_device(recipe.run.device),
        seconds=(figures or {}).get("seconds", progress.seconds),
    )
    write_report(contents, run.folder / REPORT)
    if contents.finished:
        write_cards(contents, run.folder)


def judged_by(
    data: DetectionData, found: Columns, *, protocol: str, split: str, model: str
) -> Judged:
    """The judgement of what was found."""
    diagnosis = diagnose(data, found, protocol=protocol)
    return Judged(data=data, found=found, diagnosis=diagnosis, split=split, model=model)


def report_of_folder(
    folder: Path, *, data: Path | None, device: str, console: Console
) -> tuple[Contents, list[Path]]:
    """Writes the report of a run that is not going on, and the cards of its models; what it tells,
    and the files.

    data: where the data of the run are now, if they have moved; they must be there then. Without
    them the report tells what the folder does.
    """
    contents = read_folder(folder, data=data, device=device, console=console)
    write_report(contents, folder / REPORT)
    return contents, [folder / REPORT, *write_cards(contents, folder)]


def read_folder(folder: Path, *, data: Path | None, device: str, console: Console) -> Contents:
    """All that can be told of the run in the folder, its model judged if the data are there."""
    file = folder / "recipe.toml"
    if not file.is_file():
        raise ValueError(f"{folder} is no run: it has no recipe.toml")
    text = file.read_text(encoding="utf-8")
    recipe = from_toml(text, source=str(file), bases={})
    if data is not None:
        recipe = differing(recipe, data={"path": str(data.resolve())})
    figures = _read_json(folder / "metrics.json")
    if not has_ended(figures, steps=recipe.schedule.steps):
        figures = {}  # of the end that it had before it was extended
    progress = _progress(folder)
    contents = partial(
        _with_files,
        folder,
        name=folder.resolve().name,
        recipe=recipe,
        recipe_text=text,
        step=figures.get("steps", progress.get("step", 0)),
        figures=figures,
        norms=norms_line(recipe, processes=int(figures.get("processes", 1))),
        fingerprint=str(progress.get("data", "")),
        device=str(figures.get("device", "")),
        seconds=figures.get("seconds", progress.get("seconds", math.nan)),
    )
    try:
        model = find_model(folder)
        about, detector = read_metadata(model), load_model(model).to(choose_device(device))
    except FileNotFoundError:
        return contents(not_judged="there is no model yet", code=str(figures.get("commit", "")))
    described = partial(
        contents,
        network=network_of(detector),
        provenance=about.get("provenance", ""),
        code=about.get("code", ""),
    )
    if not Path(recipe.data.path).exists():
        return described(not_judged=f"the data are not at {recipe.data.path} (any more)")
    try:
        shares = _shares(recipe, detector.classes)
        images, split = to_judge(recipe, detector)
    except DataError as error:
        if data is not None:
            raise
        return described(not_judged=f"the data cannot be read: {error}")
    if images is None:
        return described(shares=shares, not_judged="the run has neither test nor validation images")
    with progress_bar(console, "evaluating") as report:
        found = from_detections(
            detect_all(detector, images, progress=lambda done: report(done, len(images)))
        )
    judged = judged_by(
        images,
        found,
        protocol=recipe.run.protocol,
        split=split,
        model=describe_model(folder, model),
    )
    return described(shares=shares, judged=judged)


def describe_model(folder: Path, model: Path) -> str:
    """`best/model.safetensors, of step 900`."""
    return f"{model.relative_to(folder)}, of step {read_metadata(model).get('step', '?')}"


def network_of(detector: Detector) -> Network:
    """What a report says of the network."""
    return Network(
        parameters=count_parameters(detector),
        classes=detector.classes,
        in_channels=detector.in_channels,
        image_dtype=detector.image_dtype,
        files=detector.files,
        input_size=detector.input_size,
    )


def norms_line(recipe: Recipe, *, processes: int) -> str:
    """The norms, and the images they are over; nothing where the recipe leaves them open."""
    images = recipe.data.batch // (processes * recipe.data.accumulate)
    if "auto" in (recipe.model.norm_backbone, recipe.model.norm_head) or not images:
        return ""
    return plan_norms(
        backbone=recipe.model.norm_backbone,
        head=recipe.model.norm_head,
        images=images,
        devices=processes,
        device_type=torch.device(recipe.run.device.replace("auto", "cuda")).type,
        accumulate=recipe.data.accumulate,
    ).line


def write_cards(contents: Contents, folder: Path) -> list[Path]:
    """Writes the card of each model that the run has, beside it; the files."""
    models = [folder / which / "model.safetensors" for which in ("best", "last")]
    there = [model for model in models if model.is_file()]
    steps = [int(read_metadata(model).get("step", 0)) for model in there]
    for model, step in zip(there, steps, strict=True):
        # The first is the one that is evaluated; of the same step both are the same.
        write_card(contents, model.parent / CARD, step=step, judged=step == steps[0])
    return [model.parent / CARD for model in there]


def _with_files(folder: Path, **known: Any) -> Contents:
    """The contents, `known`, and what the folder says besides.

    A damaged check or analysis is left out, and told: no training ends for what it merely shows.
    """
    problems = folder / "data_problems.txt"
    lines = problems.read_text(encoding="utf-8").splitlines()[1:] if problems.exists() else []
    check: dict[str, Any] = {}
    gradients: list[dict[str, Any]] = []
    unread = {}
    try:
        check = _read_json(folder / "check.json")
    except DataError as error:
        unread["What the check found"] = str(error)
    try:
        gradients = read_gradients(folder)
    except ValueError as error:
        unread["The analysis of the gradient"] = f"{folder / 'gradients.jsonl'}: {error}"
    return Contents(
        **known,
        log=read_log(folder / "log.jsonl"),
        problems=lines,
        check=check,
        gradients=gradients,
        unread=unread,
        written=f"{describe_code()} on {date.today().isoformat()}",
    )


def _read_json(path: Path) -> dict[str, Any]:
    """What is in the file; nothing if it is not there. DataError if it is no JSON object."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: malformed JSON: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: no JSON object")
    return found


def _progress(folder: Path) -> dict[str, Any]:
    """What the last checkpoint says of the run; nothing if there is none."""
    path = checkpoint_of(folder)
    return dict(json.loads(read_metadata(path)["progress"])) if path.exists() else {}


def _shares(recipe: Recipe, classes: tuple[str, ...]) -> list[Share]:
    """What the run uses, as annotated: no image is decoded for it."""
    split, val_split = choose_splits(recipe.data)
    train = read_split(recipe.data, split, classes=classes)
    parts = {"training": (train, split or "all images")}
    if holds_out(recipe.data, val_split, images=len(train)):
        train, held = hold_out(train, recipe.data.hold_out)
        parts = {"training": (train, split or "all images"), "validation": (held, "held out")}
    elif val_split:
        parts["validation"] = (read_split(recipe.data, val_split, classes=classes), val_split)
    if name := recipe.data.test_split:
        parts["test"] = (read_split(recipe.data, name, classes=classes), name)
    return [share_of(data, use=use, split=name) for use, (data, name) in parts.items()]


def to_judge(recipe: Recipe, detector: Detector) -> tuple[DetectionData | None, str]:
    """The images that a run is judged by at its end, and what they are called."""
    split, val_split = choose_splits(recipe.data)
    read = partial(read_known, recipe.data.path, detector=detector)
    if name := recipe.data.test_split or val_split:
        return read(split=name), name
    train = read(split=split)
    if not holds_out(recipe.data, val_split, images=len(train)):
        return None, ""
    return hold_out(train, recipe.data.hold_out)[1], "held out"
