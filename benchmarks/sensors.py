"""Two data sets of other sensors as VOC folders: thermal frames, pairs of template and board.

    python benchmarks/sensors.py ../shared/data OUT

writes OUT/hit_uav (HIT-UAV, 97 thermal frames; what it calls DontCare becomes difficult) and
OUT/deeppcb (DeepPCB, 107 pairs of 8-bit files; the last 27 are the test split). docs/sensors.md
trains on them.
"""

import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

DEFECTS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")  # DeepPCB's types 1 to 6
TEST_PAIRS = 27  # a quarter of them


def hit_uav(source: Path, root: Path) -> None:
    """A copy in which objects that nobody can name are neither objects nor background."""
    shutil.copytree(source, root)
    for file in (root / "Annotations").glob("*.xml"):
        tree = ElementTree.parse(file)
        for thing in tree.findall("object"):
            if thing.findtext("name") == "DontCare":
                thing.find("difficult").text = "1"
        tree.write(file)


def deeppcb(source: Path, root: Path) -> None:
    """A line of DeepPCB's text files is x1 y1 x2 y2 type, in pixels from 0."""
    group = source / "group77000"
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    shutil.copytree(group / "77000", root / "JPEGImages")
    files = sorted((group / "77000_not").glob("*.txt"))
    for file in files:
        tree = ElementTree.Element("annotation")
        size = ElementTree.SubElement(tree, "size")
        ElementTree.SubElement(size, "width").text = "640"
        ElementTree.SubElement(size, "height").text = "640"
        for line in file.read_text().splitlines():
            *corners, kind = map(int, line.split())
            thing = ElementTree.SubElement(tree, "object")
            ElementTree.SubElement(thing, "name").text = DEFECTS[kind - 1]
            box = ElementTree.SubElement(thing, "bndbox")
            first = (1, 1, 0, 0)  # VOC counts from 1 and includes the last pixel
            for name, value, more in zip(
                ("xmin", "ymin", "xmax", "ymax"), corners, first, strict=True
            ):
                ElementTree.SubElement(box, name).text = str(value + more)
        ElementTree.ElementTree(tree).write(root / "Annotations" / f"{file.stem}.xml")
    splits = {"train": files[:-TEST_PAIRS], "test": files[-TEST_PAIRS:]}
    for split, members in splits.items():
        names = "".join(f"{file.stem}\n" for file in members)
        (root / "ImageSets/Main" / f"{split}.txt").write_text(names)


def main() -> None:
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    hit_uav(source / "hit_uav_mini", out / "hit_uav")
    deeppcb(source / "deeppcb_77000", out / "deeppcb")


if __name__ == "__main__":
    main()
