"""The grids of ScratchDet's two ablations, for any network and data: what varies, and in what.

Zhu et al., ScratchDet, CVPR 2019: where BatchNorm is and the learning rate; the root block against
three other stems. `recipes.ssd` has the same grids at the size of the paper.
"""

from collections.abc import Mapping
from typing import NamedTuple

from scratchdet.recipe import Recipe, differing
from scratchdet.recipes.ssd import NORMS, RATES, STEMS, norms_in


class Variant(NamedTuple):
    """One cell of an ablation's table."""

    row: str
    column: str
    """Empty where the table has but one."""
    settings: Mapping[str, Mapping[str, object]]
    """What differs from the recipe that all variants share, group by group."""

    @property
    def name(self) -> str:
        """For folders and lines: `both-lr0.05`."""
        return "-".join(part.replace("/", "s").replace(" ", "") for part in self[:2] if part)

    def of(self, recipe: Recipe, *, seed: int) -> Recipe:
        """The recipe of this variant, with a seed of its own."""
        groups = {**self.settings, "run": {**self.settings.get("run", {}), "seed": seed}}
        return differing(recipe, **groups)


class Ablation(NamedTuple):
    """A grid of variants, and what it asks."""

    question: str
    variants: tuple[Variant, ...]
    choice: str = ""
    """What the network must leave to be chosen."""


def where_norms_are(rates: tuple[float, ...] = RATES) -> Ablation:
    """BatchNorm nowhere, in the head, the backbone and both, at each of the learning rates."""
    return Ablation(
        "does BatchNorm allow the larger learning rate?",
        tuple(
            Variant(
                f"BN {where}",
                f"lr {rate:g}",
                {"model": norms_in(where), "optim": {"lr": rate, "reference_batch": 0}},
            )
            for where in NORMS
            for rate in rates
        ),
    )


def stems() -> Ablation:
    """The root block, and the three stems that it is compared with."""
    return Ablation(
        "does the root block help small objects?",
        tuple(
            Variant(f"stem {stem}", "", {"model": {"choices": {"stem": stem}}})
            for stem in STEMS.values()
        ),
        choice="stem",
    )
