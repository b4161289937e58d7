"""`scratchdet compare`: from the folders of runs to what is said of them."""

import json
import subprocess
import sys

import pytest

from scratchdet.cli import main
from scratchdet.data.voc_write import write_voc
from scratchdet.evaluation.run import evaluate
from scratchdet.models.saved import save_model
from scratchdet.models.zoo import create_model
from scratchdet.recipe import differing
from scratchdet.recipe_toml import save_recipe


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def make_run(tmp_path, tiny):
    """Writes the folder of a finished run, as training leaves it, without a model."""

    def make(name, ap50=0.5, *, classes=("a", "b"), finished=True, **groups):
        folder = tmp_path / name
        recipe = differing(tiny, **groups)
        save_recipe(recipe, folder / "recipe.toml")
        log = [{"step": 2, "loss": 3.0}, {"step": 2, "evaluation": {"ap50": ap50}}]
        (folder / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in log))
        figures = {
            "split": "test",
            "protocol": recipe.run.protocol,
            "ap50": ap50,
            "ap_per_class": dict.fromkeys(classes, ap50),
            "num_images": 4,
            "num_objects": 4,
            "steps": recipe.schedule.steps,
            "seconds": 5.0,
        }
        if finished:
            (folder / "metrics.json").write_text(json.dumps(figures))
        return folder

    return make


def call(*arguments):
    return main(["compare", *map(str, arguments)])


def test_seeds_are_compared_without_data_and_without_torch(make_run):
    runs = [
        *(make_run(f"a{at}", 0.5 + at / 100, run={"seed": at}) for at in range(3)),
        *(make_run(f"b{at}", 0.7 + at / 100, run={"seed": at}, optim={"lr": 0.2}) for at in (0, 1)),
    ]
    script = (
        "import sys; from scratchdet.cli import main; status = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    command = [sys.executable, "-c", script, "compare", *map(str, runs), "--no-evaluate", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["groups"]["A"]["mean"] == pytest.approx(0.51)
    assert told["groups"]["B"]["seeds"] == 2
    assert told["settings"] == {"optim.lr": {"default": 0.05, "A": 0.05, "B": 0.2}}
    assert [one["told"] for one in told["comparisons"]] == [True]
    assert told["conclusions"][0].startswith("B is better than A by 0.195 AP50 (95 %: 0.1")


def test_a_table_and_a_conclusion_are_printed(make_run, capsys):
    runs = [make_run("one", 0.5), make_run("other", 0.75, optim={"lr": 0.2}, finished=False)]
    assert call(*runs, "--no-evaluate") == 1  # nothing was compared
    said = capsys.readouterr().out
    assert "optim.lr" in said
    assert "NOTE: other is not finished: 2 of 6 steps" in said
    assert "nothing can be compared: fewer than two are finished" in said


def test_where_nothing_was_compared_the_exit_status_is_1(make_run, capsys):
    assert call(make_run("one"), "--no-evaluate") == 1
    assert "one recipe" in capsys.readouterr().out


def test_a_run_that_is_given_twice_counts_once(make_run, capsys):
    run = make_run("one")
    assert call(run, run, run / ".", "--no-evaluate") == 1
    said = capsys.readouterr().out
    assert "NOTE: a run that is given several times counts once" in said
    assert "one recipe: nothing to compare it with" in said
    assert said.count("0.5000 at 2") == 1


def test_what_is_not_judged_by_the_same_is_refused_unless_it_is_asked_for(make_run, capsys):
    runs = [make_run("one"), make_run("other", 0.9, classes=("a", "c"), optim={"lr": 0.2})]
    assert call(*runs, "--no-evaluate") == 1
    error = capsys.readouterr().err
    assert "not judged by the same, so their figures cannot be compared (--anyway does it)" in error
    assert "classes: one: a, b; other: a, c" in error
    assert call(*runs, "--no-evaluate", "--anyway") == 0
    said = capsys.readouterr().out
    assert said.startswith("NOTE: not judged by the same: classes:")
    assert "B is 0.400 AP50 above A" in said


def test_pictures_and_values_are_written(make_run, tmp_path):
    runs = [make_run("one"), make_run("other", optim={"lr": 0.2})]
    assert call(*runs, "--no-evaluate", "--out", tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"compare.png", "compare.json"}
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["comparisons"]


def test_what_is_no_run_is_refused_in_words(make_run, tmp_path, capsys):
    assert call() == 2
    assert "give the folders of runs" in capsys.readouterr().err
    assert call(make_run("one"), tmp_path / "nowhere", "--no-evaluate") == 2
    assert "nowhere is no run: it has no recipe.toml" in capsys.readouterr().err
    broken = make_run("broken")
    (broken / "metrics.json").write_text("{")
    assert call(broken, "--no-evaluate") == 2
    assert "broken/metrics.json: malformed JSON" in capsys.readouterr().err


def test_models_are_evaluated_on_the_images_of_their_runs(make_run, tmp_path, scenes, capsys):
    everything = scenes(8)
    splits = {"train": everything[:4], "test": everything[4:]}
    data = write_voc(tmp_path / "voc", splits, classes=("a", "b"))
    network = {"classes": ("a", "b"), "input_size": (64, 64)}
    detector = create_model("scratchdet_nano", **network)
    figures = evaluate(detector, data, split="test")
    where = {"path": str(data), "test_split": "test"}
    runs = [
        make_run("one", figures.ap50, data=where),
        make_run("other", figures.ap50, data=where, optim={"lr": 0.2}),
    ]
    for run in runs:
        save_model(detector, run / "best" / "model.safetensors")
    assert call(*runs) == 0
    said = capsys.readouterr().out
    assert "paired over 4 images; one seed each" in said
    assert "in its metrics.json" not in said
    data.rename(tmp_path / "moved")
    assert call(*runs) == 2
    assert f"its data are not at {data} (any more)" in capsys.readouterr().err
    assert call(*runs, "--no-evaluate") == 0


def test_runs_of_one_name_are_told_apart_by_their_folders(make_run, capsys):
    runs = [make_run("x/one"), make_run("y/one", optim={"lr": 0.2})]
    assert call(*runs, "--no-evaluate") == 0
    said = capsys.readouterr().out
    assert "x/one" in said
    assert "y/one" in said


def test_of_many_comparisons_those_with_the_best_are_printed(make_run, capsys):
    runs = [make_run(f"r{at}", 0.5 + at / 10, optim={"lr": 0.1 + at}) for at in range(5)]
    assert call(*runs, "--no-evaluate") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:5] for line in lines if "AP50 above" in line] == ["E is "] * 4
    assert lines[-1] == "these are those with E; --json has all 10"
