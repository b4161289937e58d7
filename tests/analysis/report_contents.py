"""Contents of a report made by hand, and a reader that holds a page to what HTML is."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from scratchdet.analysis.report.contents import Contents, Judged, Network, share_of
from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.diagnosis import diagnose
from scratchdet.recipe import Recipe, differing
from scratchdet.structures import Record, from_records

SIDE = 48  # of the images, pixels
HOSTILE = "</title><script>alert('1')</script>\"&<b>"
LOG = [
    {"step": step, "loss": 9 / step, "classification": 6 / step, "localisation": 3 / step}
    | {"lr": 0.1, "gradient_norm": 1.0, "images_per_second": 20.0, "matched": 30}
    for step in range(1, 61)
]
EVALUATED = {"protocol": "voc", "ap50": 0.5, "ap_per_class": {}, "num_images": 4}


def judged_of(
    folder: Path, *, classes=("a", "b"), channels: int = 3, dtype: str = "uint8", images: int = 6
) -> Judged:
    """Images with two objects each, of which the first is found, and with one false positive;
    image 1 is perfect, image 2 has no object."""
    rng = np.random.default_rng(0)
    records, rows = [], []
    for number in range(images):
        path = folder / f"{number:02d}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rng.integers(0, 200, (SIDE, SIDE, channels)).astype(dtype))
        boxes = np.array([[4, 4, 16, 20], [20, 20, 40, 44]], np.float32)
        labels = np.array([number, number + 1]) % len(classes)
        rows.append((number, boxes[0], 0.9, labels[0]))
        if number == 1:
            rows.append((number, boxes[1], 0.8, labels[1]))
        else:
            rows.append((number, [30, 2, 44, 12], 0.7 - number / 100, labels[0]))
        if number == 2:
            boxes, labels, rows = boxes[:0], labels[:0], rows[:-2]
        ignore = np.zeros(len(boxes), bool)
        records.append(Record(path.stem, path, (SIDE, SIDE), boxes, labels, ignore))
    data = from_records(records, classes)
    columns = list(zip(*rows, strict=True)) or [[], [], [], []]
    found = Columns(
        np.array(columns[0], np.int64),
        np.array(columns[1], np.float32).reshape(-1, 4),
        np.array(columns[2], np.float32),
        np.array(columns[3], np.int64),
    )
    diagnosis = diagnose(data, found, threshold=0.5)
    return Judged(data=data, found=found, diagnosis=diagnosis, split="test", model="best, step 60")


def contents_of(folder: Path, **changes) -> Contents:
    """Of a finished run, all of it there. changes: of `judged_of`, and fields of `Contents`."""
    ours = ("classes", "channels", "dtype", "images")
    judged = judged_of(folder, **{name: changes.pop(name) for name in ours if name in changes})
    first = judged.data.paths[0] if len(judged.data) else ""
    image = np.load(first) if first else np.zeros((SIDE, SIDE, 3), np.uint8)
    recipe = differing(
        Recipe(),
        data={"path": "/data/cells", "test_split": "test", "batch": 16},
        optim={"ema": 0.99},
        schedule={"steps": 60},
    )
    evaluations = [
        {"step": step, "evaluation": EVALUATED | {"ap50": step / 100, "raw_ap50": step / 120}}
        for step in (20, 40, 60)
    ]
    known = {
        "name": "cells",
        "recipe": recipe,
        "recipe_text": "[model]\n",
        "step": 60,
        "log": [*LOG, *evaluations],
        "figures": {"ap50": 0.5, "split": "test", "num_images": 6, "steps": 60, "processes": 1},
        "shares": [
            share_of(judged.data, use="training", split="train"),
            share_of(judged.data, use="test", split="test"),
        ],
        "network": Network(
            1_300_000, judged.data.classes, image.shape[2], image.dtype.name, "", (160, 160)
        ),
        "judged": judged,
        "norms": "norm: BatchNorm over 16 images (16 a step)",
        "problems": ["a.xml:3: box 1 (b) has no area: 1 1 1 1 [dropped]"],
        "provenance": "trained from scratch: no external weights",
        "fingerprint": "0123456789abcdef",
        "code": "1234567890",
        "device": "cpu (one)",
        "seconds": 125.0,
        "written": "2345678901 on 2026-11-28",
    }
    return Contents(**known | changes)


class Page(HTMLParser):
    """What is in a page; raises AssertionError where it is not well-formed."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open_tags: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open_tags, f"not closed: {self.open_tags}"

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open_tags, f"{tag} was not open"
        assert self.open_tags.pop() == tag

    def handle_data(self, data):
        if self.open_tags[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, name: str) -> list[str]:
        """Of an attribute, wherever it is."""
        return [attributes[name] for _, attributes in self.tags if name in attributes]

    def named(self, tag: str) -> list[dict]:
        """The attributes of all elements of that name."""
        return [attributes for name, attributes in self.tags if name == tag]
