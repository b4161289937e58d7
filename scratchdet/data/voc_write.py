"""Writes samples as a PASCAL VOC folder: JPEGImages, Annotations, ImageSets/Main."""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from scratchdet.structures import DataError, Sample

JPEG_QUALITY = 95  # percent; block artefacts stay below what is visible on a stroke of 2 pixels


def write_voc(
    root: Path,
    splits: Mapping[str, Iterable[tuple[str, Sample]]],
    *,
    classes: Sequence[str],
    files: Mapping[str, str] | None = None,
) -> Path:
    """`root`, now a VOC folder of the (id, sample) pairs of each split.

    Samples are taken one at a time, so a generator of any length will do. `files` are further
    texts by name at the top of the folder. The folder is built next to `root` and renamed when
    complete: `root` never holds half a data set. DataError if it already holds something.
    """
    root = Path(os.path.abspath(root))  # a bare `.` has no parent to build in
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root}: not empty; delete it or name another folder")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}.") as holder:
        folder = Path(holder) / "voc"
        for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (folder / part).mkdir(parents=True)
        for split, samples in splits.items():
            names = [_write_sample(folder, name, sample, classes) for name, sample in samples]
            lines = "".join(f"{name}\n" for name in names)
            (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(lines, encoding="utf-8")
        for name, text in (files or {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        os.rename(folder, root)
    return root


def _write_sample(folder: Path, name: str, sample: Sample, classes: Sequence[str]) -> str:
    """`name`, once its picture and annotation are on disk."""
    if name != Path(name).name or name in ("", ".", ".."):
        raise DataError(f"image id {name!r}: cannot be a file name; ids become NAME.jpg, NAME.xml")
    annotation = folder / "Annotations" / f"{name}.xml"
    if annotation.exists():
        raise DataError(f"image id {name!r}: given twice; every image needs an id of its own")
    (folder / "JPEGImages" / f"{name}.jpg").write_bytes(_jpeg(name, sample.image))
    annotation.write_bytes(_annotation(name, sample, classes))
    return name


def _jpeg(name: str, image: np.ndarray) -> bytes:
    """The file's bytes; JPEG holds one channel or RGB, 8 bits, and nothing else."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise DataError(
            f"image {name}: {image.dtype} of shape {image.shape} does not fit into a JPEG; "
            "give uint8 (H, W, 1) or (H, W, 3)"
        )
    pixels = image if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise DataError(f"image {name}: OpenCV cannot encode shape {image.shape} as JPEG")
    return encoded.tobytes()


def _annotation(name: str, sample: Sample, classes: Sequence[str]) -> bytes:
    """The annotation XML of one image."""
    height, width, channels = sample.image.shape
    objects = []
    for index, (box, label, ignore) in enumerate(
        zip(sample.boxes, sample.labels, sample.ignore, strict=True)
    ):
        corners = voc_corners(box, size=(width, height))
        if corners is None:
            raise DataError(
                f"image {name}: box {index} ({classes[label]}) covers no whole pixel of "
                f"{width}x{height}: {' '.join(f'{v:g}' for v in box)}; drop or clip it first"
            )
        objects.append((classes[label], corners, {"difficult": int(ignore)}))
    return annotation(f"{name}.jpg", shape=(height, width, channels), objects=objects)


def annotation(
    filename: str,
    *,
    shape: tuple[int, int, int],
    objects: Iterable[tuple[str, tuple[int, int, int, int], Mapping[str, object]]],
) -> bytes:
    """The annotation XML of an image of `shape` (height, width, channels).

    objects: their classes, their corners as VOC counts them, and what else is said of them.
    """
    height, width, channels = shape
    root = ElementTree.Element("annotation")
    _add(root, {"folder": "VOC", "filename": filename})
    size = ElementTree.SubElement(root, "size")
    _add(size, {"width": width, "height": height, "depth": channels})
    _add(root, {"segmented": 0})
    for name, corners, more in objects:
        thing = ElementTree.SubElement(root, "object")
        _add(thing, {"name": name, "pose": "Unspecified", "truncated": 0, **more})
        corner_names = ("xmin", "ymin", "xmax", "ymax")
        _add(ElementTree.SubElement(thing, "bndbox"), dict(zip(corner_names, corners, strict=True)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _add(parent: ElementTree.Element, values: Mapping[str, object]) -> None:
    """Adds one text element per value to `parent`, which is being built."""
    for tag, value in values.items():
        ElementTree.SubElement(parent, tag).text = str(value)


def voc_corners(box: np.ndarray, *, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """1-based inclusive corners of a 0-based half-open box, rounded to whole pixels.

    None where no pixel of an image of `size` (width, height) remains, or the box leaves it.
    """
    if not np.isfinite(box).all():
        return None
    x0, y0, x1, y1 = (int(value) for value in np.rint(box))
    width, height = size
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        return None
    return x0 + 1, y0 + 1, x1, y1
