"""`scratchdet import-caffe`: a published Caffe network as a model of ours."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from tyro.conf import Positional

from scratchdet.data.class_names import COCO_CLASSES, VOC_CLASSES
from scratchdet.terminal import say

KNOWN_CLASSES = {"voc": VOC_CLASSES, "coco": COCO_CLASSES}
LARGEST_LIST = 1 << 20  # bytes


def import_caffe(file: Positional[Path], /, model: str, out: Path, classes: str = "") -> int:
    """Turn a .caffemodel of DSOD or GRP-DSOD into a model that detect, eval and train can use.

    The published networks were trained on images in the order blue, green, red; this is kept in the
    model, and images are given as ever.

    Examples:
      scratchdet import-caffe DSOD300.caffemodel --model dsod300 --out dsod300.safetensors
      scratchdet import-caffe M.caffemodel --model dsod300 --classes names.txt --out m.safetensors

    Args:
        file: The .caffemodel.
        model: dsod300, dsod300_lite, dsod300_smallest, grp_dsod300 or grp_dsod320.
        out: The file to write, which must not exist.
        classes: voc, coco, or a file of names. Default: voc or coco, if there are 20 or 80.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists: give another --out, or remove it")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"{out.parent} does not exist: make the folder for --out first")
    from scratchdet.models.caffe import check_published, load_caffe, published_form
    from scratchdet.models.caffemodel import read_caffemodel
    from scratchdet.models.saved import save_model
    from scratchdet.models.zoo import create_model

    check_published(model)
    layers = read_caffemodel(file)
    try:
        count, choices = published_form(model, layers)
        detector = create_model(model, classes=_names(classes, count), **choices)
        load_caffe(detector, layers)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    save_model(detector, out, provenance=_provenance(file))
    console = Console()
    chosen = "".join(f", {choice} {value}" for choice, value in choices.items())
    say(console, f"{model}{chosen}, {count} classes: {', '.join(detector.classes)}")
    say(console, f"  model        {out}")
    return 0


def _names(classes: str, count: int) -> Sequence[str]:
    """The names that --classes means, which must be `count`."""
    if not classes:
        by_count = {len(names): names for names in KNOWN_CLASSES.values()}
        if count not in by_count:
            raise ValueError(
                f"it has {count} classes and does not say their names: give --classes FILE, "
                "one name per line in the order of the labels, without background"
            )
        return by_count[count]
    names = KNOWN_CLASSES.get(classes) or _read_names(Path(classes))
    if len(names) != count:
        raise ValueError(f"it has {count} classes, but --classes {classes} has {len(names)} names")
    return names


def _read_names(file: Path) -> list[str]:
    if not file.is_file():
        raise FileNotFoundError(f"--classes {file}: neither voc nor coco, nor a file")
    if file.stat().st_size > LARGEST_LIST:
        raise ValueError(f"--classes {file} is too large for a list of names")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"--classes {file} is not UTF-8 text: {error}") from error
    if items := re.findall(r"\bitem\s*\{([^{}]*)\}", text):
        names = _labelmap_names(items, file)
    else:
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if repeated := [name for index, name in enumerate(names) if name in names[:index]]:
        raise ValueError(f"--classes {file} has {repeated[0]!r} twice")
    if unfit := [name for name in names if re.search(r"[\x00-\x1f\x7f-\x9f]", name)]:
        raise ValueError(f"--classes {file} has the name {unfit[0]!r}, with a control character")
    return names


def _labelmap_names(items: Sequence[str], file: Path) -> list[str]:
    """The names of an SSD labelmap, whose label 0 is background."""
    names: dict[int, str] = {}
    entry = re.compile(r'\b(name|display_name|label)\s*:\s*(?:"([^"]*)"|(\d+))')
    for item in items:
        values = {key: text or number for key, text, number in entry.findall(item)}
        if not {"name", "label"} <= set(values) or not values["label"].isdecimal():
            raise ValueError(f"--classes {file}: an item without name or label")
        names[int(values["label"])] = values.get("display_name", values["name"])
    if sorted(names) != list(range(len(items))):
        raise ValueError(f"--classes {file}: the labels are not 0 (background), 1, 2, ...")
    return [names[label] for label in range(1, len(items))]


def _provenance(file: Path) -> str:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    name = file.name.encode("utf-8", "backslashreplace").decode("utf-8")
    return (
        f"imported from {name} (sha256 {digest}): "
        "trained by others; not from this user's data alone"
    )
