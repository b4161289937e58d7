"""The analysis of the gradient in a training: it says what it should, and changes nothing."""

import io
import json
import os
import signal
from functools import partial

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from scratchdet.data.loader import Batch
from scratchdet.data.voc_write import write_voc
from scratchdet.models.blocks import blocks_of
from scratchdet.models.zoo import create_model
from scratchdet.ops.losses import MultiBoxLoss
from scratchdet.recipe import RecipeError, differing
from scratchdet.structures import Targets
from scratchdet.train import loop
from scratchdet.train.analyse import forget_after, measure_landscape
from scratchdet.train.ema import AveragedWeights
from scratchdet.train.log import read_log
from scratchdet.train.optim import make_sgd
from scratchdet.train.setup import Training

SIZES = (0.01, 0.04)


@pytest.fixture(scope="module")
def training():
    torch.manual_seed(0)
    detector = create_model("scratchdet_nano", num_classes=2, input_size=64).train()
    sgd = make_sgd(detector, lr=0.01, momentum=0.9, weight_decay=0.0)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return Training(detector, detector, AveragedWeights(detector, 0.0), sgd, scaler)


@pytest.fixture(scope="module")
def loss(training):
    return MultiBoxLoss(training.detector.priors, input_size=training.detector.input_size)


def batch(*, objects=1) -> Batch:
    """Noise, each image with as many objects."""
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[[8.0, 8, 40, 40]]]).expand(4, objects, 4)
    labels = torch.zeros(4, objects, dtype=torch.long)
    pixels = torch.randint(0, 255, (4, 64, 64, 3), dtype=torch.uint8, generator=generator)
    return Batch(pixels, Targets(boxes, labels, labels < 0), ((0, 0),) * 4)


@pytest.mark.parametrize("parts", [1, 2])
def test_along_the_gradient_is_where_plain_steps_of_gradient_descent_lead(training, loss, parts):
    """Against steps of SGD without momentum, made on a copy of the network."""
    found = measure_landscape(
        training, batch(), loss, step_sizes=SIZES, precision="fp32", parts=parts
    )
    for size, loss_there, distance in zip(SIZES, found.losses, found.distances, strict=True):
        torch.manual_seed(0)
        detector = create_model("scratchdet_nano", num_classes=2, input_size=64).train()
        sgd = torch.optim.SGD(detector.parameters(), lr=size)
        copy = training._replace(detector=detector, network=detector, optimiser=sgd)
        step = partial(loop.train_step, precision="fp32", clip_norm=0.0, parts=parts)
        before, norm = step(copy, batch(), loss)
        gradient = torch.cat([weight.grad.flatten() for weight in detector.parameters()])
        after, _ = loop.train_step(
            copy, batch(), loss, precision="fp32", clip_norm=0.0, parts=parts
        )
        there = torch.cat([weight.grad.flatten() for weight in detector.parameters()])
        assert found.loss == pytest.approx(before.total.item(), rel=1e-5)
        assert found.gradient_norm == pytest.approx(norm.item(), rel=1e-4)
        assert loss_there == pytest.approx(after.total.item(), rel=1e-4)
        assert distance == pytest.approx((there - gradient).norm().item(), rel=1e-3)
    slopes = [d / s / found.gradient_norm for d, s in zip(found.distances, SIZES, strict=True)]
    assert found.smoothness == pytest.approx(max(slopes))
    assert list(found.blocks) == list(blocks_of(training.detector))
    squares = sum(norms[0] ** 2 for norms in found.blocks.values())
    assert squares**0.5 == pytest.approx(found.gradient_norm, rel=1e-4)


def test_images_without_objects_have_a_landscape_too(training, loss):
    found = measure_landscape(training, batch(objects=0), loss, step_sizes=SIZES, precision="fp32")
    assert found.gradient_norm > 0
    assert None not in found.to_json()["losses"]


def test_a_training_is_left_as_it_was_to_the_last_bit(training, loss):
    detector = training.detector
    loop.train_step(training, batch(), loss, precision="fp32", clip_norm=0.0)
    momentum = [state["momentum_buffer"] for state in training.optimiser.state.values()]
    watched = [*detector.state_dict().values(), *momentum, torch.get_rng_state()]
    before = [tensor.clone() for tensor in watched]
    measure_landscape(training, batch(), loss, step_sizes=SIZES, precision="fp32")
    watched[-1] = torch.get_rng_state()
    assert len(momentum) > 50
    assert [torch.equal(one, other) for one, other in zip(before, watched, strict=True)] == [
        True
    ] * len(before)
    assert all(weight.grad is None for weight in detector.parameters())
    assert detector.training


def test_the_random_numbers_of_a_training_go_on_where_they_were(training, loss):
    """Of networks with dropout, in which an analysis draws some."""
    dropout = torch.nn.Dropout(0.5)
    hook = training.detector.backbone.register_forward_hook(
        lambda module, inputs, maps: [dropout(one) for one in maps]
    )
    before = torch.get_rng_state()
    measure_landscape(training, batch(), loss, step_sizes=SIZES, precision="fp32")
    hook.remove()
    assert torch.equal(torch.get_rng_state(), before)


def test_an_error_in_the_middle_puts_everything_back(training, loss):
    before = [weight.detach().clone() for weight in training.detector.parameters()]

    def failing(raw, targets, **named):
        failing.calls += 1
        if failing.calls == 3:
            raise RuntimeError("out of memory")
        return loss(raw, targets, **named)

    failing.calls, failing.assign = 0, loss.assign
    with pytest.raises(RuntimeError, match="out of memory"):
        measure_landscape(training, batch(), failing, step_sizes=SIZES, precision="fp32")
    after = training.detector.parameters()
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, scenes, tiny):
    root = tmp_path_factory.mktemp("data") / "voc"
    write_voc(root, {"train": scenes(4, empty={3})}, classes=("a", "b"))
    return differing(
        tiny,
        data={"path": str(root), "val_split": "none", "batch": 2},
        schedule={"steps": 4, "checkpoint_every": 3},
    )


def train(recipe, run_dir, *, resume=False):
    return loop.train(recipe, run_dir=run_dir, resume=resume, console=Console(file=io.StringIO()))


def test_a_run_with_analysis_equals_one_without_also_after_a_resume(recipe, tmp_path, monkeypatch):
    plain = train(recipe, tmp_path / "plain")
    analysed, run = differing(recipe, schedule={"analyse_every": 2}), tmp_path / "run"
    train_step, calls = loop.train_step, []

    def interrupted_step(*arguments, **named):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return train_step(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", interrupted_step)
        with pytest.raises(loop.Interrupted):
            train(analysed, run)
    (record,) = read_log(run / "gradients.jsonl")
    with (run / "gradients.jsonl").open("a") as file:  # as if it had been killed after step 4
        file.write(json.dumps(record | {"step": 4, "loss": -1.0}) + "\n")
    train(analysed, run, resume=True)

    for name in ("checkpoint", "model"):
        ours, theirs = (load_file(one / f"last/{name}.safetensors") for one in (run, plain))
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    records = read_log(run / "gradients.jsonl")
    assert (records[0], [one["step"] for one in records]) == (record, [2, 4])
    assert record["step_sizes"] == pytest.approx(
        [multiple * recipe.optim.lr for multiple in (0.5, 1, 1.5, 2, 3, 4)]
    )
    # The step that follows has that loss, and that gradient.
    logged = {one["step"]: one for one in read_log(plain / "log.jsonl")}
    for one in records:
        for name in ("loss", "gradient_norm"):
            assert one[name] == pytest.approx(logged[one["step"]][name], rel=1e-5)
    written = [sorted(path.name for path in one.glob("gradients.*")) for one in (plain, run)]
    assert written == [[], ["gradients.jsonl", "gradients.png"]]


def test_records_of_later_steps_are_forgotten_and_none_are_made(tmp_path):
    forget_after(tmp_path, 5)
    assert not list(tmp_path.iterdir())
    lines = "".join(json.dumps({"step": step}) + "\n" for step in (4, 5, 6))
    (tmp_path / "gradients.jsonl").write_text(lines)
    forget_after(tmp_path, 5)
    assert read_log(tmp_path / "gradients.jsonl") == [{"step": 4}, {"step": 5}]


def test_a_negative_distance_between_analyses_is_refused(tiny):
    with pytest.raises(RecipeError, match=r"schedule\.analyse_every is -1; it must be 0 or more"):
        differing(tiny, schedule={"analyse_every": -1})
