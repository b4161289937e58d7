"""The grid of an ablation: every cell trained once, what diverged noted, AP by the size."""

import json
from itertools import pairwise

import numpy as np
import pytest
from rich.console import Console

from scratchdet.cli import main
from scratchdet.data.voc_write import write_voc
from scratchdet.evaluation.columns import Columns
from scratchdet.recipe import Recipe, RecipeError, differing
from scratchdet.recipe_toml import save_recipe
from scratchdet.recipes.ablations import Variant, stems, where_norms_are
from scratchdet.recipes.ssd import NORM_ABLATION, STEM_ABLATION
from scratchdet.structures import Record, from_records
from scratchdet.train import ablate
from scratchdet.train.ablate import (
    ap50_by_size,
    fitted,
    read_outcome,
    run_grid,
    size_edges,
    size_names,
)
from scratchdet.train.prepare import prepare
from scratchdet.train.time_estimate import TimeEstimate

LR = Variant("rate", "small", {"optim": {"lr": 0.01}})
TOO_MUCH = Variant("rate", "far too large", {"optim": {"lr": 1e30}})


@pytest.fixture(scope="module")
def data(tmp_path_factory, scenes):
    ten = scenes(10)
    splits = {"train": ten[:6], "val": ten[6:]}
    return write_voc(tmp_path_factory.mktemp("data") / "voc", splits, classes=("a", "b"))


@pytest.fixture
def recipe(tiny, data) -> Recipe:
    return differing(
        tiny,
        data={"batch": 2, "path": str(data)},
        schedule={"steps": 3, "warmup_steps": 0, "log_every": 1},
    )


def evaluated(recipe):
    return prepare(recipe.data, threads=1, console=Console(quiet=True)).val


def run(variants, recipe, folder, *, seeds=(0,)):
    return list(run_grid(variants, recipe, folder=folder, seeds=seeds, evaluated=evaluated(recipe)))


def test_the_grids_are_those_of_the_paper_s_recipes():
    assert len(where_norms_are().variants) == len(NORM_ABLATION)
    assert len(stems().variants) == len(STEM_ABLATION)


@pytest.mark.parametrize("variants", [where_norms_are().variants, stems().variants])
def test_variants_differ_from_each_other_in_recipe_and_folder(variants):
    recipes = {str(variant.of(Recipe(), seed=0)) for variant in variants}
    assert len(recipes) == len({variant.name for variant in variants}) == len(variants)
    assert not any(set(variant.name) & set("/ ") for variant in variants)


def test_a_variant_has_its_settings_and_its_seed_and_no_other():
    changed = LR.of(Recipe(), seed=3)
    assert changed == differing(Recipe(), optim={"lr": 0.01}, run={"seed": 3})


def test_every_cell_is_trained_with_every_seed_and_only_once(recipe, tmp_path):
    first = run([LR], recipe, tmp_path, seeds=(0,))
    again = run([LR], recipe, tmp_path, seeds=(0, 1))
    assert [outcome.seed for _, outcome in again] == [0, 1]
    assert again[0] == first[0]  # with its seconds: it was not trained again
    assert (again[1][0] / "metrics.json").exists()


def test_what_diverges_is_noted_with_its_step_and_the_rest_goes_on(recipe, tmp_path):
    (_, lost), (_, fine) = run([TOO_MUCH, LR], recipe, tmp_path)
    assert lost.diverged_at is not None
    assert lost.diverged_at < recipe.schedule.steps
    assert lost.ap50 is None
    assert fine.diverged_at is None


def test_an_outcome_is_read_as_it_was_written(recipe, tmp_path):
    ((folder, outcome),) = run([LR], recipe, tmp_path)
    assert read_outcome(folder) == outcome
    assert read_outcome(tmp_path) is None


def of_sides(sides) -> list[Record]:
    """One image for each side, with a square object of that side."""
    return [
        Record(
            id=str(number),
            path=f"{number}.png",
            size=(100, 100),
            boxes=np.array([[0, 0, side, side]], np.float32),
            labels=np.zeros(1, np.int64),
            ignore=np.zeros(1, bool),
        )
        for number, side in enumerate(sides)
    ]


def test_groups_of_sizes_are_equally_many_objects():
    data = from_records(of_sides([4, 8, 12, 20, 40, 80]), ["a"])
    edges = size_edges(data)
    areas = [4**2, 8**2, 12**2, 20**2, 40**2, 80**2]
    counts = [sum(low <= area <= high for area in areas) for low, high in pairwise(edges)]
    assert counts == [2, 2, 2]
    assert size_names(edges)[0].startswith("up to ")
    assert len(size_names(edges)) == len(edges) - 1


def test_ap_by_size_tells_which_objects_are_found():
    data = from_records(of_sides([4, 20, 80]), ["a"])
    found = Columns(  # the large one alone
        np.array([2]), data.boxes[2:].copy(), np.array([0.9], np.float32), np.array([0])
    )
    assert ap50_by_size(data, found, size_edges(data)) == [0.0, 0.0, 1.0]


def test_without_objects_there_are_groups_and_no_figures():
    nothing = Columns(
        np.zeros(0, int), np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int)
    )
    data = from_records([], ["a"])
    assert np.isnan(ap50_by_size(data, nothing, size_edges(data))).all()


def test_a_budget_becomes_steps_that_all_trainings_have(recipe, monkeypatch):
    """Two networks: a step takes 1 s of the one and 3 s of the other, an image 0.5 s."""
    timed = iter([(1.0,), (3.0,)])
    monkeypatch.setattr(ablate, "estimate_time", lambda *given, **choices: timing(next(timed)))
    fast, slow = Variant("fast", "", {}), Variant("slow", "", {"optim": {"lr": 1.0}})
    prepared = prepare(recipe.data, threads=1, console=Console(quiet=True))
    trainings = [fast, slow] * 2
    seconds = 2 * (1 + 3) * 100 + 4 * 10 * 0.5
    assert fitted(recipe, trainings, prepared, seconds=seconds + 1).schedule.steps == 100


def timing(steps) -> TimeEstimate:
    return TimeEstimate(device="", steps_timed=steps, steps=1, seconds_an_image=0.5, images=10)


def test_a_budget_that_nothing_is_learned_in_is_refused(recipe):
    prepared = prepare(recipe.data, threads=1, console=Console(quiet=True))
    with pytest.raises(RecipeError, match=r"--budget \d+m at least"):
        fitted(recipe, [LR], prepared, seconds=0.1)


def test_the_command_writes_table_and_figures_and_adds_seeds(recipe, tmp_path, capsys, data):
    save_recipe(recipe, tmp_path / "mine.toml")
    out = tmp_path / "out"
    given = ["ablate", "root-block", str(data), "--recipe", str(tmp_path / "mine.toml")]
    given += ["--steps", "1", "--out", str(out)]
    assert main([*given, "--seeds", "1"]) == 0
    assert "stem root" in (out / "table.md").read_text()
    assert len(json.loads((out / "ablation.json").read_text())["outcomes"]) == 4
    assert {path.name for path in out.glob("*.png")} == {"ablation.png", "losses.png"}
    assert "(1)" in capsys.readouterr().out

    assert main([*given, "--seeds", "1", "--lr", "0.5"]) == 2  # of other settings
    assert "optim.lr was 0.05, now 0.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["bn", "DATA", "--seeds", "0"], "1 or more"),
        (["root-block", "DATA", "--rates", "0.1"], "--lr"),
        (["root-block", "DATA", "--model", "dsod300"], "ssd300_resnet18"),
        (["bn", "DATA", "--budget", "30"], "say it as"),
        (["bn", "DATA", "--budget", "1h", "--steps", "5"], "leave out"),
        (["bn", "DATA", "--val-split", "none"], "--val-split"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(given, message, data, capsys, tmp_path):
    given = [str(data) if word == "DATA" else word for word in given]
    assert main(["ablate", *given, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
