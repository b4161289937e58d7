"""`scratchdet export`: a trained detector as a file that other engines run."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from tyro.conf import Positional

from scratchdet.files import check_writable
from scratchdet.terminal import progress_bar, say

if TYPE_CHECKING:
    from scratchdet.export.verify import Difference
    from scratchdet.models.detector import Detector

Format = Literal["onnx", "openvino", "torchscript"]
Form = Literal["end-to-end", "raw"]  # as in export.card, which takes time to import
NEEDED = ("onnx", "onnxscript", "onnxruntime")  # by every format
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".pt"}


def export(
    model: Positional[Path],
    /,
    format: Format = "onnx",
    form: Form = "end-to-end",
    dynamic_size: bool = False,
    out: Path | None = None,
    data: Path | None = None,
    min_score: float = 0.01,
    int8: bool = False,
    max_drop: float = 0.01,
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
      scratchdet export runs/NAME --format openvino
      scratchdet export runs/NAME --int8 --data path/to/data

    scratchdet detect and eval take an .onnx, or OpenVINO's .xml, as they take a model, and then
    need no torch: docs/deploy.md.

    Args:
        model: The folder of a run (its best model), or a model file.
        format: onnx; openvino: NAME.xml and NAME.bin; torchscript: for programs with LibTorch.
        form: end-to-end: images to boxes, scores and labels. raw: to logits, offsets and priors.
        dynamic_size: Let the exported network take images of other heights and widths, too.
        out: The file to write. Default: the name of the model, with .onnx (.xml, .pt).
        data: An image, or a folder of images, to verify on. Default: those the model was
            validated on, if they are still there, else generated pictures. For --int8 a data set.
        min_score: What scores less is not found.
        int8: Compute in 8 bits: smaller and faster. Calibrated on the data's training images; the
            average precision before and after is measured on its test images, else its validation
            images.
        max_drop: The average precision that INT8 may cost. If it costs more, nothing is written.
    """
    from scratchdet.models.saved import find_model, load_model, read_metadata

    if not 0 <= min_score < 1:
        raise ValueError(f"--min-score is {min_score:g}; it is from 0 to below 1")
    if not 0 <= max_drop <= 1:
        raise ValueError(f"--max-drop is {max_drop:g}; it is a difference of AP, from 0 to 1")
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ImportError(f"{', '.join(missing)} not installed: pip install {' '.join(missing)}")
    console = Console()
    file = find_model(model)
    suffix = SUFFIXES[format]
    target = out or file.with_name(f"{file.stem}{'-int8' if int8 else ''}{suffix}")
    if target.suffix != suffix:
        raise ValueError(f"--out {target}: the name of such a file ends in {suffix}")
    if int8:
        from scratchdet.export.int8 import check_possible

        check_possible(target, form=form)
    check_writable(target.parent)  # now, not when all is measured
    detector, about = load_model(file), read_metadata(file)
    choices = {"form": form, "dynamic_size": dynamic_size, "min_score": min_score, "about": about}
    if int8:
        _int8(detector, target, data=data, max_drop=max_drop, console=console, **choices)
    else:
        _same(detector, target, file=file, format=format, data=data, console=console, **choices)
    weights = [target.with_suffix(".bin")] if format == "openvino" else []
    size = sum(one.stat().st_size for one in (target, *weights))
    say(
        console,
        f"  written      {' and '.join(map(str, (target, *weights)))} ({size / 1e6:.1f} MB)",
    )
    return 0


def _same(
    detector: "Detector",
    target: Path,
    *,
    file: Path,
    format: Format,
    data: Path | None,
    console: Console,
    **choices: Any,
) -> None:
    """Writes `target`, verified, and says by how much it differs."""
    from scratchdet.export.pictures import some_images

    recipe = choices["about"].get("recipe", "")
    images, whose = some_images(detector, data=data, recipe=recipe)
    difference = FORMATS[format](detector, target, images=images, **choices)
    say(console, f"the same as {file} on {difference.images} images: {whose}")
    if choices["form"] == "end-to-end":
        say(console, f"  detections   {difference.detections}, the same labels")
    say(console, f"  scores       differ by up to {difference.score:.2g}")
    say(console, f"  boxes        differ by up to {difference.box:.2g} px")


def _int8(
    detector: "Detector",
    target: Path,
    *,
    data: Path | None,
    max_drop: float,
    console: Console,
    **choices: Any,
) -> None:
    """Writes `target` in INT8, if it is as good, and says how good it is."""
    from scratchdet.evaluation import run
    from scratchdet.export.calibration import read_material
    from scratchdet.export.int8 import export_int8
    from scratchdet.export.onnx import make_card
    from scratchdet.recipe_toml import from_toml
    from scratchdet.structures import Predictor
    from scratchdet.train.splits import trained_paths

    recipe = from_toml(choices["about"].get("recipe", ""), source="the model's recipe", bases={})
    if not (data or recipe.data.path):
        raise ValueError("--int8 is calibrated and measured on a data set: say which, --data PATH")
    data = (data or Path(recipe.data.path)).resolve()
    own = recipe.data.path and Path(recipe.data.path) == data
    trained = trained_paths(recipe.data) if own else set[str]()
    material = read_material(detector, data, trained=trained)
    for note in material.notes:
        say(console, note)
    protocol = recipe.run.protocol

    def measure(predictor: Predictor) -> float:
        with progress_bar(console, "evaluating") as report:
            metrics = run.evaluate(
                predictor,
                material.measured,
                protocol,
                progress=lambda done: report(done, len(material.measured)),
            )
        return metrics.ap50 if metrics.ap is None else metrics.ap

    figures = export_int8(
        detector,
        target,
        card=make_card(detector, **choices),
        calibration=material.calibration,
        measure=measure,
        max_drop=max_drop,
        metadata={"calibration": "; ".join(material.notes), "protocol": protocol},
    )
    say(console, f"  AP ({protocol})".ljust(15) + f"{figures.float32:.4f} in float32")
    say(console, " " * 15 + f"{figures.int8:.4f} in INT8")


def _onnx(detector: "Detector", path: Path, **choices: Any) -> "Difference":
    from scratchdet.export.onnx import export_onnx

    return export_onnx(detector, path, **choices)


def _openvino(detector: "Detector", path: Path, *, images: Any, **choices: Any) -> "Difference":
    from scratchdet.export.onnx import make_card
    from scratchdet.export.openvino import export_openvino

    return export_openvino(detector, path, card=make_card(detector, **choices), images=images)


def _torchscript(detector: "Detector", path: Path, *, images: Any, **choices: Any) -> "Difference":
    from scratchdet.export.onnx import make_card
    from scratchdet.export.torchscript import export_torchscript

    return export_torchscript(detector, path, card=make_card(detector, **choices), images=images)


FORMATS: dict[Format, Callable[..., "Difference"]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "torchscript": _torchscript,
}
