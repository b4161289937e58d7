"""VOC's XML: what one annotation file says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element
from xml.parsers import expat

from defusedxml import ElementTree

CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Annotation(NamedTuple):
    """One annotation file as it stands."""

    path: Path
    image: str
    """<filename>, which may be wrong or empty."""
    size: tuple[int, int] | None
    names: list[str]
    corners: list[list[float]]
    difficult: list[bool]


def read_annotation(path: Path) -> Annotation:
    """What the file says; raises what `read_tree` does."""
    return annotation_of(path, read_tree(path))


def read_tree(path: Path) -> Element:
    """The root of the file; raises ParseError, OSError, LookupError or ValueError."""
    root: Element = ElementTree.fromstring(path.read_bytes(), forbid_dtd=True)
    return root


def annotation_of(path: Path, tree: Element) -> Annotation:
    """What the file at `path` says, of which `tree` is the root."""
    # Only direct children: <part> and <attributes> have names and boxes of their own.
    objects = tree.findall("object")
    return Annotation(
        path=path,
        image=(tree.findtext("filename") or "").strip(),
        size=_size(tree),
        names=[(item.findtext("name") or "").strip() for item in objects],
        corners=[[_number(item.findtext(f"bndbox/{c}")) for c in CORNERS] for item in objects],
        difficult=[
            (item.findtext("difficult") or "").strip().lower() in ("1", "true") for item in objects
        ],
    )


def counts_from_zero(annotation: Annotation) -> bool:
    """Whether a corner is below 1; of boxes with area, as others may be mere placeholders."""
    return any(
        (xmin < 1 or ymin < 1) and xmax > xmin and ymax > ymin
        for xmin, ymin, xmax, ymax in annotation.corners
    )


def place_of_object(annotation: Annotation, index: int) -> str:
    """`path:line` of an object; the file is parsed again, because trees do not keep lines."""
    return f"{annotation.path}:{_object_lines(annotation.path.read_bytes())[index]}"


def text_of_object(annotation: Annotation, index: int) -> str:
    """What stands in the file for the corners of an object, which is read again."""
    item = read_tree(annotation.path).findall("object")[index]
    return " ".join((item.findtext(f"bndbox/{c}") or "").strip() or "nothing" for c in CORNERS)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _size(tree: Element) -> tuple[int, int] | None:
    """(width, height), None where the file does not say (some tools write 0)."""
    width, height = _number(tree.findtext("size/width")), _number(tree.findtext("size/height"))
    return (int(width), int(height)) if width >= 1 and height >= 1 else None


def _object_lines(text: bytes) -> Sequence[int]:
    """The lines on which the <object> children of the root begin."""
    parser = expat.ParserCreate()
    open_tags: list[str] = []
    lines: list[int] = []

    def start(tag: str, _: Iterable[str]) -> None:
        if tag == "object" and len(open_tags) == 1:
            lines.append(parser.CurrentLineNumber)
        open_tags.append(tag)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_tags.pop()
    parser.Parse(text, True)
    return lines
