"""The images of a VOC list, annotated or not: what a challenge's detector is tested on.

The challenges publish their test images without annotations. They are no images without objects,
which is what training would take them for: nothing is known of them, and nothing can be measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from scratchdet.data.images import image_size
from scratchdet.data.voc import chosen_lists, images_by_stem, lines_of, without_flag
from scratchdet.structures import DataError, DetectionData, Problem, Record, from_records


def lacks_annotations(path: Path | str, *, split: str) -> bool:
    """Whether some image of the split has no annotation."""
    return any(
        not (_root(file) / "Annotations" / f"{image_id}.xml").is_file()
        for file in chosen_lists(Path(path), split)
        for image_id in _ids(file)
    )


def read_listed(
    path: Path | str, *, split: str, classes: Sequence[str], files: str = ""
) -> DetectionData:
    """All images of the split, with no object; those that are not there are problems.

    files: as for `voc.read`. DataError if two years have an image of the same id: name one.
    """
    records: dict[str, Record] = {}
    problems: list[Problem] = []
    for file in chosen_lists(Path(path), split):
        images = images_by_stem(_root(file), files)
        for image_id in _ids(file):
            try:
                record = _record(image_id, images)
            except DataError as error:
                where = f"{file}: {image_id}"
                problems.append(Problem(where, str(error), "image dropped", "missing-image"))
                continue
            if records.setdefault(image_id, record).path != record.path:
                raise DataError(f"{path}: two years have an image {image_id}: name one, YEAR/SPLIT")
    return replace(from_records(list(records.values()), classes), problems=tuple(problems))


def _root(file: Path) -> Path:
    """The year of a list ROOT/ImageSets/Main/NAME.txt."""
    return file.parents[2]


def _ids(file: Path) -> list[str]:
    return list(dict.fromkeys(without_flag(line) for line in lines_of(file)))


def _record(image_id: str, images: Mapping[str, Sequence[Path]]) -> Record:
    if image_id not in images:
        raise DataError("listed in the split, but there is no such image")
    reference = images[image_id][0]
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
    return Record(image_id, reference, image_size(str(reference)), *nothing)
