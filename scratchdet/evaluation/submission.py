"""Files of detections as the challenges take them: VOC's text files, COCO's JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scratchdet.data.coco_ids import Ids
from scratchdet.evaluation.columns import Columns, check
from scratchdet.files import replacing
from scratchdet.structures import DataError, DetectionData

NUMBER = "%.9g"
"""Nine digits tell any two float32 apart: the files give the figures that the detections give.

SSD's Caffe release cuts corners to whole pixels and scores to six digits, which do not.
"""
INCLUSIVE = np.array([1, 1, 0, 0])  # from 0-based and half-open to 1-based with the last pixel
BLOCK = 1 << 16  # detections that are Python objects at a time


def write_voc_submission(
    folder: Path,
    data: DetectionData,
    detections: Columns,
    *,
    competition: Literal["comp3", "comp4"] = "comp4",
    image_set: str = "test",
) -> list[Path]:
    """The files written: FOLDER/comp4_det_test_CLASS.txt of every class, empty if none was found.

    A line is `image_id score xmin ymin xmax ymax`, corners counted from 1, the last pixel included,
    as the VOC server and the devkit's VOCevaldet.m read it and as SSD and DSOD wrote it (their
    DetectionOutput layer with output_format "VOC"). To submit: a folder `results/VOC2012/Main` of
    these, as .tar.gz.

    competition: comp3 is for detectors trained on the train and val images of that year's
    challenge alone, comp4 for all others: of other data (VOC 2007 for VOC 2012, too), or begun with
    other data's weights. From random weights on VOC 2012 trainval it is comp3; SSD's scripts write
    comp4.
    """
    check(data, detections)
    check_voc_names(data, image_set)
    ids = list(data.ids)
    line = f"%s {' '.join([NUMBER] * 5)}\n"
    written = []
    for label, name in enumerate(data.classes):
        rows = np.flatnonzero(detections.labels == label)
        path = folder / f"{competition}_det_{image_set}_{name}.txt"
        # Ids that are not Unicode are read back as they are written.
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape") as stream,
        ):
            for block in _blocks(detections, rows):
                boxes = block.boxes.astype(np.float64) + INCLUSIVE
                columns = (block.image_index, block.scores, *boxes.T)
                for image, *numbers in zip(*(column.tolist() for column in columns), strict=True):
                    stream.write(line % (ids[image], *numbers))
        written.append(path)
    return written


def write_coco_submission(
    path: Path, data: DetectionData, detections: Columns, *, ids: Ids
) -> None:
    """Writes COCO's result JSON: for each detection its image_id, category_id, bbox and score.

    `bbox` is x, y, width, height. ids: of the annotation file that `data` was read from
    (`coco_ids.read_ids`), which the server and pycocotools know images and categories by; data of
    other formats have none. DataError for a class that stands for no category, or for several.
    """
    check(data, detections)
    images = [json.dumps(_image_id(ids, name)) for name in data.ids]
    categories = {
        label: json.dumps(_category_id(ids, data.classes[label]))
        for label in np.unique(detections.labels).tolist()
    }
    corner = ", ".join([NUMBER] * 4)
    entry = f'{{"image_id": %s, "category_id": %s, "bbox": [{corner}], "score": {NUMBER}}}'
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write("[")
        separator = ""
        for block in _blocks(detections, np.arange(len(detections.scores))):
            boxes = block.boxes.astype(np.float64)
            boxes[:, 2:] -= boxes[:, :2]
            columns = (block.image_index, block.labels, *boxes.T, block.scores)
            for image, label, *numbers in zip(*(part.tolist() for part in columns), strict=True):
                stream.write(separator + entry % (images[image], categories[label], *numbers))
                separator = ",\n"
        stream.write("]\n")


def _blocks(detections: Columns, rows: np.ndarray) -> Iterator[Columns]:
    """The detections at `rows`, a bounded number at a time."""
    for start in range(0, len(rows), BLOCK):
        yield Columns(*(column[rows[start : start + BLOCK]] for column in detections))


def check_voc_names(data: DetectionData, image_set: str) -> None:
    """Raises DataError where a name would break the line or the name of the VOC file it is in."""
    for what, names in (("class", data.classes), ("image set", (image_set,))):
        for name in names:
            if not name or "/" in name or "\0" in name:
                raise DataError(f"the {what} {name!r} cannot be part of a file's name")
    for name in data.ids:
        if len(name.split()) != 1:
            raise DataError(f"the image {name!r} has spaces in its id, where VOC's files have none")


def _image_id(ids: Ids, name: str) -> Any:
    if name not in ids.images:
        raise DataError(f"the annotation file has no image id {name}: it is of other data")
    return ids.images[name]


def _category_id(ids: Ids, name: str) -> Any:
    found = ids.categories.get(name, [])
    if len(found) != 1:
        numbers = f"several: {', '.join(map(str, found))}" if found else "none"
        raise DataError(
            f"class {name}: a result needs one category id, the annotation file has {numbers}"
        )
    return found[0]
