"""What a run that is resumed finds in its folder, and what may have changed since."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from scratchdet.files import DiskFull, check_writable, remove_left_over, write_text
from scratchdet.recipe import Recipe, RecipeError, differing
from scratchdet.recipe_toml import from_toml
from scratchdet.recipes.lengths import has_ended
from scratchdet.tensor_file import DamagedFile, read_tensors
from scratchdet.train.checkpoint import checkpoint_of, previous_of
from scratchdet.train.launch import note_begun

# Settings that a run cannot go on with if they are others, and why.
FIXED = {
    "model": "it would be another network",
    "data.batch": "the images would come in another order",
    "data.repeat_below": "the images would come in another order",
    "run.seed": "the images would come in another order",
}
FOLDERS = (".", "last", "best", "steps")  # of a run, in which files are written


def has_begun(run_dir: Path) -> bool:
    """Whether there is a checkpoint to resume from."""
    return checkpoint_of(run_dir).exists() or previous_of(run_dir).exists()


def take(run_dir: Path, recipe: Recipe, *, resume: bool) -> list[str]:
    """Makes `run_dir` that of this launch; lines about what it holds.

    Raises FileExistsError if it holds the run of another, OSError if nothing can be written there,
    RecipeError and DamagedFile for a run that cannot be resumed.
    """
    if not resume and any((run_dir / name).exists() for name in ("last", "best", "log.jsonl")):
        raise FileExistsError(f"{run_dir} already holds a run: resume it, or choose another name")
    check_writable(run_dir)  # now, not at the first checkpoint
    lines: list[str] = []
    if resume:
        changed = changes(run_dir, recipe) if has_begun(run_dir) else []
        lines = [*changed, *put_in_order(run_dir)]
    note_begun(run_dir)
    return lines


@contextmanager
def saying_how_to_go_on(run_dir: Path) -> Iterator[None]:
    """Adds to the error of a disk that is full what to do about it."""
    try:
        yield
    except DiskFull as error:
        raise DiskFull(
            f"{error}. The run has ended, and what it had saved is whole: free some space, then "
            f"scratchdet train --resume {run_dir}"
        ) from error


def as_begun(recipe: Recipe, run_dir: Path) -> Recipe:
    """The recipe, with what it leaves open as the run in `run_dir` began: its batch and norms."""
    began = _recipe_of(run_dir)
    norms = {
        name: getattr(began.model, name)
        for name in ("norm_backbone", "norm_head")
        if getattr(recipe.model, name) == "auto"
    }
    return differing(recipe, data={"batch": recipe.data.batch or began.data.batch}, model=norms)


def _recipe_of(run_dir: Path) -> Recipe:
    file = run_dir / "recipe.toml"
    return from_toml(file.read_text(encoding="utf-8"), source=str(file), bases={})


def put_in_order(run_dir: Path) -> list[str]:
    """Sees to it that the last checkpoint is whole; lines that say what was done for it.

    If it is damaged, or its renaming was cut short, the one before takes its place. Files that
    killed processes left half-written are removed. Raises DamagedFile if no checkpoint is whole.
    """
    last, previous, lines = checkpoint_of(run_dir), previous_of(run_dir), []
    for folder in FOLDERS:
        for path in remove_left_over(run_dir / folder):
            lines.append(f"removed {path}, which a killed process had half written")
    problem = _damage(last)
    if problem and previous.exists():
        if worse := _damage(previous):
            raise DamagedFile(f"{problem}; {worse}: nothing is left to resume from{_hint(run_dir)}")
        lines.append(f"NOTE: {problem}: resuming from the checkpoint before it, of {previous.name}")
    elif problem:
        raise DamagedFile(f"{problem}, and there is none before it{_hint(run_dir)}")
    if previous.exists() and (problem or not last.exists()):
        previous.replace(last)
    return lines


def _damage(path: Path) -> str:
    """What is wrong with the checkpoint; empty: nothing, or it is not there."""
    if not path.exists():
        return ""
    try:
        read_tensors(path)
    except DamagedFile as error:
        return str(error)
    return ""


def _hint(run_dir: Path) -> str:
    best = run_dir / "best" / "model.safetensors"
    start = f" (--init {best} takes its weights)" if best.exists() else ""
    return f". Restore it from a backup, or start a new run{start}"


def changes(run_dir: Path, recipe: Recipe) -> list[str]:
    """A line for each setting that is not what the run was trained with until now.

    Raises RecipeError for those that a run cannot go on with.
    """
    found = list(differences(_recipe_of(run_dir), recipe))
    for name, was, now in found:
        if reason := FIXED.get(name) or FIXED.get(name.split(".")[0]):
            raise RecipeError(
                f"{run_dir} was trained with {name} {was!r}; it cannot be resumed with {now!r}: "
                f"{reason}. Start a new run, or leave it out"
            )
    lines = [f"changed: {name} {was!r} -> {now!r}" for name, was, now in found]
    names = {name for name, _, _ in found}
    if (
        "schedule.steps" in names
        and "schedule.extended_at" not in names
        and recipe.schedule.shape == "cosine"
    ):
        lines.append("NOTE: the learning rate is from here on that of a run of the new length")
    return lines


def differences(before: Recipe, now: Recipe) -> Iterator[tuple[str, Any, Any]]:
    """Every setting that is another, as `group.name`, with what it was and what it is."""
    for group in fields(Recipe):
        was, becomes = getattr(before, group.name), getattr(now, group.name)
        for entry in fields(was):
            one, other = getattr(was, entry.name), getattr(becomes, entry.name)
            if one != other:
                yield f"{group.name}.{entry.name}", one, other


def keep_recipe(run_dir: Path, step: int) -> Path:
    """Copies `recipe.toml` to `recipe_until_STEP.toml`: other settings follow."""
    kept = run_dir / f"recipe_until_{step}.toml"
    write_text(kept, (run_dir / "recipe.toml").read_text(encoding="utf-8"))
    return kept


def is_finished(run_dir: Path, steps: int) -> bool:
    """Whether all steps are done, and the figures of the result written."""
    file = run_dir / "metrics.json"
    if not (file.exists() and checkpoint_of(run_dir).exists()):
        return False
    return has_ended(json.loads(file.read_text(encoding="utf-8")), steps=steps)
