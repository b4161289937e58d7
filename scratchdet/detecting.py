"""A detector over image files: annotated pictures, and a line of JSON for each."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from scratchdet.analysis.plots import draw_detections, fitted, save_image
from scratchdet.data import packed
from scratchdet.data.images import EXTENSIONS, read_image
from scratchdet.data.references import files_of
from scratchdet.data.stacks import group
from scratchdet.files import replacing
from scratchdet.structures import Arrays, DataError, Predictor, as_arrays

LEAST_PICTURE = 320
"""Pixels of the longer side; smaller images are enlarged, or their tags would hide them."""


class Summary(NamedTuple):
    """What `detect_files` did."""

    images: int
    objects: int
    unreadable: tuple[str, ...]
    """Why, for each image that could not be read."""


def find_images(path: Path, *, leave_out: Path) -> list[Path]:
    """The image at `path`, or all in that folder and below, sorted; or all images of that pack.

    DataError if there are none.
    leave_out: the folder for the results, so that a second call does not find those of the first.
    """
    if packed.recognises(path):
        return list(map(Path, packed.read(path).paths))
    if path.is_file():
        return [path]
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if leave_out.resolve() == path.resolve():
        raise DataError(f"{path}: the results would be mixed with the images; give another --out")
    files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in EXTENSIONS and leave_out not in file.parents
    )
    if not files:
        raise DataError(f"{path}: no image here; looked for {', '.join(EXTENSIONS)}")
    return files


def find_stacks(files: Sequence[Path], pattern: str) -> tuple[list[Path], dict[Path, str]]:
    """The images that files make by the pattern of their names, and those left over, with why.

    One file alone stands for the image it is a part of. DataError if there is no image.
    """
    if all(len(files_of(file)) > 1 for file in files):  # put together when they were packed
        return list(files), {}
    images, left_over = group(files, pattern)
    if not images:
        file, why = next(iter(left_over.items()))
        raise DataError(f"{file}: {why}; the detector takes images of the files {pattern}")
    return [Path(stack.reference) for stack in images], left_over


def detect_files(
    detector: Predictor,
    files: Sequence[Path],
    *,
    out: Path,
    min_score: float,
    progress: Callable[[int, int], None],
) -> Summary:
    """Writes OUT/detections.jsonl and a picture for each image; tells which ones cannot be read.

    files: references (`data.references`). A picture is called as its (first) file is; where two
    share a name, the later gets a number.
    """
    objects, unreadable, taken = 0, [], set[str]()
    with (
        replacing(out / "detections.jsonl") as temporary,
        # A file name that is not Unicode has lone surrogates in Python; in JSON they are escapes.
        temporary.open("w", encoding="utf-8", errors="backslashreplace") as lines,
    ):
        for done, file in enumerate(files):
            progress(done, len(files))
            try:
                image = read_image(file, channels=detector.in_channels, dtype=detector.image_dtype)
            except DataError as error:
                unreadable.append(str(error))
                continue
            found = as_arrays(detector.predict([image], min_score=min_score)[0])
            boxes, scores, labels = found
            if max(image.shape[:2]) < LEAST_PICTURE:
                image, factors = fitted(image, LEAST_PICTURE)
                boxes = boxes * factors
            picture = draw_detections(image, boxes, scores, labels, classes=detector.classes)
            members = [Path(member) for member in files_of(file)]
            target = out / _free_name(members[0].stem, taken)
            if target.resolve() in [member.resolve() for member in members]:
                raise DataError(f"{file} would be overwritten by its result; give another --out")
            save_image(picture, target)
            lines.write(json.dumps(_line(file, found, detector.classes), ensure_ascii=False) + "\n")
            objects += len(scores)
    progress(len(files), len(files))
    return Summary(len(files) - len(unreadable), objects, tuple(unreadable))


def _free_name(stem: str, taken: set[str]) -> str:
    names = [f"{stem}.png", *(f"{stem}-{n}.png" for n in range(2, len(taken) + 2))]
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name


def _line(file: Path, found: Arrays, classes: Sequence[str]) -> dict[str, object]:
    return {
        "image": str(file),
        "objects": [
            {
                "class": classes[int(label)],
                "score": round(float(score), 4),
                "box": [round(float(corner), 2) for corner in box],
            }
            for box, score, label in zip(*found, strict=True)
        ],
    }
