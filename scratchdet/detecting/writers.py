"""Results as files: JSON lines, COCO's JSON, VOC's XML, YOLO's labels, CSV.

A writer is given the folder for the results and the classes, and yields a function that takes one
result at a time, so that a million images take no more memory than one. What it writes appears when
its block ends without an error.
"""

import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from scratchdet.data.voc_write import annotation, voc_corners
from scratchdet.detecting.views import View
from scratchdet.files import replacing, writing
from scratchdet.structures import Arrays, DataError

Write = Callable[["Result"], None]
Writer = Callable[[Path, Sequence[str]], AbstractContextManager[Write]]

COLUMNS = ("image", "frame", "seconds", "class", "score", "x1", "y1", "x2", "y2")
"""Of the CSV; frame and seconds are empty for what is no video."""


LEAST_VOC = 2  # pixels; readers, ours too, take xmin = xmax for a box without area


class Result(NamedTuple):
    """What was found in one image."""

    view: View
    stem: str
    """Of the files about it: no other result has the same."""
    image: np.ndarray
    """(H, W, C)."""
    found: Arrays

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image."""
        return self.image.shape[1], self.image.shape[0]

    def rows(self) -> Iterator[tuple[int, float, list[float]]]:
        """Label, score and box of each object, in as many digits as mean anything."""
        for box, score, label in zip(*self.found, strict=True):
            yield int(label), round(float(score), 4), [round(float(corner), 2) for corner in box]


@contextmanager
def jsonl(out: Path, classes: Sequence[str]) -> Iterator[Write]:
    """detections.jsonl: a line for each image, and of a video for each frame."""
    with _text(out / "detections.jsonl") as lines:

        def write(result: Result) -> None:
            line: dict[str, object] = {"image": result.view.reference}
            if result.view.frame is not None:
                line |= {"frame": result.view.frame, "seconds": _seconds(result.view)}
            line["objects"] = [
                {"class": classes[label], "score": score, "box": box}
                for label, score, box in result.rows()
            ]
            lines.write(_json(line) + "\n")

        yield write


@contextmanager
def coco(out: Path, classes: Sequence[str]) -> Iterator[Write]:
    """detections.coco.json: a COCO data set whose annotations have scores; ids count from 1."""
    images = annotations = 0
    with (
        _text(out / "detections.coco.json") as file,
        # Images and annotations come together, and stand apart in the file.
        tempfile.TemporaryFile("w+", dir=out, encoding="utf-8") as aside,
    ):

        def write(result: Result) -> None:
            nonlocal images, annotations
            width, height = result.size
            sizes = {"width": width, "height": height}
            file.write(_separator(images))
            file.write(_json({"id": images + 1, "file_name": result.view.name, **sizes}))
            images += 1
            for label, score, box in result.rows():
                aside.write(_separator(annotations))
                ids = {"id": annotations + 1, "image_id": images, "category_id": label + 1}
                aside.write(_json({**ids, **_coco_box(box), "iscrowd": 0, "score": score}))
                annotations += 1

        categories = [{"id": label + 1, "name": name} for label, name in enumerate(classes)]
        file.write(f'{{"categories": {_json(categories)},\n"images": [')
        yield write
        file.write('],\n"annotations": [')
        aside.seek(0)
        shutil.copyfileobj(aside, file)
        file.write("]}\n")


@contextmanager
def voc(out: Path, classes: Sequence[str]) -> Iterator[Write]:
    """Annotations/NAME.xml: whole pixels that count from 1, with the scores beside them."""
    with _new_folder(out / "Annotations") as folder:

        def write(result: Result) -> None:
            objects = [
                (classes[label], whole_pixels(box, size=result.size), {"score": score})
                for label, score, box in result.rows()
            ]
            # No XML has a file name that is not Unicode.
            name = Path(result.view.name).name.encode("utf-8", "backslashreplace").decode()
            height, width, channels = result.image.shape
            text = annotation(name, shape=(height, width, channels), objects=objects)
            _write_new(folder / f"{result.stem}.xml", text)

        yield write


@contextmanager
def yolo(out: Path, classes: Sequence[str]) -> Iterator[Write]:
    """labels/NAME.txt: `class cx cy w h score` for each object; and labels/classes.txt."""
    with _new_folder(out / "labels") as folder:
        _write_new(folder / "classes.txt", "".join(f"{name}\n" for name in classes).encode())

        def write(result: Result) -> None:
            width, height = result.size
            lines = []
            for label, score, (x1, y1, x2, y2) in result.rows():
                centre = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height]
                sides = [(x2 - x1) / width, (y2 - y1) / height]
                numbers = " ".join(f"{share:.6f}" for share in centre + sides)
                lines.append(f"{label} {numbers} {score:.4f}\n")
            _write_new(folder / f"{result.stem}.txt", "".join(lines).encode())

        yield write


@contextmanager
def table(out: Path, classes: Sequence[str]) -> Iterator[Write]:
    """detections.csv: a row for each object, below the names of the columns."""
    with _text(out / "detections.csv", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)

        def write(result: Result) -> None:
            view = result.view
            frame = ["", ""] if view.frame is None else [view.frame, _seconds(view)]
            for label, score, box in result.rows():
                rows.writerow([view.reference, *frame, classes[label], score, *box])

        yield write


WRITERS: dict[str, Writer] = {
    "jsonl": jsonl,
    "coco": coco,
    "voc": voc,
    "yolo": yolo,
    "csv": table,
}


def whole_pixels(box: Sequence[float], *, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """VOC's corners of a box inside an image of `size`, LEAST_VOC pixels apart at least."""
    corners = np.rint(box)
    least = np.minimum(LEAST_VOC, size)
    first = np.minimum(corners[:2], size - least)
    last = np.maximum(corners[2:], first + least)
    inside = voc_corners(np.concatenate([first, last]), size=size)
    if inside is None:
        raise DataError(f"a box is outside its image of {size[0]}x{size[1]}: {list(box)}")
    return inside


def _coco_box(box: Sequence[float]) -> dict[str, object]:
    x1, y1, x2, y2 = box
    width, height = round(x2 - x1, 2), round(y2 - y1, 2)
    return {"bbox": [x1, y1, width, height], "area": round(width * height, 2)}


def _seconds(view: View) -> float:
    return round(view.seconds or 0.0, 3)


def _json(value: object) -> str:
    # A file name that is not Unicode has lone surrogates in Python; `_text` makes them escapes.
    return json.dumps(value, ensure_ascii=False)


def _separator(already: int) -> str:
    return ",\n" if already else "\n"


@contextmanager
def _text(path: Path, *, newline: str | None = None) -> Iterator[IO[str]]:
    """The file at `path`, as UTF-8."""
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline=newline) as file,
    ):
        yield file


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder that will be called `path`. Whatever is there already may be anyone's work."""
    if path.exists():
        raise DataError(f"{path}: is there already; give another --out, or delete it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as holder,
        writing(path, temporary=Path(holder)),
    ):
        folder = Path(holder) / path.name
        folder.mkdir()
        yield folder
        folder.rename(path)


def _write_new(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
