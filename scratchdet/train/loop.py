"""The training of a detector, from a recipe to a saved model. Read it from top to bottom."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from scratchdet.data.loader import Batch
from scratchdet.ops.losses import Losses
from scratchdet.recipe import Recipe, differing
from scratchdet.recipe_toml import save_recipe
from scratchdet.terminal import say
from scratchdet.train.checkpoint import Progress, save_checkpoint
from scratchdet.train.device import AUTOCAST, describe_device, use_threads
from scratchdet.train.interrupt import catching_interrupts
from scratchdet.train.log import RunLog
from scratchdet.train.optim import set_learning_rate
from scratchdet.train.parent import check_network, describe, read_parent, start_from, write_taken
from scratchdet.train.prepare import Prepared, fingerprint, prepare, write_problems
from scratchdet.train.results import (
    explain_non_finite,
    finish,
    keep_model,
    step_figures,
    validate,
)
from scratchdet.train.setup import (
    Training,
    batches_from,
    build,
    check_names,
    describe_network,
    make_loss,
    make_schedule,
    resolve,
    restore,
    zero_of,
)
from scratchdet.version import describe_code


class NonFiniteLoss(RuntimeError):
    """The loss is NaN or infinite; the message has the step, the terms and the images."""


class Interrupted(RuntimeError):
    """The run was stopped by Ctrl-C or SIGTERM; it is saved and can be resumed."""


def train(
    recipe: Recipe,
    *,
    data: Path | str | None = None,
    run_dir: Path | str,
    resume: bool = False,
    console: Console | None = None,
) -> Path:
    """Trains a detector as the recipe says; returns the folder of the run, which then holds

    `recipe.toml` (complete), `data_problems.txt`, `log.jsonl`, `tensorboard/`, `metrics.json`,
    `last/checkpoint.safetensors` (to resume from), `last/model.safetensors`, and with a validation
    split `best/model.safetensors`; if fine-tuned, `init.json` (which class is from which). Models
    hold the averaged weights where the recipe averages.

    data: replaces `recipe.data.path`. resume: go on from the last checkpoint in `run_dir`, as if
    the run had never stopped. Raises DataError, NonFiniteLoss, Interrupted, and FileExistsError for
    a folder that already holds a run, unless it is to be resumed.
    """
    run_dir, console = Path(run_dir), console or Console()
    checkpoint = run_dir / "last" / "checkpoint.safetensors"
    if not resume and any((run_dir / name).exists() for name in ("last", "best", "log.jsonl")):
        raise FileExistsError(f"{run_dir} already holds a run: resume it, or choose another name")
    if data is not None:
        recipe = differing(recipe, data={"path": str(Path(data).resolve())})
    check_names(recipe)  # before the parent's network is compared with a misspelt one
    begun = resume and checkpoint.exists()
    parent = read_parent(recipe.model.init) if recipe.model.init and not begun else None
    if parent is not None:
        check_network(recipe.model, parent)
    recipe = resolve(recipe)
    device = torch.device(recipe.run.device)
    threads = use_threads(recipe.run.threads)
    say(console, f"{describe_device(str(device))}, {recipe.run.precision}, code {describe_code()}")
    say(console, describe_network(recipe.model))

    prepared = prepare(recipe.data, threads=threads, console=console)
    for note in prepared.notes:
        say(console, note)
    if recipe.schedule.warmup_steps >= recipe.schedule.steps:
        say(console, "NOTE: the warm-up is as long as the run, which never reaches its lr")
    if prepared.problems:
        say(console, f"{len(prepared.problems)} problems in the data: {run_dir}/data_problems.txt")

    training = build(recipe, prepared, device)
    progress = Progress(data=fingerprint(prepared.train))
    if begun:
        progress = restore(checkpoint, training, progress, steps=recipe.schedule.steps)
        say(console, f"resumed at step {progress.step}")
    elif parent is not None:
        progress = progress._replace(provenance=parent.provenance)
        taken = start_from(parent, training)
        say(console, describe(taken, parent, training.detector))
        say(console, f"NOTE: lr {recipe.optim.lr:g} as for untrained weights; --lr for a smaller")
        write_taken(taken, parent, run_dir / "init.json")
    # Only now: a run that cannot be resumed keeps what it was.
    save_recipe(recipe, run_dir / "recipe.toml")
    write_problems(prepared.problems, run_dir / "data_problems.txt")
    progress = _run(recipe, prepared, training, progress, run_dir, console)
    finish(recipe, prepared, progress=progress, run_dir=run_dir, console=console)
    return run_dir


def _run(
    recipe: Recipe,
    prepared: Prepared,
    training: Training,
    progress: Progress,
    run_dir: Path,
    console: Console,
) -> Progress:
    """All steps from `progress` to the last."""
    detector, ema = training.detector, training.ema
    schedule, began = recipe.schedule, time.monotonic() - progress.seconds
    loss, rate_at = make_loss(recipe.optim, detector), make_schedule(recipe)
    # The parent's normalisation, if there is one: not always that of the data.
    batches = batches_from(recipe, prepared, fill=zero_of(detector), start=progress.step)
    log = RunLog(run_dir, start=progress.step, steps=schedule.steps, console=console)
    with log, catching_interrupts() as asked_to_stop:
        since, logged = time.monotonic(), progress.step
        detector.train()
        for step, batch in enumerate(batches, start=progress.step):
            lr = rate_at(step)
            set_learning_rate(training.optimiser, lr)
            losses, gradient_norm = train_step(
                training,
                batch,
                loss,
                precision=recipe.run.precision,
                clip_norm=recipe.optim.clip_norm,
            )
            if not torch.isfinite(losses.total):
                raise NonFiniteLoss(explain_non_finite(step + 1, losses, lr, batch, prepared.train))
            ema.update(detector, updates=step)

            done = step + 1
            progress = progress._replace(step=done, seconds=time.monotonic() - began)
            log.advance(done)
            if done % schedule.log_every == 0 or done == schedule.steps:
                speed = recipe.data.batch * (done - logged) / (time.monotonic() - since)
                since, logged = time.monotonic(), done
                log.record(done, step_figures(losses, lr, gradient_norm, speed))
            if _due(done, schedule.evaluate_every, schedule.steps) and prepared.val is not None:
                progress = validate(
                    recipe, ema.detector, prepared.val, progress=progress, log=log, run_dir=run_dir
                )
                progress = progress._replace(seconds=time.monotonic() - began)
                since, logged = time.monotonic(), done
            if _due(done, schedule.checkpoint_every, schedule.steps):
                _save(recipe, training, progress, run_dir)
            if asked_to_stop() and done < schedule.steps:
                _save(recipe, training, progress, run_dir)
                raise Interrupted(f"stopped and saved after step {done} of {schedule.steps}")
    return progress


def train_step(
    training: Training,
    batch: Batch,
    loss: Callable[..., Losses],
    *,
    precision: str,
    clip_norm: float,
) -> tuple[Losses, Tensor]:
    """One step of SGD: the losses before it, and the L2 norm of the gradient before clipping."""
    detector, _, optimiser, scaler = training
    device = detector.device
    images = batch.images.to(device, non_blocking=True)
    targets = type(batch.targets)(*(part.to(device, non_blocking=True) for part in batch.targets))

    with torch.autocast(device.type, dtype=AUTOCAST[precision], enabled=precision != "fp32"):
        raw = detector(detector.normalise(images))
    losses = loss(raw, targets)

    optimiser.zero_grad(set_to_none=True)
    scaler.scale(losses.total).backward()
    scaler.unscale_(optimiser)
    gradient_norm = torch.nn.utils.clip_grad_norm_(
        detector.parameters(), clip_norm if clip_norm > 0 else float("inf")
    )
    scaler.step(optimiser)
    scaler.update()
    return losses, gradient_norm


def _save(recipe: Recipe, training: Training, progress: Progress, run_dir: Path) -> None:
    """The checkpoint to resume from, and the model as it is now."""
    detector, ema, optimiser, scaler = training
    scale = scaler.get_scale() if scaler.is_enabled() else 0.0
    path = run_dir / "last" / "checkpoint.safetensors"
    save_checkpoint(
        path, progress._replace(scale=scale), detector=detector, ema=ema, optimiser=optimiser
    )
    keep_model(ema.detector, path.with_name("model.safetensors"), recipe=recipe, progress=progress)


def _due(done: int, every: int, steps: int) -> bool:
    return done == steps or (every > 0 and done % every == 0)
