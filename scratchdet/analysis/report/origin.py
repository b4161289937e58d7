"""What the run was made of: data and what is wrong with them, versions, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import quote

from scratchdet.analysis.report.checked import checked
from scratchdet.analysis.report.contents import Contents
from scratchdet.analysis.report.markup import Html, element, joined, table
from scratchdet.analysis.report.words import count

SHOWN_PROBLEMS = 20
SHOWN_CLASSES = 60


def data(contents: Contents) -> Html:
    """The images by what they are used for, and what is wrong with them."""
    return joined(_shares(contents), _problems(contents.problems), checked(contents.check))


def origin(contents: Contents) -> Html:
    """Where it comes from, and the command that repeats it."""
    recipe, figures = contents.recipe, contents.figures
    rows = {
        "weights": contents.provenance,
        "training data": recipe.data.path,
        "fingerprint of the training data": contents.fingerprint,
        "seed": str(recipe.run.seed),
        "code": contents.code,
        "device": contents.device,
        "precision": recipe.run.precision,
        "processes": str(figures.get("processes", "")),
    }
    known = [[name, element("code", value)] for name, value in rows.items() if value]
    return joined(
        table(["what", "is"], known, text=(0, 1)),
        element("h3", "To repeat it"),
        element("p", "With the code above, and the data where it was:"),
        element("pre", element("code", repeat_command(contents)), tabindex="0"),
        element(
            "details",
            element("summary", "recipe.toml, every value"),
            element("pre", element("code", contents.recipe_text), tabindex="0"),
        ),
    )


def repeat_command(contents: Contents) -> str:
    """The command line that trains the same again."""
    processes = int(contents.figures.get("processes", 1))
    devices = f" --devices {processes}" if processes > 1 else ""
    recipe = quote(f"runs/{contents.name}/recipe.toml")
    path = quote(contents.recipe.data.path or "DATA")
    return f"scratchdet train {path} --recipe {recipe}{devices}"


def _shares(contents: Contents) -> Html:
    if not contents.shares:
        return Html()
    rows = [
        [
            share.use,
            share.split,
            f"{share.images:,}",
            f"{share.empty:,}",
            f"{sum(share.objects.values()):,}",
        ]
        for share in contents.shares
    ]
    head = ["use", "split", "images", "without objects", "objects"]
    whole = table(head, rows, text=(0, 1))
    names = list(dict.fromkeys(name for share in contents.shares for name in share.objects))
    counts = [
        [name, *(f"{share.objects.get(name, 0):,}" for share in contents.shares)]
        for name in names[:SHOWN_CLASSES]
    ]
    more = len(names) - SHOWN_CLASSES
    caption = f"And {count(more, 'more class', 'more classes')}." if more > 0 else ""
    uses = ["objects of", *(share.use for share in contents.shares)]
    return joined(whole, element("h3", "Objects by class"), table(uses, counts, caption=caption))


def _problems(problems: Sequence[str]) -> Html:
    if not problems:
        return element("p", "Nothing wrong was found in the data that were read.")
    shown = [element("li", element("code", line)) for line in problems[:SHOWN_PROBLEMS]]
    more = len(problems) - SHOWN_PROBLEMS
    rest = f"And {more:,} more, in data_problems.txt." if more > 0 else ""
    return joined(
        element("h3", f"{count(len(problems), 'problem')} in the data"),
        element("ul", *shown, class_="plain"),
        element("p", rest, class_="note") if rest else Html(),
    )


def left_out(reasons: Mapping[str, str]) -> Html:
    """What the report lacks, and why."""
    entries = [element("li", f"{what}: {why}.") for what, why in reasons.items()]
    return element("ul", *entries, class_="plain") if entries else Html()
