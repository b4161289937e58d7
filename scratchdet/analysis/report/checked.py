"""What the check before the training has found: of the data, and of the priors on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from scratchdet.analysis.report.markup import Html, element, joined, table


def checked(check: Mapping[str, Any]) -> Html:
    """What there is to say of a `check.json`; what it lacks, or has besides, is left out."""
    coverage = (check.get("priors") or {}).get("coverage") or {}
    return joined(_hygiene(check.get("hygiene") or {}), _priors(coverage.get("training") or {}))


def _hygiene(hygiene: Mapping[str, Any]) -> Html:
    """How much of each kind was found, and what training did with it."""
    kinds = (hygiene.get("kinds") or {}).values()
    rows = [
        [str(kind["what"]), f"{kind['number']:,}", str(kind["level"]), str(kind["training"])]
        for kind in kinds
    ]
    if not rows:
        return Html()
    return joined(
        element("h3", "What the check has found"),
        table(["what", "number", "level", "training"], rows, text=(0, 2, 3)),
    )


def _priors(priors: Mapping[str, Any]) -> Html:
    """Which objects some prior matches, by class and by size."""
    objects, matched = priors.get("objects"), priors.get("matched")
    sampled = priors.get("sampled", objects)
    if not objects or not sampled or matched is None:
        return Html()
    share = 100 * matched / sampled
    sample = f"a sample of {sampled:,} of " if sampled < objects else ""
    parts = [
        element("h3", "Priors"),
        element(
            "p",
            f"Of {sample}{objects:,} training objects {matched:,} ({share:.1f} %) overlap some "
            f"prior by IoU {priors.get('iou', 0.5):g} or more; the others are learned from the one "
            "prior that overlaps them most.",
        ),
    ]
    for title, key in (("objects of", "per_class"), ("size, pixels of the input", "per_size")):
        rows = list(_shares(priors.get(key) or {}))
        if rows:
            parts.append(table([title, "objects", "matched", "share"], rows))
    if idle := priors.get("idle_levels"):
        names = ", ".join(map(str, idle))
        parts.append(element("p", f"Levels whose priors match no object: {names}.", class_="note"))
    return joined(*parts)


def _shares(groups: Mapping[str, Mapping[str, Any]]) -> Iterable[list[str]]:
    for name, one in groups.items():
        objects, matched = one.get("objects"), one.get("matched")
        if objects and matched is not None:
            yield [name, f"{objects:,}", f"{matched:,}", f"{100 * matched / objects:.1f} %"]
