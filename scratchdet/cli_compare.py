"""`scratchdet compare`: several runs in one table, and which of them is better."""

from collections.abc import Sequence
from functools import partial
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from tyro.conf import Positional

from scratchdet.terminal import progress_bar, say

if TYPE_CHECKING:
    from scratchdet.analysis.compare import Entry, Evaluated, Group
    from scratchdet.analysis.significance import Comparison
    from scratchdet.recipe import Recipe


def compare(
    runs: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN ...")],
    /,
    evaluate: bool = True,
    anyway: bool = False,
    out: Path | None = None,
    device: str = "auto",
    json: bool = False,
) -> int:
    """Compare runs: what differs between them, and which is better beyond chance.

    Runs that differ in the seed only are one group, and groups are compared by their means. Each
    model is evaluated on the images its run is judged by, so that chance in the choice of the
    images can be told; runs that are judged by different images, classes or protocols are not
    compared. docs/compare.md says how. The exit status is 1 if nothing could be compared.

    Examples:
      scratchdet compare runs/one runs/other
      scratchdet compare runs/bn-* --out comparison
      scratchdet compare runs/one runs/other --no-evaluate

    Args:
        runs: Folders of runs.
        evaluate: Or (--no-evaluate) take the figures of their metrics.json: no data are needed, and
            chance is judged by the seeds alone.
        anyway: Compare even what is not judged by the same, which is said first.
        out: A folder for compare.png, the curves, and compare.json.
        device: auto, cpu, cuda.
        json: Print all of it as JSON, for scripts.
    """
    from scratchdet.analysis.compare import different_tests, grouped
    from scratchdet.analysis.compare_tables import as_plain_values
    from scratchdet.analysis.significance import comparisons
    from scratchdet.files import check_writable, write_text

    if not runs:
        raise ValueError("give the folders of runs to compare; see --help")
    if out is not None:
        check_writable(out)
    console = Console(stderr=json)
    folders = _once(runs, console)
    names = [folder.resolve().name for folder in folders]
    short = len(set(names)) == len(names)
    entries = [
        _read(folder, name=name if short else str(folder))
        for folder, name in zip(folders, names, strict=True)
    ]
    if evaluate:
        judge = partial(_evaluated, device=device, console=console)
        entries = [
            entry._replace(evaluated=judge(folder, entry.recipe))
            for folder, entry in zip(folders, entries, strict=True)
        ]
    differences = different_tests(entries)
    if differences and not anyway:
        told = "\n".join(f"  {line}" for line in differences)
        raise RuntimeError(
            f"these runs are not judged by the same, so their figures cannot be compared (--anyway "
            f"does it):\n{told}"
        )
    groups = grouped(entries)
    found = comparisons(groups)
    values = as_plain_values(groups, found, differences=differences)
    if json:
        print(dumps(values, indent=2))
    else:
        _show(console, groups, found, differences=differences)
    if out is not None:
        from scratchdet.analysis.compare_plots import save_comparison

        save_comparison(groups, out / "compare.png")
        write_text(out / "compare.json", dumps(values, indent=2) + "\n")
        say(console, f"written: {out}")
    return 0 if found else 1


def _show(
    console: Console,
    groups: "Sequence[Group]",
    found: "Sequence[Comparison]",
    *,
    differences: Sequence[str],
) -> None:
    """Prints what the runs are, what they reached, and which is better."""
    from scratchdet.analysis.compare import remarks, settings_that_differ
    from scratchdet.analysis.compare_tables import conclusions, figures_table, settings_table

    for line in differences:
        say(console, f"NOTE: not judged by the same: {line}")
    console.print(figures_table(groups))
    if settings := settings_that_differ(groups):
        console.print(settings_table(groups, settings))
    for line in remarks(groups):
        say(console, f"NOTE: {line}")
    for line in conclusions(groups, found):
        say(console, line)


def _once(runs: tuple[Path, ...], console: Console) -> list[Path]:
    """The folders, each of them once."""
    there = {folder.resolve(): folder for folder in reversed(runs)}
    if len(there) < len(runs):
        say(console, "NOTE: a run that is given several times counts once")
    return [folder for folder in dict.fromkeys(runs) if there.get(folder.resolve()) == folder]


def _read(folder: Path, *, name: str) -> "Entry":
    """The run in the folder, as it tells of itself."""
    from scratchdet.analysis.compare import Entry
    from scratchdet.recipe_toml import from_toml
    from scratchdet.structures import DataError
    from scratchdet.train.log import read_log

    file, figures_file = folder / "recipe.toml", folder / "metrics.json"
    if not file.is_file():
        raise ValueError(f"{folder} is no run: it has no recipe.toml")
    recipe = from_toml(file.read_text(encoding="utf-8"), source=str(file), bases={})
    figures: dict[str, Any] = {}
    if figures_file.exists():
        try:
            figures = loads(figures_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{figures_file}: malformed JSON: {error}") from error
    return Entry(name, recipe, read_log(folder / "log.jsonl"), figures)


def _evaluated(
    folder: Path, recipe: "Recipe", *, device: str, console: Console
) -> "Evaluated | None":
    """The model of the run on the images it is judged by; None if it has no model or no images."""
    from scratchdet.analysis.compare import Evaluated
    from scratchdet.evaluation.columns import from_detections
    from scratchdet.evaluation.metrics import measure, prepared
    from scratchdet.evaluation.run import detect_all
    from scratchdet.models.saved import load_model
    from scratchdet.structures import DataError
    from scratchdet.train.device import choose_device
    from scratchdet.train.report import to_judge

    try:
        detector = load_model(folder).to(choose_device(device))
    except FileNotFoundError:
        return None
    if not Path(recipe.data.path).exists():
        raise DataError(
            f"{folder}: its data are not at {recipe.data.path} (any more): put them there, or "
            "compare what its metrics.json says, --no-evaluate"
        )
    images, _ = to_judge(recipe, detector)
    if images is None:
        return None
    count = len(images)
    with progress_bar(console, f"evaluating {folder}") as report:
        found = detect_all(detector, images, progress=lambda done: report(done, count))
    protocol = recipe.run.protocol
    images, columns = prepared(images, from_detections(found), protocol=protocol, pixels="devkit")
    metrics, verdicts = measure(images, columns, protocol=protocol)
    return Evaluated(images, metrics, verdicts)
