"""HTML and SVG, put together so that nothing a user wrote can become markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

VOID = {"img", "link", "meta", "input", "br", "col", "line", "rect", "circle", "path", "image"}
"""Elements that have no content. Those of SVG end themselves: `<rect ... />`."""


class Html(str):
    """Text that is markup already; any other is escaped where it becomes part of some."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | float | bool | None) -> Html:
    """`<name attributes>children</name>`, children and attributes escaped.

    Python's names of attributes: `class_` is class, `aria_label` is aria-label. None and False
    leave an attribute out, True writes its name alone.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_value(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID and not children:
        return Html(f"<{name}{written}/>")
    return Html(f"<{name}{written}>{joined(*children)}</{name}>")


def joined(*parts: str) -> Html:
    """The parts one after the other, those that are not markup escaped."""
    return Html("".join(part if isinstance(part, Html) else plain(part) for part in parts))


def plain(text: str) -> Html:
    """The text, escaped."""
    return Html(escape(text))


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text: Iterable[int] = (0,),
    caption: str = "",
    last: int = 0,
) -> Html:
    """A table that scrolls inside itself where it is too wide; the first cell of a row names it.

    text: columns that are words, and so begin at the left. last: rows at the end, set off from the
    others.
    """
    words = set(text)
    body = [
        element(
            "tr",
            *(
                element(
                    "td" if column else "th",
                    cell,
                    class_=None if column in words else "number",
                    scope=None if column else "row",
                )
                for column, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    heads = (
        element("th", cell, class_=None if column in words else "number", scope="col")
        for column, cell in enumerate(head)
    )
    split = len(body) - last
    bodies = [element("tbody", *body[:split])]
    if last:
        bodies.append(element("tbody", *body[split:], class_="totals"))
    whole = element(
        "table",
        element("thead", element("tr", *heads)),
        *bodies,
    )
    # Focusable: the keyboard must be able to scroll it.
    scrolling = element(
        "div", whole, class_="wide", tabindex="0", role="group", aria_label=f"table of {head[0]}"
    )
    # Below, not a <caption>: that would scroll with the table.
    return joined(scrolling, element("p", caption, class_="note") if caption else Html())


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else plain(str(value))
