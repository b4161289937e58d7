"""Parts of a data set: those the user names, and those held out when there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from scratchdet.structures import DataError, DetectionData


def chosen_splits(
    split: str | None, available: Sequence[str], path: Path, *, also: Collection[str] = ()
) -> list[str]:
    """The names in `split`, which joins several with `+`; all that are available if it is None.

    Those in `also` are taken too, but are too many to be listed in the error about an unknown one.
    """
    if split is None:
        return list(available)
    names = [name.strip() for name in split.split("+")]
    missing = [name for name in names if name not in available and name not in also]
    if missing:
        if not available:
            raise DataError(
                f"{path}: there is no split {missing[0]!r}, as the data has no splits: leave it out"
                " (--split, --val-split, --test-split, or data.split, ... of the recipe)"
            )
        listed = ", ".join(available)
        raise DataError(
            f"{path}: there is no split {missing[0]!r}; there are: {listed}"
            " (several are joined with +: train+val)"
        )
    return list(dict.fromkeys(names))


def split_called(available: Sequence[str], name: str, but: str = "\0") -> str | None:
    """The split called `name`, or the only one whose name begins with it: `train2017`, `valid`."""
    if name in available:
        return name
    similar = [one for one in available if one.startswith(name) and not one.startswith(but)]
    return similar[0] if len(similar) == 1 else None


def hold_out(
    data: DetectionData, share: float = 0.1, *, seed: int = 0
) -> tuple[DetectionData, DetectionData]:
    """The images for training, and about `share` of all for validation.

    Which side an image is on depends on its id and `seed` alone, so images added later do not
    reshuffle the others. With two images or more neither side is empty (the image nearest to the
    border goes over).
    """
    if not 0 <= share <= 1:
        raise DataError(f"the held-out share is {share}; it must lie between 0 and 1")
    draws = np.array([_draw(image_id, seed) for image_id in data.ids], dtype=np.float64)
    held = draws < share
    if len(draws) >= 2 and held.all():
        held[draws.argmax()] = False
    elif len(draws) >= 2 and not held.any():
        held[draws.argmin()] = True
    return data.subset(np.flatnonzero(~held)), data.subset(np.flatnonzero(held))


def _draw(image_id: str, seed: int) -> float:
    """A number in [0, 1) that the id and the seed decide, the same on every machine."""
    text = f"{seed}/{image_id}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest()) / 2**48
