"""The figures of the steps that are logged, against what they say they are; they change nothing."""

import io

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from scratchdet.data.loader import Batch
from scratchdet.data.voc_write import write_voc
from scratchdet.models.blocks import blocks_of
from scratchdet.models.zoo import create_model
from scratchdet.ops.losses import MultiBoxLoss
from scratchdet.recipe import differing
from scratchdet.structures import Targets
from scratchdet.train import loop
from scratchdet.train.ema import AveragedWeights
from scratchdet.train.log import read_log
from scratchdet.train.optim import make_sgd
from scratchdet.train.scalars import Scalars
from scratchdet.train.setup import Training

IMAGES = 4


def training_of(norm="batch", *, lr=0.1) -> Training:
    """The nano network with weights of a seed."""
    torch.manual_seed(0)
    detector = create_model(
        "scratchdet_nano", num_classes=2, input_size=64, norm_backbone=norm, norm_head=norm
    ).train()
    sgd = make_sgd(detector, lr=lr, momentum=0.9, weight_decay=1e-3)
    return Training(
        detector,
        detector,
        AveragedWeights(detector, 0.0),
        sgd,
        torch.amp.GradScaler("cpu", enabled=False),
    )


def batch() -> Batch:
    """Noise with one object in every image."""
    torch.manual_seed(1)
    boxes = torch.tensor([[[8.0, 8, 40, 40]]]).expand(IMAGES, 1, 4)
    labels = torch.zeros(IMAGES, 1, dtype=torch.long)
    pixels = torch.randint(0, 255, (IMAGES, 64, 64, 3), dtype=torch.uint8)
    return Batch(pixels, Targets(boxes, labels, labels < 0), ((0, 0),) * IMAGES)


def step(training: Training, scalars: Scalars, *, clip_norm=0.0, parts=1) -> tuple[dict, float]:
    """The figures of a step, and the norm of its gradient."""
    loss = MultiBoxLoss(training.detector.priors, input_size=training.detector.input_size)
    with scalars.watching(True):
        _, norm = loop.train_step(
            training, batch(), loss, precision="fp32", clip_norm=clip_norm, parts=parts
        )
    return scalars.figures(norm), norm.item()


@pytest.mark.parametrize("clip_norm", [0.0, 0.01])
def test_the_norms_of_the_blocks_make_up_that_of_the_gradient_before_clipping(clip_norm):
    training = training_of()
    figures, norm = step(training, Scalars(training.detector, compiled=False), clip_norm=clip_norm)
    blocks = {name: figures[f"gradient/{name}"] for name in blocks_of(training.detector)}
    assert sum(value**2 for value in blocks.values()) ** 0.5 == pytest.approx(norm, rel=1e-3)
    shrunk = min(1.0, clip_norm / norm) if clip_norm else 1.0
    for name, block in blocks_of(training.detector).items():
        seen = torch.cat([weight.grad.flatten() for weight in block]).norm().item()
        assert blocks[name] * shrunk == pytest.approx(seen, rel=1e-3)


def test_an_update_is_the_learning_rate_times_the_momentum_over_the_weights():
    training = training_of(lr=0.1)
    scalars = Scalars(training.detector, compiled=False)
    step(training, scalars)  # now there is a momentum
    figures, _ = step(training, scalars)
    state = training.optimiser.state
    for name, block in blocks_of(training.detector).items():
        weights = torch.cat([weight.flatten() for weight in block]).norm()
        momentum = torch.cat([state[weight]["momentum_buffer"].flatten() for weight in block])
        wanted = (0.1 * momentum.norm() / weights).item()
        assert figures[f"update/{name}"] == pytest.approx(wanted, rel=1e-3)


def test_a_step_that_was_left_out_has_moved_nothing():
    training = training_of()
    scalars = Scalars(training.detector, compiled=False)
    with scalars.watching(True):
        for weight in training.detector.parameters():
            weight.grad = torch.full_like(weight, torch.inf)
    figures = scalars.figures(torch.tensor(torch.inf))
    assert {figures[f"update/{name}"] for name in scalars.blocks} == {0.0}


def relu_channels(detector) -> int:
    """Of all ReLUs together, counted in a pass of its own."""
    counts, hooks = [], []
    for module in detector.modules():
        if isinstance(module, nn.ReLU):
            hooks.append(
                module.register_forward_hook(lambda m, i, out: counts.append(out.shape[1]))
            )
    with torch.no_grad():
        detector.eval()(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    detector.train()
    return sum(counts)


@pytest.mark.parametrize("parts", [1, 2])
def test_channels_that_are_zero_in_all_images_are_counted(parts):
    training = training_of()
    channels = relu_channels(training.detector)
    norm = training.detector.backbone.root[0][1]
    with torch.no_grad():
        norm.bias[:3] = -100.0  # everything below the ReLU's threshold
    figures, _ = step(training, Scalars(training.detector, compiled=False), parts=parts)
    assert figures["dead_relus"] == pytest.approx(3 / channels, rel=1e-3)


def test_a_channel_that_one_part_of_the_step_needs_is_not_dead():
    training = training_of()
    scalars = Scalars(training.detector, compiled=False)
    relu = next(m for m in training.detector.modules() if isinstance(m, nn.ReLU))
    with scalars.watching(True):
        relu(torch.tensor([[[[1.0]], [[-1.0]]]]))
        relu(torch.tensor([[[[-1.0]], [[-1.0]]]]))
        training.detector.zero_grad(set_to_none=False)
    assert scalars.figures(torch.tensor(0.0))["dead_relus"] == 0.5


@pytest.mark.parametrize("parts", [1, 2])
def test_the_drift_is_that_of_the_statistics_of_the_batch(parts):
    """Against the statistics of what reaches each BatchNorm, computed in hooks."""
    training = training_of()
    scalars = Scalars(training.detector, compiled=False)
    for _ in range(3):
        step(training, scalars)
    norms = [m for m in training.detector.modules() if isinstance(m, _BatchNorm)]
    before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
    seen, hooks = {}, []
    for norm in norms:

        def note(norm, inputs, output):
            moments = torch.var_mean(inputs[0].double(), (0, 2, 3), correction=1)
            seen.setdefault(norm, []).append(moments)

        hooks.append(norm.register_forward_hook(note))
    figures, _ = step(training, scalars, parts=parts)
    for hook in hooks:
        hook.remove()
    means, variances = [], []
    for norm, (mean, variance) in zip(norms, before, strict=True):
        # The last part counts most: 0.1 to 0.9 * 0.1.
        shares = [0.9 ** (parts - 1 - part) for part in range(parts)]
        of_batch = [
            sum(w * moments[i] for w, moments in zip(shares, seen[norm], strict=True)) / sum(shares)
            for i in (1, 0)
        ]
        spread = variance + norm.eps
        means.append((of_batch[0] - mean).abs() / spread.sqrt())
        variances.append(((of_batch[1] + norm.eps) / spread).log().abs())
    assert figures["bn_mean_drift"] == pytest.approx(torch.cat(means).mean().item(), rel=2e-3)
    wanted = torch.cat(variances).mean().item()
    assert figures["bn_variance_drift"] == pytest.approx(wanted, rel=2e-3)


def test_statistics_of_the_batch_itself_have_not_drifted():
    training = training_of()
    norms = [m for m in training.detector.modules() if isinstance(m, _BatchNorm)]
    scalars = Scalars(training.detector, compiled=False)
    for norm in norms:
        norm.momentum = 1.0  # the running statistics are those of the last batch
    training.optimiser.param_groups[0]["lr"] = training.optimiser.param_groups[1]["lr"] = 0.0
    step(training, scalars)
    figures, _ = step(training, scalars)
    assert figures["bn_mean_drift"] == pytest.approx(0, abs=1e-4)
    assert figures["bn_variance_drift"] == pytest.approx(0, abs=1e-4)
    assert {figures[f"update/{name}"] for name in scalars.blocks} == {0.0}


def test_without_batch_norm_or_hooks_their_figures_are_left_out():
    training = training_of("group")
    figures, _ = step(training, Scalars(training.detector, compiled=True))
    kinds = {name.partition("/")[0] for name in figures}
    assert kinds == {"gradient", "update"}


def test_no_hook_stays_behind():
    training = training_of()
    step(training, Scalars(training.detector, compiled=False))
    assert not any(module._forward_hooks for module in training.detector.modules())


def test_what_is_logged_does_not_change_what_is_trained(tmp_path, scenes, tiny):
    root = write_voc(tmp_path / "voc", {"train": scenes(4, empty={3})}, classes=("a", "b"))
    recipe = differing(
        tiny,
        data={"path": str(root), "val_split": "none", "accumulate": 2},
        optim={"clip_norm": 1.0},
        schedule={"steps": 3},
    )
    runs = []
    for every in (1, 3):
        run = tmp_path / f"every{every}"
        loop.train(
            differing(recipe, schedule={"log_every": every}),
            run_dir=run,
            console=Console(file=io.StringIO()),
        )
        runs.append(run)
    often, once = (read_log(run / "log.jsonl") for run in runs)
    assert (len(often), len(once)) == (3, 1)
    assert {**often[-1], "images_per_second": 0} == {**once[0], "images_per_second": 0}
    assert all(f"gradient/{name}" in often[0] for name in ("neck", "head.boxes", "backbone.root"))
    for name in ("checkpoint", "model"):
        one, two = (load_file(run / f"last/{name}.safetensors") for run in runs)
        assert [key for key in one if not torch.equal(one[key], two[key])] == []
