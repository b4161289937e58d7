"""Images that are the same or nearly, within a part and, what matters, across parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from scratchdet.data.duplicates import Pairs, equal_groups, groups_of, near_pairs
from scratchdet.data.findings import Finding
from scratchdet.data.frames import following_pairs
from scratchdet.data.survey import Survey
from scratchdet.structures import DetectionData


class _Images:
    """The images of all parts, one after the other; those of a part that is named later follow."""

    def __init__(self, parts: Mapping[str, tuple[DetectionData, Survey]]) -> None:
        self.uses = [*parts]
        counts = [len(data) for data, _ in parts.values()]
        self.use = np.repeat(np.arange(len(counts)), counts)
        self.paths = [path for data, _ in parts.values() for path in data.paths]
        surveys = [survey for _, survey in parts.values()]
        self.digests = np.concatenate([np.zeros((0, 8), "u1"), *(one.digests for one in surveys)])
        self.prints = np.concatenate([np.zeros((0, 32), "u1"), *(one.prints for one in surveys)])

    def finding(self, kind: str, row: int, other: int, what: str) -> Finding:
        """About the image at `row`, which is like the one at `other`."""
        across = "" if self.use[row] == self.use[other] else f" of {self.uses[self.use[other]]}"
        use = self.uses[self.use[row]]
        return Finding(kind, use, self.paths[row], f"{what} {self.paths[other]}{across}")


def check_alike(parts: Mapping[str, tuple[DetectionData, Survey]]) -> Iterator[Finding]:
    """What is found in the parts, by use: the images as they were annotated, and their survey.

    Each image is told of once, as what is worst: an image that is also in a part named before is
    worse than one that is twice in its own part; equal is worse than nearly, and that than a frame
    of the same video.
    """
    images = _Images(parts)
    told: set[int] = set()
    for group in equal_groups(images.digests):
        for place in range(1, len(group)):
            row = int(group[place])
            across = images.use[group[0]] != images.use[row]
            same = "duplicate-across" if images.prints[row].any() else "blank-across"
            kind = same if across else "duplicate-image"
            told.add(row)
            yield images.finding(kind, row, int(group[0]), "has the pixels of")
    pairs = near_pairs(images.prints)
    group_of, nearest = groups_of(pairs, len(images.paths)), nearest_rows(pairs, images.use)
    for row, first in enumerate(group_of.tolist()):
        if images.use[first] != images.use[row] and row not in told:
            told.add(row)
            other, by_others = nearest[row], ""
            if images.use[other] >= images.use[row]:
                by_others = f"{images.paths[other]}, and by way of it as "
                other = first
            what = f"is nearly the same as {by_others}".strip()
            yield images.finding("near-across", row, other, what)
    frames = following_pairs(images.paths, images.prints)
    for first, second in zip(frames.first.tolist(), frames.second.tolist(), strict=True):
        if images.use[first] != images.use[second] and second not in told:
            told.add(second)
            yield images.finding("frames-across", second, first, "follows or precedes")
    for row, first in enumerate(group_of.tolist()):
        if first != row and row not in told:
            yield images.finding("near-duplicate", row, nearest[row], "is nearly the same as")


def nearest_rows(pairs: Pairs, use: np.ndarray) -> dict[int, int]:
    """To each row that is paired the one that it is nearest to, of a part before if there is one.

    Not the first of its group: that may be like it by way of others alone. use: of each row.
    """
    row = np.concatenate([pairs.first, pairs.second])
    other = np.concatenate([pairs.second, pairs.first])
    is_across = use[other] < use[row]
    order = np.lexsort((other, np.tile(pairs.bits, 2), ~is_across, row))
    rows, places = np.unique(row[order], return_index=True)
    return dict(zip(rows.tolist(), other[order][places].tolist(), strict=True))
