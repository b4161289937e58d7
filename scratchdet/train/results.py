"""What a run leaves behind: figures, models, plots."""

import json
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from scratchdet.analysis.gradient_plots import read_gradients, write_gradients
from scratchdet.analysis.plots import contact_sheet, plot_training, save_image
from scratchdet.data.images import read_image
from scratchdet.evaluation.columns import Columns, from_detections
from scratchdet.evaluation.metrics import Metrics, evaluate_detections, none_if_nan
from scratchdet.evaluation.run import detect_all
from scratchdet.files import write_text
from scratchdet.models.detector import Detector
from scratchdet.models.saved import find_model, load_model, save_model
from scratchdet.ops.losses import Losses
from scratchdet.recipe import Recipe
from scratchdet.recipe_toml import to_toml
from scratchdet.structures import DataError, DetectionData, Predictor, Problem, Record
from scratchdet.terminal import say
from scratchdet.train.begin import Run
from scratchdet.train.checkpoint import Progress, checkpoint_of, previous_of, save_checkpoint
from scratchdet.train.device import describe_device
from scratchdet.train.distributed import (
    Ranks,
    agreed,
    averaged,
    from_first,
    gathered_on_first,
    together,
)
from scratchdet.train.log import Log, read_log
from scratchdet.train.report import describe_model, judged_by, report_progress
from scratchdet.train.setup import Training
from scratchdet.version import describe_code

SHEET_IMAGES = 16


def step_figures(
    losses: Losses,
    lr: float,
    gradient_norm: Tensor,
    images_per_second: float,
    *,
    skipped: int = 0,
) -> dict[str, float]:
    """The record of one step in the log, the losses averaged over the ranks.

    matched: of the priors on all ranks. skipped: steps so far that fp16 left out; 0 is not noted.
    """
    own = torch.stack([losses.classification, losses.localisation, losses.matched.float()])
    classification, localisation, matched = averaged(own.detach()).tolist()
    return {
        "loss": round(classification + localisation, 6),
        "classification": round(classification, 6),
        "localisation": round(localisation, 6),
        "matched": round(matched * together()),
        "lr": lr,
        "gradient_norm": round(float(gradient_norm), 6),
        "images_per_second": round(images_per_second, 2),
        **({"skipped": skipped} if skipped else {}),
    }


def validate(
    run: Run, training: Training, data: DetectionData, *, progress: Progress, log: Log
) -> Progress:
    """Evaluates, logs, keeps the model if it is the best so far, and writes the report anew.

    Where the recipe averages the weights, it is the average that counts; the AP50 of the weights as
    they are is logged beside it.
    """
    average, protocol = training.ema.detector, run.recipe.run.protocol
    metrics, found = _evaluate(run, average, data)
    figures = metrics.to_json()
    if run.recipe.optim.ema:
        raw, _ = _evaluate(run, training.detector, data)
        figures["raw_ap50"] = none_if_nan(raw.ap50)
    # NaN, no object to find, is never better; the first figure, if only 0, is better than none.
    is_best = metrics.ap50 > progress.best
    log.evaluation(progress.step, figures, best=is_best)
    if is_best:
        path = run.folder / "best" / "model.safetensors"
        from_first(
            run.ranks, lambda: keep_model(average, path, recipe=run.recipe, progress=progress)
        )
        progress = progress._replace(best=metrics.ap50)
    # The last report, of the test images, follows at once.
    if progress.step < run.recipe.schedule.steps:
        model = f"the weights of step {progress.step:,}"
        split = run.prepared.val_split
        from_first(
            run.ranks,
            lambda: report_progress(
                run,
                average,
                progress,
                judged=judged_by(data, found, protocol=protocol, split=split, model=model),
            ),
        )
    return progress


def _evaluate(run: Run, detector: Detector, data: DetectionData) -> tuple[Metrics, Columns]:
    """As `evaluate_together`, by the protocol of the run, which notes images it cannot read."""
    return evaluate_together(
        detector,
        data,
        run.recipe.run.protocol,
        ranks=run.ranks,
        unreadable=lambda problem: run.bad.add([problem]),
    )


def evaluate_together(
    detector: Predictor,
    data: DetectionData,
    protocol: str,
    *,
    ranks: Ranks,
    unreadable: Callable[[Problem], None] | None = None,
) -> tuple[Metrics, Columns]:
    """The figures of all images, of which each rank looks at its share; the same on every rank.

    And what was found: all of it on the first rank, on the others their share. unreadable: as for
    `detect_all`, of this rank's share.
    """
    begin, end = (len(data) * rank // ranks.size for rank in (ranks.rank, ranks.rank + 1))
    mine = data if ranks.size == 1 else data.subset(range(begin, end))
    found = agreed(
        ranks, lambda: from_detections(detect_all(detector, mine, unreadable=unreadable))
    )
    found = found._replace(image_index=found.image_index + begin)
    if shares := gathered_on_first(ranks, found):
        # One share after another, as a process alone would have found them.
        found = Columns(*(np.concatenate(column) for column in zip(*shares, strict=True)))
    metrics = from_first(ranks, lambda: evaluate_detections(data, found, protocol=protocol))
    return metrics, found


def keep_model(detector: Detector, path: Path, *, recipe: Recipe, progress: Progress) -> None:
    """Writes the model with the recipe, the code and the step that made it."""
    about = {"recipe": to_toml(recipe), "code": describe_code(), "step": str(progress.step)}
    save_model(detector, path, provenance=progress.provenance, about=about)


def save(run: Run, training: Training, progress: Progress) -> None:
    """Writes the model as it is now, and the checkpoint to resume from.

    In this order: after the checkpoint of the last step no model would be written any more.
    """
    detector, _, ema, optimiser, scaler = training
    progress = progress._replace(unreadable=tuple(run.bad.found.values()))
    if scaler.is_enabled():
        state = scaler.state_dict()
        progress = progress._replace(scale=state["scale"], growth=state["_growth_tracker"])
    path = run.folder / "last" / "model.safetensors"
    keep_model(ema.detector, path, recipe=run.recipe, progress=progress)
    save_checkpoint(
        checkpoint_of(run.folder),
        progress,
        detector=detector,
        ema=ema,
        optimiser=optimiser,
        keep=previous_of(run.folder),
    )


def finish(run: Run, progress: Progress) -> None:
    """Evaluates the result on the test split (else the validation split); writes `training.png`,
    `detections.png` and, of an analysed run, `gradients.png`, then `metrics.json`, which says that
    the run is finished, then `report.html` and the cards of the models; shows the figures.

    In this order: what fails before `metrics.json` is done again when the run is resumed, what
    fails after it by `scratchdet report`.
    """
    began = time.monotonic()
    folder, recipe, ranks = run.folder, run.recipe, run.ranks
    data, split = run.prepared.test, recipe.data.test_split
    if data is None:
        data, split = run.prepared.val, run.prepared.val_split
    figures: dict[str, Any] = {
        "split": None,
        "protocol": recipe.run.protocol,
        "ap50": None,
        "ap_per_class": None,
    }
    detector = load_model(folder).to(ranks.device(torch.device(recipe.run.device)))
    if data is not None:
        metrics, found = _evaluate(run, detector, data)
        show_metrics(run.console, metrics, what=split)
        model = str(find_model(folder).relative_to(folder))
        figures = {"split": split, "model": model, **metrics.to_json()}
    run.bad.tell(ranks, run_dir=folder, console=run.console)
    if not ranks.first:
        return
    if data is not None:
        draw_sheet(detector, data, folder / "detections.png")
    figures |= {
        "steps": progress.step,
        "seconds": round(progress.seconds + time.monotonic() - began, 1),
        "device": describe_device(recipe.run.device),
        "processes": ranks.size,
        "precision": recipe.run.precision,
        "commit": describe_code(),
    }
    plot_training(read_log(folder / "log.jsonl"), folder / "training.png")
    if gradients := read_gradients(folder):
        write_gradients({folder.name: gradients}, folder / "gradients.png")
    write_text(folder / "metrics.json", json.dumps(figures, indent=2) + "\n")
    judged = None
    if data is not None:
        model = describe_model(folder, find_model(folder))
        judged = judged_by(data, found, protocol=recipe.run.protocol, split=split, model=model)
    report_progress(
        run,
        detector,
        progress,
        judged=judged,
        not_judged="" if judged else "the run has neither test nor validation images",
        figures=figures,
    )


def show_metrics(console: Console, metrics: Metrics, *, what: str) -> None:
    """Prints the AP of every class, and the mean below."""
    say(
        console,
        f"{what}: {metrics.num_images} images, {metrics.num_objects} objects, "
        f"protocol {metrics.protocol}",
    )
    table = Table()
    table.add_column("class")
    table.add_column("AP", justify="right")
    for name, value in metrics.ap_per_class.items():
        table.add_row(escape(name), "no object" if math.isnan(value) else f"{value:.4f}")
    table.add_section()
    if metrics.ap is not None:
        table.add_row("AP50:95", f"{metrics.ap:.4f}")
    table.add_row("AP50", f"{metrics.ap50:.4f}")
    console.print(table)


def draw_sheet(detector: Detector, data: DetectionData, path: Path) -> None:
    """A picture of the first images with what was found on them, over the truth in white."""
    records, images = [], []
    for record, image in islice(_readable(detector, data), SHEET_IMAGES):
        records.append(record)
        images.append(image)
    found = [type(one)(*(part.cpu() for part in one)) for one in detector.predict(images)]
    truth = [record.boxes for record in records]
    save_image(contact_sheet(images, found, classes=detector.classes, truth=truth), path)


def _readable(detector: Detector, data: DetectionData) -> Iterator[tuple[Record, np.ndarray]]:
    """The images that are not damaged since the survey; the others are among the problems."""
    read = partial(read_image, channels=detector.in_channels, dtype=detector.image_dtype)
    for record in data:
        try:
            yield record, read(record.path, annotated_size=record.size)
        except DataError:
            continue
