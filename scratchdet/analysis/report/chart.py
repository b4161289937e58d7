"""Line charts as SVG that takes its colours from the page: small, sharp, light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from scratchdet.analysis.report.markup import Html, element, joined

WIDTH, HEIGHT = 420, 250  # of the drawing, about what a phone shows of it: letters stay legible
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 34  # around the axes
COLOURS = 6  # of the page's style: c0, c1, ...
POINTS = 240  # of a line; more cannot be told apart at this width
MARKS = 60  # of a line; more would hide it
LEAST_DECADES = 0.7  # a range less than this many powers of ten is drawn on a linear axis


class Line(NamedTuple):
    """One line of a chart; x rises. NaN leaves a gap."""

    label: str
    """What the legend calls it; empty: it is not in the legend."""
    x: np.ndarray
    y: np.ndarray
    colour: int = 0
    """One of COLOURS; -1 is grey."""
    style: str = ""
    """"faint", "dashed", "heavy", or as usual."""
    marked: bool = False
    """Its points are drawn, if they are not too many."""
    band: tuple[np.ndarray, np.ndarray] | None = None
    """Least and most of y, drawn as an area."""


class Axis(NamedTuple):
    """From where to where, and what is written at it."""

    low: float
    high: float
    ticks: Sequence[float]
    logarithmic: bool = False

    def share(self, values: np.ndarray) -> np.ndarray:
        """Where on the axis, 0 to 1 within it."""
        low, high = self.low, self.high
        if self.logarithmic:
            positive = np.where(values > 0, values, np.nan)
            return (np.log10(positive) - math.log10(low)) / (math.log10(high) - math.log10(low))
        return (values - low) / (high - low)


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x: str = "step",
    y_range: tuple[float, float] | None = None,
    logarithmic: bool = False,
    note: str = "",
) -> Html:
    """A figure with its title, a legend and the lines; nothing at all where no line has a point.

    y_range: of the axis; else what the lines need. logarithmic: if they are spread enough for it.
    note: a line below.
    """
    lines = [line for line in lines if np.isfinite(line.y).any()]
    if not lines:
        return Html()
    xs = np.concatenate([line.x[np.isfinite(line.y)] for line in lines])
    across = linear_axis(min(0.0, float(xs.min())), float(xs.max()), tight=True)
    drawn = [line.y for line in lines] + [one for line in lines for one in line.band or ()]
    values = np.concatenate([one[np.isfinite(one)] for one in drawn])
    up = linear_axis(*y_range) if y_range else _fitting_axis(values, logarithmic=logarithmic)
    place = _placing(across, up)
    drawing = element(
        "svg",
        *_grid(across, up, x),
        *(_drawn(line, place) for line in lines),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=_in_words(title, lines),
    )
    legend = [_entry(line) for line in lines if line.label]
    return element(
        "figure",
        element("figcaption", title),
        element("div", *legend, class_="legend"),  # empty, too: charts side by side line up
        drawing,
        element("p", note, class_="note") if note else Html(),
        class_="chart",
    )


def linear_axis(low: float, high: float, *, tight: bool = False) -> Axis:
    """An axis with four to seven round ticks; it ends at ticks unless it is `tight`."""
    if not high > low:
        low, high = (low - 0.5, high + 0.5) if tight or low else (0.0, 1.0)
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9) if tight else math.floor(low / step + 1e-9)
    last = math.floor(high / step + 1e-9) if tight else math.ceil(high / step - 1e-9)
    ticks = [float(f"{number * step:.10g}") for number in range(first, last + 1)]
    return Axis(low, high, ticks) if tight else Axis(ticks[0], ticks[-1], ticks)


def _fitting_axis(values: np.ndarray, *, logarithmic: bool) -> Axis:
    positive = values[values > 0]
    if logarithmic and len(positive) and math.log10(values.max() / positive.min()) > LEAST_DECADES:
        return log_axis(float(positive.min()), float(values.max()))
    return linear_axis(min(0.0, float(values.min())), float(values.max()))


def log_axis(low: float, high: float) -> Axis:
    """A logarithmic axis that ends at 1, 2 or 5 times a power of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    first = max(mark for mark in marks if mark <= low * 1.000001)
    last = min(mark for mark in marks if mark >= high * 0.999999)
    within = [mark for mark in marks if first <= mark <= last]
    tens = [10.0**power for power in powers if first <= 10.0**power <= last]
    every = max(1, len(tens) // 6)
    ticks = within if len(within) <= 7 else tens[::every]
    return Axis(first, last, ticks, logarithmic=True)


def thinned(x: np.ndarray, y: np.ndarray, most: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """The points, or of many the least and the most of each of `most` / 2 stretches."""
    if len(x) <= most:
        return x, y
    kept = []
    for part in np.array_split(np.arange(len(x)), most // 2):
        known = part[np.isfinite(y[part])]
        kept += sorted({known[y[known].argmin()], known[y[known].argmax()]}) if len(known) else []
    return x[kept], y[kept]


def shown_number(value: float) -> str:
    """At an axis: 0.25, 1,200, 1e-05."""
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.0e}" if abs(value) < 1e-4 else f"{value / 1e6:g}M"
    return f"{value:,.10g}"


def swatch(colour: int, style: str = "") -> Html:
    """The little line in front of a legend's name."""
    return element("i", class_=f"swatch {_colour(colour)} {style}".strip(), aria_hidden="true")


def _entry(line: Line) -> Html:
    return element("span", swatch(line.colour, line.style), line.label)


def _placing(
    across: Axis, up: Axis
) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """From values to places on the drawing; what is above or below the axis stays at its end."""

    def place(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shares = np.clip(up.share(y), 0, 1)
        return (
            LEFT + across.share(x) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - shares * (HEIGHT - TOP - BOTTOM),
        )

    return place


def _grid(across: Axis, up: Axis, x: str) -> list[Html]:
    """Lines at the ticks, their numbers, and the name of the axis."""
    place = _placing(across, up)
    parts = []
    for tick in up.ticks:
        _, (height,) = place(np.array([across.low]), np.array([tick]))
        parts += [
            element("path", d=f"M{LEFT} {height:.1f}H{WIDTH - RIGHT}", class_="grid"),
            element(
                "text", shown_number(tick), x=LEFT - 6, y=f"{height + 4:.1f}", class_="at-left"
            ),
        ]
    for tick in across.ticks:
        (left,), _ = place(np.array([tick]), np.array([up.low]))
        where = "at-end" if left > WIDTH - 24 else "below"
        parts.append(
            element("text", shown_number(tick), x=f"{left:.1f}", y=HEIGHT - 18, class_=where)
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    return [*parts, element("text", x, x=middle, y=HEIGHT - 3, class_="below")]


def _drawn(
    line: Line, place: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
) -> Html:
    colour = _colour(line.colour)
    parts = []
    if line.band is not None:
        low, high = line.band
        there = np.isfinite(low) & np.isfinite(high)
        around = np.concatenate([line.x[there], line.x[there][::-1]])
        outline = _path(*place(around, np.concatenate([low[there], high[there][::-1]])))
        parts.append(element("path", d=outline + "Z", class_=f"band {colour}"))
    x, y = thinned(line.x, line.y)
    points = place(x, y)
    parts.append(element("path", d=_path(*points), class_=f"line {colour} {line.style}".strip()))
    if line.marked and len(x) <= MARKS:
        marks = zip(*points, x.tolist(), y.tolist(), strict=True)
        parts += [
            element(
                "circle",
                element("title", f"{line.label} {shown_number(at)}: {value:.4g}".strip()),
                cx=f"{left:.1f}",
                cy=f"{height:.1f}",
                r=3,
                class_=f"mark {colour}",
            )
            for left, height, at, value in marks
            if math.isfinite(height)
        ]
    return joined(*parts)


def _path(x: np.ndarray, y: np.ndarray) -> str:
    """SVG's `M1 2L3 4`; NaN ends a line, and the next point begins another."""
    parts, pen = [], "M"
    for left, height in zip(x.tolist(), y.tolist(), strict=True):
        if not (math.isfinite(left) and math.isfinite(height)):
            pen = "M"
            continue
        parts.append(f"{pen}{left:.1f} {height:.1f}")
        pen = "L"
    return "".join(parts)


def _colour(number: int) -> str:
    return "grey" if number < 0 else f"c{number % COLOURS}"


def _in_words(title: str, lines: Sequence[Line]) -> str:
    """What the chart shows, for who cannot see it."""
    told = []
    for line in lines:
        known = np.flatnonzero(np.isfinite(line.y))
        if line.label and line.style != "faint":
            first, last = line.y[known[0]], line.y[known[-1]]
            told.append(f"{line.label} from {first:.3g} to {last:.3g}")
    return f"{title}: {'; '.join(told)}" if told else title
