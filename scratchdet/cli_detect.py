"""`scratchdet detect`: what a detector finds in images, videos and streams."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from scratchdet.cli_arguments import description
from scratchdet.terminal import progress_bar, say
from scratchdet.testing import OVERLAP, Asking, Tta

if TYPE_CHECKING:
    from scratchdet.detecting.run import Summary
    from scratchdet.structures import Predictor

NO = 1  # exit status: it ran, and the answer is no
INTERRUPTED = 130  # exit status of a command that Ctrl-C ended, as shells have it
MIN_SCORE = 0.3  # what is shown to people; an evaluation takes lower ones too
BATCH = 4  # on a CPU no faster than 1, nor slower (docs/detect.md)


@dataclass(frozen=True, kw_only=True)
class DetectCommand:
    """Find objects in images, videos and streams, and draw them.

    Writes an annotated picture for each image, an annotated video for each video, and the results,
    by default as detections.jsonl with a line for each image or frame:
    {"image": ..., "objects": [{"class": ..., "score": ..., "box": [x1, y1, x2, y2]}]}.

    Examples:
      scratchdet detect runs/NAME photo.jpg
      scratchdet detect runs/NAME folder/of/images --out found --min-score 0.5
      scratchdet detect runs/NAME "shots/*/left_*.png" film.mp4 --save jsonl coco csv
      scratchdet detect runs/NAME photos --class-score cat=0.6 dog=0.4 --classes cat dog
      scratchdet detect runs/NAME aerial.tif --tile 600 --overlap 0.2
      scratchdet detect runs/NAME webcam              # the first camera; Ctrl-C ends it
      scratchdet detect runs/NAME rtsp://user:password@camera.local/stream --no-pictures

    A detector of images of several files (--data.files) finds them in the folder by their names;
    one of the files stands for the image, which is called by all of them, joined by "|".

    Exit status: 0; 1 if something could not be read, or a stream broke off; 2 for wrong use.
    """

    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """The folder of a run (its best model), or a model file."""
    sources: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGES")]
    """Images, folders (searched with their sub-folders), patterns in quotes, packs, videos, webcam
    or webcam:1, addresses of streams."""
    out: Path = Path("found")
    """The folder for the results."""
    save: tuple[Literal["jsonl", "coco", "voc", "yolo", "csv"], ...] = ("jsonl",)
    """The formats of the results, one or several (docs/detect.md)."""
    pictures: bool = True
    """Draw what is found; without, only the results are written."""
    min_score: float | None = None
    """Draw and list detections above this score. None: 0.3, or what an exported network was
    exported with, if that is more."""
    class_score: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS=SCORE ...")] = ()
    """Instead of --min-score, for single classes."""
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS ...")] = ()
    """Only these classes."""
    batch: int = BATCH
    """Images that the network is given at a time."""
    every: int = 1
    """Of videos: 2 for every second frame, and so on."""
    tta: Tta = "none"
    """Ask about the mirrored image too (flip), or at the recipe's scales (ms), and merge what is
    found (docs/multi_scale.md)."""
    tile: int = 0
    """Cut images into overlapping tiles of so many pixels, for small objects in large images; 0: do
    not."""
    overlap: float = OVERLAP
    """Of neighbouring tiles, as a share of their side."""
    device: str = "auto"
    """auto, cpu, cuda."""


def detect(arguments: Sequence[str]) -> int:
    """Find objects in images, videos and streams, and draw them."""
    command = tyro.cli(
        DetectCommand,
        args=arguments,
        prog="scratchdet detect",
        description=description(DetectCommand),
    )
    class_scores = _checked(command)

    from scratchdet.detecting import run
    from scratchdet.detecting.output import Output
    from scratchdet.detecting.sources import find_sources, put_together
    from scratchdet.detecting.thresholds import thresholds
    from scratchdet.predictors import asked_again, load_predictor
    from scratchdet.train.interrupt import catching_interrupts

    console = Console()
    formats = tuple(dict.fromkeys(command.save))
    sources = find_sources(command.sources, leave_out=command.out)
    asking = Asking(command.tta, command.tile, command.overlap)
    detector = load_predictor(command.model, device=command.device)
    least_score, keep = _limits(detector)
    detector = asked_again(detector, command.model, asking)
    least = thresholds(
        detector.classes,
        min_score=max(MIN_SCORE, least_score) if command.min_score is None else command.min_score,
        class_scores=class_scores,
        only=command.classes,
    )
    if detector.files:
        images, left_over = put_together(sources.images, detector.files)
        sources = sources._replace(images=images)
        for file, why in left_over.items():
            say(console, f"{file}: {why}")
    asked_once = command.tta == "none" and not command.tile  # else lists are merged
    with progress_bar(console, "detecting") as report, catching_interrupts() as stop:
        summary = run.detect(
            detector,
            sources,
            output=Output(folder=command.out, formats=formats, pictures=command.pictures),
            least=least,
            watching=run.Watching(
                progress=report, unreadable=lambda why: say(console, why), stop=stop
            ),
            keep=keep if asked_once else None,
            batch=command.batch,
            every=command.every,
        )
    _say_summary(console, summary, command.out, keep=keep)
    if summary.interrupted:
        return INTERRUPTED
    return NO if summary.unreadable else 0


def _checked(command: DetectCommand) -> dict[str, float]:
    """The scores by class that --class-score gives; ValueError for what makes no sense."""
    if not command.sources:
        raise ValueError("give at least one image, folder, pattern, video or stream; see --help")
    if command.batch < 1 or command.every < 1:
        raise ValueError("--batch and --every are 1 or more")
    if command.min_score is not None:
        _check_score("--min-score", command.min_score)
    class_scores = {}
    for given in command.class_score:
        name, _, score = given.rpartition("=")
        try:
            class_scores[name] = float(score)
        except ValueError as error:
            raise ValueError(f"--class-score: {given} is not CLASS=SCORE, as in cat=0.5") from error
        _check_score(f"--class-score {name}", class_scores[name])
    return class_scores


def _check_score(flag: str, score: float) -> None:
    if not 0 <= score <= 1:
        raise ValueError(f"{flag} is {score:g}; scores are from 0 to 1")


def _limits(detector: "Predictor") -> tuple[float, int]:
    """The lowest score, and the most objects of one image, that the detector can find."""
    from scratchdet.ops.limits import KEEP

    card = getattr(detector, "card", None)  # of exported networks, where both are fixed
    return (0.0, KEEP) if card is None else (card.min_score, card.keep)


def _say_summary(console: Console, summary: "Summary", out: Path, *, keep: int) -> None:
    if summary.full:
        say(
            console,
            f"NOTE: {summary.full} of the images or frames had {keep} detections, the most that "
            "are kept of one: there may be more objects",
        )
    counts = {"images": summary.images, "frames": summary.frames}
    looked_at = " and ".join(f"{n} {what}" for what, n in counts.items() if n) or "0 images"
    rate = (summary.images + summary.frames) / max(summary.seconds, 1e-9)
    took = f"{summary.seconds:.1f} s, {rate:.1f} {'frames' if summary.frames else 'images'}/s"
    say(console, f"{summary.objects} objects in {looked_at}: {out} ({took})")
    if summary.unreadable:
        say(console, f"{summary.unreadable} could not be read, or not to the end: see above")
    if summary.interrupted:
        say(console, "interrupted: the results are of what was done until then")
