"""Saved models: what is loaded is what was saved, and nothing else is taken for a model."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from scratchdet.models import saved
from scratchdet.models.saved import FORMAT, find_model, load_model, read_metadata, save_model
from scratchdet.models.zoo import MODELS, create_model

SIZE = (64, 96)
CLASSES = ("dog", "Käfer", "dog\n2")


def trained(name="scratchdet_nano", **choices):
    """A detector whose every value differs from that of a new one."""
    torch.manual_seed(3)
    detector = create_model(name, **{"classes": CLASSES, "input_size": SIZE, **choices})
    detector(torch.randn(3, detector.in_channels, *SIZE))  # moves the statistics of BatchNorm
    channels = detector.in_channels
    detector.mean = torch.rand(channels) * 255
    detector.std = torch.rand(channels) * 100
    return detector.eval()


def rewritten(path, *, metadata=None, weights=None):
    """The model file with other entries in its metadata, or other weights."""
    tensors = weights or load_file(path)
    save_file(tensors, path, metadata={**read_metadata(path), **(metadata or {})})
    return path


def a_convolution(weights):
    return next(name for name, value in weights.items() if value.ndim == 4)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(trained(), path)
    return path


@pytest.mark.parametrize("name", MODELS)
def test_every_model_comes_back_as_it_was(name, tmp_path):
    detector = trained(name)
    save_model(detector, tmp_path / "model.safetensors")
    torch.manual_seed(9)
    loaded = load_model(tmp_path / "model.safetensors")
    images = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        for given, expected in zip(loaded(images), detector(images), strict=True):
            assert torch.equal(given, expected)
    assert torch.equal(loaded.priors, detector.priors)
    assert loaded.built_as == detector.built_as


def test_everything_needed_to_use_it_comes_back(model):
    detector, loaded = trained(), load_model(model)
    assert loaded.classes == CLASSES
    assert loaded.input_size == SIZE
    assert torch.equal(loaded.mean, detector.mean)
    assert torch.equal(loaded.std, detector.std)
    assert not loaded.training
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    (found,), (expected,) = loaded.predict([image]), detector.predict([image])
    assert torch.equal(found.scores, expected.scores)
    assert torch.equal(found.boxes, expected.boxes)


@pytest.mark.parametrize(
    "choices",
    [
        {"in_channels": 1},
        {"in_channels": 5, "classes": ["one"]},
        {"norm_backbone": "group", "norm_head": "none"},
        {"input_size": 96},
    ],
)
def test_choices_come_back(choices, tmp_path):
    detector = trained(**choices)
    save_model(detector, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    images = torch.randn(1, detector.in_channels, *SIZE)
    assert torch.equal(loaded(images).logits, detector(images).logits)
    assert loaded.input_size == detector.input_size
    assert str(loaded) == str(detector)


def test_the_layout_in_memory_is_no_matter(tmp_path):
    detector = trained().to(memory_format=torch.channels_last)
    save_model(detector, tmp_path / "m.safetensors")
    for name, value in load_model(tmp_path / "m.safetensors").state_dict().items():
        assert torch.equal(value, detector.state_dict()[name]), name


def test_metadata_says_where_it_comes_from(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(trained(), path, about={"commit": "abc", "format": "forged"})
    metadata = read_metadata(path)
    assert metadata["commit"] == "abc"
    assert metadata["format"] == FORMAT
    assert metadata["provenance"] == "trained from scratch: no external weights"
    assert json.loads(metadata["classes"]) == list(CLASSES)
    save_model(trained(), path, provenance="imported")
    assert read_metadata(path)["provenance"] == "imported"


def test_a_network_that_cannot_be_rebuilt_is_not_saved(tmp_path):
    detector = trained()
    detector.built_as = None
    with pytest.raises(ValueError, match="made by create_model"):
        save_model(detector, tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_file(model, monkeypatch):
    before = model.read_bytes()

    def failing(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(saved, "save_file", failing)
    with pytest.raises(OSError, match="disk full"):
        save_model(trained(), model)
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == [model.name]


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 5000, -1])
def test_a_truncated_file_is_refused(model, kept):
    model.write_bytes(model.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file, or dam"):
        load_model(model)


@pytest.mark.parametrize("place", [0, 4, 8, 20])
def test_a_damaged_header_is_refused(model, place):
    content = bytearray(model.read_bytes())
    content[place] ^= 0xFF
    model.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file, or dam"):
        load_model(model)


@pytest.mark.parametrize("save", ["torch", "pickle"])
def test_a_pickle_is_refused_and_not_run(save, tmp_path):
    path = tmp_path / "model.pt"
    if save == "torch":
        torch.save(trained().state_dict(), path)
    else:
        path.write_bytes(pickle.dumps(Bomb(tmp_path / "gone off")))
    with pytest.raises(ValueError, match=r"model\.pt is not a safetensors file"):
        load_model(path)
    assert not (tmp_path / "gone off").exists()


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_safetensors_file_of_another_origin_is_refused(tmp_path, metadata):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata=metadata)
    with pytest.raises(ValueError, match=r"other\.safetensors was not written by this version"):
        load_model(path)


def test_weights_of_another_shape_are_refused(model):
    weights = load_file(model)
    name = a_convolution(weights)
    path = rewritten(model, weights={**weights, name: torch.zeros(2, 2)})
    with pytest.raises(ValueError, match=r"model\.safetensors: its weights are not those of"):
        load_model(path)


@pytest.mark.parametrize("change", ["missing", "surplus"])
def test_missing_and_surplus_weights_are_refused(model, change):
    weights = load_file(model)
    if change == "missing":
        weights.pop(a_convolution(weights))
    else:
        weights["unheard.of"] = torch.zeros(2)
    with pytest.raises(ValueError, match=r"model\.safetensors: its weights are not those of"):
        load_model(rewritten(model, weights=weights))


@pytest.mark.parametrize(
    "metadata",
    [
        {"model": '{"name": "made_by_a_later_version"}'},
        {"model": '{"name": "scratchdet_nano", "depth": 3}'},
        {"model": "{}"},
        {"model": "[]"},
        {"model": "not JSON"},
        {"classes": "[]"},
        {"mean": "x"},
    ],
)
def test_metadata_that_cannot_be_followed_names_the_file(model, metadata):
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        load_model(rewritten(model, metadata=metadata))


def test_missing_metadata_is_refused(model):
    metadata = read_metadata(model)
    del metadata["classes"]
    save_file(load_file(model), model, metadata=metadata)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        load_model(model)


def test_a_run_means_its_best_model_else_its_last(tmp_path):
    best, last = (tmp_path / name / "model.safetensors" for name in ("best", "last"))
    with pytest.raises(FileNotFoundError, match="no model at"):
        find_model(tmp_path)
    for path in (last, best):
        path.parent.mkdir()
        path.touch()
        assert find_model(tmp_path) == path
    assert find_model(last) == last


def test_no_file_is_not_a_damaged_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model at .*missing\.safetensors"):
        load_model(tmp_path / "missing.safetensors")
