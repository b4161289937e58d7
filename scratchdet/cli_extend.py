"""`--extend` on the command line of `train`: what it goes with, and what it stands for."""

from collections.abc import Sequence

from scratchdet.recipe import RecipeError, ScheduleRecipe

FLAG = "--extend"
INSTEAD = {"--schedule.steps", "--schedule.extended-at"}  # flags that say the same in other words


def check_extension(more: int, *, resume: str, arguments: Sequence[str]) -> None:
    """Raises RecipeError for steps that no run has, or that are said in two ways."""
    given = {argument.partition("=")[0] for argument in arguments}
    if FLAG not in given:
        return
    if not resume:
        raise RecipeError("--extend lengthens a run: say which, with --resume runs/NAME")
    if more < 1:
        raise RecipeError(f"--extend {more}: a run goes on for 1 step or more")
    if given & INSTEAD:
        raise RecipeError(
            "--extend says how many steps follow, --steps how many there are in all: give one of "
            "them (docs/training.md has the difference)"
        )


def without_extension(arguments: Sequence[str], schedule: ScheduleRecipe) -> list[str]:
    """The arguments with --extend said as the schedule that came of it.

    Processes that are started again find the run extended, and must not extend it once more.
    """
    given = list(arguments)
    at = next((at for at, one in enumerate(given) if one.partition("=")[0] == FLAG), None)
    if at is None:
        return given
    del given[at : at + (1 if "=" in given[at] else 2)]
    lengths = map(str, schedule.extended_at)
    return [*given, "--schedule.steps", str(schedule.steps), "--schedule.extended-at", *lengths]
