"""What is wrong with a data set, from annotations and surveys: no file is opened here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchdet.data.findings import KINDS, Finding
from scratchdet.data.survey import Survey, usable_images
from scratchdet.structures import DetectionData


class Part(NamedTuple):
    """What one use of the data reads: the images for training, those for validation."""

    split: str
    """The name that it has in the data."""
    annotated: DetectionData
    """As it was read; no image is dropped yet."""
    survey: Survey | None
    """Of the files; None where there can be none."""

    @property
    def usable(self) -> DetectionData:
        """The images that are trained on or evaluated on; all, where no file was looked at."""
        if self.survey is None:
            return self.annotated
        return usable_images(self.annotated, self.survey)


@dataclass(frozen=True)
class Counts:
    """How much there is in a part, of what can be used."""

    split: str
    images: int
    empty: int
    """Images without objects."""
    objects: int
    most: int
    """Objects in the image that has most."""
    per_class: dict[str, int]
    """Objects that count, without those to be ignored."""


@dataclass(frozen=True)
class Hygiene:
    """How clean the data are."""

    counts: dict[str, Counts]
    """By what the part is used for."""
    findings: tuple[Finding, ...]
    """The worst kinds first; in the order of the parts and their images within a kind."""

    @property
    def must_be_fixed(self) -> bool:
        return any(finding.level == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain values: how much there is, the kinds that were found, and everything found."""
        numbers = Counter(finding.kind for finding in self.findings)
        return {
            "must_be_fixed": self.must_be_fixed,
            "parts": {use: vars(counts) for use, counts in self.counts.items()},
            "kinds": {kind: {"number": numbers[kind], **KINDS[kind]._asdict()} for kind in numbers},
            "findings": [finding._asdict() for finding in self.findings],
        }


def check_hygiene(parts: Mapping[str, Part], *, refusals: Sequence[str] = ()) -> Hygiene:
    """What is found in `parts`, by what they are used for. refusals: why no training can begin."""
    usable = {use: part.usable for use, part in parts.items()}
    found = [Finding("refused", "", "data", refusal) for refusal in refusals]
    for use, data in usable.items():
        found += _told(use, data)
    order = {kind: place for place, kind in enumerate(KINDS)}
    return Hygiene(
        counts={use: _counts(parts[use].split, data) for use, data in usable.items()},
        findings=tuple(sorted(found, key=lambda finding: order[finding.kind])),
    )


def _told(use: str, data: DetectionData) -> Iterator[Finding]:
    """What the readers and the survey have listed."""
    for problem in data.problems:
        if problem.kind in KINDS:
            yield Finding(problem.kind, use, problem.where, problem.what)


def _counts(split: str, data: DetectionData) -> Counts:
    per_image = np.diff(data.offsets)
    per_class = np.bincount(data.labels[~data.ignore], minlength=len(data.classes)).tolist()
    return Counts(
        split=split,
        images=len(data),
        empty=int((per_image == 0).sum()),
        objects=data.num_objects,
        most=int(per_image.max(initial=0)),
        per_class=dict(zip(data.classes, per_class, strict=True)),
    )
