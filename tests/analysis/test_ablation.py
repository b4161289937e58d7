"""The table and the figures of an ablation: means, what diverged, groups of sizes."""

import numpy as np
import pytest

from scratchdet.analysis.ablation import (
    LEARNED,
    Outcome,
    cells,
    conclusion,
    draw_losses,
    draw_table,
    in_words,
)
from scratchdet.analysis.ablation import to_markdown as markdown

SIZES = ("up to 9 px", "from 9 px")


def outcome(row="a", column="x", *, seed=0, ap50=0.5, by_size=(0.25, 0.75), diverged_at=None):
    return Outcome(row, column, seed, ap50, by_size, diverged_at, 60.0)


def diverged(row="a", column="x", *, seed=0):
    return outcome(row, column, seed=seed, ap50=None, by_size=(), diverged_at=7)


def test_no_training_is_an_empty_table():
    assert cells([]) == []
    assert markdown([], sizes=SIZES).count("\n") == 2  # a head, and the line below it


def test_seeds_of_a_cell_come_together_wherever_they_stand():
    table = cells([outcome("a"), outcome("b"), outcome("a", seed=1, ap50=0.7)])
    assert [(cell.row, cell.ap50) for cell in table] == [("a", (0.5, 0.7)), ("b", (0.5,))]


def test_mean_and_spread_are_those_of_a_sample():
    assert in_words([0.5, 0.7, 0.6]) == "0.600 ± 0.100 (3)"
    assert in_words([0.5]) == "0.500 (1)"  # one has no spread
    assert in_words([]) == "no figure"


def test_what_diverged_has_no_part_in_the_mean_and_is_counted():
    (cell,) = cells([outcome(ap50=0.5), diverged(seed=1), diverged(seed=2)])
    assert cell.ap50 == (0.5,)
    assert cell.diverged == 2
    assert "0.500 (1), diverged (2)" in markdown([cell], sizes=SIZES)


def test_a_grid_is_rows_by_columns():
    table = cells(
        [
            outcome("a", "x", ap50=0.1),
            outcome("a", "y", ap50=0.2),
            outcome("b", "x", ap50=0.3),
            diverged("b", "y"),
        ]
    )
    assert markdown(table, sizes=SIZES).splitlines() == [
        "| AP50 | x | y |",
        "| --- | --- | --- |",
        "| a | 0.100 (1) | 0.200 (1) |",
        "| b | 0.300 (1) | diverged (1) |",
    ]


def test_one_column_is_told_by_size():
    table = cells([outcome("a", "", by_size=(None, 0.75)), diverged("b", "")])
    assert markdown(table, sizes=SIZES).splitlines()[2:] == [
        "| a | 0.500 (1) | no figure | 0.750 (1) |",
        "| b | diverged (1) | no figure | no figure |",
    ]


def seeds(row, *values):
    return [outcome(row, "", seed=seed, ap50=value) for seed, value in enumerate(values)]


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ([], "nothing can be told"),
        ([diverged("a", "x")], "diverged: a, x"),
        ([*seeds("a", 0.5), *seeds("b", 0.4)], "whether that is chance cannot be told"),
        ([*seeds("a", 0.5, 0.52), *seeds("b", 0.4, 0.41)], "more than two standard errors"),
        ([*seeds("a", 0.5, 0.3), *seeds("b", 0.4, 0.35)], "no further apart than their seeds"),
        (seeds("a", LEARNED / 2), "nothing has been learned yet"),
    ],
)
def test_the_table_is_put_into_words(outcomes, said):
    assert said in "; ".join(conclusion(cells(outcomes)))


def test_one_seed_has_no_error_bar():
    (container,) = draw_table(cells([outcome()]), sizes=SIZES).axes[0].containers
    assert not any(np.isfinite(bar).all() and len(bar) for bar in container[2][0].get_segments())


def test_next_to_nothing_looks_like_it():
    axes = draw_table(cells([outcome(ap50=0.001)]), sizes=SIZES).axes[0]
    assert axes.get_ylim()[1] >= 2 * LEARNED


@pytest.mark.parametrize(
    "outcomes",
    [
        [],
        [outcome()],
        [diverged()],
        [outcome("a", ""), outcome("a", "", seed=1), diverged("b", "")],
        [outcome("a", "x"), outcome("a", "y"), diverged("b", "x"), diverged("b", "y")],
    ],
)
def test_every_table_can_be_drawn(outcomes, tmp_path):
    figure = draw_table(cells(outcomes), sizes=SIZES)
    figure.savefig(tmp_path / "table.png")
    legend = figure.axes[0].get_legend()
    told = legend.get_texts() if legend else []
    assert {text.get_text() for text in told} == {one.row for one in outcomes}


def test_error_bars_are_a_standard_deviation_to_either_side():
    found = [outcome(ap50=value, seed=seed) for seed, value in enumerate((0.5, 0.7, 0.6))]
    (container,) = draw_table(cells(found), sizes=SIZES).axes[0].containers
    (bar,) = container[2][0].get_segments()
    assert np.allclose(bar[:, 1], [0.5, 0.7])


def test_losses_are_drawn_in_a_panel_for_each_column_up_to_where_they_end():
    log = [{"step": 10, "loss": 3.0}, {"step": 20, "loss": 2.0}, {"step": 20, "evaluation": {}}]
    figure = draw_losses([(outcome("a", "x"), log), (diverged("b", "y"), log[:1])])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["x", "y"]
    (whole,), (cut,) = (axes.get_lines() for axes in figure.axes)
    assert list(whole.get_xdata()) == [10, 20]
    assert list(cut.get_xdata()) == [10]
    assert cut.get_marker() == "x"


def test_losses_that_are_no_numbers_or_none_at_all_can_be_drawn(tmp_path):
    log = [{"step": 10, "loss": None}]
    draw_losses([(diverged(), log), (diverged(seed=1), [])]).savefig(tmp_path / "losses.png")
    draw_losses([]).savefig(tmp_path / "losses.png")
    assert (tmp_path / "losses.png").stat().st_size
