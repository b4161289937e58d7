"""What VOC's files say beyond what is read: good to know where other tools stumble over it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from defusedxml import ElementTree

from scratchdet.data.findings import Finding
from scratchdet.data.voc_xml import read_annotation
from scratchdet.structures import DetectionData

ELEMENTS = ("filename", "size/width", "size/height", "size/depth")


def check_voc(use: str, data: DetectionData) -> Iterator[Finding]:
    """What is found in the annotation of each image; nothing where the data are not VOC's."""
    for image_id, image in zip(data.ids, map(Path, data.paths), strict=True):
        file = image.parent.parent / "Annotations" / f"{Path(image_id).name}.xml"
        if file.is_file():
            yield from _of_file(use, file, image)


def _of_file(use: str, file: Path, image: Path) -> Iterator[Finding]:
    tree = ElementTree.fromstring(file.read_bytes(), forbid_dtd=True)  # it was read before
    for name in ELEMENTS:
        element = tree.find(name)
        if element is not None and not (element.text or "").strip():
            yield Finding("empty-element", use, str(file), f"<{name.split('/')[-1]}> is empty")
    annotation = read_annotation(file)
    for number, corners in enumerate(annotation.corners):
        if any(math.isfinite(corner) and not corner.is_integer() for corner in corners):
            what = f"box {number}: {' '.join(f'{corner:g}' for corner in corners)}"
            yield Finding("decimals", use, str(file), what)
            break  # the others are like it
    if annotation.image and annotation.image != image.name:
        what = f"names {annotation.image}; {image.name} is taken"
        yield Finding("other-filename", use, str(file), what)
