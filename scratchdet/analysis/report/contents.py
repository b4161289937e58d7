"""What a report tells of: plain values, of a run that goes on or of the folder of an old one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from scratchdet.evaluation.columns import Columns
from scratchdet.evaluation.diagnosis import Diagnosis
from scratchdet.evaluation.outcomes import Outcomes, outcomes
from scratchdet.recipe import Recipe
from scratchdet.recipes.lengths import has_ended
from scratchdet.structures import DetectionData


class Share(NamedTuple):
    """Images that the run uses."""

    use: str
    """training, validation or test."""
    split: str
    """The name of the split."""
    images: int
    empty: int
    """Images without objects."""
    objects: Mapping[str, int]
    """Of each class, ignored ones not counted."""


class Network(NamedTuple):
    """What is trained."""

    parameters: int
    classes: tuple[str, ...]
    in_channels: int
    image_dtype: str
    files: str
    """The pattern of the names of images of several files; empty: one file each."""
    input_size: tuple[int, int]
    """(height, width)."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A model, and what it found in images that it was not trained on."""

    data: DetectionData
    found: Columns
    diagnosis: Diagnosis
    split: str
    """What the images are called: test, val, held out."""
    model: str
    """Which model it is, in words."""

    @cached_property
    def outcomes(self) -> Outcomes:
        """From the score on at which F1 is best."""
        metrics, threshold = self.diagnosis.metrics, self.diagnosis.confusion.threshold
        return outcomes(self.data, self.found, protocol=metrics.protocol, threshold=threshold)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """All that a report and a model card are made of."""

    name: str
    """Of the run."""
    recipe: Recipe
    recipe_text: str
    """The TOML it was read from, or is written as."""
    step: int
    """How many have been done."""
    log: Sequence[Mapping[str, Any]] = ()
    """The records of log.jsonl."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Of the metrics.json of this end; nothing while the run goes on, or is being extended."""
    shares: Sequence[Share] = ()
    network: Network | None = None
    judged: Judged | None = None
    not_judged: str = ""
    """Why nothing is `judged`."""
    norms: str = ""
    """The norms of the run, and over how many images they are."""
    problems: Sequence[str] = ()
    """Of data_problems.txt, a line for each."""
    check: Mapping[str, Any] = field(default_factory=dict)
    """Of check.json."""
    gradients: Sequence[Mapping[str, Any]] = ()
    """The records of gradients.jsonl."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """What else the folder has that could not be read, and why: it is left out."""
    provenance: str = ""
    """Where the weights come from."""
    fingerprint: str = ""
    """Of the training data."""
    code: str = ""
    """Version or commit that trained."""
    device: str = ""
    seconds: float = math.nan
    """Spent on it so far."""
    written: str = ""
    """The date of the report."""

    @property
    def finished(self) -> bool:
        return has_ended(self.figures, steps=self.recipe.schedule.steps)

    @property
    def chosen_by(self) -> bool:
        """Whether the model that is judged is the one that did best on these very images."""
        return not self.recipe.data.test_split

    @property
    def steps(self) -> list[Mapping[str, Any]]:
        """The records of the log that are of steps of the training."""
        return [record for record in self.log if "loss" in record]

    @property
    def evaluations(self) -> list[tuple[int, Mapping[str, Any]]]:
        """(step, figures) of the evaluations during the training."""
        return [
            (record["step"], record["evaluation"]) for record in self.log if "evaluation" in record
        ]

    def told(self, name: str) -> Mapping[str, Any]:
        """What the last evaluation says under that name besides its figures: a forecast."""
        last: Mapping[str, Any] = next(
            (record for record in reversed(self.log) if "evaluation" in record), {}
        )
        return last.get(name) or {}

    def share(self, use: str) -> Share | None:
        """The images used for that."""
        return next((share for share in self.shares if share.use == use), None)


def share_of(data: DetectionData, *, use: str, split: str) -> Share:
    """What there is to say of the images of one part."""
    counts = np.bincount(data.labels[~data.ignore], minlength=len(data.classes)).tolist()
    empty = int((data.offsets[1:] == data.offsets[:-1]).sum())
    return Share(use, split, len(data), empty, dict(zip(data.classes, counts, strict=True)))
