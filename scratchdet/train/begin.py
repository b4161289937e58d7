"""Everything before the first step: from a recipe to a run with its data, network and progress."""

import json
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console

from scratchdet.analysis.coverage_table import summary
from scratchdet.files import write_text
from scratchdet.recipe import Recipe, differing
from scratchdet.recipe_toml import save_recipe
from scratchdet.terminal import say
from scratchdet.train.checkpoint import Progress, checkpoint_of
from scratchdet.train.device import describe_device, prefer_speed, use_threads
from scratchdet.train.distributed import Ranks, from_first
from scratchdet.train.extending import describe_extension
from scratchdet.train.fit import fit_batch
from scratchdet.train.kept_survey import kept_surveys, survey_of, write_surveys
from scratchdet.train.launch import is_begun
from scratchdet.train.parent import (
    Parent,
    check_network,
    describe,
    norms_of,
    read_parent,
    start_from,
    write_taken,
)
from scratchdet.train.prepare import Prepared, fingerprint, prepare, write_problems
from scratchdet.train.prior_check import fast_covered
from scratchdet.train.resolve import check_names, resolve, resolve_norms
from scratchdet.train.resuming import as_begun, changes, has_begun, is_finished, keep_recipe, take
from scratchdet.train.setup import Training, build, restore
from scratchdet.train.unreadable import BadImages
from scratchdet.version import describe_code


class Run(NamedTuple):
    """What a training is of; it stays the same to the end."""

    folder: Path
    recipe: Recipe
    """Without anything that is left open."""
    prepared: Prepared
    bad: BadImages
    ranks: Ranks
    console: Console


def begin(
    recipe: Recipe, *, run_dir: Path, resume: bool, ranks: Ranks, console: Console
) -> tuple[Run, Training, Progress] | None:
    """The run, its network and optimiser, and how far it has come; None if it is finished.

    All ranks call it together. Nothing is written to the folder before all is known to be in order.
    """
    check_names(recipe)  # before the parent's network is compared with a misspelt one
    # By this launch, and one of its processes has died since.
    resume = resume or from_first(ranks, lambda: is_begun(run_dir))
    begun = resume and from_first(ranks, lambda: has_begun(run_dir))
    parent = read_parent(recipe.model.init) if recipe.model.init and not begun else None
    if begun:
        recipe = as_begun(recipe, run_dir)
    elif parent is not None:
        recipe = differing(recipe, model=norms_of(recipe.model, parent))
        check_network(recipe.model, parent)
    recipe, lines = resolve(recipe, ranks=ranks)
    device = ranks.device(torch.device(recipe.run.device))
    prefer_speed(device)
    threads = use_threads(recipe.run.threads, processes=ranks.local_size)
    about = f"{describe_device(str(device))}, {recipe.run.precision}, code {describe_code()}"
    taken = from_first(ranks, lambda: take(run_dir, recipe, resume=resume))
    if recipe.schedule.extended_at:
        taken.append(describe_extension(recipe))
    for line in (about, *lines, *taken):
        say(console, line)
    if begun and from_first(ranks, lambda: is_finished(run_dir, recipe.schedule.steps)):
        say(
            console,
            f"{run_dir} is finished: nothing is left to do (--extend STEPS goes on, scratchdet "
            "report writes its report anew)",
        )
        return None

    decoders = threads * ranks.local_size  # the other ranks wait meanwhile

    def prepare_here() -> Prepared:
        kept = kept_surveys(run_dir, console) if resume else {}
        return prepare(recipe.data, threads=decoders, console=console, kept=kept)

    prepared = from_first(ranks, prepare_here)
    recipe = _settled(recipe, prepared, device, ranks=ranks, run_dir=run_dir, console=console)
    training = build(recipe, prepared, device, ranks=ranks)
    progress = Progress(data=fingerprint(prepared.train))
    if begun:
        progress = restore(checkpoint_of(run_dir), training, progress, steps=recipe.schedule.steps)
        say(console, f"resumed at step {progress.step}")
    elif parent is not None:
        progress = progress._replace(provenance=parent.provenance)
        _take_over(parent, training, recipe, run_dir=run_dir, ranks=ranks, console=console)
    images = sum(len(part) for part in (prepared.train, prepared.val, prepared.test) if part)
    bad = BadImages(
        images=images,
        limit=recipe.data.bad_images,
        known=prepared.problems,
        found=progress.unreadable,
    )
    run = Run(run_dir, recipe, prepared, bad, ranks, console)
    # Only now: a run that cannot be resumed keeps what it was.
    from_first(ranks, lambda: _write_beginning(run, begun_at=progress.step if begun else None))
    return run, training, progress


def _write_beginning(run: Run, *, begun_at: int | None) -> None:
    """Writes what is known before the first step. begun_at: the step it is resumed at, if it is."""
    folder = run.folder
    if begun_at is not None and changes(folder, run.recipe):
        keep_recipe(folder, begun_at)
    save_recipe(run.recipe, folder / "recipe.toml")
    write_problems(run.bad.problems, folder / "data_problems.txt")
    write_surveys(survey_of(folder), run.prepared.surveys)
    priors = fast_covered(run.recipe, run.prepared.train)
    say(run.console, summary(priors))
    coverage = {"coverage": {"training": priors.to_json()}, "fit": None}
    check = {"hygiene": run.prepared.hygiene, "priors": coverage}
    write_text(folder / "check.json", json.dumps(check, indent=2) + "\n")


def _settled(
    recipe: Recipe,
    prepared: Prepared,
    device: torch.device,
    *,
    ranks: Ranks,
    run_dir: Path,
    console: Console,
) -> Recipe:
    """The recipe with what only the data can settle; tells what is to be known of them."""
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
    return recipe


def _take_over(
    parent: Parent,
    training: Training,
    recipe: Recipe,
    *,
    run_dir: Path,
    ranks: Ranks,
    console: Console,
) -> None:
    """Puts the weights of the parent into the network, and tells what was taken."""
    taken = start_from(parent, training)
    say(console, describe(taken, parent, training.detector))
    say(console, f"NOTE: lr {recipe.optim.lr:g} as for untrained weights; --lr for less")
    from_first(ranks, lambda: write_taken(taken, parent, run_dir / "init.json"))
