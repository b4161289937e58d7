"""Two processes train as one does, and stay together whatever happens to one of them.

`pair` starts two processes once, which work off all cases of `two_ranks.py`.
"""

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from two_ranks import BrightestRegion, run_pair

from scratchdet.data.formats import read_data
from scratchdet.data.voc_write import write_voc
from scratchdet.evaluation.run import evaluate
from scratchdet.recipe import RecipeError, differing
from scratchdet.recipe_toml import save_recipe
from scratchdet.train import loop
from scratchdet.train.distributed import Ranks
from scratchdet.train.log import read_log
from scratchdet.train.resolve import resolve


@pytest.fixture(scope="module")
def recipes(tmp_path_factory, scenes, tiny):
    """The recipe of every case."""
    folder = tmp_path_factory.mktemp("data")
    everything = scenes(14, empty={3})
    splits = {"train": everything[:9], "val": everything[9:10]}
    write_voc(folder / "voc", splits, classes=("a", "b"))
    write_voc(folder / "half_empty", {"train": scenes(2, empty={1})}, classes=("a", "b"))
    # Without a norm convolutions over 2 and over 4 images differ too little for a ReLU to flip.
    base = differing(
        tiny,
        data={"path": str(folder / "voc")},
        model={"norm_backbone": "none", "norm_head": "none"},
        optim={"lr": 0.0002, "reference_batch": 2},
    )
    group = {"norm_backbone": "group", "norm_head": "group"}
    grouped = differing(base, model=group, optim={"lr": 0.001})
    half = {"path": str(folder / "half_empty"), "batch": 2, "val_split": "none"}
    return {
        "tell": base,
        "tell_unreadable": base,
        "whole": base,
        "group": grouped,
        "half_empty_minimum": differing(grouped, data=half),
        "half_empty_image": differing(grouped, data=half, optim={"mining": "image"}),
        "evaluate": base,
        "stop_one": base,
        "lose_one": base,
    }


@pytest.fixture(scope="module")
def pair(recipes, tmp_path_factory):
    """The folder in which two processes have worked off all cases."""
    folder = tmp_path_factory.mktemp("pair")
    for case, recipe in recipes.items():
        save_recipe(recipe, folder / f"{case}.toml")
    run_pair(folder, *recipes)
    return folder


def both(pair: Path, case: str) -> list:
    """What came of a case on each rank."""
    return [json.loads((pair / f"{case}.{rank}.json").read_text()) for rank in range(2)]


def train_alone(recipe, run_dir, *, resume=False) -> Path:
    return loop.train(recipe, run_dir=run_dir, resume=resume, console=Console(file=io.StringIO()))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "last" / "checkpoint.safetensors")


def losses(run: Path) -> list[dict]:
    return [record for record in read_log(run / "log.jsonl") if "loss" in record]


def assert_close_runs(run: Path, other: Path) -> None:
    """Equal but for the order of sums in floating point: weights, averages, momentum, the log.

    That order depends on the processor too. On some a ReLU flips, which gradient and momentum show
    most: 6e-4 were seen. A wrong share of the gradient would be no less than a tenth.
    """
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys()
    for part, tolerance in (("weights.", 1e-6), ("ema.", 1e-6), ("momentum.", 5e-3)):
        names = [name for name in ours if name.startswith(part)]
        one, two = (torch.cat([of[name].flatten() for name in names]) for of in (ours, theirs))
        assert (one - two).norm() < tolerance * two.norm(), part
    for one, two in zip(losses(run), losses(other), strict=True):
        assert one["step"] == two["step"]
        assert (one["lr"], one["matched"]) == (two["lr"], two["matched"])
        for term in ("loss", "classification", "localisation"):
            assert one[term] == pytest.approx(two[term], rel=1e-4, abs=2e-6), (one["step"], term)
        assert one["gradient_norm"] == pytest.approx(two["gradient_norm"], rel=5e-3)


def test_what_one_rank_says_reaches_the_other(pair):
    first, second = both(pair, "tell")
    assert first.pop("on_first") == [0, 1]
    assert second.pop("on_first") == []
    assert (first.pop("agreed"), second.pop("agreed")) == (0, 1)
    assert first == second
    assert first["gathered"] == [0, 1]
    assert first["averaged"] == [0.5, 1.0]
    assert first["any_of"] == [False, True, True]
    assert first["from_first"] == 0


def test_an_error_of_one_rank_is_raised_on_both(pair):
    for told in both(pair, "tell"):
        assert told["error_of_first"] == "DataError: bad data, says 0"
        assert told["disagreed"] == "DataError: bad data, says 1"


def test_an_unreadable_image_of_one_rank_is_known_to_both_and_counts_for_both(pair):
    first, second = both(pair, "tell_unreadable")
    assert first.pop("listed").splitlines() == ["1 problems", "1.jpg: empty [replaced]"]
    assert second.pop("listed") == ""
    assert first == second
    assert first["found"] == ["1.jpg", "2.jpg"]
    assert first["said"].count("UNREADABLE") == 2
    assert first["error"].startswith("DataError: 2 of 10 images cannot be read")


def test_statistics_of_batch_norm_become_the_mean_of_both(pair):
    for told in both(pair, "tell"):
        assert told["means"] == [[0.5], [1.5, 1.5], [2.5]]
        assert told["variances"] == [[2.0], [2.0, 2.0], [2.0]]


def test_one_rank_tells_of_the_first_error_and_none_of_what_comes_after(pair):
    for told in both(pair, "tell"):
        assert told["speakers"] == [[False, True], [False, False]]


def test_an_error_is_final_if_it_says_what_is_wrong(pair):
    assert both(pair, "tell")[0]["final"] == [True, True, False, False]


@pytest.mark.parametrize("case", ["whole", "half_empty_minimum", "half_empty_image"])
def test_two_processes_equal_one_with_both_their_batches(pair, recipes, tmp_path, case):
    assert_close_runs(pair / case, train_alone(recipes[case], tmp_path / "alone"))


def test_two_processes_equal_two_parts_of_one(pair, recipes, tmp_path):
    parts = differing(recipes["group"], data={"accumulate": 2})
    assert_close_runs(pair / "group", train_alone(parts, tmp_path / "alone"))


def test_a_rank_without_any_object_trains_along(pair):
    for record in losses(pair / "half_empty_minimum"):
        assert record["gradient_norm"] > 0
    for record in losses(pair / "half_empty_image"):
        assert (record["gradient_norm"] > 0) == (record["matched"] > 0)
    assert any(record["matched"] for record in losses(pair / "half_empty_image"))


def test_the_learning_rate_is_scaled_by_the_batch_of_all(pair):
    # 4 images in all, for a reference of 2; the warm-up of two steps ends at the second.
    assert losses(pair / "whole")[1]["lr"] == pytest.approx(0.0004)


def test_a_shared_evaluation_equals_that_of_one_process(pair, recipes):
    data = read_data(recipes["evaluate"].data.path, split="train")
    expected = [
        evaluate(BrightestRegion(), data.subset(range(count))).to_json()
        for count in (0, 1, len(data))
    ]
    assert 0 < expected[2]["ap50"] < 1
    for figures in both(pair, "evaluate"):
        assert figures == expected


def test_one_rank_that_is_asked_to_stop_stops_both_after_the_same_step(pair):
    for said in both(pair, "stop_one"):
        assert said.startswith("Interrupted: stopped and saved after step 3 of 6")


def test_a_run_of_two_processes_is_resumed_by_one(pair, recipes, tmp_path):
    run = train_alone(recipes["stop_one"], pair / "stop_one", resume=True)
    assert_close_runs(run, train_alone(recipes["stop_one"], tmp_path / "alone"))


def test_a_loss_that_is_no_number_on_one_rank_ends_both_with_its_images(pair):
    said = both(pair, "lose_one")
    assert said[0] == said[1]
    assert said[0].startswith("NonFiniteLoss: the loss is not finite at step 2")
    assert "classification nan" in said[0]  # and not of the images of rank 0, whose loss is finite


def test_a_batch_that_cannot_be_shared_is_refused(recipes):
    with pytest.raises(RecipeError, match=r"data.batch 4 cannot be shared by 3 processes.*of 3"):
        resolve(recipes["whole"], ranks=Ranks(size=3, local_size=3))


def test_what_is_told_of_the_batch_is_of_all_devices(recipes):
    _, lines = resolve(recipes["whole"], ranks=Ranks(size=2, local_size=2))
    assert any("(4 a step: 2 devices x 2)" in line for line in lines)
    assert any(
        line.startswith("lr: 0.0004 for 4 images a step, from 0.0002 for 2") for line in lines
    )
