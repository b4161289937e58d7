"""What chance is judged by, against hand-worked cases and against what is put in."""

import math

import numpy as np
import pytest

from scratchdet.analysis.compare import Entry, Evaluated, grouped
from scratchdet.analysis.significance import Comparison, comparisons, redrawn, spread, student
from scratchdet.evaluation.columns import from_detections
from scratchdet.evaluation.intervals import NO_INTERVAL, Interval
from scratchdet.evaluation.metrics import measure
from scratchdet.recipe import Recipe, differing
from scratchdet.structures import Arrays, Record, from_records, nothing_found

BOX = np.array([[0, 0, 10, 10]], np.float32)


def entry(name, ap50, *, lr=0.1, seed=0, protocol="voc"):
    recipe = differing(
        Recipe(), optim={"lr": lr}, run={"seed": seed, "protocol": protocol}, schedule={"steps": 9}
    )
    figures = {"steps": 9, "ap50": ap50, "ap": ap50, "ap_per_class": {"a": ap50}}
    return Entry(name, recipe, [], figures)


def scenes(count):
    zero, no = np.zeros(1, np.int64), np.zeros(1, bool)
    records = [Record(str(at), f"{at}.jpg", (20, 20), BOX, zero, no) for at in range(count)]
    return from_records(records, ["a"])


def on(data, found_in, run):
    """The run with a model that finds the one object of these images, and nothing else."""
    hit = Arrays(BOX, np.array([0.9], np.float32), np.zeros(1, np.int64))
    found = [hit if at in found_in else nothing_found() for at in range(len(data))]
    metrics, verdicts = measure(data, from_detections(found), protocol=run.recipe.run.protocol)
    return run._replace(evaluated=Evaluated(data, metrics, verdicts))


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (10, 2.2281), (30, 2.0423), (math.inf, 1.96)],
)
def test_student_s_t_is_that_of_the_tables(freedom, quantile):
    assert student(freedom) == pytest.approx(quantile, abs=2e-4)


def test_the_spread_of_one_is_not_known():
    assert math.isnan(spread([0.5]))
    assert spread([0.4, 0.6]) == pytest.approx(math.sqrt(0.02))


def test_nothing_is_compared_with_nothing():
    assert comparisons([]) == []
    assert comparisons(grouped([entry("a", 0.5)])) == []
    assert comparisons(grouped([entry("a", 0.5), entry("b", None, lr=0.2)])) == []


def test_one_run_each_whose_images_are_not_at_hand_cannot_be_told_apart():
    (found,) = comparisons(grouped([entry("a", 0.5), entry("b", 0.9, lr=0.2)]))
    assert (found.better, found.worse) == ("B", "A")
    assert found.by == pytest.approx(0.4)
    assert not found.told
    assert str(found) == (
        "B is 0.400 AP50 above A; whether that is chance cannot be told: there is one run of each, "
        "and they were not evaluated anew"
    )


def test_groups_of_seeds_are_compared_as_welch_did():
    runs = [
        *(entry(f"a{at}", value, seed=at) for at, value in enumerate((0.50, 0.52, 0.54))),
        *(entry(f"b{at}", value, seed=at, lr=0.2) for at, value in enumerate((0.60, 0.61))),
    ]
    (found,) = comparisons(grouped(runs))
    variances = 0.02**2 / 3, 0.01**2 / 2 / 2  # of the means: by hand
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2 / 1)
    assert 2 < freedom < 3
    reach = student(freedom) * math.sqrt(sum(variances))
    assert found.by == pytest.approx(0.085)
    assert found.interval == pytest.approx((0.085 - reach, 0.085 + reach))
    assert found.told
    assert found.over == "2 and 3 seeds"


def test_a_single_run_is_taken_to_scatter_as_the_seeds_of_the_other_group():
    runs = [entry("a", 0.8), *(entry(f"b{at}", 0.5 + at / 50, seed=at, lr=0.2) for at in range(3))]
    (found,) = comparisons(grouped(runs))
    reach = student(2) * 0.02 * math.sqrt(1 + 1 / 3)
    assert found.interval == pytest.approx((found.by - reach, found.by + reach), rel=1e-3)


@pytest.mark.parametrize("seeds", [(2, 2), (1, 2), (3, 2)])
def test_seeds_that_happen_to_agree_are_no_proof_that_seeds_do_not_matter(seeds):
    runs = [
        *(entry(f"a{at}", 0.60, seed=at) for at in range(seeds[0])),
        *(entry(f"b{at}", 0.61, seed=at, lr=0.2) for at in range(seeds[1])),
    ]
    (found,) = comparisons(grouped(runs))
    assert not found.told
    assert str(found) == (
        "B is 0.010 AP50 above A; whether that is chance cannot be told: no spread is seen over "
        f"{seeds[1]} and {seeds[0]} seeds, and they were not evaluated anew"
    )


def test_equal_runs_are_not_told_apart():
    data = scenes(6)
    runs = [on(data, {0, 1}, entry("a", 0)), on(data, {0, 1}, entry("b", 0, lr=0.2))]
    (found,) = comparisons(grouped(runs))
    assert (found.by, *found.interval) == (0, 0, 0)
    assert str(found) == (
        "no difference can be told between A and B: 0.000 AP50 (95 %: 0.000 to 0.000, paired over "
        "6 images; one seed each)"
    )


def test_two_runs_are_paired_over_the_images():
    # B finds what A finds, and half as much again. Drawn apart, both scatter by far more.
    data = scenes(40)
    runs = [
        on(data, set(range(16)), entry("a", 0)),
        on(data, set(range(24)), entry("b", 0, lr=0.2)),
    ]
    (found,) = comparisons(grouped(runs))
    assert found.better == "B"
    assert found.by == pytest.approx(0.2)
    assert found.over == "paired over 40 images; one seed each"
    # AP is the share of the objects found: of 8 in 40 images binomially many are drawn.
    error = math.sqrt(0.2 * 0.8 / 40)
    assert found.interval == pytest.approx((0.2 - 1.96 * error, 0.2 + 1.96 * error), abs=0.03)
    assert found.told


def test_other_images_are_not_paired():
    runs = [
        on(scenes(40), set(range(16)), entry("a", 0)),
        on(scenes(30), set(range(18)), entry("b", 0, lr=0.2)),
    ]
    (found,) = comparisons(grouped(runs))
    assert found.over == "not paired: over different images; one seed each"
    error = math.sqrt(0.4 * 0.6 / 40 + 0.6 * 0.4 / 30)
    assert found.interval == pytest.approx((0.2 - 1.96 * error, 0.2 + 1.96 * error), abs=0.04)
    assert not found.told


def test_seeds_and_images_add_up():
    data = scenes(40)
    found_in = [range(16), range(18), range(24), range(26)]
    runs = [
        on(data, set(found_in[at]), entry(str(at), 0, seed=at % 2, lr=(0.1, 0.2)[at // 2]))
        for at in range(4)
    ]
    (both,) = comparisons(grouped(runs))
    (seeds,) = comparisons(
        grouped(
            [run._replace(evaluated=None, figures={**run.figures, "ap50": run.ap}) for run in runs]
        )
    )
    assert both.over == "2 and 2 seeds, paired over 40 images"
    assert both.by == pytest.approx(seeds.by) == pytest.approx(0.2)
    drawn = redrawn(runs, seed=0)
    images = np.var(sum(drawn[name] for name in "23") / 2 - sum(drawn[name] for name in "01") / 2)
    one = spread([0.4, 0.45]) ** 2 / 2
    total = 2 * one + images
    freedom = total**2 / (2 * one**2)
    reach = student(freedom) * math.sqrt(total)
    assert both.interval == pytest.approx((0.2 - reach, 0.2 + reach), rel=0.01)


def test_the_same_images_are_drawn_for_all_and_the_same_at_every_time():
    data = scenes(12)
    runs = [on(data, {1, 2}, entry("a", 0)), on(scenes(12), {1, 2}, entry("b", 0, lr=0.2))]
    drawn = redrawn(runs, seed=0)
    assert np.array_equal(drawn["a"], drawn["b"])
    assert len(set(drawn["a"].tolist())) > 3
    assert np.array_equal(drawn["a"], redrawn(runs, seed=0)["a"])


def test_coco_is_compared_over_its_ten_thresholds():
    data = scenes(10)
    runs = [
        on(data, {0, 1}, entry("a", 0, protocol="coco")),
        on(data, {0, 1, 2, 3}, entry("b", 0, lr=0.2, protocol="coco")),
    ]
    (found,) = comparisons(grouped(runs))
    assert found.by == pytest.approx(runs[1].evaluated.metrics.ap - runs[0].evaluated.metrics.ap)
    assert found.by > 0.1
    assert found.figure == "AP50:95"


def test_every_two_groups_are_compared():
    runs = [entry(str(lr), lr, lr=lr) for lr in (0.1, 0.3, 0.2)]
    pairs = [(one.better, one.worse) for one in comparisons(grouped(runs))]
    assert pairs == [("B", "A"), ("C", "A"), ("B", "C")]


@pytest.mark.parametrize(
    ("limits", "told", "words"),
    [
        (
            Interval(0.003, 0.021),
            True,
            "B is better than A by 0.012 AP50 (95 %: 0.003 to 0.021, why)",
        ),
        (
            Interval(-0.003, 0.021),
            False,
            "no difference can be told between B and A: 0.012 AP50 (95 %: -0.003 to 0.021, why)",
        ),
        (NO_INTERVAL, False, "B is 0.012 AP50 above A; whether that is chance cannot be told: why"),
    ],
)
def test_a_comparison_in_words(limits, told, words):
    one = Comparison("B", "A", 0.012, "AP50", limits, "why")
    assert one.told == told
    assert str(one) == words
