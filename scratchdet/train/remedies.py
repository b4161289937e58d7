"""What to try when a preflight fails, from what it has measured."""

from collections.abc import Iterator

from scratchdet.analysis.expectations import SMALL
from scratchdet.evaluation.errors import KINDS
from scratchdet.train.overfit import Overfit
from scratchdet.train.preflight import Preflight

ENOUGH_COVERED = 0.95  # of the objects; each that is not has one poor prior to learn by
MUCH_SMALL = 0.1  # of the objects
COSTLY = 0.05  # AP50
MARGIN = 2.0
"""The largest stable rate over this is proposed: a run is longer than a range test, and has batches
that are harder than its."""
SLOW = 30.0  # times less than the largest stable rate

CAUSES = {
    "classification": "are classes mixed up, or told apart by what cannot be seen at this size?",
    "localisation": "are boxes shifted, loose, or of another format (corners, sizes, centres)?",
    "both": "are boxes or classes those of other objects?",
    "duplicate": "are objects annotated twice, or do they hide each other?",
    "background": "are there objects that nobody annotated?",
    "missed": "are they too small, too crowded, or of shapes that no prior has?",
}
"""What each kind of error may come from."""


def remedies(measured: Preflight) -> tuple[str, ...]:
    """What to try, likeliest first; nothing unless it failed."""
    if measured.verdict != "failed":
        return ()
    return (*_of_rate(measured), *_of_data(measured.overfit), *_of_speed(measured))


def _of_rate(measured: Preflight) -> Iterator[str]:
    learned = measured.overfit
    if measured.exceeded is not None:
        yield (
            f"--optim.lr {measured.exceeded / MARGIN:.1g}: the recipe's {measured.lr:g} is more "
            f"than the {measured.exceeded:.2g} that the network was stable at"
        )
    elif learned.ended == "diverged":
        yield (
            f"--optim.lr {measured.lr / 10:.1g}, or --optim.clip-norm 5: the loss was no number "
            f"after {learned.steps} steps at {learned.lr:.2g}"
        )
    if learned.ended == "diverged" and "no norm" in measured.norms:
        yield "--model.norm-backbone batch --model.norm-head batch: rates this large need a norm"


def _of_data(learned: Overfit) -> Iterator[str]:
    given, unseen = learned.given, learned.unseen
    if given.flat:
        yield (
            f"{given.flat} of the {given.images} images are of one colour all over: are they read "
            "as they are meant, with all their bits and channels (--data.files)?"
        )
    if given.covered < ENOUGH_COVERED:
        yield (
            f"scratchdet check --fit-priors: {1 - given.covered:.0%} of the objects have no prior "
            "that overlaps them enough to learn them well"
        )
    if given.small > MUCH_SMALL:
        yield (
            f"a larger --model.input-size, or tiles of the images: {given.small:.0%} of the objects"
            f" are under {SMALL:.0f} pixels at this one"
        )
    if learned.ended == "steps":
        cost, worst = max((cost, kind) for kind, cost in learned.errors.items())
        if cost > COSTLY:
            yield f"most AP50 ({cost:.2f}) is lost by {_in_words(worst)}: {CAUSES[worst]}"
    if unseen and unseen.fit == "any":
        yield (
            "look at some images with their boxes: do they belong together? In images that it has "
            "not seen, the network does not find their own objects better than those of others. "
            "Names or an order that were mixed up do that; so do objects that differ from image to "
            f"image more than {given.images} can show"
        )


def _of_speed(measured: Preflight) -> Iterator[str]:
    own, learned = measured.range, measured.overfit
    if learned.ended != "steps" or own is None or own.stable is None:
        return
    if measured.lr * SLOW < own.stable:
        yield (
            f"--optim.lr {own.stable / 5:.1g}: it learns slowly at {measured.lr:g}, and the "
            f"network was stable up to {own.stable:.2g}"
        )


def _in_words(kind: str) -> str:
    return KINDS[kind] if kind == "missed" else f"detections {KINDS[kind]}"
