"""How the training went: losses, learning rate, AP, speed, and what the log says of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchdet.analysis.plots import SMOOTHING, running_mean
from scratchdet.analysis.report.chart import Line, line_chart
from scratchdet.analysis.report.contents import Contents
from scratchdet.analysis.report.markup import Html, element
from scratchdet.analysis.report.words import count, duration, figure

Records = Sequence[Mapping[str, Any]]

SCALARS = {
    "gradient": ("Gradient of each block, L2 norm", True),
    "update": ("Change of the weights in a step, as a share of them", True),
    "dead_relus": ("ReLU channels that are always 0, as a share", False),
    "bn_mean_drift": ("BatchNorm: how far a batch's mean is from the running one", False),
    "bn_variance_drift": ("BatchNorm: how far a batch's variance is from the running one", False),
}
"""Keys of the log, or what comes before their `/`: the title of their chart, and whether its axis
is logarithmic."""


def curves(contents: Contents) -> Html:
    """The charts of the training."""
    steps = contents.steps
    if not steps:
        return Html()
    charts = [
        line_chart(
            [
                *smoothed(steps, "loss", colour=5, label="total"),
                *smoothed(steps, "classification", colour=1, label="class"),
                *smoothed(steps, "localisation", colour=0, label="box"),
            ],
            title="Loss",
            logarithmic=True,
        ),
        average_precision(contents),
        line_chart([_line(steps, "lr", colour=2)], title="Learning rate"),
        line_chart(
            smoothed(steps, "gradient_norm", colour=3), title="Gradient, L2 norm", logarithmic=True
        ),
    ]
    return element("div", *charts, class_="charts")


def average_precision(contents: Contents) -> Html:
    """AP50 on the validation split over the steps, of averaged and of raw weights."""
    evaluations = contents.evaluations
    steps = np.array([step for step, _ in evaluations], float)
    lines = []
    for key, label, colour in (("ap50", "averaged weights", 0), ("raw_ap50", "raw weights", 1)):
        values = [one.get(key) for _, one in evaluations]
        y = np.array([np.nan if value is None else value for value in values], float)
        lines.append(Line(label, steps, y, colour=colour, marked=True))
    if not np.isfinite(lines[1].y).any():
        lines = [lines[0]._replace(label="")]
    highest = max((line.y[np.isfinite(line.y)].max(initial=0) for line in lines), default=0.0)
    low = min((line.y[np.isfinite(line.y)].min(initial=1) for line in lines), default=0.0)
    return line_chart(lines, title="Validation AP50", y_range=_window(float(low), float(highest)))


def network_charts(contents: Contents) -> Html:
    """What the logged steps tell of the network, block by block."""
    steps = contents.steps
    keys = list(dict.fromkeys(key for record in steps for key in record))
    charts = []
    for name, (title, logarithmic) in SCALARS.items():
        ours = [key for key in keys if key.split("/")[0] == name]
        lines = []
        for number, key in enumerate(ours):
            mean = smoothed(steps, key, colour=number, label=key.partition("/")[2])[-1]
            lines.append(mean._replace(style="dashed" if number > 5 else ""))
        charts.append(line_chart(lines, title=title, logarithmic=logarithmic))
    charts = [chart for chart in charts if chart]
    return element("div", *charts, class_="charts") if charts else Html()


def time_and_speed(contents: Contents) -> Html:
    """How long it took, and how fast it was."""
    steps = contents.steps
    speeds = np.array([record.get("images_per_second") or np.nan for record in steps], float)
    if not np.isfinite(speeds).any():
        return Html()
    batch, middle = contents.recipe.data.batch, float(np.nanmedian(speeds))
    sentence = (
        f"{middle:,.3g} images per second (median), {figure(batch / middle, 2)} s per step of "
        f"{count(batch, 'image')}"
    )
    if contents.seconds == contents.seconds:  # not NaN
        sentence += f"; {duration(contents.seconds)} in all, with evaluations"
    where = [contents.device, contents.recipe.run.precision]
    chart = line_chart(
        smoothed(steps, "images_per_second", colour=4), title="Training speed, images per second"
    )
    return element(
        "div",
        element("p", f"{sentence}. {', '.join(filter(None, where))}."),
        element("div", chart, class_="charts"),
    )


def smoothed(records: Records, key: str, *, colour: int, label: str = "") -> list[Line]:
    """The logged values, faint, and their running mean."""
    raw = _line(records, key, colour=colour)
    window = 1 + 2 * (len(raw.y) // SMOOTHING)
    mean = raw._replace(label=label, y=running_mean(raw.y, window))
    return [mean] if window == 1 else [raw._replace(style="faint"), mean]


def _line(records: Records, key: str, *, colour: int) -> Line:
    values = [record.get(key) for record in records]
    y = np.array([np.nan if value is None else value for value in values], float)
    return Line("", np.array([record["step"] for record in records], float), y, colour=colour)


def _window(low: float, high: float) -> tuple[float, float]:
    """Tenths around the values, at least three of them: AP is not blown up to fill a chart."""
    bottom, top = np.floor(low * 10) / 10, np.ceil(high * 10) / 10
    while top - bottom < 0.3 - 1e-9:
        bottom, top = max(0.0, bottom - 0.1), min(1.0, top + 0.1)
    return float(bottom), float(top)
