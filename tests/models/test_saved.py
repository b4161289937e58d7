"""Saved models: what is loaded is what was saved, and nothing else is taken for a model."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from scratchdet.models.saved import (
    FORMAT,
    find_model,
    load_model,
    load_weights,
    read_metadata,
    save_model,
)
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


def test_the_type_of_the_pixels_and_the_names_of_the_files_come_back(tmp_path):
    detector = trained()
    detector.image_dtype, detector.files = "int16", "{stem}_a.tif,{stem}_b.tif"
    save_model(detector, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert (loaded.image_dtype, loaded.files) == ("int16", "{stem}_a.tif,{stem}_b.tif")


def test_models_saved_before_there_were_other_types_are_of_8_bits(model):
    metadata = read_metadata(model)
    del metadata["image_dtype"], metadata["files"]
    save_file(load_file(model), model, metadata=metadata)
    loaded = load_model(model)
    assert (loaded.image_dtype, loaded.files) == ("uint8", "")


def test_a_type_of_pixels_that_is_not_known_is_refused(model):
    with pytest.raises(ValueError, match="pixels of type 'complex64' are not known"):
        load_model(rewritten(model, metadata={"image_dtype": "complex64"}))


def test_models_saved_before_there_were_other_priors_have_their_own(model):
    metadata = read_metadata(model)
    built_as = json.loads(metadata["model"])
    del built_as["prior_scales"], built_as["prior_ratios"]
    loaded = load_model(rewritten(model, metadata={"model": json.dumps(built_as)}))
    assert loaded.built_as == trained().built_as
    assert torch.equal(loaded.priors, trained().priors)


@pytest.mark.parametrize(
    "choices",
    [
        {"in_channels": 1},
        {"in_channels": 5, "classes": ["one"]},
        {"norm_backbone": "group", "norm_head": "none"},
        {"norm_backbone": "group_ws", "norm_head": "group_ws"},
        {"norm_backbone": "sync_batch", "norm_head": "sync_batch"},
        {"input_size": 96},
        {"prior_scales": [0.05, 0.1, 0.21, 0.4, 0.7, 1.0]},
        {"prior_scales": (0.05, 0.1, 0.21, 0.4, 0.7, 1.0), "prior_ratios": (1.3, 1.5)},
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
    assert torch.equal(loaded.priors, detector.priors)
    assert loaded.built_as == detector.built_as


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

    def failing(path, data):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", failing)
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


def test_a_damaged_header_cannot_write_to_the_terminal(model):
    header = json.dumps(
        {"a": {"dtype": "\x1b[2J\n", "shape": [1], "data_offsets": [0, 4]}}
    ).encode()
    model.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ValueError, match="is not a safetensors file") as caught:
        load_model(model)
    assert str(caught.value).isprintable()


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
    message = rf"model\.safetensors: its weights are not those of its network: '{name}' is 2 x 2, "
    with pytest.raises(ValueError, match=message + r"not \d+ x \d+ x \d+ x \d+$"):
        load_model(path)


@pytest.mark.parametrize("change", ["missing", "surplus"])
def test_missing_and_surplus_weights_are_refused(model, change):
    weights = load_file(model)
    name = a_convolution(weights)
    if change == "missing":
        weights.pop(name)
    else:
        weights[name := "unheard.of\n"] = torch.zeros(2)
    what = "is missing" if change == "missing" else "has no place in it"
    message = rf"model\.safetensors: its weights are not those of its network: {name!r} {what}$"
    with pytest.raises(ValueError, match=message.replace("\\n", r"\\n")):
        load_model(rewritten(model, weights=weights))


def test_of_many_weights_that_do_not_fit_the_first_is_named_and_the_others_are_counted(model):
    weights = {f"other.{number}": torch.zeros(1) for number in range(5)}
    expected = list(trained().state_dict())
    with pytest.raises(ValueError, match="its weights are not those") as caught:
        load_model(rewritten(model, weights=weights))
    assert f"{expected[0]!r} is missing (and {len(expected) + 4} more)" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_weights_that_do_not_fit_change_nothing(model):
    detector, other = trained(), trained(classes=["one"])
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match=r"not \d+.* \(and \d+ more\)"):
        load_weights(other, detector.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


NO_NUMBERS = (  # for each of three channels
    *("x", "5", "{}", "[1.0]", "[1, 2, 3, 4]", "[[1], [2], [3]]", '["1", "2", "3"]'),
    *(f"[1, 2, {value}]" for value in ("null", "true", "NaN", "Infinity", "1e300", 10**400)),
)


@pytest.mark.parametrize(
    "metadata",
    [
        {"model": '{"name": "made_by_a_later_version"}'},
        {"model": '{"name": "scratchdet_nano", "depth": 3}'},
        {"model": "{}"},
        {"model": "[]"},
        {"model": "not JSON"},
        {"classes": "[]"},
        {"model": "[" * 100_000},
        {"model": '{"name": "scratchdet_nano", "input_size": [1e3]}'},
        {"model": '{"name": "scratchdet_nano", "input_size": [1000000000000, 1000000000000]}'},
        {"model": '{"name": "scratchdet_nano", "in_channels": true}'},
        {"model": '{"name": "scratchdet_nano", "in_channels": 0}'},
        {"model": '{"name": "ssd300_timm", "backbone": null}'},
        {"model": '{"name": "ssd300_timm", "backbone": 5}'},
        {"model": '{"name": "scratchdet_nano", "prior_scales": [0.1, 0.2]}'},
        {"model": '{"name": "scratchdet_nano", "prior_scales": null}'},
        {"model": '{"name": "scratchdet_nano", "prior_ratios": [NaN]}'},
        {"classes": "[1, 2, 3]"},
        {"classes": '["a", "b", null]'},
        {"classes": '"abc"'},
        {"classes": '{"a": 1, "b": 2, "c": 3}'},
        *({key: value} for key in ("mean", "std") for value in NO_NUMBERS),
        {"std": "[0, 0, 0]"},
        {"std": "[1, 1, -1]"},
        {"std": "[1, 1, 1e-60]"},
    ],
    ids=lambda metadata: str(metadata)[:60],
)
def test_metadata_that_cannot_be_followed_names_the_file(model, metadata):
    message = r"model\.safetensors describes a network that this version cannot build"
    with pytest.raises(ValueError, match=message) as caught:
        load_model(rewritten(model, metadata=metadata))
    assert len(str(caught.value).splitlines()) == 1


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


def test_a_folder_with_a_model_is_one_and_what_is_not_there_is_said_so(tmp_path):
    (tmp_path / "model.safetensors").touch()
    assert find_model(tmp_path) == tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError, match="gone: there is no such file or folder"):
        find_model(tmp_path / "gone")
