"""What the report of a run costs, how large it is, and how fast it opens.

    python benchmarks/report.py runs/bccd [--repeats 5]

One thread; CPU seconds of what a training does at an evaluation besides detecting: the figures with
their intervals, and the page with its pictures. The data have to be where the run's recipe says.
Opened in Chromium where there is one, as on a phone, by the page's own clock; the shortest counts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import process_time

import cv2
import torch
from machine import as_measured
from rich.console import Console

from scratchdet.analysis.report.contents import Contents, Judged
from scratchdet.analysis.report.page import page
from scratchdet.train.report import judged_by, read_folder

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "analysis"))
from browser import browser, find_browser

RESULTS = Path(__file__).parent / "results" / "report.json"
PHONE = 390  # CSS pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    contents = read_folder(given.run, data=None, device="cpu", console=Console(quiet=True))
    if contents.judged is None:
        raise SystemExit(f"nothing to measure: {contents.not_judged}")
    seconds = [measure(contents, contents.judged) for _ in range(given.repeats)]
    text = page(contents)
    as_measured(
        {
            "run": given.run.name,
            "images": len(contents.judged.data),
            "detections": len(contents.judged.found.scores),
            "cpu_seconds_figures": round(min(one[0] for one in seconds), 3),
            "cpu_seconds_page": round(min(one[1] for one in seconds), 3),
            "bytes": len(text.encode()),
            "seconds_to_open": time_to_open(text, given.repeats),
        },
        RESULTS,
    )


def measure(contents: Contents, judged: Judged) -> tuple[float, float]:
    """CPU seconds for the figures, and for the page."""
    began = process_time()
    again = judged_by(
        judged.data,
        judged.found,
        protocol=judged.diagnosis.metrics.protocol,
        split=judged.split,
        model=judged.model,
    )
    halfway = process_time()
    page(replace(contents, judged=again))
    return halfway - began, process_time() - halfway


def time_to_open(text: str, repeats: int) -> float | None:
    """None without a browser."""
    if find_browser() is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        path.write_text(text, encoding="utf-8")
        with browser(Path(folder) / "profile") as driven:
            seen = [driven.open(path, width=PHONE, phone=True) for _ in range(repeats)]
    return round(min(one.seconds for one in seen), 3)


if __name__ == "__main__":
    main()
