"""Priors held against the boxes: in `scratchdet check`, and in a line before every training."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from scratchdet.cli import main
from scratchdet.data.check import Part
from scratchdet.data.formats import read_data
from scratchdet.data.split import hold_out
from scratchdet.data.voc_write import write_voc
from scratchdet.models.saved import load_model
from scratchdet.recipe import differing
from scratchdet.recipes import load_recipe
from scratchdet.structures import Sample
from scratchdet.train import loop
from scratchdet.train.prior_check import fast_covered, learned
from scratchdet.train.resolve import plan

NANO = ["--recipe", "nano"]  # at 160 x 160, with a smallest prior of 16 px every 8 px
PLACES = np.stack(np.meshgrid([20, 76, 132], [20, 76, 132]), axis=-1).reshape(-1, 2)


def voc(root, *, smallest, largest, moved):
    """A VOC folder of 14 images of 160 x 160 with nine objects each; 4 of them to validate."""
    rng = np.random.default_rng(0)
    samples = []
    for number in range(14):
        corners = PLACES + rng.integers(0, moved, PLACES.shape, endpoint=True)
        halves = rng.integers(smallest, largest, PLACES.shape, endpoint=True) / 2
        boxes = np.hstack([corners - halves, corners + halves]).astype(np.float32)
        image = rng.integers(0, 255, (160, 160, 3), dtype=np.uint8)
        sample = Sample(image, boxes, np.arange(9) % 2, np.zeros(9, bool))
        samples.append((f"{number:02d}", sample))
    return write_voc(root, {"train": samples[:10], "val": samples[10:]}, classes=("a", "b"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Objects that are too small for the network's own priors."""
    return voc(tmp_path_factory.mktemp("data") / "voc", smallest=9, largest=11, moved=8)


def test_a_fitted_recipe_is_written_that_trains_with_these_priors(root, tmp_path, capsys):
    file = tmp_path / "mine.toml"
    assert main(["check", str(root), *NANO, "--fit-priors", str(file), "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "other priors match more objects" in said
    assert (tmp_path / "priors.png").stat().st_size > 1000
    text = file.read_text()
    assert text.startswith(
        "# Priors fitted by scratchdet check --fit-priors to 90 training objects"
    )
    assert "# Matched at IoU 0.5 of validation: " in text
    assert 'base = "nano"' in text
    recipe = load_recipe(file)
    assert 8 < recipe.model.prior_scales[0] * 160 < 12
    assert plan(recipe.model).specs[0].min_size == recipe.model.prior_scales[0] * 160
    before, after = (
        fast_covered(one, read_data(root, split="train"))
        for one in (differing(recipe, model={"prior_scales": (), "prior_ratios": ()}), recipe)
    )
    assert after.all.share > before.all.share + 0.2


def test_where_the_priors_are_fine_nothing_is_written(tmp_path, capsys):
    folder = voc(tmp_path / "voc", smallest=16, largest=16, moved=0)  # they are priors themselves
    file = tmp_path / "mine.toml"
    assert main(["check", str(folder), *NANO, "--fit-priors", str(file)]) == 0
    said = capsys.readouterr().out
    assert "the priors are fine as they are: 100.0 % of the training objects" in said
    assert "written" not in said
    assert not file.exists()


def test_the_check_has_the_coverage_in_its_json(root, capsys):
    main(["check", str(root), *NANO, "--json"])
    priors = json.loads(capsys.readouterr().out)["priors"]
    assert priors["fit"] is None
    assert priors["coverage"]["training"]["objects"] == 90
    assert priors["coverage"]["validation"]["objects"] == 36
    assert priors["coverage"]["training"]["input_size"] == [160, 160]


def test_what_is_held_out_is_what_training_holds_out(root):
    every = read_data(root)
    recipe = differing(load_recipe("nano"), data={"path": str(root), "split": "train+val"}).data
    parts = learned(recipe, {"training": Part("", every, None)})
    train, val = hold_out(every, recipe.hold_out)
    assert [*parts["training"].ids] == [*train.ids]
    assert [*parts["validation"].ids] == [*val.ids]
    alone = learned(replace(recipe, val_split="none"), {"training": Part("", every, None)})
    assert list(alone) == ["training"]


def test_ignored_objects_count_where_training_learns_them(root):
    every = read_data(root, split="train")
    every = replace(every, ignore=np.ones_like(every.ignore))
    parts = {"training": Part("train", every, None), "validation": Part("val", every, None)}
    for ignored, count in (("neutral", 90), ("object", 0)):
        recipe = replace(load_recipe("nano").data, path=str(root), ignored=ignored)
        found = learned(recipe, parts)
        assert found["training"].ignore.sum() == count
        assert found["validation"].ignore.sum() == 90


def test_a_training_says_what_its_priors_match_and_saves_a_model_that_has_them(
    root, tiny, tmp_path
):
    scales = (0.08, 0.14, 0.3, 0.5, 0.7, 0.9)
    recipe = differing(tiny, model={"prior_scales": scales}, data={"val_split": "none"})
    console = Console(file=io.StringIO(), width=300)
    run = loop.train(recipe, data=root, run_dir=tmp_path / "run", console=console)
    said = console.file.getvalue()
    assert "NOTE: priors: " in said
    assert " of the objects can be matched at 0.5" in said
    assert "prior scales 0.08 0.14 0.3 0.5 0.7 0.9" in said
    kept = json.loads((run / "check.json").read_text())["priors"]
    assert kept["fit"] is None  # as `scratchdet check --json` has it
    found = kept["coverage"]["training"]
    assert (found["objects"], found["sampled"], found["input_size"]) == (90, 90, [64, 64])
    detector = load_model(run)
    assert detector.built_as["prior_scales"] == scales
    assert detector.specs[0].min_size == pytest.approx(0.08 * 64)
    assert load_recipe(run / "recipe.toml").model.prior_scales == scales
