"""How good the detector is: by class, over the score, what is confused, and what errors cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scratchdet.analysis.report.chart import Line, line_chart
from scratchdet.analysis.report.contents import Contents
from scratchdet.analysis.report.markup import Html, element, joined, table
from scratchdet.analysis.report.verdict import range_bar
from scratchdet.analysis.report.words import count, figure, interval
from scratchdet.evaluation.confusion import IOU, Confusion
from scratchdet.evaluation.curve import f1_from
from scratchdet.evaluation.diagnosis import THRESHOLDS, ClassFigures, Diagnosis, precision_at
from scratchdet.evaluation.errors import KINDS
from scratchdet.evaluation.metrics import PROTOCOLS
from scratchdet.evaluation.tables import cut
from scratchdet.evaluation.verdicts import SIZES

COLOURED = 6  # lines that can be told apart
NAMED = 3  # of more classes, those at either end
GREY = 40  # lines of the others
SHOWN_CLASSES = 40  # in a table that is open from the start
MATRIX = 12  # classes up to which all counts of the confusion are shown
CONFUSED = 15  # rows of a list of what is taken for what


def by_class(diagnosis: Diagnosis, *, trained: dict[str, int]) -> Html:
    """The figures of every class, the best first. trained: objects of each in the training."""
    metrics = diagnosis.metrics
    known = sorted(
        diagnosis.classes, key=lambda one: -1.0 if math.isnan(one.ap) else one.ap, reverse=True
    )
    rows: list[list[str]] = [
        [
            one.name,
            figure(one.ap),
            interval(one.interval),
            range_bar(one.ap, one.interval),
            f"{one.num_objects:,}",
            f"{trained.get(one.name, 0):,}" if trained else "–",
            cut(one.best.threshold) or "–",
            *map(figure, (one.best.precision, one.best.recall)),
        ]
        for one in known
    ]
    named = "AP50" if metrics.ap is None else "AP50:95"
    total = metrics.ap50 if metrics.ap is None else metrics.ap
    sure = diagnosis.intervals.ap50 if metrics.ap is None else diagnosis.intervals.ap
    if sure is not None:
        rows.append(
            [
                f"mean, {named}",
                figure(total),
                interval(sure),
                range_bar(total, sure),
                f"{metrics.num_objects:,}",
                f"{sum(trained.values()):,}" if trained else "–",
                *[""] * 3,
            ]
        )
    head = ["class", "AP", "95 %", "0 to 1", "objects", "trained on", "score", "P", "R"]
    whole = table(
        head,
        rows,
        text=(0, 3),
        caption=f"AP: {PROTOCOLS[metrics.protocol].average}. 95 %: where it would lie with "
        "other images of the same kind. Score: from where on F1 is best; P, R: precision and "
        "recall there.",
        last=int(sure is not None),
    )
    if len(known) <= SHOWN_CLASSES:
        return whole
    return element("details", element("summary", f"All {len(known)} classes"), whole)


def by_size(diagnosis: Diagnosis) -> Html:
    """AP of small, medium and large objects, and recalls."""
    metrics = diagnosis.metrics
    sizes = {"small": "up to 32² pixels", "medium": "", "large": "from 96² pixels"}
    ap = [
        f"{name}{f' ({sizes[name]})' if sizes[name] else ''} "
        f"{figure(getattr(metrics, f'ap_{name}'))}"
        for name in SIZES
    ]
    recalls = [figure(value) for value in (metrics.ar1, metrics.ar10, metrics.ar100)]
    return element(
        "p",
        f"AP by size of the objects: {', '.join(ap)}. Recall of the best 1, 10 and 100 "
        f"detections of an image and class: {', '.join(recalls)}.",
    )


def over_the_score(diagnosis: Diagnosis) -> Html:
    """Precision over recall, and F1 over the score."""
    known = [one for one in diagnosis.classes if one.num_objects]
    if not known:
        return Html()
    recall = np.linspace(0, 1, 101)
    precisions = [precision_at(one.curve, parts=100) for one in known]
    f1 = [f1_from(one.curve, THRESHOLDS) for one in known]
    threshold = diagnosis.confusion.threshold
    return element(
        "div",
        line_chart(
            _styled(known, recall, precisions, [one.ap50 for one in known]),
            title="Precision over recall, IoU 0.5",
            x="recall",
            y_range=(0, 1),
        ),
        line_chart(
            _styled(known, THRESHOLDS, f1, [one.best.f1 for one in known]),
            title="F1 over the score from which detections count",
            x="score",
            y_range=(0, 1),
            note=joined(
                f"On average F1 is best from {threshold:.2f} on: ",
                element("code", f"scratchdet detect --min-score {threshold:.2f}"),
            ),
        ),
        class_="charts",
    )


def confusion(found: Confusion, names: Sequence[str]) -> Html:
    """What the objects of each class were found as."""
    told = (
        f"Detections from score {found.threshold:.2f} on, at IoU {IOU}: each takes the object that "
        "it overlaps most."
    )
    shown = _matrix(found.counts, names) if len(names) <= MATRIX else _most(found.counts, names)
    return joined(element("h3", "What is taken for what"), element("p", told), shown)


def errors(diagnosis: Diagnosis) -> Html:
    """What every kind of error costs."""
    rows = diagnosis.errors.rows()
    most = max((cost.ap50 for cost in rows.values() if cost.ap50 > 0), default=1.0)
    cells = [
        [
            name,
            f"{cost.number:,}",
            "–" if math.isnan(cost.ap50) else f"{cost.ap50:+.3f}",
            _bar(cost.ap50 / most, colour="c1" if name not in KINDS else ""),
            KINDS.get(name, "all of them"),
        ]
        for name, cost in rows.items()
    ]
    return joined(
        element("h3", "What errors cost"),
        element("p", "How much higher AP50 would be without all errors of one kind (TIDE)."),
        table(
            ["error", "number", "AP50", "", "what it is"],
            cells,
            text=(0, 3, 4),
            caption="Costs do not add up: one error may hide behind another.",
            last=2,
        ),
    )


def accuracy(contents: Contents) -> Html:
    """All of it."""
    if contents.judged is None:
        return Html()
    diagnosis = contents.judged.diagnosis
    train = contents.share("training")
    return joined(
        by_class(diagnosis, trained=dict(train.objects) if train else {}),
        by_size(diagnosis),
        over_the_score(diagnosis),
        errors(diagnosis),
        confusion(diagnosis.confusion, [one.name for one in diagnosis.classes]),
    )


def _styled(
    known: Sequence[ClassFigures],
    x: np.ndarray,
    lines: Sequence[np.ndarray],
    figures: Sequence[float],
) -> list[Line]:
    """A line for each class, in colour if they are few, else the best and the worst over the others
    in grey; and the mean."""
    order = np.argsort(-np.nan_to_num(figures), kind="stable").tolist()
    coloured = order
    if len(order) > COLOURED:
        coloured = order[:NAMED] + order[-NAMED:]
    rest = [index for index in order if index not in coloured]
    every = -(-len(rest) // GREY) or 1
    others = [Line("", x, lines[index], colour=-1) for index in rest[::every]]
    named = [
        Line(f"{known[index].name} {figure(figures[index])}", x, lines[index], colour=number)
        for number, index in enumerate(coloured)
    ]
    mean = [Line("mean", x, np.mean(lines, axis=0), colour=5, style="heavy")] if lines[1:] else []
    return [*others, *named, *mean]


def _matrix(counts: np.ndarray, names: Sequence[str]) -> Html:
    """All counts, coloured by the share of the objects; in the last row by that of the column."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares[-1] = counts[-1] / np.maximum(counts.sum(axis=0), 1)
    rows = []
    for row, name in enumerate([*names, "no object"]):
        cells = [
            element(
                "td",
                f"{number:,}" if number else "",
                style=f"background:rgba(var(--heat),{0.75 * share:.2f})" if share > 0.005 else None,
            )
            for number, share in zip(counts[row].tolist(), shares[row].tolist(), strict=True)
        ]
        rows.append(element("tr", element("th", name, scope="row"), *cells))
    heads = [element("th", name, scope="col") for name in [*names, "missed"]]
    corner = element("td", element("span", "objects ↓ found as →", class_="note"))
    return element(
        "div",
        element(
            "table",
            element("thead", element("tr", corner, *heads)),
            element("tbody", *rows),
            class_="matrix",
        ),
        class_="wide",
        tabindex="0",
        role="group",
        aria_label="confusion",
    )


def _most(counts: np.ndarray, names: Sequence[str]) -> Html:
    """The most frequent confusions of one class with another."""
    between = counts[:-1, :-1].copy()
    np.fill_diagonal(between, 0)
    order = np.argsort(-between, axis=None, kind="stable")[:CONFUSED]
    rows = []
    for row, column in zip(*np.unravel_index(order, between.shape), strict=True):
        if number := int(between[row, column]):
            share = number / counts[row].sum()
            rows.append([names[row], names[column], f"{number:,}", f"{100 * share:.0f} %"])
    missed, nowhere = int(counts[:-1, -1].sum()), int(counts[-1].sum())
    rest = element(
        "p",
        f"{count(missed, 'object')} missed, {count(nowhere, 'detection')} where no object is.",
    )
    if not rows:
        return joined(element("p", "No class is taken for another."), rest)
    caption = f"The most frequent confusions of {len(names)} classes."
    head = ["objects of", "found as", "number", "of the class"]
    return joined(table(head, rows, text=(0, 1), caption=caption), rest)


def _bar(share: float, *, colour: str) -> Html:
    width = 0.0 if math.isnan(share) else 100 * min(max(share, 0.0), 1.0)
    return element("span", class_=f"bar {colour}".strip(), style=f"width:{width:.1f}%")
