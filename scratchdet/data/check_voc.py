"""What VOC's files say beyond what is read: good to know where other tools stumble over it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import ParseError

from scratchdet.data.findings import Finding
from scratchdet.data.voc_xml import annotation_of, read_tree

ELEMENTS = ("filename", "size/width", "size/height", "size/depth")


def check_voc(use: str, image_id: str, image: Path) -> Iterator[Finding]:
    """What is found in the annotation of an image of VOC's.

    One that cannot be read is passed over: the reader has told of it.
    """
    file = image.parent.parent / "Annotations" / f"{Path(image_id).name}.xml"
    try:
        tree = read_tree(file)
    except (ParseError, OSError, LookupError, ValueError):
        return
    for name in ELEMENTS:
        element = tree.find(name)
        if element is not None and not (element.text or "").strip():
            yield Finding("empty-element", use, str(file), f"<{name.split('/')[-1]}> is empty")
    annotation = annotation_of(file, tree)
    for number, corners in enumerate(annotation.corners):
        if any(math.isfinite(corner) and not corner.is_integer() for corner in corners):
            what = f"box {number}: {' '.join(f'{corner:g}' for corner in corners)}"
            yield Finding("decimals", use, str(file), what)
            break  # the others are like it
    if annotation.image and annotation.image != image.name:
        what = f"names {annotation.image}; {image.name} is taken"
        yield Finding("other-filename", use, str(file), what)
