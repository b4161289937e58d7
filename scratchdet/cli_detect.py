"""`scratchdet detect`: what a detector finds in images."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from tyro.conf import Positional

from scratchdet.terminal import progress_bar, say

NO = 1  # exit status: it ran, and the answer is no


def detect(
    model: Positional[Path],
    images: Positional[Path],
    /,
    out: Path = Path("found"),
    min_score: float = 0.3,
    device: str = "auto",
) -> int:
    """Find objects in images, and draw them.

    Writes one annotated picture for each image, and detections.jsonl with a line for each:
    {"image": ..., "objects": [{"class": ..., "score": ..., "box": [x1, y1, x2, y2]}]}.

    Examples:
      scratchdet detect runs/NAME photo.jpg
      scratchdet detect runs/NAME folder/of/images --out found --min-score 0.5

    A detector of images of several files (--data.files) finds them in the folder by their names;
    one of the files stands for the image, which is called by all of them, joined by "|".

    Args:
        model: The folder of a run (its best model), or a model file.
        images: An image, or a folder of images (searched with its sub-folders).
        out: The folder for the results.
        min_score: Draw and list detections from this score on.
        device: auto, cpu, cuda.
    """
    from scratchdet.detecting import detect_files, find_images, find_stacks
    from scratchdet.predictors import load_predictor

    if not 0 <= min_score <= 1:
        raise ValueError(f"--min-score is {min_score:g}; scores are from 0 to 1")
    console = Console()
    files: Sequence[Path] = find_images(images, leave_out=out)
    detector = load_predictor(model, device=device)
    left_over: dict[Path, str] = {}
    if detector.files:
        files, left_over = find_stacks(files, detector.files)
    with progress_bar(console, "detecting") as report:
        summary = detect_files(detector, files, out=out, min_score=min_score, progress=report)
    for line in (*summary.unreadable, *(f"{file}: {why}" for file, why in left_over.items())):
        say(console, line)
    say(console, f"{summary.objects} objects in {summary.images} images: {out}")
    return NO if summary.unreadable else 0
