"""TorchScript: what is in the file is the detector, and needs nothing of ours to run."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from scratchdet.export import graph, torchscript
from scratchdet.export.card import from_strings
from scratchdet.export.onnx import make_card
from scratchdet.export.torchscript import ENTRY, export_torchscript
from scratchdet.models.zoo import MODELS, create_model
from scratchdet.ops.pixels import fitted
from scratchdet.structures import as_arrays

PROGRAM = """
import sys, numpy, torch
network = torch.jit.load(sys.argv[1])
found = network(torch.from_numpy(numpy.load(sys.argv[2])))
assert not {"torchvision", "scratchdet"} & set(sys.modules)
numpy.savez(sys.argv[3], *found)
"""


def boxes_and_scores(lists: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes that overlap, with scores that fall and a zero among them."""
    draw = torch.Generator().manual_seed(0)
    corners = torch.rand(lists, count, 2, generator=draw) * 60
    boxes = torch.cat([corners, corners + 5 + torch.rand(lists, count, 2, generator=draw) * 40], 2)
    scores = torch.rand(lists, count, generator=draw).sort(descending=True).values
    if count:
        scores[:, count // 2] = 0.0
    return boxes, scores


@pytest.mark.parametrize(("lists", "count"), [(3, 0), (1, 1), (6, 80)])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_its_non_maximum_suppression_is_torchvisions(lists, count):
    given = (*boxes_and_scores(lists, count), 0.45, 0.1)
    expected = graph.suppress(*given)
    assert torch.equal(torch.jit.script(torchscript.suppress)(*given), expected)
    assert count < 80 or 0 < (expected > 0).sum() < (given[1] > 0.1).sum()


def test_the_file_finds_what_the_detector_finds_without_our_package(nano, images, tmp_path):
    file = tmp_path / "nano.pt"
    difference = export_torchscript(nano, file, card=make_card(nano), images=images)
    assert difference.images == len(images)

    batch = fitted(images, nano.input_size)
    np.save(tmp_path / "batch.npy", batch)
    command = [sys.executable, "-c", PROGRAM, file, tmp_path / "batch.npy", tmp_path / "found.npz"]
    subprocess.run(command, check=True, cwd=tmp_path)

    boxes, scores, labels, count = np.load(tmp_path / "found.npz").values()
    for number, expected in enumerate(map(as_arrays, nano.predict(list(batch)))):
        rows = slice(count[number])
        assert len(expected.scores) == count[number] > 0
        np.testing.assert_allclose(scores[number, rows], expected.scores, atol=1e-5)
        assert (labels[number, rows] == expected.labels).mean() > 0.98  # but for equal scores
        assert np.median(abs(boxes[number, rows] - expected.boxes)) < 1e-3


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_raw_form_and_the_card_are_in_the_file(make, tmp_path):
    nano, images = make.nano(in_channels=2), make.images(2, channels=2)
    card = make_card(nano, form="raw")
    export_torchscript(nano, tmp_path / "raw.pt", card=card, images=images)

    entries = {ENTRY: ""}
    network = torch.jit.load(tmp_path / "raw.pt", _extra_files=entries)
    assert from_strings(json.loads(entries[ENTRY]), source="raw.pt") == card
    batch = torch.from_numpy(fitted(images, nano.input_size))
    logits, offsets, priors = network(batch)
    with torch.no_grad():
        expected = nano(nano.normalise(batch))
    torch.testing.assert_close(logits, expected.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(offsets, expected.offsets, atol=1e-5, rtol=1e-4)
    assert torch.equal(priors, nano.priors)


def test_another_network_is_not_kept(nano, make, images, tmp_path, monkeypatch):
    other = make.nano(seed=1)
    monkeypatch.setattr(torchscript, "Predictions", lambda _: graph.Predictions(other))
    with pytest.raises(RuntimeError, match="Nothing was written"):
        export_torchscript(nano, tmp_path / "nano.pt", card=make_card(nano), images=images)
    assert not list(tmp_path.iterdir())


def test_any_size_is_refused_in_words(nano, images, tmp_path):
    card = make_card(nano, dynamic_size=True)
    with pytest.raises(ValueError, match="leave --dynamic-size out"):
        export_torchscript(nano, tmp_path / "nano.pt", card=card, images=images)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_the_same_in_torchscript(name, images, tmp_path):
    torch.manual_seed(0)
    detector = create_model(name, num_classes=3, input_size=100).eval()
    card = make_card(detector)
    found = export_torchscript(detector, tmp_path / "m.pt", card=card, images=images)
    assert found.detections > 0
