"""The training of a detector, from a recipe to a saved model. Read it from top to bottom."""

import time
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from scratchdet.recipe import Recipe, differing
from scratchdet.recipe_toml import save_recipe
from scratchdet.terminal import say
from scratchdet.train.batches import batches_from, samples_from
from scratchdet.train.checkpoint import Progress, checkpoint_of
from scratchdet.train.device import describe_device, prefer_speed, use_threads
from scratchdet.train.distributed import (
    Ranks,
    agreed,
    any_of,
    average_statistics,
    from_first,
    joined,
    ranks_of_launch,
)
from scratchdet.train.finite import FiniteWatch, NonFiniteLoss
from scratchdet.train.fit import fit_batch
from scratchdet.train.interrupt import catching_interrupts
from scratchdet.train.kept_survey import kept_surveys, survey_of, write_surveys
from scratchdet.train.launch import is_begun
from scratchdet.train.log import NoLog, RunLog
from scratchdet.train.optim import set_learning_rate
from scratchdet.train.parent import (
    check_network,
    describe,
    norms_of,
    read_parent,
    start_from,
    write_taken,
)
from scratchdet.train.precise_bn import in_parts, measure_statistics
from scratchdet.train.prepare import Prepared, fingerprint, prepare, write_problems
from scratchdet.train.profile import StepClock
from scratchdet.train.resolve import check_names, resolve, resolve_norms
from scratchdet.train.results import finish, keep_model, save, step_figures, validate
from scratchdet.train.resuming import (
    as_begun,
    changes,
    has_begun,
    is_finished,
    keep_recipe,
    saying_how_to_go_on,
    take,
)
from scratchdet.train.setup import (
    Training,
    build,
    make_loss,
    make_schedule,
    restore,
    zero_of,
)
from scratchdet.train.step import train_step
from scratchdet.train.unreadable import BadImages
from scratchdet.version import describe_code

__all__ = ["Interrupted", "NonFiniteLoss", "train", "train_step"]


class Interrupted(RuntimeError):
    """The run was stopped by Ctrl-C or SIGTERM; it is saved and can be resumed."""


def train(
    recipe: Recipe,
    *,
    data: Path | str | None = None,
    run_dir: Path | str,
    resume: bool = False,
    profile: bool = False,
    console: Console | None = None,
) -> Path:
    """Trains a detector as the recipe says; returns the folder of the run, which then holds

    `recipe.toml` (complete), `data_problems.txt`, `survey.safetensors` (the images as they were at
    the beginning), `log.jsonl`, `tensorboard/`, `metrics.json`, `last/checkpoint.safetensors` (to
    resume from), `last/model.safetensors`, and with a validation split `best/model.safetensors`; if
    asked for, `steps/STEP.safetensors`; if fine-tuned, `init.json` (which class is from which).
    Models hold the averaged weights where the recipe averages.

    data: replaces `recipe.data.path`. resume: go on from the last checkpoint in `run_dir`, as if
    the run had never stopped. profile: print where the time of a step goes. Started by `torchrun`,
    every process trains on its share of each batch (docs/training.md). Raises DataError,
    NonFiniteLoss, Interrupted, and FileExistsError for a folder that already holds a run, unless it
    is to be resumed.
    """
    ranks = ranks_of_launch()
    run_dir = Path(run_dir)
    console = (console or Console()) if ranks.first else Console(quiet=True)
    if data is not None:
        recipe = differing(recipe, data={"path": str(Path(data).resolve())})
    check_names(recipe)  # before the parent's network is compared with a misspelt one
    with joined(ranks):
        # By this launch, and one of its processes has died since.
        resume = resume or from_first(ranks, lambda: is_begun(run_dir))
        begun = resume and from_first(ranks, lambda: has_begun(run_dir))
    if begun:
        recipe = as_begun(recipe, run_dir)
    parent = read_parent(recipe.model.init) if recipe.model.init and not begun else None
    if parent is not None:
        recipe = differing(recipe, model=norms_of(recipe.model, parent))
        check_network(recipe.model, parent)
    recipe, lines = resolve(recipe, ranks=ranks)
    device = ranks.device(torch.device(recipe.run.device))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    prefer_speed(device)
    threads = use_threads(recipe.run.threads, processes=ranks.local_size)
    say(console, f"{describe_device(str(device))}, {recipe.run.precision}, code {describe_code()}")
    for line in lines:
        say(console, line)

    with joined(ranks), saying_how_to_go_on(run_dir):
        for line in from_first(ranks, lambda: take(run_dir, recipe, resume=resume)):
            say(console, line)
        if begun and from_first(ranks, lambda: is_finished(run_dir, recipe.schedule.steps)):
            say(console, f"{run_dir} is finished: nothing is left to do (--steps N goes on)")
            return run_dir
        decoders = threads * ranks.local_size  # the other ranks wait meanwhile
        prepared = from_first(
            ranks,
            lambda: prepare(
                recipe.data,
                threads=decoders,
                console=console,
                kept=kept_surveys(run_dir, console) if resume else {},
            ),
        )
        for note in prepared.notes:
            say(console, note)
        if not recipe.data.batch:
            batch, found = fit_batch(recipe, prepared, ranks=ranks, device=device)
            recipe, lines = resolve_norms(differing(recipe, data={"batch": batch}), ranks=ranks)
            for line in (found, *lines):
                say(console, line)
        if recipe.schedule.warmup_steps >= recipe.schedule.steps:
            say(console, "NOTE: the warm-up is as long as the run, which never reaches its lr")
        if count := len(prepared.problems):
            say(console, f"{count} problems in the data: {run_dir}/data_problems.txt")

        training = build(recipe, prepared, device, ranks=ranks)
        progress = Progress(data=fingerprint(prepared.train))
        if begun:
            progress = restore(
                checkpoint_of(run_dir), training, progress, steps=recipe.schedule.steps
            )
            say(console, f"resumed at step {progress.step}")
        elif parent is not None:
            progress = progress._replace(provenance=parent.provenance)
            taken = start_from(parent, training)
            say(console, describe(taken, parent, training.detector))
            say(console, f"NOTE: lr {recipe.optim.lr:g} as for untrained weights; --lr for less")
            if ranks.first:
                write_taken(taken, parent, run_dir / "init.json")
        if ranks.first:  # only now: a run that cannot be resumed keeps what it was
            if begun and changes(run_dir, recipe):
                keep_recipe(run_dir, progress.step)
            save_recipe(recipe, run_dir / "recipe.toml")
            write_problems(prepared.problems, run_dir / "data_problems.txt")
            write_surveys(survey_of(run_dir), prepared.surveys)
        clock = StepClock(device, on=profile)
        bad = BadImages(
            images=sum(len(part) for part in (prepared.train, prepared.val, prepared.test) if part),
            limit=recipe.data.bad_images,
            known=prepared.problems,
        )
        progress = _run(recipe, prepared, training, progress, bad, run_dir, ranks, clock, console)
        clock.show(console)
        finish(
            recipe,
            prepared,
            progress=progress,
            bad=bad,
            run_dir=run_dir,
            ranks=ranks,
            console=console,
        )
    return run_dir


def _run(
    recipe: Recipe,
    prepared: Prepared,
    training: Training,
    progress: Progress,
    bad: BadImages,
    run_dir: Path,
    ranks: Ranks,
    clock: StepClock,
    console: Console,
) -> Progress:
    """All steps from `progress` to the last."""
    detector, ema, device = training.detector, training.ema, training.detector.device
    schedule, began = recipe.schedule, time.monotonic() - progress.seconds
    loss, rate_at = make_loss(recipe.optim, detector), make_schedule(recipe)
    # The parent's normalisation, if there is one: not always that of the data.
    fill = zero_of(detector)
    samples = samples_from(recipe, prepared, fill=fill, ranks=ranks, console=console)
    batches = batches_from(recipe, samples, start=progress.step, stop=schedule.steps, ranks=ranks)
    log: RunLog | NoLog = NoLog()
    if ranks.first:
        log = RunLog(run_dir, start=progress.step, steps=schedule.steps, console=console)
    watch = FiniteWatch(prepared.train)
    with log, catching_interrupts() as asked_to_stop:
        since, logged = time.monotonic(), progress.step
        detector.train()
        for step, batch in enumerate(clock.over(batches, "data"), start=progress.step):
            lr = rate_at(step)
            set_learning_rate(training.optimiser, lr)
            losses, gradient_norm = train_step(
                training,
                batch,
                loss,
                precision=recipe.run.precision,
                clip_norm=recipe.optim.clip_norm,
                parts=recipe.data.accumulate,
                clock=clock,
            )
            with clock.part("average"):
                average_statistics(detector)
                ema.update(detector, updates=step)

            done = step + 1
            watch.see(done, losses, gradient_norm, lr=lr, keys=batch.keys)
            bad.add(batch.unreadable)
            progress = progress._replace(step=done, seconds=time.monotonic() - began)
            log.advance(done)
            to_log = done % schedule.log_every == 0 or done == schedule.steps
            to_evaluate = _due(done, schedule.evaluate_every, schedule.steps)
            to_save = _due(done, schedule.checkpoint_every, schedule.steps)
            if to_log or to_evaluate or to_save or device.type == "cpu":
                progress = progress._replace(
                    skipped=progress.skipped + _skipped(watch, training, ranks)
                )
            if to_log:
                speed = recipe.data.batch * (done - logged) / (time.monotonic() - since)
                since, logged = time.monotonic(), done
                bad.tell(ranks, run_dir=run_dir, console=console)
                figures = step_figures(losses, lr, gradient_norm, speed, skipped=progress.skipped)
                log.record(done, figures | bad.figures())
            to_keep = schedule.keep_every > 0 and done % schedule.keep_every == 0
            if done == schedule.steps and schedule.precise_bn:
                more = batches_from(
                    recipe, samples, start=done, stop=done + schedule.precise_bn, ranks=ranks
                )
                images = in_parts((batch.images for batch in more), recipe.data.accumulate)
                measure_statistics(ema.detector, images, precision=recipe.run.precision)
            if to_keep:
                kept = run_dir / "steps" / f"{done}.safetensors"
                keep = partial(keep_model, ema.detector, kept, recipe=recipe, progress=progress)
                from_first(ranks, keep)
            if to_evaluate and prepared.val is not None:
                progress = validate(
                    recipe,
                    ema.detector,
                    prepared.val,
                    progress=progress,
                    bad=bad,
                    log=log,
                    run_dir=run_dir,
                    ranks=ranks,
                )
                progress = progress._replace(seconds=time.monotonic() - began)
                since, logged = time.monotonic(), done
            if to_save:
                from_first(ranks, log.sync)
                from_first(ranks, partial(save, recipe, training, progress, run_dir))
            # Asking the other ranks takes time: only where they meet anyway.
            stop = asked_to_stop() if ranks.size == 1 else to_log and any_of(asked_to_stop())
            if stop and done < schedule.steps:
                progress = progress._replace(
                    skipped=progress.skipped + _skipped(watch, training, ranks)
                )
                from_first(ranks, log.sync)
                from_first(ranks, partial(save, recipe, training, progress, run_dir))
                raise Interrupted(
                    f"stopped and saved after step {done} of {schedule.steps}; "
                    f"scratchdet train --resume {run_dir} goes on"
                )
    return progress


def _skipped(watch: FiniteWatch, training: Training, ranks: Ranks) -> int:
    """How many of the steps since the last look fp16 left out; NonFiniteLoss if that is no cure."""
    scale = training.scaler.get_scale() if training.scaler.is_enabled() else None
    return agreed(ranks, lambda: watch.check(scale=scale))


def _due(done: int, every: int, steps: int) -> bool:
    return done == steps or (every > 0 and done % every == 0)
