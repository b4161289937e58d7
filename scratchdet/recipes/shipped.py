"""A shipped recipe: its values, and for each of them where it is from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from scratchdet.recipe import Recipe, differing

OURS = "our own"
DEFAULT = "default of scratchdet"


class Values(NamedTuple):
    """Values that one source says."""

    source: str
    groups: Mapping[str, Mapping[str, object]]


def said_by(source: str, **groups: Mapping[str, object]) -> Values:
    """`said_by("ScratchDet", optim={"lr": 0.05})`: the source of every value is that."""
    return Values(source, groups)


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What a recipe is trained on, and how it is tested."""

    name: str = "your own"
    """That of published data sets in the words of `models.published`."""
    path: str = "DATA"
    """What stands for the folder in a command."""
    values: tuple[Values, ...] = ()
    """Splits and protocol."""


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A recipe, what it is, and the sources of its values."""

    recipe: Recipe = field(default_factory=Recipe)
    what: str = ""
    """One line."""
    notes: str = ""
    """What the releases have instead, and what else there is to know before it is run."""
    data: DataSet = field(default_factory=DataSet)
    flags: str = ""
    """What has to be given beside the recipe."""
    reported: bool = False
    """The figures in `models.published` for this network and this data are of these values."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Of every value that is not a default: "optim.lr" and the like."""

    def source(self, setting: str) -> str:
        """Where the value of `optim.lr` or any other setting is from."""
        return self.sources.get(setting, DEFAULT)


def derived(
    base: Shipped,
    *,
    what: str,
    notes: str = "",
    data: DataSet | None = None,
    values: Sequence[Values] = (),
    flags: str = "",
    reported: bool = False,
) -> Shipped:
    """`base` with other values, each with its source; text and flags are not taken over."""
    data = data or base.data
    recipe, sources = base.recipe, dict(base.sources)
    for source, groups in (*data.values, *values):
        recipe = differing(recipe, **groups)
        sources |= {f"{group}.{key}": source for group in groups for key in groups[group]}
    return replace(
        base,
        recipe=recipe,
        what=what,
        notes=notes,
        data=data,
        flags=flags,
        reported=reported,
        sources=sources,
    )
