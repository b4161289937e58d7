"""Images with what was found on them, the surest errors, and the objects hardest to find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from scratchdet.analysis.picture import as_picture
from scratchdet.analysis.report.chosen import choose_images, hardest_misses, surest_errors
from scratchdet.analysis.report.contents import Contents, Judged
from scratchdet.analysis.report.drawn import Kind, Marked, cut_out, drawn
from scratchdet.analysis.report.markup import Html, element, joined
from scratchdet.analysis.report.words import count
from scratchdet.data.images import read_image
from scratchdet.evaluation.errors import KINDS, NO_ERROR
from scratchdet.structures import DataError, Record

LONGEST = 640  # pixels of an image in the report
CROP = 180  # pixels of a crop
MOST_BOXES = {"hit": 150, "wrong": 40, "missed": 100}  # on one image; all are counted
MOST_LABELS = 8  # of one kind: more hide the image

Read = Callable[[Record], np.ndarray]
KIND_NAMES = list(KINDS)


class Group(NamedTuple):
    """Pictures under one heading."""

    title: str
    about: str
    figures: Sequence[Html]
    crops: bool = False


def pictures(contents: Contents) -> Html:
    """Images, the worst first, then errors one by one; nothing where nothing was judged."""
    judged, network = contents.judged, contents.network
    if judged is None or network is None or not len(judged.data):
        return Html()
    seen = _Seen(judged, channels=network.in_channels, dtype=network.image_dtype)
    groups = [*_images(judged, seen), *_crops(judged, seen)]
    parts = [
        joined(
            element("h3", group.title),
            element("p", group.about),
            element("div", *group.figures, class_="crops" if group.crops else "pictures"),
        )
        for group in groups
        if group.figures
    ]
    lost = element("p", f"{count(len(seen.lost), 'image')} cannot be read any more.", class_="note")
    threshold = judged.outcomes.threshold
    about = element(
        "p",
        f"Detections from score {threshold:.2f} on, where F1 is best; right from IoU 0.5 on. Of "
        f"many errors the surest {MOST_LABELS} are named; pointing at a box tells what it is.",
    )
    return joined(about, _key(), *parts, lost if seen.lost else Html()) if parts else lost


class _Seen:
    """The images as pictures, the last one kept: crops of one image follow each other."""

    def __init__(self, judged: Judged, *, channels: int, dtype: str) -> None:
        self.data, self.channels, self.dtype = judged.data, channels, dtype
        self.lost: set[int] = set()
        self.kept: tuple[int, np.ndarray] | None = None

    def picture(self, index: int) -> np.ndarray | None:
        """RGB; None for an image that cannot be read any more."""
        if self.kept is None or self.kept[0] != index:
            record = self.data[index]
            try:
                image = read_image(
                    record.path,
                    channels=self.channels,
                    dtype=self.dtype,
                    annotated_size=record.size,
                )
            except DataError:
                self.lost.add(index)
                return None
            self.kept = (index, as_picture(image))
        return self.kept[1]


def _images(judged: Judged, seen: _Seen) -> list[Group]:
    chosen = choose_images(judged.data, judged.outcomes)
    told = {
        "Worst images": ("Lowest F1 first.", chosen.worst),
        "Best images": ("Highest F1, the most objects first.", chosen.best),
        "Images drawn at random": ("Neither of the above.", chosen.random),
    }
    return [
        Group(title, about, [one for index in chosen if (one := _image(judged, seen, index))])
        for title, (about, chosen) in told.items()
    ]


def _image(judged: Judged, seen: _Seen, index: int) -> Html:
    """The image with every box on it, and what there is to count."""
    picture = seen.picture(index)
    if picture is None:
        return Html()
    data, found, record = judged.data, judged.outcomes, judged.data[index]
    marks: list[Marked] = []
    here = np.flatnonzero(found.detections.image_index == index)
    rows_of: dict[Kind, np.ndarray] = {
        "hit": here[found.hit[here]],
        "wrong": here[found.kinds[here] != NO_ERROR],
    }
    for kind, rows in rows_of.items():
        for place, row in enumerate(rows[: MOST_BOXES[kind]].tolist()):
            label = _named(judged, row)
            title = label if kind == "hit" else f"{label}: {_error(found.kinds[row])}"
            written = label if kind == "wrong" and place < MOST_LABELS else ""
            marks.append(Marked(kind, found.detections.boxes[row], title, written))
    first = int(data.offsets[index])
    missed = np.flatnonzero(found.missed[first : first + len(record.boxes)])
    for place, row in enumerate(missed[: MOST_BOXES["missed"]].tolist()):
        name = data.classes[record.labels[row]]
        written = name if place < MOST_LABELS else ""
        marks.append(Marked("missed", record.boxes[row], f"{name}: missed", written))
    right, wrong = (len(rows_of[kind]) for kind in ("hit", "wrong"))
    told = f"{right} found, {wrong} wrong, {len(missed)} missed"
    return element(
        "figure",
        drawn(picture, marks, longest=LONGEST, told=f"{record.id}: {told}"),
        element("figcaption", record.id, element("br"), told),
    )


def _crops(judged: Judged, seen: _Seen) -> list[Group]:
    found, data = judged.outcomes, judged.data
    images = np.repeat(np.arange(len(data)), np.diff(data.offsets))
    wrong = [
        _crop(
            seen,
            int(found.detections.image_index[row]),
            Marked("wrong", found.detections.boxes[row], _named(judged, row)),
            _error(found.kinds[row]),
        )
        for row in surest_errors(found)
    ]
    missed = []
    for row in hardest_misses(data, found):
        name, hint = data.classes[data.labels[row]], found.hinted[row]
        about = f"best score {hint:.2f}" if hint else "nothing at any score"
        missed.append(_crop(seen, int(images[row]), Marked("missed", data.boxes[row], name), about))
    return [
        Group(
            "Surest false positives",
            "The highest scores that are wrong; white: objects as annotated. Some may be right: "
            "what nobody has annotated counts as wrong.",
            list(filter(None, wrong)),
            crops=True,
        ),
        Group(
            "Hardest misses",
            "Objects that nothing, or only a low score, points at; the largest first. Some may be "
            "annotated badly.",
            list(filter(None, missed)),
            crops=True,
        ),
    ]


def _crop(seen: _Seen, index: int, mark: Marked, about: str) -> Html:
    picture = seen.picture(index)
    if picture is None:
        return Html()
    record = seen.data[index]
    part, corner = cut_out(picture, mark.box)
    shift = np.tile(corner, 2)
    around = [
        Marked("truth", box - shift, seen.data.classes[label])
        for box, label in zip(record.boxes, record.labels, strict=True)
        if _overlaps(box - shift, part.shape)
    ]
    marks = [mark._replace(box=mark.box - shift)]
    if mark.kind == "wrong":
        marks = [*around, *marks]
    told = f"{mark.title}, {about}"
    return element(
        "figure",
        drawn(part, marks, longest=CROP, told=f"{told}, in {record.id}"),
        element("figcaption", mark.title, element("br"), about, title=record.id),
    )


def _overlaps(box: np.ndarray, shape: tuple[int, ...]) -> bool:
    height, width = shape[:2]
    return bool(box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0)


def _named(judged: Judged, row: int) -> str:
    """`RBC 0.87`."""
    found = judged.outcomes.detections
    return f"{judged.data.classes[found.labels[row]]} {found.scores[row]:.2f}"


def _error(kind: int) -> str:
    return KIND_NAMES[int(kind)]


def _key() -> Html:
    """What the lines mean, with a switch for each."""
    entries = (
        ("hits", "hit", "found"),
        ("wrong", "wrong", "wrong"),
        ("missed", "missed", "missed"),
    )
    return element(
        "fieldset",
        element("legend", "Show"),
        *(
            element(
                "label",
                element("input", type="checkbox", id=f"show-{name}", checked=True),
                element(
                    "svg",
                    element(
                        "g",
                        element("rect", x=4, y=4, width=20, height=11, class_="edge"),
                        element("rect", x=4, y=4, width=20, height=11, class_="ink"),
                        class_=f"box {kind}",
                    ),
                    viewBox="0 0 28 19",
                    aria_hidden="true",
                ),
                label,
            )
            for name, kind, label in entries
        ),
        class_="key",
    )
