"""What differs between runs, what they are judged by, and what is said of them."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

from scratchdet.analysis.compare import (
    IMMATERIAL,
    Entry,
    Evaluated,
    best_validation,
    different_tests,
    grouped,
    remarks,
    same_images,
    settings_that_differ,
)
from scratchdet.analysis.compare_plots import draw_comparison, save_comparison
from scratchdet.analysis.compare_tables import (
    as_plain_values,
    conclusions,
    figures_table,
    settings_table,
)
from scratchdet.analysis.significance import comparisons
from scratchdet.evaluation.columns import from_detections
from scratchdet.evaluation.metrics import measure
from scratchdet.recipe import Recipe, differing
from scratchdet.structures import Arrays, Record, from_records, nothing_found

STEPS = 100
LOG = [{"step": 100, "evaluation": {"ap50": 0.5}}]


def run(name="one", ap50=0.5, *, log=(), figures=(), finished=True, **groups):
    """A run; `figures` take the place of those of its metrics.json, which a finished one has."""
    schedule = {"steps": STEPS} | groups.pop("schedule", {})
    recipe = differing(Recipe(), schedule=schedule, **groups)
    known = {
        "split": "test",
        "protocol": recipe.run.protocol,
        "ap50": ap50,
        "ap_per_class": {"a": ap50, "b": ap50},
        "num_images": 10,
        "num_objects": 20,
        "steps": recipe.schedule.steps,
        "seconds": 90.0,
    }
    return Entry(name, recipe, list(log), known | dict(figures) if finished else {})


def images(count=4, *, classes=("a", "b"), side=10.0):
    boxes = np.array([[0, 0, side, side]], np.float32)
    return from_records(
        [
            Record(str(at), f"{at}.jpg", (20, 20), boxes, np.zeros(1, np.int64), np.zeros(1, bool))
            for at in range(count)
        ],
        classes,
    )


def evaluated(entry, data, found_in):
    """The run with a model that finds the object in these images, and nothing in the others."""
    hit = Arrays(data.boxes[:1], np.array([0.9], np.float32), np.zeros(1, np.int64))
    found = [hit if at in found_in else nothing_found() for at in range(len(data))]
    metrics, verdicts = measure(data, from_detections(found), protocol="voc")
    return entry._replace(evaluated=Evaluated(data, metrics, verdicts))


def told(table):
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_one_run_is_shown_and_nothing_is_compared():
    groups = grouped([run()])
    assert [group.letter for group in groups] == ["A"]
    assert settings_that_differ(groups) == []
    assert comparisons(groups) == []
    assert conclusions(groups, []) == ["one recipe: nothing to compare it with"]
    assert "0.5000" in told(figures_table(groups))


def test_a_run_without_any_evaluation_or_figure_is_shown_as_such():
    blind = run("blind", finished=False, log=[{"step": 30, "loss": 2.0}])
    groups = grouped([blind, run("other", optim={"lr": 0.2})])
    assert math.isnan(blind.ap)
    assert best_validation(blind) is None
    assert remarks(groups) == [
        "blind is not finished: 30 of 100 steps",
        "without any evaluation in training: blind, other",
    ]
    assert different_tests([blind, run()]) == []
    assert conclusions(groups, comparisons(groups)) == [
        "nothing can be compared: fewer than two are finished and have a figure"
    ]


def test_an_ap_that_is_not_defined_is_no_figure():
    undefined = run("undefined", None, log=[{"step": 100, "evaluation": {"ap50": None}}])
    assert math.isnan(undefined.ap)
    assert best_validation(undefined) is None
    groups = grouped([undefined, run("other", optim={"lr": 0.2})])
    assert groups[0].settled == ()
    assert as_plain_values(groups, [], differences=[])["groups"]["A"]["mean"] is None
    draw_comparison(groups)


def test_a_run_that_diverged_says_when():
    log = [{"step": 40, "loss": 9.0}, {"step": 41, "diverged": "the loss is nan"}]
    assert run(finished=False, log=log).state == "diverged at step 41"


def test_an_extension_that_is_not_done_is_not_finished():
    longer = run(
        log=[{"step": 120, "loss": 1.0}],
        figures={"steps": 100},
        schedule={"steps": 150, "extended_at": (100,)},
    )
    assert longer.state == "120 of 150 steps"
    assert grouped([longer])[0].settled == ()


def test_runs_that_differ_in_the_seed_only_are_one_group():
    runs = [
        run("a", 0.5),
        run("b", 0.6, optim={"lr": 0.2}),
        run("c", 0.7, run={"seed": 1}),
        run("d", 0.8, run={"seed": 2, "threads": 3}, schedule={"analyse_every": 5}),
    ]
    groups = grouped(runs)
    assert [[one.name for one in group.runs] for group in groups] == [["a", "c", "d"], ["b"]]
    assert [one.name for one in groups[0].settled] == ["a", "c", "d"]
    assert "0.6667 ± 0.1528" in told(figures_table(groups))


def test_what_is_of_no_account_is_a_setting():
    known = {f"{group}.{name}" for group, values in vars(Recipe()).items() for name in vars(values)}
    assert known >= IMMATERIAL


def test_a_seed_that_was_run_twice_counts_once():
    groups = grouped([run("a", 0.5), run("b", 0.7), run("c", 0.6, run={"seed": 1})])
    assert [one.name for one in groups[0].settled] == ["a", "c"]
    assert remarks(groups)[-1] == "A has several runs of seed 0: the first one counts"


def test_the_settings_that_differ_are_listed_with_the_default():
    groups = grouped(
        [
            run("a", model={"norm_head": "none"}),
            run("b", optim={"lr": 0.2}, run={"seed": 1}),
            run("c", data={"workers": 3}, model={"choices": {"stem": "root"}}),
        ]
    )
    differing_settings = settings_that_differ(groups)
    assert [tuple(setting) for setting in differing_settings] == [
        ("model.norm_head", "batch", ("none", "batch", "batch")),
        ("model.choices", {}, ({}, {}, {"stem": "root"})),
        ("optim.lr", 0.05, (0.05, 0.2, 0.05)),
    ]
    table = told(settings_table(groups, differing_settings))
    assert "stem=root" in table
    values = as_plain_values(groups, [], differences=[])["settings"]
    assert values["optim.lr"] == {"default": 0.05, "A": 0.05, "B": 0.2, "C": 0.05}


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (run("other", run={"protocol": "voc07"}), "protocol: one: voc; other: voc07"),
        (run("other", data={"path": "/d"}), "data: one: ; other: /d"),
        (run("other", figures={"split": "val"}), "split: one: test; other: val"),
        (run("other", figures={"num_images": 9}), "images: one: 10; other: 9"),
        (
            run("other", figures={"ap_per_class": {"a": 0.5, "c": 0.5}}),
            "classes: one: a, b; other: a, c",
        ),
    ],
)
def test_figures_of_other_tests_are_not_the_same(other, line):
    assert different_tests([run(), run("same", optim={"lr": 1.0})]) == []
    assert line in different_tests([run(), other])


def test_evaluated_runs_are_judged_by_the_same_if_the_images_are():
    data = images()
    one = evaluated(run("one", data={"path": "/here"}), data, {0})
    there = evaluated(run("two", data={"path": "/there"}), images(), {0, 1})
    assert different_tests([one, there]) == []
    other = evaluated(run("three"), images(side=9.0), {0})
    assert different_tests([one, other]) == ["images or boxes: those of three are not those of one"]
    renamed = evaluated(run("four"), images(classes=("a", "c")), {0})
    assert different_tests([one, renamed]) == ["classes: one: a, b; four: a, c"]
    assert not same_images(data, images(3))
    assert same_images(data, images())


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_run_that_could_not_be_evaluated_is_compared_by_its_figures_and_that_is_said(order):
    data = images()
    told_of = {"num_images": len(data), "num_objects": len(data.boxes)}
    there = evaluated(run("there", log=LOG), data, {0})
    gone = run("gone", 0.3, figures=told_of, data={"path": "/elsewhere"}, log=LOG)
    runs = [(there, gone)[at] for at in order]
    assert different_tests(runs) == []
    assert remarks(grouped(runs))[-1] == (
        "gone was not evaluated here, its model or images are not there: its figure is that of its "
        "metrics.json"
    )
    (line,) = conclusions(grouped(runs), comparisons(grouped(runs)))
    assert "whether that is chance cannot be told" in line
    fewer = [there, gone._replace(figures={**gone.figures, "num_images": 3})]
    (line,) = different_tests([fewer[at] for at in order])
    assert line.startswith("images: ")
    assert "gone: 3" in line


def test_where_no_run_was_to_be_evaluated_nothing_is_said_of_it():
    assert remarks(grouped([run("a", log=LOG), run("b", log=LOG)])) == [
        "A has several runs of seed 0: the first one counts"
    ]


def test_a_model_that_does_otherwise_than_its_metrics_say_is_told():
    same = evaluated(run("one", 0.5), images(2), {0})
    assert remarks(grouped([same])) == ["without any evaluation in training: one"]
    other = evaluated(run("one", 0.4), images(2), {0})
    assert (
        "one: 0.5000 here, 0.4000 in its metrics.json: the data, the code or"
        in (remarks(grouped([other]))[1])
    )


def test_of_several_best_evaluations_the_first_is_told():
    log = [{"step": s, "evaluation": {"ap50": v}} for s, v in ((10, 0.2), (20, 0.7), (30, 0.7))]
    assert best_validation(run(log=log)) == (20, 0.7)


def test_the_picture_has_a_line_for_each_run_and_a_colour_for_each_group(tmp_path):
    log = [
        {"step": 10, "loss": 3.0},
        {"step": 10, "evaluation": {"ap50": 0.1}},
        {"step": 20, "loss": 2.0},
        {"step": 20, "evaluation": {"ap50": 0.3}},
    ]
    runs = [
        run("a", log=log),
        run("b", log=log, run={"seed": 1}),
        run("c", log=log[:1], optim={"lr": 0.2}),
        run("d", log=[], optim={"lr": 0.3}),
    ]
    figure = draw_comparison(grouped(runs))
    precision, loss = figure.axes
    assert len(precision.lines) == len(loss.lines) == 4
    colours = [line.get_color() for line in precision.lines]
    assert colours[0] == colours[1] != colours[2]
    assert list(precision.lines[0].get_ydata()) == [0.1, 0.3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "A  a and 1 more",
        "B  c",
        "C  d",
    ]
    save_comparison(grouped(runs), tmp_path / "compare.png")
    assert (tmp_path / "compare.png").read_bytes()[:4] == b"\x89PNG"


def test_a_picture_of_nothing_can_be_drawn():
    assert len(draw_comparison([]).axes) == 2
    assert len(draw_comparison(grouped([run(log=[{"step": 1, "loss": None}])])).axes) == 2


def test_that_several_comparisons_err_now_and_then_is_said():
    runs = [
        run(f"{lr}-{seed}", lr + seed / 100, optim={"lr": lr}, run={"seed": seed})
        for lr in (0.1, 0.2, 0.4)
        for seed in (0, 1)
    ]
    groups = grouped(runs)
    *lines, last = conclusions(groups, comparisons(groups))
    assert len(lines) == 3
    assert last == (
        "3 comparisons at 95 %: where nothing differs, one in 20 still looks as if it did"
    )
