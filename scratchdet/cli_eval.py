"""`scratchdet eval`: the figures of a detector on a data set, and what they are made of."""

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from tyro.conf import Positional

from scratchdet.terminal import progress_bar, say, shortened
from scratchdet.testing import OVERLAP, Asking, Tta

if TYPE_CHECKING:
    from scratchdet.evaluation.columns import Columns
    from scratchdet.recipe import Recipe
    from scratchdet.structures import DetectionData, Predictor


Submission = Literal["voc", "voc-comp3", "coco"]


def evaluate(
    model: Annotated[Positional[Path], tyro.conf.arg(metavar="MODEL")],
    data: Annotated[Positional[Path], tyro.conf.arg(metavar="DATA")],
    /,
    split: str = "",
    protocol: Literal["voc", "voc07", "coco"] = "voc",
    pixels: Literal["devkit", "continuous"] = "devkit",
    at_score: float | None = None,
    out: Path | None = None,
    submission: Submission | None = None,
    tta: Tta = "none",
    tile: int = 0,
    overlap: float = OVERLAP,
    device: str = "auto",
    json: bool = False,
) -> int:
    """Evaluate a trained detector on a data set, or detections that are in a file.

    Average precision with 95 % intervals, for each class the score with the best F1, and what each
    kind of error costs: docs/evaluation.md says what the figures mean.

    Examples:
      scratchdet eval runs/NAME path/to/data
      scratchdet eval runs/NAME/last/model.safetensors path/to/data --split test --protocol coco
      scratchdet eval model.onnx path/to/data --out figures
      scratchdet eval found/detections.jsonl path/to/data
      scratchdet eval runs/NAME VOCdevkit --split test --out voc --submission voc
      scratchdet eval runs/NAME path/to/data --tta ms

    Args:
        model: The folder of a run (its best model), a model file, an exported .onnx or .xml, or
            detections: detections.jsonl or detections.coco.json, COCO's result JSON, a folder of
            comp4_det_test_CLASS.txt.
        data: A VOC folder, COCO JSON, YOLO folder or pack.
        split: Default: test if there is one, else val, else all images.
        protocol: AP over the whole recall axis, over 11 points, or COCO's.
        pixels: A box of a VOC file is xmax - xmin + 1 wide, as in the devkit, or xmax - xmin.
        at_score: The confusion counts detections from this score on. Default: where F1 is best.
        out: A folder for evaluation.json, the charts and the submission.
        submission: Also write what COCO's server takes, or VOC's: voc-comp3 for a detector trained
            on that year's VOC images alone, from random weights, voc (comp4) for any other. Images
            of a VOC split that lack annotations are detected in, too; nothing is measured then.
        tta: Ask about the mirrored image too (flip), or at the recipe's scales (ms), and merge what
            is found: docs/multi_scale.md.
        tile: Cut images into overlapping tiles of so many pixels; 0: do not.
        overlap: Of neighbouring tiles, as a share of their side.
        device: auto, cpu, cuda.
        json: Print the figures as JSON, for scripts.
    """
    from scratchdet.data.formats import detect_format
    from scratchdet.evaluation.detections_file import is_detections_file
    from scratchdet.evaluation.diagnosis import diagnose
    from scratchdet.evaluation.run import default_split
    from scratchdet.evaluation.tables import show_diagnosis
    from scratchdet.files import check_writable

    if submission and out is None:
        raise ValueError("--submission: say where, with --out FOLDER")
    if at_score is not None and not 0 <= at_score <= 1:
        raise ValueError(f"--at-score is {at_score:g}; scores are from 0 to 1")
    if out is not None:
        check_writable(out)
    console = Console(stderr=json)
    data = data.resolve()  # as the recipe of a run has it, so that paths can be compared
    if submission == "coco" and (form := detect_format(data)) != "coco":
        raise ValueError(f"--submission coco: {data} is {form} data, without COCO's ids of images")
    asking = Asking(tta, tile, overlap)
    if is_detections_file(model):
        if asking != Asking():
            raise ValueError(f"--tta and --tile ask a detector, and {model} is what one has found")
        chosen = split or default_split(data)
        images, found = _read(model, data, split=chosen, console=console)
    else:
        chosen, images, found = _detect(
            model,
            data,
            split=split,
            submission=submission,
            asking=asking,
            device=device,
            console=console,
        )
    diagnosis = diagnose(images, found, protocol=protocol, pixels=pixels, threshold=at_score)
    figures = {"model": str(model), "data": str(data), "split": chosen, **diagnosis.to_json()}
    if json:
        print(dumps(figures, indent=2))
    else:
        show_diagnosis(console, diagnosis, what=chosen or "all images")
    if out is not None:
        from scratchdet.analysis.evaluation_plots import write_plots
        from scratchdet.files import write_text

        write_text(out / "evaluation.json", dumps(figures, indent=2) + "\n")
        write_plots(diagnosis, out)
        if submission:
            _submit(submission, out, images, found, data=data, split=chosen)
        say(console, f"written: {out}")
    return 0


def _detect(
    model: Path,
    data: Path,
    *,
    split: str,
    submission: Submission | None,
    asking: Asking,
    device: str,
    console: Console,
) -> tuple[str | None, "DetectionData", "Columns"]:
    """The split that is evaluated, its images, and what the detector finds in them."""
    from scratchdet.evaluation.columns import from_detections
    from scratchdet.evaluation.run import (
        BATCH,
        default_split,
        detect_all,
        read_known,
        read_unannotated,
    )
    from scratchdet.evaluation.submission import check_voc_names
    from scratchdet.predictors import asked_again, load_predictor, recipe_of

    predictor = load_predictor(model, device=device)
    _tell_least_score(predictor, console)
    detector = asked_again(predictor, model, asking)
    chosen = split or default_split(data)
    if chosen and submission in ("voc", "voc-comp3") and _lacks_annotations(data, split=chosen):
        say(console, "NOTE: images lack annotations: all are detected in, nothing is measured")
        images = read_unannotated(data, split=chosen, detector=detector)
    else:
        images = read_known(data, split=chosen, detector=detector)
    _tell(images, console)
    recipe = recipe_of(predictor, model)
    images = _not_trained_on(images, recipe, data=data, asked_for=bool(split), console=console)
    if submission in ("voc", "voc-comp3"):
        check_voc_names(images, _image_set(chosen))  # before hours of detecting, not after them
    with progress_bar(console, "evaluating") as report:
        found = detect_all(
            detector,
            images,
            batch=1 if asking.tile else BATCH,  # images to be cut are large, and cut one by one
            progress=lambda done: report(done, len(images)),
        )
    return chosen, images, from_detections(found)


def _read(
    file: Path, data: Path, *, split: str | None, console: Console
) -> tuple["DetectionData", "Columns"]:
    """The images, none of which is decoded, and the detections in a file."""
    from scratchdet.data.coco_ids import read_ids
    from scratchdet.data.formats import detect_format, read_data
    from scratchdet.evaluation.detections_file import read_detections
    from scratchdet.structures import DataError

    images = read_data(data, split=split)
    _tell(images, console)
    ids = read_ids(data, split=split) if detect_format(data) == "coco" else None
    try:
        images, found, remarks = read_detections(file, images, ids=ids)
    except DataError as error:
        looked_at = f" ({len(images)} images of the split {split!r}; --split names others)"
        raise DataError(f"{error}{looked_at if split else ''}") from error
    for line in remarks:
        say(console, f"NOTE: {line}")
    return images, found


def _lacks_annotations(data: Path, *, split: str) -> bool:
    """Whether the data are VOC's, and some images of the split have no annotation."""
    from scratchdet.data.formats import detect_format
    from scratchdet.data.voc_listed import lacks_annotations

    return detect_format(data) == "voc" and lacks_annotations(data, split=split)


def _tell_least_score(predictor: "Predictor", console: Console) -> None:
    """A line if an exported network leaves out what AP is made of, too."""
    from scratchdet.export.runtime import ExportedDetector
    from scratchdet.ops.limits import MIN_SCORE

    if isinstance(predictor, ExportedDetector) and predictor.card.min_score > MIN_SCORE:
        say(
            console,
            f"NOTE: the network was exported with --min-score {predictor.card.min_score:g}: what "
            f"scores less is missing, and AP is lower than with the ordinary {MIN_SCORE:g}",
        )


def _tell(images: "DetectionData", console: Console) -> None:
    for line in shortened(images.problems):
        say(console, line)


def _not_trained_on(
    images: "DetectionData", recipe: "Recipe", *, data: Path, asked_for: bool, console: Console
) -> "DetectionData":
    """The images that the detector was not trained on, unless the split was `asked_for`."""
    from scratchdet.train.splits import trained_paths

    if not recipe.data.path or Path(recipe.data.path) != data:
        return images
    trained = trained_paths(recipe.data)
    unseen = [index for index, path in enumerate(images.paths) if path not in trained]
    seen = len(images) - len(unseen)
    if seen and unseen and not asked_for:
        say(console, f"{seen} images are left out: the detector was trained on them")
        return images.subset(unseen)
    if seen:
        say(console, f"NOTE: the detector was trained on {seen} of these {len(images)} images")
    return images


def _submit(
    form: Submission,
    out: Path,
    images: "DetectionData",
    found: "Columns",
    *,
    data: Path,
    split: str | None,
) -> None:
    """Writes what the server of `form` takes."""
    from scratchdet.data.coco_ids import read_ids
    from scratchdet.evaluation.submission import write_coco_submission, write_voc_submission

    if form == "coco":
        ids = read_ids(data, split=split)
        write_coco_submission(out / "submission.json", images, found, ids=ids)
    else:
        write_voc_submission(
            out / "submission",
            images,
            found,
            competition="comp3" if form == "voc-comp3" else "comp4",
            image_set=_image_set(split),
        )


def _image_set(split: str | None) -> str:
    """The split as the names of VOC's files have it: that of a single year is YEAR/SPLIT."""
    return Path(split or "test").name
