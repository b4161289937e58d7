"""How many objects can have a prior of their own: two may want the same one."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

import numpy as np

from scratchdet.analysis.prior_overlaps import Level, runs_of

Wanted = Mapping[int, Sequence[int]]
"""For every object the priors that overlap it enough."""


def with_own_prior(
    boxes: np.ndarray, images: np.ndarray, counts: np.ndarray, levels: Sequence[Level], iou: float
) -> int:
    """Of so many boxes at once, each can have a prior that overlaps it by `iou` and no other has.

    images: (M,) the image of each box. counts: (M,) the priors that overlap it enough. An object
    with as many of them as its image has objects gets one whatever the others take; of the rest a
    largest matching is found.
    """
    able = counts > 0
    rivals = np.bincount(images[able], minlength=int(images.max(initial=-1)) + 1)
    contested = able & (counts < rivals[images])
    left = np.flatnonzero(contested)
    return int((able & ~contested).sum()) + largest_matching(
        _wanted(boxes[left], images[left], levels, iou)
    )


def _wanted(boxes: np.ndarray, images: np.ndarray, levels: Sequence[Level], iou: float) -> Wanted:
    """The priors that each box overlaps by `iou`; those of another image are other ones."""
    wanted = defaultdict(list)
    priors = sum(level.priors for level in levels)
    before = 0
    for level in levels:
        for runs in runs_of(boxes, level, iou):
            entry = np.repeat(np.arange(len(runs.box)), runs.number)
            ends = np.cumsum(runs.number)
            row = runs.first[entry] + np.arange(len(entry)) - (ends - runs.number)[entry]
            place = row * level.columns + runs.column[entry]
            prior = before + place * len(level.shapes) + runs.shape[entry]
            names = images[runs.box[entry]] * priors + prior
            for box, name in zip(runs.box[entry].tolist(), names.tolist(), strict=True):
                wanted[box].append(name)
        before += level.priors
    return wanted


def largest_matching(wanted: Wanted) -> int:
    """How many can have something that they want, each thing going to one of them at most.

    One after the other takes what is free; where nothing is, those who have it pass on to something
    else (augmenting paths, Kuhn 1955).
    """
    owner: dict[int, int] = {}
    has: dict[int, int] = {}
    return sum(_settle(one, wanted, owner, has) for one in wanted)


def _settle(start: int, wanted: Wanted, owner: dict[int, int], has: dict[int, int]) -> bool:
    """Whether `start` got something; `owner` and `has` are brought up to date."""
    asked_by: dict[int, int] = {}
    asking = deque([start])
    while asking:
        one = asking.popleft()
        for thing in wanted[one]:
            if thing in asked_by:
                continue
            asked_by[thing] = one
            if thing in owner:
                asking.append(owner[thing])
                continue
            while True:  # back along the way that led here, everybody passes on
                one = asked_by[thing]
                given_up = has.get(one)
                owner[thing], has[one] = one, thing
                if given_up is None:
                    return True
                thing = given_up
    return False
