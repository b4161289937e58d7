"""Every network with every norm: trained for a step, each parameter and each statistic moves."""

import pytest
import torch
from torch import nn

from scratchdet.models.zoo import MODELS, choices_of, create_model
from scratchdet.recipe import OptimRecipe
from scratchdet.structures import Targets
from scratchdet.train.setup import make_loss

NORMS = ("none", "batch", "sync_batch", "group", "group_ws")
# In test_loop every network is trained with its own norms, BatchNorm; here quickly with the others
# that all their convolutions can have, and slowly with all there are.
PAIRS = [
    pytest.param(name, norm, marks=() if norm == "group_ws" else pytest.mark.slow)
    for name in MODELS
    for norm in NORMS
    if norm in choices_of(name)["norm_backbone"]
]
GRID = [
    pytest.param(
        name,
        backbone,
        head,
        marks=() if name == "scratchdet_nano" or backbone == head else pytest.mark.slow,
    )
    for name in ("scratchdet_nano", "scratchdet300_r18")
    for backbone in ("none", "batch", "group", "group_ws")
    for head in ("none", "batch", "group", "group_ws")
]


def objects_everywhere(detector, images):
    """About every prior near the middle is an object, so that all maps have something to learn."""
    priors = detector.priors[(detector.priors[:, :2] - 0.5).abs().amax(1) < 0.26]
    centres = priors[:, :2] + 0.1 * priors[:, 2:] * torch.rand(images, len(priors), 2)
    halves = priors[:, 2:] / 2 * (0.9 + 0.2 * torch.rand(images, len(priors), 2))
    height, width = detector.input_size
    boxes = torch.cat([centres - halves, centres + halves], -1)
    return Targets(
        boxes * torch.tensor([width, height, width, height]),
        torch.randint(0, len(detector.classes), (images, len(priors))),
        torch.zeros(images, len(priors), dtype=torch.bool),
    )


def trained(detector, *, steps, lr):
    """The losses before every step of SGD on one batch."""
    detector.train()
    loss = make_loss(OptimRecipe(), detector)
    images, targets = torch.randn(4, 3, *detector.input_size), objects_everywhere(detector, 4)
    optimiser = torch.optim.SGD(detector.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        total = loss(detector(images), targets).total
        total.backward()
        nn.utils.clip_grad_norm_(detector.parameters(), 10.0)
        optimiser.step()
        losses.append(total.item())
    return losses


def shaken(detector):
    """At the start a scale that the next norm undoes has no gradient."""
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return detector


def check_that_everything_moves(detector):
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    trained(detector, steps=1, lr=10.0)
    after = detector.state_dict()
    assert [key for key, value in after.items() if not value.isfinite().all()] == []
    assert [key for key in before if torch.equal(before[key], after[key])] == []
    return before


@pytest.mark.parametrize(("name", "norm"), PAIRS)
def test_nothing_is_frozen_in_any_network_with_any_norm(name, norm):
    torch.manual_seed(0)
    detector = create_model(name, 2, input_size=96, norm_backbone=norm, norm_head=norm)
    state = check_that_everything_moves(shaken(detector))
    statistics = [key for key in state if key.endswith(("running_mean", "running_var"))]
    assert bool(statistics) == ("batch" in norm)


@pytest.mark.parametrize(("name", "backbone", "head"), GRID)
def test_every_pair_of_norms_learns(name, backbone, head):
    torch.manual_seed(0)
    detector = create_model(name, 2, input_size=64, norm_backbone=backbone, norm_head=head)
    losses = trained(detector, steps=4, lr=0.01)
    assert losses[-1] < 0.99 * losses[0]
    check_that_everything_moves(shaken(detector))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("norm", NORMS[1:])
def test_no_convolution_before_a_norm_has_a_bias(name, norm):
    if norm not in choices_of(name)["norm_backbone"]:
        norm = "group"
    with torch.device("meta"):
        detector = create_model(name, norm_backbone=norm, norm_head=norm)
    parts = (detector.neck, detector.head, *([] if "timm" in name else [detector.backbone]))
    layers = [layer for part in parts for layer in part.modules()]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert convolutions
    assert all(layer.bias is None for layer in convolutions)
