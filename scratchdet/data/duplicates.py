"""Images that are the same, or nearly, found by their digests and prints; no file is opened."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from scratchdet.data.looks import BITS

NEAR = BITS // 8
"""Bits of a print. Images that differ in no more are nearly the same: of unlike ones 128 differ,
give or take 8. Our choice: a JPEG of quality 50 or half the size stays below it (docs/check.md)."""

TABLES = 32
LEAST_KEY, MOST_KEY = 16, 24
"""Bits. Prints are compared that agree in all bits of one of the keys, which are as long as it
takes to tell so many images apart. With 32 keys of 16 bits, a pair that differs in 24 random bits
is passed over once in 2,000 times, in 32 bits once in 50; with 20 bits (a million images) once in
100 and once in 10."""

WINDOW = 8
"""Of many prints with one key, each is compared with so many that follow: a camera that stands
still makes a million equal ones, and neighbours are enough to tie them together."""

BLOCK = 1 << 20  # pairs compared at a time


class Pairs(NamedTuple):
    """Pairs of rows, the smaller first, each once and in order."""

    first: np.ndarray
    second: np.ndarray
    bits: np.ndarray
    """In which their prints differ."""


def equal_groups(digests: np.ndarray) -> list[np.ndarray]:
    """The rows (two or more each, rising) that have the same digest (N, 8); 0 is none."""
    filled = np.flatnonzero(digests.any(axis=1))
    return [filled[group] for group in _equal(digests[filled])]


def _equal(rows: np.ndarray) -> list[np.ndarray]:
    """The numbers (two or more each, rising) of rows that are the same."""
    words = np.ascontiguousarray(rows).view("u8")
    order = np.lexsort(words.T)
    differs = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    groups = np.split(order, np.flatnonzero(differs) + 1)
    return sorted((group for group in groups if len(group) > 1), key=lambda group: int(group[0]))


def near_pairs(prints: np.ndarray) -> Pairs:
    """Rows of `prints` (N, 32) that differ in at most NEAR bits; 0 is no print.

    Not each with each: see `TABLES` and `WINDOW` for what is passed over. Rows of equal prints are
    paired with the one that follows, and the first alone with others.
    """
    count = len(prints)
    filled = np.flatnonzero(prints.any(axis=1))
    equal = [*map(filled.__getitem__, _equal(prints[filled]))]
    chained = [group[:-1] * count + group[1:] for group in equal]
    repeats = np.concatenate([np.zeros(0, np.int64), *(group[1:] for group in equal)])
    rows = np.setdiff1d(filled, repeats)
    bits = np.ascontiguousarray(np.unpackbits(prints[rows], axis=1).T)  # a row for each bit
    rng = np.random.default_rng(0)
    found = np.concatenate([np.zeros(0, np.int64), *chained])
    key_bits = int(np.clip(np.ceil(np.log2(max(len(rows), 1))), LEAST_KEY, MOST_KEY))
    for _ in range(TABLES):
        new = [found]
        keys = np.zeros(len(rows), np.uint32)
        for bit in rng.choice(BITS, key_bits, replace=False):
            keys = keys << 1 | bits[bit]
        order = np.argsort(keys, kind="stable")
        for step in range(1, WINDOW + 1):
            same = np.flatnonzero(keys[order[:-step]] == keys[order[step:]])
            if not len(same):
                break
            first, second = rows[order[same]], rows[order[same + step]]
            near = differing_bits(prints, first, second) <= NEAR
            new.append(first[near] * count + second[near])
        found = np.unique(np.concatenate(new))
    first, second = np.divmod(found, max(count, 1))
    return Pairs(first, second, differing_bits(prints, first, second))


def differing_bits(prints: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """In how many bits the prints at the rows `first` differ from those at `second`."""
    words = np.ascontiguousarray(prints).view("u8")
    blocks = [
        np.bitwise_count(words[first[start:stop]] ^ words[second[start:stop]]).sum(axis=1)
        for start, stop in pairwise([*range(0, len(first), BLOCK), len(first)])
    ]
    return np.concatenate([np.zeros(0, np.int64), *blocks]).astype(np.int64)


def groups_of(pairs: Pairs, count: int) -> np.ndarray:
    """(count,) the smallest row that each is tied to, directly or by others; its own if to none."""
    least = np.arange(count)
    while True:
        before = least.copy()
        low = np.minimum(least[pairs.first], least[pairs.second])
        np.minimum.at(least, pairs.first, low)
        np.minimum.at(least, pairs.second, low)
        least = least[least]
        if np.array_equal(least, before):
            return least
