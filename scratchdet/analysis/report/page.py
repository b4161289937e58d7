"""The whole page, its parts in the order in which they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from scratchdet.analysis.report.accuracy import accuracy
from scratchdet.analysis.report.contents import Contents
from scratchdet.analysis.report.curves import curves, gradients, network_charts, time_and_speed
from scratchdet.analysis.report.markup import Html, element, joined
from scratchdet.analysis.report.origin import data, left_out, origin
from scratchdet.analysis.report.pictures import pictures
from scratchdet.analysis.report.style import STYLE
from scratchdet.analysis.report.verdict import findings, verdict
from scratchdet.files import write_text


class Section(NamedTuple):
    """A part of the page."""

    anchor: str
    title: str
    body: Html
    """Empty: the section is left out."""
    lacking: str
    """Why, then."""


def write_report(contents: Contents, path: Path) -> None:
    """Writes the page to `path`, completely or not at all."""
    write_text(path, page(contents))


def page(contents: Contents) -> str:
    """One HTML file that needs nothing else: no script, no font, no picture from elsewhere."""
    sections = _sections(contents)
    there = [section for section in sections if section.body]
    lacking = {section.title: section.lacking for section in sections if not section.body}
    links = [
        element("li", element("a", section.title, href=f"#{section.anchor}")) for section in there
    ]
    body = joined(
        verdict(contents),
        element(
            "main",
            element("nav", element("ul", *links), aria_label="Contents"),
            *(
                element("section", element("h2", one.title), one.body, id=one.anchor)
                for one in there
            ),
        ),
        _footer(contents, {**lacking, **contents.unread}),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{contents.name}: scratchdet report"),
        # A browser would ask a server for an icon otherwise.
        element("link", rel="icon", href="data:,"),
        element("style", Html(STYLE)),
    )
    whole = element("html", head, element("body", body), lang="en")
    return f"<!doctype html>\n{whole}\n"


def _sections(contents: Contents) -> list[Section]:
    unjudged = contents.not_judged or "no images were judged"
    return [
        Section("findings", "What stands out", findings(contents), "nothing does"),
        Section("training", "Training", curves(contents), "the log has no step yet"),
        Section("accuracy", "Accuracy", accuracy(contents), unjudged),
        Section("pictures", "Pictures", pictures(contents), unjudged),
        Section(
            "network",
            "Inside the network",
            network_charts(contents),
            "the log tells nothing of it",
        ),
        Section(
            "gradients",
            "Gradients",
            gradients(contents),
            "the run was not asked for them (scratchdet train --analyse)",
        ),
        Section("data", "Data", data(contents), "nothing is known of the data"),
        Section("time", "Time", time_and_speed(contents), "the log has no step yet"),
        Section("origin", "Where it comes from", origin(contents), ""),
    ]


def _footer(contents: Contents, lacking: Mapping[str, str]) -> Html:
    parts = [
        element("p", f"Written by scratchdet {contents.written}.") if contents.written else Html()
    ]
    if lacking:
        parts += [element("p", "Left out:"), left_out(lacking)]
    return element("footer", *parts)
