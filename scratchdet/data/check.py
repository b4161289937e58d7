"""What is wrong with a data set, of annotations and surveys that are there already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchdet.data.check_alike import check_alike
from scratchdet.data.check_files import check_files, check_name
from scratchdet.data.check_objects import check_classes, check_objects
from scratchdet.data.check_voc import check_voc
from scratchdet.data.findings import KINDS, Finding
from scratchdet.data.survey import Survey, usable_images
from scratchdet.structures import DetectionData, Problem


class Part(NamedTuple):
    """What one use of the data reads: the images for training, those for validation."""

    split: str
    """The name that it has in the data."""
    annotated: DetectionData
    """As it was read; no image is dropped yet."""
    survey: Survey | None
    """Of the files; None where there can be none."""

    def subset(self, rows: np.ndarray) -> Part:
        """The images at these rows, as annotated, for another use."""
        survey = None if self.survey is None else self.survey.subset(rows)
        return self._replace(annotated=self.annotated.subset(rows), survey=survey)

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
    ignored: int
    """Of the objects: VOC `difficult`, COCO `crowd`."""
    median: float
    """Objects in an image."""
    most: int
    """Objects in an image."""
    per_class: dict[str, int]
    """Objects that are not ignored."""
    pixels: dict[str, int]
    """Images by type and number of channels of their files."""


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

    def to_json(self, *, most: int | None = None) -> dict[str, Any]:
        """Plain values: how much there is, the kinds that were found, and what was found.

        most: so many findings of each kind, and no more; all of them are counted.
        """
        numbers = Counter(finding.kind for finding in self.findings)
        kinds = groupby(self.findings, lambda finding: finding.kind)
        listed = chain.from_iterable(islice(found, most) for _, found in kinds)
        return {
            "must_be_fixed": self.must_be_fixed,
            "parts": {use: vars(counts) for use, counts in self.counts.items()},
            "kinds": {kind: {"number": numbers[kind], **KINDS[kind]._asdict()} for kind in numbers},
            "findings": [{"level": finding.level, **finding._asdict()} for finding in listed],
        }


def check_hygiene(
    parts: Mapping[str, Part],
    *,
    input_size: tuple[int, int] | None = None,
    refusals: Sequence[str] = (),
) -> Hygiene:
    """What is found in `parts`, by what they are used for, without a look at any file.

    input_size: (height, width) that images are resized to. refusals: why no training can begin.
    """
    usable = {use: part.usable for use, part in parts.items()}
    found = [Finding("refused", "", "data", refusal) for refusal in refusals]
    found += _told(usable)
    for use, data in usable.items():
        found += check_objects(use, data, input_size=input_size)
        found += check_classes(use, parts[use].split, data)
    surveyed = {
        use: (part.annotated, part.survey) for use, part in parts.items() if part.survey is not None
    }
    for use, (data, survey) in surveyed.items():
        found += check_files(use, data, survey)
    found += check_alike(surveyed)
    return Hygiene(
        counts={use: _counts(parts[use], data) for use, data in usable.items()},
        findings=_in_order(found),
    )


def with_files(
    hygiene: Hygiene,
    parts: Mapping[str, Part],
    *,
    format: str,
    progress: Callable[[int, int], None] | None = None,
) -> Hygiene:
    """With what takes a second look at the files: their names, and what readers pass over.

    format: of the data, a key of `FORMATS`. progress: is told of (images done, all).
    """
    found = [*hygiene.findings]
    total, done = sum(len(part.annotated) for part in parts.values()), 0
    for use, part in parts.items():
        for image_id, reference in zip(part.annotated.ids, part.annotated.paths, strict=True):
            found += check_name(use, reference)
            if format == "voc":
                found += check_voc(use, image_id, Path(reference))
            done += 1
            if progress is not None:
                progress(done, total)
    return replace(hygiene, findings=_in_order(found))


def _in_order(found: Sequence[Finding]) -> tuple[Finding, ...]:
    order = {kind: place for place, kind in enumerate(KINDS)}
    return tuple(sorted(found, key=lambda finding: order[finding.kind]))


def _told(usable: Mapping[str, DetectionData]) -> Iterator[Finding]:
    """What the readers and the survey have listed, each once: parts may share their problems."""
    told: set[Problem] = set()
    for use, data in usable.items():
        for problem in data.problems:
            if problem.kind in KINDS and problem not in told:
                told.add(problem)
                yield Finding(problem.kind, use, problem.where, problem.what)


def _counts(part: Part, data: DetectionData) -> Counts:
    per_image = np.diff(data.offsets)
    per_class = np.bincount(data.labels[~data.ignore], minlength=len(data.classes)).tolist()
    return Counts(
        split=part.split,
        images=len(data),
        empty=int((per_image == 0).sum()),
        objects=data.num_objects,
        ignored=int(data.ignore.sum()),
        median=float(np.median(per_image)) if len(data) else 0.0,
        most=int(per_image.max(initial=0)),
        per_class=dict(zip(data.classes, per_class, strict=True)),
        pixels=_pixels(part.survey),
    )


def _pixels(survey: Survey | None) -> dict[str, int]:
    """The number of images of each kind, as their files have it: `uint8, 3 channels`."""
    if survey is None:
        return {}
    kinds = Counter(survey.stored[survey.stored > 0].tolist())
    return {
        f"{survey.dtype}, {count} channel{'s' * (count > 1)}": number
        for count, number in kinds.most_common()
    }
