"""Frames of one video that are in several parts, told by their names and what they look like."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from scratchdet.data.duplicates import Pairs, differing_bits
from scratchdet.data.looks import BITS

ALIKE = BITS * 9 // 32
"""Bits of a print. Two images that follow each other by name and differ in no more are of one
scene; among unlike ones that is one pair in 10,000 at most (docs/check.md). Our choice."""

FOLLOWING = 4
"""Images that follow by name which each is compared with."""

LAST_NUMBER = re.compile(r"(\d+)(\D*)$")


def following_pairs(names: Sequence[str], prints: np.ndarray) -> Pairs:
    """Rows that follow each other by name, up to its last number, and look alike."""
    order = np.array(sorted(range(len(names)), key=lambda row: _place(names[row])), np.int64)
    stems: np.ndarray = np.unique([_place(name)[0] for name in names], return_inverse=True)[1]
    printed = np.asarray(prints.any(axis=1))
    found = [np.zeros(0, np.int64)]
    for step in range(1, FOLLOWING + 1):
        first, second = np.sort(np.stack([order[:-step], order[step:]]), axis=0)
        same = np.flatnonzero((stems[first] == stems[second]) & printed[first] & printed[second])
        first, second = first[same], second[same]
        alike = differing_bits(prints, first, second) <= ALIKE
        found.append(first[alike] * len(names) + second[alike])
    first, second = np.divmod(np.unique(np.concatenate(found)), max(len(names), 1))
    return Pairs(first, second, differing_bits(prints, first, second))


def _place(name: str) -> tuple[str, int]:
    """What comes before and after the last number, and that number; -1 if there is none."""
    found = LAST_NUMBER.search(name)
    if found is None:
        return name, -1
    return f"{name[: found.start()]}\0{found[2]}", int(found[1])
