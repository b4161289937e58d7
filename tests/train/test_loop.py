"""Training from the recipe to the models: what moves, what stops it, what it leaves."""

import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from scratchdet.data.formats import read_data
from scratchdet.data.loader import Batch
from scratchdet.data.voc_write import write_voc
from scratchdet.models.saved import load_model
from scratchdet.recipe import RecipeError, differing
from scratchdet.recipes import load_recipe
from scratchdet.structures import Targets
from scratchdet.train import loop
from scratchdet.train.batches import batches_from, samples_from
from scratchdet.train.distributed import Ranks
from scratchdet.train.log import read_log
from scratchdet.train.precise_bn import measure_statistics
from scratchdet.train.prepare import Prepared, prepare
from scratchdet.train.setup import build, make_loss


@pytest.fixture
def dataset(tmp_path, scenes):
    """Makes a VOC folder of one split, `train`."""

    def make(count, *, classes=("a", "b"), **choices):
        splits = {"train": scenes(count, classes=len(classes), **choices)}
        return write_voc(tmp_path / "voc", splits, classes=classes)

    return make


@pytest.fixture
def quick(tiny):
    """Two steps of two images, without validation."""
    return differing(
        tiny,
        data={"batch": 2, "val_split": "none"},
        schedule={"steps": 2, "warmup_steps": 0},
    )


def train(recipe, data, run_dir, **choices):
    return loop.train(
        recipe, data=data, run_dir=run_dir, console=Console(file=io.StringIO()), **choices
    )


def losses(run) -> list[dict]:
    return [record for record in read_log(run / "log.jsonl") if "loss" in record]


def prepared_for(data, channels=3) -> Prepared:
    return Prepared(
        train=data,
        val=None,
        val_split="",
        test=None,
        channels=channels,
        mean=np.full(channels, 40.0),
        std=np.full(channels, 20.0),
        notes=(),
        problems=(),
    )


def batch_for_every_level(detector, images: int) -> Batch:
    """Noise, in which about every prior near the middle is an object, so all maps have some."""
    priors = detector.priors[(detector.priors[:, :2] - 0.5).abs().amax(dim=1) < 0.26]
    height, width = detector.input_size
    scale = torch.tensor([width, height, width, height])
    # A little off the priors, differently in each image: where nothing is to learn nothing moves.
    centres = priors[:, :2] + 0.1 * priors[:, 2:] * torch.rand(images, len(priors), 2)
    halves = priors[:, 2:] / 2 * (0.9 + 0.2 * torch.rand(images, len(priors), 2))
    targets = Targets(
        torch.cat([centres - halves, centres + halves], dim=-1) * scale,
        torch.randint(0, len(detector.classes), (images, len(priors))),
        torch.zeros(images, len(priors), dtype=torch.bool),
    )
    pixels = torch.randint(0, 255, (images, height, width, 3), dtype=torch.uint8)
    return Batch(pixels, targets, ((0, 0),) * images)


def test_a_step_is_as_long_as_the_clipped_gradient(tiny, dataset):
    recipe = differing(tiny, optim={"weight_decay": 0.0, "lr": 1.0})
    training = build(recipe, prepared_for(read_data(dataset(2))), torch.device("cpu"))
    before = {name: p.detach().clone() for name, p in training.detector.named_parameters()}
    loss = make_loss(recipe.optim, training.detector.train())
    batch = batch_for_every_level(training.detector, images=4)
    _, norm = loop.train_step(training, batch, loss, precision="fp32", clip_norm=0.25)
    moved = [p - before[name] for name, p in training.detector.named_parameters()]
    assert norm > 1
    assert torch.nn.utils.get_total_norm(moved).item() == pytest.approx(0.25, rel=1e-3)


def test_one_image_of_one_class_and_one_channel_is_enough(dataset, quick, tmp_path):
    run = train(quick, dataset(1, classes=("only",), channels=1), tmp_path / "run")
    detector = load_model(run)
    assert (detector.in_channels, detector.classes) == (1, ("only",))
    assert [record["step"] for record in losses(run)] == [1, 2]


def test_a_batch_without_any_object_has_a_finite_loss_and_teaches(dataset, quick, tmp_path):
    recipe = differing(quick, schedule={"steps": 6})
    run = train(recipe, dataset(6, empty=range(1, 6)), tmp_path / "run")
    without = [record for record in losses(run) if record["matched"] == 0]
    assert without
    assert all(np.isfinite(record["loss"]) for record in losses(run))
    assert all(record["gradient_norm"] > 0 for record in without)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_trains(dataset, quick, tmp_path, precision):
    recipe = differing(quick, run={"precision": precision})
    run = train(recipe, dataset(3), tmp_path / "run")
    assert all(np.isfinite(record["loss"]) for record in losses(run))


def test_a_loss_that_is_not_finite_stops_with_step_terms_and_images(dataset, quick, tmp_path):
    recipe = differing(quick, optim={"lr": 1e30}, schedule={"steps": 9})
    with pytest.raises(loop.NonFiniteLoss) as caught:
        train(recipe, dataset(2), tmp_path / "run")
    message = str(caught.value)
    step = int(re.search(r"not finite at step (\d)", message)[1])
    assert step == len(losses(tmp_path / "run")) + 1 > 1
    assert re.search(
        r"classification \S+, localisation \S+, \d+ priors matched, gradient \S+, lr \S+e\+",
        message,
    )
    assert "JPEGImages/000.jpg" in message
    assert "JPEGImages/001.jpg" in message
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_folder_that_holds_a_run_is_refused_and_left_as_it_is(dataset, quick, tmp_path):
    data = dataset(2)
    run = train(quick, data, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match="already holds a run: resume it, or"):
        train(differing(quick, optim={"lr": 0.5}), data, run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_recipe_of_a_run_is_complete_and_repeats_it(dataset, tiny, tmp_path):
    recipe = differing(tiny, schedule={"steps": 3}, data={"workers": -1})
    first = train(recipe, dataset(6), tmp_path / "first")
    again = load_recipe(first / "recipe.toml")
    assert again.data.path == str(tmp_path / "voc")
    assert (again.run.device, again.run.precision, again.data.workers) == ("cpu", "fp32", 1)
    second = train(again, None, tmp_path / "second")
    for name in ("last/checkpoint", "last/model", "best/model"):
        one, two = (load_file(run / f"{name}.safetensors") for run in (first, second))
        assert [key for key in one if not torch.equal(one[key], two[key])] == []
    third = train(differing(again, run={"seed": 1}), None, tmp_path / "third")
    assert losses(third)[0]["loss"] != losses(first)[0]["loss"]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"data": {"augment": "wild"}}, r"data\.augment is 'wild'; choose from none, mild"),
        ({"model": {"name": "yolo"}}, r"model\.name is 'yolo'; choose from ssd300_vgg16"),
        ({"data": {"batch": 1}}, "one value per channel"),
        ({"run": {"device": "abacus"}}, "'abacus' is not known"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(dataset, quick, tmp_path, choices, message):
    with pytest.raises((RecipeError, ValueError), match=message):
        train(differing(quick, **choices), dataset(2), tmp_path / "run")


def test_the_speed_counts_the_images_since_the_last_record_and_no_evaluation(
    dataset, tiny, tmp_path, monkeypatch
):
    clock = SimpleNamespace(now=0.0)
    step, validate = loop.train_step, loop.validate

    def second_long(function, seconds):
        def call(*arguments, **named):
            clock.now += seconds
            return function(*arguments, **named)

        return call

    monkeypatch.setattr(loop, "train_step", second_long(step, 1.0))
    monkeypatch.setattr(loop, "validate", second_long(validate, 100.0))
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock.now))
    schedule = {"steps": 7, "log_every": 3, "evaluate_every": 2, "checkpoint_every": 0}
    run = train(differing(tiny, schedule=schedule), dataset(4), tmp_path / "run")
    assert [(r["step"], r["images_per_second"]) for r in losses(run)] == [(3, 4), (6, 4), (7, 4)]


def test_a_run_that_cannot_be_resumed_keeps_its_recipe(dataset, quick, tmp_path):
    data = dataset(4)
    run = train(differing(quick, schedule={"steps": 2}), data, tmp_path / "run")
    before = (run / "recipe.toml").read_text()
    shorter = differing(quick, schedule={"steps": 1})
    with pytest.raises(RecipeError, match=r"is of step 2; schedule\.steps is 1"):
        train(shorter, data, run, resume=True)
    assert (run / "recipe.toml").read_text() == before


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_statistics_of_the_final_model_are_measured_anew(dataset, quick, tmp_path, accumulate):
    data = dataset(4)
    quick = differing(quick, data={"batch": 4, "accumulate": accumulate})
    plain = load_file(train(quick, data, tmp_path / "plain") / "last/model.safetensors")
    precise = differing(quick, schedule={"precise_bn": 3})
    run = train(precise, data, tmp_path / "precise")

    detector = load_model(tmp_path / "plain")
    recipe = differing(quick, data={"path": str(data)})
    prepared = prepare(recipe.data, threads=1, console=Console(quiet=True))
    samples = samples_from(
        recipe, prepared, fill=prepared.mean, ranks=Ranks(), console=Console(quiet=True)
    )
    after = batches_from(recipe, samples, start=2, stop=5, ranks=Ranks())
    size = 4 // accumulate  # images at a time, as in training
    images = [batch.images[begin : begin + size] for batch in after for begin in range(0, 4, size)]
    measure_statistics(detector, images, precision="fp32")
    found = load_file(run / "last/model.safetensors")
    for name, value in detector.state_dict().items():
        # Not to the last bit: here the channels do not stand last in memory.
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)
        is_statistic = name.endswith(("running_mean", "running_var"))
        assert torch.equal(found[name], plain[name]) != is_statistic, name
