"""A checkpoint gives back, bit for bit, what was saved, or says why it cannot."""

import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scratchdet.files import DiskFull
from scratchdet.models.saved import FORMAT, save_model
from scratchdet.models.zoo import create_model
from scratchdet.structures import Problem
from scratchdet.tensor_file import DamagedFile
from scratchdet.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from scratchdet.train.ema import AveragedWeights
from scratchdet.train.optim import make_sgd

PROGRESS = Progress(
    step=7,
    best=0.125,
    seconds=3.5,
    scale=1024.0,
    data="0123456789abcdef",
    unreadable=(Problem("1.jpg", "the file is empty", "replaced by another image"),),
)


def parts(*, seed: int, steps: int = 0, classes: int = 2):
    """Detector, average and optimiser after some steps on noise."""
    torch.manual_seed(seed)
    detector = create_model("scratchdet_nano", classes, input_size=64)
    detector = detector.to(memory_format=torch.channels_last).train()
    ema = AveragedWeights(detector, 0.5)
    optimiser = make_sgd(detector, lr=0.01, momentum=0.9, weight_decay=5e-4)
    for step in range(steps):
        raw = detector(torch.randn(2, 3, 64, 64))
        optimiser.zero_grad()
        (raw.logits.square().mean() + raw.offsets.square().mean()).backward()
        optimiser.step()
        ema.update(detector, step)
    return {"detector": detector, "ema": ema, "optimiser": optimiser}


def momenta(training) -> list[torch.Tensor]:
    state = training["optimiser"].state
    return [state[parameter]["momentum_buffer"] for parameter in training["detector"].parameters()]


@pytest.fixture(scope="module")
def trained():
    return parts(seed=0, steps=2)


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "last" / "checkpoint.safetensors"
    save_checkpoint(path, PROGRESS, **trained)
    return path


def test_weights_average_momentum_and_progress_come_back_bit_for_bit(trained, saved):
    fresh = parts(seed=1)
    assert load_checkpoint(saved, **fresh) == PROGRESS
    for one, other in (
        (trained["detector"].state_dict(), fresh["detector"].state_dict()),
        (trained["ema"].detector.state_dict(), fresh["ema"].detector.state_dict()),
    ):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(map(torch.equal, momenta(trained), momenta(fresh)))
    assert any(momentum.any() for momentum in momenta(fresh))


def test_momentum_lies_in_memory_as_its_parameter_does(saved):
    fresh = parts(seed=1)
    load_checkpoint(saved, **fresh)
    for parameter, momentum in zip(fresh["detector"].parameters(), momenta(fresh), strict=True):
        assert momentum.stride() == parameter.stride()


def test_a_training_without_a_step_has_no_momentum_and_can_be_saved(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, Progress(), **parts(seed=0))
    fresh = parts(seed=1)
    assert load_checkpoint(path, **fresh) == Progress()
    assert not fresh["optimiser"].state


def test_a_damaged_file_is_named(saved, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(DamagedFile, match=r"broken\.safetensors is damaged"):
        load_checkpoint(broken, **parts(seed=1))


def test_a_checkpoint_of_another_network_is_refused(saved):
    message = r"resumed from: 'head\.\S+' is 12 x [\dx ]+, not 16 x [\dx ]+ \(and \d+ more\)$"
    with pytest.raises(ValueError, match=message):
        load_checkpoint(saved, **parts(seed=1, classes=3))


@pytest.mark.parametrize("metadata", [None, {"progress": "{}"}, {"format": "scratchdet 1"}])
def test_a_checkpoint_of_another_version_says_so_in_one_line(saved, tmp_path, metadata):
    old = tmp_path / "old.safetensors"
    weights = {name.replace("conv", "c"): value for name, value in load_file(saved).items()}
    save_file(weights, old, metadata=metadata)
    found = (metadata or {}).get("format")
    message = rf"old\.safetensors cannot be resumed from: .* \(format {found!r}, not {FORMAT!r}\)"
    with pytest.raises(ValueError, match=message + ": start a new run$"):
        load_checkpoint(old, **parts(seed=1))


def test_a_model_is_no_checkpoint(trained, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(trained["detector"], path)
    with pytest.raises(ValueError, match="cannot be resumed from: it was not written as a check"):
        load_checkpoint(path, **parts(seed=1))


def test_saving_that_fails_leaves_the_old_checkpoint(trained, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, PROGRESS, **trained)
    before = path.read_bytes()

    def fail(path, data):
        path.write_text("half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(DiskFull, match=r"No space left on device: '.*/checkpoint\.safetensors'"):
        save_checkpoint(path, PROGRESS._replace(step=8), **trained)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.safetensors"]
