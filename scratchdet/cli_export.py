"""`scratchdet export`: a trained detector as a file that other engines run."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from tyro.conf import Positional

from scratchdet.export.card import Form
from scratchdet.terminal import say

if TYPE_CHECKING:
    from scratchdet.export.verify import Difference
    from scratchdet.models.detector import Detector

Format = Literal["onnx"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx"}


def export(
    model: Positional[Path],
    /,
    format: Format = "onnx",
    form: Form = "end-to-end",
    dynamic_size: bool = False,
    out: Path | None = None,
    data: Path | None = None,
    min_score: float = 0.01,
) -> int:
    """Write a trained detector as a file that other engines run, and verify it on the spot.

    What is written takes images as they are read, resized to the network's input: normalisation,
    non-maximum suppression and the names of the classes are inside. It is run on real images, and
    kept only if it computes what the model does; otherwise no file is written, exit status 1.

    Examples:
      scratchdet export runs/NAME
      scratchdet export runs/NAME --out detector.onnx --data folder/of/images
      scratchdet export runs/NAME --dynamic-size
      scratchdet export runs/NAME --form raw

    scratchdet detect and eval take the file as they take a model, and then need no torch.

    Args:
        model: The folder of a run (its best model), or a model file.
        format: onnx.
        form: end-to-end: images to boxes, scores and labels. raw: to logits, offsets and priors.
        dynamic_size: Let the exported network take images of other heights and widths, too.
        out: The file to write. Default: the name of the model, with .onnx.
        data: An image, or a folder of images, to verify on. Default: those the model was
            validated on, if they are still there, else generated pictures.
        min_score: What scores less is not found.
    """
    from scratchdet.export.pictures import some_images
    from scratchdet.models.saved import find_model, load_model, read_metadata

    if not 0 <= min_score < 1:
        raise ValueError(f"--min-score is {min_score:g}; it is from 0 to below 1")
    console = Console()
    file = find_model(model)
    target = out or file.with_suffix(SUFFIXES[format])
    detector, about = load_model(file), read_metadata(file)
    images, whose = some_images(detector, data=data, recipe=about.get("recipe", ""))
    difference = FORMATS[format](
        detector,
        target,
        images=images,
        form=form,
        dynamic_size=dynamic_size,
        min_score=min_score,
        about=about,
    )
    say(console, f"the same as {file} on {difference.images} images: {whose}")
    if form == "end-to-end":
        say(console, f"  detections   {difference.detections}, the same labels")
    say(console, f"  scores       differ by up to {difference.score:.2g}")
    say(console, f"  boxes        differ by up to {difference.box:.2g} px")
    say(console, f"  written      {target} ({target.stat().st_size / 1e6:.1f} MB)")
    return 0


def _onnx(detector: "Detector", path: Path, **choices: Any) -> "Difference":
    from scratchdet.export.onnx import export_onnx

    return export_onnx(detector, path, **choices)


FORMATS: dict[Format, Callable[..., "Difference"]] = {"onnx": _onnx}
