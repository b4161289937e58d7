"""The training of a detector, from a recipe to a saved model. Read it from top to bottom."""

import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from rich.console import Console
from torch import Tensor

from scratchdet.data.loader import Batch
from scratchdet.recipe import Recipe, differing
from scratchdet.terminal import say
from scratchdet.train.analyse import analyse, forget_after
from scratchdet.train.batches import batches_from, samples_from
from scratchdet.train.begin import Run, begin
from scratchdet.train.checkpoint import Progress
from scratchdet.train.claim import claimed
from scratchdet.train.distributed import (
    agreed,
    any_of,
    average_statistics,
    from_first,
    joined,
    ranks_of_launch,
)
from scratchdet.train.finite import FiniteWatch, NonFiniteLoss
from scratchdet.train.interrupt import STOPPING, catching_interrupts
from scratchdet.train.log import NoLog, RunLog
from scratchdet.train.optim import set_learning_rate
from scratchdet.train.precise_bn import in_parts, measure_statistics
from scratchdet.train.profile import StepClock
from scratchdet.train.results import finish, keep_model, save, step_figures, validate
from scratchdet.train.resuming import saying_how_to_go_on
from scratchdet.train.scalars import Scalars
from scratchdet.train.setup import Training, make_loss, make_schedule, zero_of
from scratchdet.train.step import train_step

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
    the beginning), `log.jsonl`, `tensorboard/`, `metrics.json`, `report.html`,
    `last/checkpoint.safetensors` (to resume from), `last/model.safetensors`, and with a validation
    split `best/model.safetensors`, models with their MODEL_CARD.md; if asked for,
    `steps/STEP.safetensors`, `gradients.jsonl`, `gradients.png`; if fine-tuned, `init.json` (which
    class is from which). Models hold the averaged weights where the recipe averages.

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
    with joined(ranks), saying_how_to_go_on(run_dir), claimed(run_dir, ranks):
        begun = begin(recipe, run_dir=run_dir, resume=resume, ranks=ranks, console=console)
        if begun is not None:
            run, training, progress = begun
            clock = StepClock(training.detector.device, on=profile)
            progress = _all_steps(run, training, progress, clock)
            clock.show(console)
            finish(run, progress)
    return run_dir


def _all_steps(run: Run, training: Training, progress: Progress, clock: StepClock) -> Progress:
    """The steps from `progress` to the last, with all that is done between them."""
    recipe, ranks, schedule = run.recipe, run.ranks, run.recipe.schedule
    detector, average = training.detector, training.ema.detector
    loss, rate_at = make_loss(recipe.optim, detector), make_schedule(recipe)
    # The parent's normalisation, if there is one: not always that of the data.
    samples = samples_from(
        recipe, run.prepared, fill=zero_of(detector), ranks=ranks, console=run.console
    )
    batches_of = partial(batches_from, recipe, samples, ranks=ranks)
    batches = batches_of(start=progress.step, stop=schedule.steps)
    watch = FiniteWatch(run.prepared.train)
    scalars = Scalars(detector, compiled=recipe.run.compile)
    log: RunLog | NoLog = NoLog()
    if ranks.first:
        forget_after(run.folder, progress.step)
        log = RunLog(
            run.folder,
            start=progress.step,
            steps=schedule.steps,
            rate_at=rate_at,
            console=run.console,
        )
    began = time.monotonic() - progress.seconds
    since, logged = time.monotonic(), progress.step
    acknowledge = partial(say, run.console, STOPPING)
    with log, catching_interrupts(acknowledge) as asked_to_stop:
        detector.train()
        for step, batch in enumerate(clock.over(batches, "data"), start=progress.step):
            lr = rate_at(step)
            set_learning_rate(training.optimiser, lr)
            done, last = step + 1, step + 1 == schedule.steps
            to_log = last or _due(done, schedule.log_every)
            if _due(done, schedule.analyse_every):
                analyse(run, training, batch, loss, step=done)
            with scalars.watching(to_log):
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
                training.ema.update(detector, updates=step)

            watch.see(done, losses, gradient_norm, lr=lr, keys=batch.keys)
            run.bad.add(batch.unreadable)
            log.advance(done)
            to_evaluate = last or _due(done, schedule.evaluate_every)
            to_save = last or _due(done, schedule.checkpoint_every)
            # Asking the other ranks takes time: only where they meet anyway.
            meet = ranks.size == 1 or to_log or to_evaluate or to_save
            stop = meet and any_of(asked_to_stop())

            progress = progress._replace(step=done, seconds=time.monotonic() - began)
            if to_log or to_evaluate or to_save or stop or detector.device.type == "cpu":
                skipped = progress.skipped + _skipped(watch, run, training)
                progress = progress._replace(skipped=skipped)
            if to_log:
                speed = recipe.data.batch * (done - logged) / (time.monotonic() - since)
                since, logged = time.monotonic(), done
                run.bad.tell(ranks, run_dir=run.folder, console=run.console)
                figures = step_figures(losses, lr, gradient_norm, speed, skipped=progress.skipped)
                log.record(done, figures | scalars.figures(gradient_norm) | run.bad.figures())
            if last and schedule.precise_bn:
                more = batches_of(start=done, stop=done + schedule.precise_bn)
                images = in_parts(_images(more, run), recipe.data.accumulate)
                measure_statistics(average, images, precision=recipe.run.precision)
            if _due(done, schedule.keep_every):
                kept = run.folder / "steps" / f"{done}.safetensors"
                from_first(
                    ranks, partial(keep_model, average, kept, recipe=recipe, progress=progress)
                )
            if to_evaluate and run.prepared.val is not None:
                progress = validate(run, training, run.prepared.val, progress=progress, log=log)
                progress = progress._replace(seconds=time.monotonic() - began)
                since, logged = time.monotonic(), done
                stop = stop or any_of(asked_to_stop())  # evaluating takes its time
            if to_save or stop:
                run.bad.tell(ranks, run_dir=run.folder, console=run.console)
                from_first(ranks, log.sync)
                from_first(ranks, partial(save, run, training, progress))
            if stop and not last:
                raise Interrupted(
                    f"stopped and saved after step {done} of {schedule.steps}; "
                    f"scratchdet train --resume {run.folder} goes on"
                )
    return progress


def _images(batches: Iterable[Batch], run: Run) -> Iterator[Tensor]:
    """Their images; what could not be read is noted."""
    for batch in batches:
        run.bad.add(batch.unreadable)
        yield batch.images


def _skipped(watch: FiniteWatch, run: Run, training: Training) -> int:
    """How many of the steps since the last look fp16 left out; NonFiniteLoss if that is no cure."""
    scale = training.scaler.get_scale() if training.scaler.is_enabled() else None
    return agreed(run.ranks, lambda: watch.check(scale=scale))


def _due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0
