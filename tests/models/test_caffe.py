"""Weights of Caffe networks in ours: the right ones in the right places."""

import numpy as np
import pytest
import torch
from caffe_writer import FACTOR, changed, layers_of, write_caffemodel
from torch import nn

from scratchdet.models.caffe import CAFFE_MODELS, load_caffe, published_form
from scratchdet.models.caffe_names import caffe_modules
from scratchdet.models.caffemodel import CaffeLayer, read_caffemodel
from scratchdet.models.detector import Detector
from scratchdet.models.zoo import MODELS, create_model

NAME = "dsod300_smallest"
SMALL = (64, 96)
IMAGES = torch.rand(1, 3, *SMALL) * 255 - 115


def trained(name: str = NAME, **choices: object) -> Detector:
    """A detector whose norms are not those of a new one either."""
    torch.manual_seed(0)
    detector = create_model(name, **choices).eval()
    for layer in detector.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.running_mean, layer.bias.data):
                values.normal_(0, 0.1)
            for values in (layer.running_var, layer.weight.data):
                values.uniform_(0.8, 1.2)
    return detector


@pytest.fixture(scope="module")
def parent() -> Detector:
    return trained()


@pytest.fixture
def layers(parent) -> list[CaffeLayer]:
    return layers_of(parent)


def assert_same_outputs(one: Detector, other: Detector) -> None:
    with torch.no_grad():
        ours, theirs = one.eval()(IMAGES), other.eval()(IMAGES)
    assert torch.equal(ours.logits, theirs.logits)
    assert torch.equal(ours.offsets, theirs.offsets)


def has_layout(name: str) -> bool:
    with torch.device("meta"):
        detector = create_model(name)
    try:
        return bool(caffe_modules(detector))
    except ValueError:
        return False


def test_the_models_are_those_whose_layers_are_known():
    dense = [name for name in MODELS if "dsod" in name]  # the others take long to build
    assert [name for name in dense if has_layout(name)] == list(CAFFE_MODELS)


@pytest.mark.parametrize("name", CAFFE_MODELS)
def test_every_network_comes_back_with_its_outputs(name):
    detector = trained(name)
    layers = layers_of(detector)
    form = published_form(name, layers)
    torch.manual_seed(1)
    loaded = create_model(name, form.num_classes, **form.choices)
    load_caffe(loaded, layers)
    assert_same_outputs(loaded, detector)
    assert loaded.specs == detector.specs
    for key, values in detector.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], values), key


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_file_of_every_kind_gives_the_same_outputs(version, dtype, parent, tmp_path):
    layers = [
        layer._replace(
            blobs=tuple(blob.astype(dtype) for blob in layer.blobs),
            prior_sizes=layer.prior_sizes if version == "V2" else (),
        )
        for layer in layers_of(parent)
    ]
    path = write_caffemodel(tmp_path / "net.caffemodel", layers, version=version)
    loaded = create_model(NAME)
    load_caffe(loaded, read_caffemodel(path))
    assert_same_outputs(loaded, parent)


@pytest.mark.parametrize("factor", [0.5, 1.0, FACTOR, -2.0])
def test_statistics_are_divided_by_their_factor(factor, parent):
    layers = layers_of(parent, factor=factor)
    (stored,) = [layer for layer in layers if layer.name == "BatchNorm1"]
    mean = parent.get_buffer("backbone.stem.0.1.running_mean")
    assert np.allclose(stored.blobs[0], factor * mean.numpy())
    loaded = create_model(NAME)
    load_caffe(loaded, layers)
    assert_same_outputs(loaded, parent)


def test_statistics_with_a_factor_of_zero_are_zero_as_in_caffe(parent, layers):
    stored = next(layer for layer in layers if layer.name == "BatchNorm1")
    layers = changed(layers, "BatchNorm1", blobs=(*stored.blobs[:2], np.zeros(1, np.float32)))
    loaded = create_model(NAME)
    load_caffe(loaded, layers)
    norm = caffe_modules(loaded)["BatchNorm1"]
    assert not norm.running_mean.any()
    assert not norm.running_var.any()
    assert caffe_modules(loaded)["BatchNorm2"].running_var.all()


def test_images_are_fed_as_caffe_was(parent, layers):
    loaded = create_model(NAME)
    load_caffe(loaded, layers)
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    bgr = image[..., ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
    fed = loaded.normalise(torch.from_numpy(image[None]))
    assert np.array_equal(fed.numpy(), bgr.transpose(2, 0, 1)[None])


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("dsod300", {"prior_sizes": "voc"}),
        ("dsod300", {"prior_sizes": "coco"}),
        ("dsod300_lite", {}),
        ("grp_dsod320", {"version": "320*"}),
        ("grp_dsod320", {"version": "320"}),
    ],
)
@pytest.mark.parametrize("num_classes", [1, 80])
def test_the_file_tells_the_classes_and_which_priors(name, choices, num_classes):
    layers = layers_of(create_model(name, num_classes, **choices))
    assert published_form(name, layers) == (num_classes, choices)


def test_without_priors_in_the_file_they_are_the_models_own():
    layers = [layer for layer in layers_of(create_model("dsod300", 80)) if layer.blobs]
    assert published_form("dsod300", layers) == (80, {"prior_sizes": "voc"})
