"""The verdict of a preflight, what it says and what to try: from values made by hand."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from scratchdet.evaluation.errors import KINDS
from scratchdet.train.overfit import Given, Overfit, Point
from scratchdet.train.preflight import Preflight
from scratchdet.train.preflight_text import describe_plan, save_ranges, show_preflight
from scratchdet.train.range_test import RangeTest, growing_rates
from scratchdet.train.remedies import CAUSES, remedies
from scratchdet.train.unseen import Unseen

NO_ERROR = dict.fromkeys(KINDS, 0.0)
LEARNED = Overfit(
    given=Given(images=16, objects=40, covered=1.0, small=0.0, flat=0),
    batch=8,
    lr=0.075,
    curve=(Point(20, 3.0, 0.5, 0.4), Point(40, 0.5, 0.1, 0.95)),
    steps=40,
    planned=200,
    seconds=20.0,
    ended="reached",
    errors=NO_ERROR,
    unseen=Unseen(32, 0.2, (0.01, 0.03)),
)


def ranged(stable: float | None, *, ended="diverged") -> RangeTest:
    """A test whose loss falls to a third and, above `stable`, rises to ten times that."""
    rates = growing_rates(61)
    losses = [9.0 if stable is None else 3.0 if rate <= stable else 30.0 for rate in rates]
    return RangeTest(rates=tuple(rates), losses=tuple(losses), start=9.0, planned=61, ended=ended)


def made(learned=LEARNED, *, lr=0.15, batch_norm: RangeTest | None = None, **ranges) -> Preflight:
    own = batch_norm or ranged(1.0)
    return Preflight(
        overfit=learned,
        norms="BatchNorm",
        lr=lr,
        batch=16,
        ranges={"BatchNorm": replace_start(own), "no norm": replace_start(ranged(0.01))} | ranges,
        seconds=60.0,
        limit=180.0,
    )


def replace_start(test: RangeTest) -> RangeTest:
    """The first losses are from before anything is learned."""
    return replace(test, losses=(9.0,) * 5 + test.losses[5:])


def failing(**changes) -> Overfit:
    return replace(LEARNED, **{"ended": "steps", "curve": LEARNED.curve[:1], **changes})


def said(measured: Preflight) -> str:
    console = Console(file=io.StringIO(), width=400)
    show_preflight(console, measured)
    return console.file.getvalue()


def test_all_measured_and_nothing_failed_is_passed():
    measured = made()
    assert measured.verdict == "passed"
    assert remedies(measured) == ()
    text = said(measured)
    assert "reached 0.9, AP50 0.950 after 40 steps of 8 images" in text
    assert "boxes belong to their images" in text
    assert "BatchNorm stands 100 times the rate of no norm" in text
    assert "preflight passed" in text


@pytest.mark.parametrize(
    ("learned", "what"),
    [
        (failing(), "never reached 0.9, AP50 0.400"),
        (replace(LEARNED, ended="diverged", errors={}, unseen=None), "no number any more"),
        (replace(LEARNED, unseen=Unseen(32, 0.02, (0.01, 0.03))), "nothing shows that boxes"),
    ],
)
def test_what_fails_is_said(learned, what):
    measured = made(learned)
    assert measured.verdict == "failed"
    assert what in said(measured)


@pytest.mark.parametrize(
    "measured",
    [
        made(replace(LEARNED, ended="time", curve=(), unseen=None)),
        replace(made(), ranges={}),
        made(batch_norm=ranged(None, ended="highest")),
        made(batch_norm=ranged(1.0, ended="time")),
    ],
)
def test_what_could_not_be_finished_is_neither_passed_nor_failed(measured):
    assert measured.verdict == "unfinished"
    assert remedies(measured) == ()
    assert "preflight unfinished" in said(measured)


def test_a_rate_above_the_largest_stable_one_fails_and_half_of_that_is_proposed():
    measured = made(lr=2.5)
    assert measured.verdict == "failed"
    assert measured.exceeded == pytest.approx(1.0, rel=0.3)
    assert remedies(measured)[0].startswith("--optim.lr 0.5: the recipe's 2.5")


def test_a_rate_that_was_never_too_large_is_not_exceeded():
    assert made(lr=100.0, batch_norm=ranged(10.0, ended="highest")).exceeded is None


@pytest.mark.parametrize(
    ("learned", "tried"),
    [
        (replace(LEARNED, ended="diverged", errors={}, unseen=None), "--optim.lr 0.01"),
        (failing(given=LEARNED.given._replace(flat=16)), "of one colour all over"),
        (failing(given=LEARNED.given._replace(covered=0.5)), "--fit-priors: 50% of the objects"),
        (failing(given=LEARNED.given._replace(small=0.4)), "--model.input-size"),
        (replace(LEARNED, unseen=Unseen(32, 0.02, (0.03,))), "do they belong together?"),
    ],
)
def test_what_was_measured_says_what_to_try(learned, tried):
    (one,) = (line for line in remedies(made(learned)) if tried in line)
    assert f"try {one}" in said(made(learned))


@pytest.mark.parametrize("kind", KINDS)
def test_the_costliest_error_says_where_to_look(kind):
    (line,) = remedies(made(failing(errors=NO_ERROR | {kind: 0.3}), batch_norm=ranged(0.5)))
    assert "0.30" in line
    assert CAUSES[kind] in line


def test_without_a_norm_a_divergence_calls_for_one():
    learned = replace(LEARNED, ended="diverged", errors={}, unseen=None)
    bare = replace(made(learned), norms="no norm")
    assert any("--model.norm-backbone batch" in line for line in remedies(bare))


def test_a_rate_far_below_the_largest_stable_one_is_slow():
    assert any("learns slowly" in line for line in remedies(made(failing(), lr=0.002)))


def test_objects_at_the_same_places_in_all_images_do_not_fail():
    alike = replace(LEARNED, unseen=Unseen(32, 0.9, (0.9, 0.9)))
    assert made(alike).verdict == "passed"


def test_the_json_holds_everything_and_no_nan():
    found = json.loads(json.dumps(made().to_json(), allow_nan=False))
    assert found["verdict"] == "passed"
    assert set(found["range_tests"]) == {"BatchNorm", "no norm"}
    assert found["overfit"]["unseen"]["fit"] == "own"


def test_the_plan_says_how_long_it_takes():
    assert "at most 3 minutes" in describe_plan(180)
    assert "at most 45 seconds" in describe_plan(45)


def test_the_picture_is_written(tmp_path):
    save_ranges(made(), tmp_path / "range_test.png")
    assert (tmp_path / "range_test.png").read_bytes().startswith(b"\x89PNG")
