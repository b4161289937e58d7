"""Figures as people read them."""

from __future__ import annotations

import math

from scratchdet.evaluation.intervals import FEWEST_IMAGES, Interval


def figure(value: float | None, digits: int = 3) -> str:
    """0.912; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def interval(value: Interval) -> str:
    """0.880 – 0.935."""
    return "–" if math.isnan(value.low) else f"{value.low:.3f} – {value.high:.3f}"


def sureness(value: Interval, *, images: int) -> str:
    """95 % interval 0.880 – 0.935; or that there is none, and why."""
    if not math.isnan(value.low):
        return f"95 % interval {interval(value)}"
    if images < FEWEST_IMAGES:
        return f"no 95 % interval: it cannot be told from {count(images, 'image')}"
    return "no 95 % interval: drawing the images anew changes nothing"


def count(number: int, what: str, plural: str = "") -> str:
    """1 image, 2,000 images."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def duration(seconds: float) -> str:
    """45 s, 12 min, 3 h 5 min, 2 d 4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def millions(parameters: int) -> str:
    """1.3 M, 812 k."""
    if parameters < 100_000:
        return f"{parameters:,}"
    return f"{parameters / 1e6:.1f} M" if parameters >= 1e6 else f"{parameters / 1e3:.0f} k"


def listed(names: list[str], most: int = 5) -> str:
    """a, b and c; of many the first, and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
