"""How the training went: losses, learning rate, AP, speed, and what the log says of the network.

All charts of the page are SVG of our own (`chart.py`), those of gradients.jsonl too, though
`gradient_plots.py` draws the same with matplotlib: that is for papers and slides, overlays runs,
and has the colours of paper. Here they follow the page into the dark and onto a phone, with text
that can be read and selected, at a few kB each (matplotlib's SVG has its colours and size fixed).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from scratchdet.analysis.plots import SMOOTHING, running_mean
from scratchdet.analysis.report.chart import Line, line_chart
from scratchdet.analysis.report.contents import Contents
from scratchdet.analysis.report.markup import Html, element, joined
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
        y = _numbers(one.get(key) for _, one in evaluations)
        lines.append(Line(label, steps, y, colour=colour, marked=True))
    lines += _forecast(contents, begin=(steps[-1:], lines[0].y[-1:]))
    lines = [line for line in lines if np.isfinite(line.y).any()]
    if len(lines) == 1:
        lines = [lines[0]._replace(label="")]
    around = [line.y for line in lines] + [one for line in lines for one in line.band or ()]
    known = np.concatenate([np.zeros(0), *around])
    known = known[np.isfinite(known)]
    y_range = _window(float(known.min(initial=1)), float(known.max(initial=0)))
    return line_chart(lines, title="Validation AP50", y_range=y_range)


def _forecast(contents: Contents, *, begin: tuple[np.ndarray, np.ndarray]) -> list[Line]:
    """Where AP50 is expected to go from the last evaluation on, if that was told."""
    ahead = contents.told("forecast")
    if not ahead:
        return []
    step, ap50 = begin
    low, middle, high = (np.append(ap50, ahead[name]) for name in ("low", "ap50", "high"))
    x = np.append(step, ahead["step"])
    return [Line("forecast", x, middle, style="dashed", band=(low, high))]


def gradients(contents: Contents) -> Html:
    """How smooth the loss is along the gradient, over the steps; nothing where it was not asked."""
    records = contents.gradients
    if not records:
        return Html()
    steps = np.array([record["step"] for record in records], float)
    around = [np.array([record["loss"], *record["losses"]], float) for record in records]
    distances = [np.array(record["distances"], float) for record in records]
    sizes = records[0]["step_sizes"]
    charts = [
        _spread("Loss along the gradient", steps, around, colour=1),
        _spread("How far the gradient changes there, L2", steps, distances, colour=0),
        line_chart(
            [Line("", steps, _numbers(record["smoothness"] for record in records), colour=2)],
            title="Effective β-smoothness",
            logarithmic=True,
        ),
    ]
    about = (
        f"At {count(len(records), 'step')}, at the weights and {len(sizes)} ways along the "
        f"gradient from them, {sizes[0]:.3g} to {sizes[-1]:.3g} times the gradient: least, median "
        "and most (Santurkar et al. 2018, figure 4; narrow and low is smooth)."
    )
    return joined(element("p", about), element("div", *charts, class_="charts"))


def _spread(title: str, steps: np.ndarray, values: list[np.ndarray], *, colour: int) -> Html:
    """Median, and from least to most, of the values of each step."""
    known = [one[np.isfinite(one)] for one in values]
    low, middle, high = (
        np.array([take(one) if len(one) else np.nan for one in known])
        for take in (np.min, np.median, np.max)
    )
    line = Line("", steps, middle, colour=colour, band=(low, high))
    return line_chart([line], title=title, logarithmic=True)


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
    steps = np.array([record["step"] for record in records], float)
    return Line("", steps, _numbers(record.get(key) for record in records), colour=colour)


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    """NaN for None."""
    return np.array([np.nan if value is None else value for value in values], float)


def _window(low: float, high: float) -> tuple[float, float]:
    """Tenths around the values, at least three of them: AP is not blown up to fill a chart."""
    bottom, top = np.floor(low * 10) / 10, np.ceil(high * 10) / 10
    while top - bottom < 0.3 - 1e-9:
        bottom, top = max(0.0, bottom - 0.1), min(1.0, top + 0.1)
    return float(bottom), float(top)
