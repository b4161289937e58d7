"""Weights of other Caffe networks, or broken ones: an error that says where, and nothing is set."""

import numpy as np
import pytest
import torch
from caffe_writer import changed, layers_of

from scratchdet.models.caffe import load_caffe, published_form
from scratchdet.models.caffemodel import CaffeLayer
from scratchdet.models.detector import Detector
from scratchdet.models.zoo import create_model

NAME = "dsod300_smallest"


@pytest.fixture(scope="module")
def target() -> Detector:
    """What the loads, all refused, leave as it is."""
    return create_model(NAME)


@pytest.fixture(scope="module")
def parent() -> Detector:
    """Another one, every number of which would be seen in the target."""
    detector = create_model(NAME)
    for values in detector.state_dict().values():
        if values.is_floating_point():
            values.uniform_(0.8, 1.2)
    return detector


@pytest.fixture
def layers(parent) -> list[CaffeLayer]:
    return layers_of(parent)


def test_other_models_have_no_caffe_file(layers):
    with pytest.raises(ValueError, match="'ssd300_vgg16'; choose from dsod300, dsod300_lite"):
        published_form("ssd300_vgg16", layers)


def without(layers, name):
    return [layer for layer in layers if layer.name != name]


def with_blobs(name, change):
    """The layers, with the blobs of one of them changed."""

    def make(layers):
        blobs = next(layer.blobs for layer in layers if layer.name == name)
        return changed(layers, name, blobs=tuple(change(*[blob.copy() for blob in blobs])))

    return make


def filled(blob, value):
    blob.flat[-1] = value
    return blob


CONV = "layer 'Convolution2', blob 0: its shape is "
REFUSED = {
    "nothing": (lambda layers: [], "'Convolution1' is missing (and 281 more)"),
    "another network": (
        lambda layers: [CaffeLayer("conv1_1", "Convolution", layers[1].blobs)],
        "not the weights of dsod300_smallest: layer 'Convolution1' is missing (and 281 more); "
        "layer 'conv1_1' has no place in it",
    ),
    "one layer less": (
        lambda layers: without(layers, "Scale7"),
        "not the weights of dsod300_smallest: layer 'Scale7' is missing",
    ),
    "no weights in one": (
        lambda layers: changed(layers, "Scale7", blobs=()),
        "layer 'Scale7' is missing",
    ),
    "one layer more": (
        lambda layers: [*layers, layers[1]._replace(name="Convolution99")],
        "layer 'Convolution99' has no place in it",
    ),
    "a layer twice": (lambda layers: [*layers, layers[1]], "two layers are called 'Convolution1'"),
    "another type": (
        lambda layers: changed(layers, "Convolution2", type="InnerProduct"),
        "layer 'Convolution2' is 'InnerProduct', not Convolution",
    ),
    "a type that writes to the terminal": (
        lambda layers: changed(layers, "Convolution2", type="\x1b[2J\nfine"),
        r"layer 'Convolution2' is '\x1b[2J\nfine', not Convolution",
    ),
    "a name that writes to the terminal": (
        lambda layers: [*layers, layers[1]._replace(name="\x1b[2J\nfine")],
        r"layer '\x1b[2J\nfine' has no place in it",
    ),
    "a bias": (
        with_blobs("Convolution2", lambda weight: (weight, weight[0, :, 0, 0])),
        "layer 'Convolution2' has 2 blobs; 1 are expected: 64 x 64 x 3 x 3",
    ),
    "no factor": (
        with_blobs("BatchNorm2", lambda mean, variance, _: (mean, variance)),
        "layer 'BatchNorm2' has 2 blobs; 3 are expected: 64, 64, 1",
    ),
    "another shape": (
        with_blobs("Convolution2", lambda weight: (weight[:, :7],)),
        CONV + "64 x 7 x 3 x 3; 64 x 64 x 3 x 3 is expected",
    ),
    "axes in another order": (
        with_blobs("Convolution2", lambda weight: (weight.transpose(2, 3, 0, 1),)),
        CONV + "3 x 3 x 64 x 64; ",
    ),
    "flat": (
        with_blobs("Convolution2", lambda weight: (weight.reshape(-1),)),
        CONV + "36864; ",
    ),
    "a single number": (
        with_blobs("Convolution2", lambda weight: (weight[0, 0, 0, 0],)),
        CONV + "a single number; ",
    ),
    "a single number in the head": (
        with_blobs("First_norm_mbox_conf", lambda weight: (weight[0, 0, 0, 0],)),
        "'First_norm_mbox_conf' has 0 outputs",
    ),
    "odd outputs": (
        with_blobs("First_norm_mbox_conf", lambda weight: (weight[:-1],)),
        "layer 'First_norm_mbox_conf' has 83 outputs: not so many for each of 4 priors",
    ),
    "background alone": (
        with_blobs("First_norm_mbox_conf", lambda weight: (weight[:4],)),
        "layer 'First_norm_mbox_conf' has 4 outputs",
    ),
    "other outputs further on": (
        with_blobs("Second_norm_mbox_conf", lambda weight: (weight[:84],)),
        "layer 'Second_norm_mbox_conf', blob 0: its shape is 84 x 512 x 3 x 3; 126 x 512 x 3 x 3",
    ),
    "more priors": (
        with_blobs("First_norm_mbox_loc", lambda weight: (weight.repeat(2, 0),)),
        "layer 'First_norm_mbox_loc' has 32 outputs, but 4 priors at a location need 16",
    ),
    "priors of other sizes": (
        lambda layers: changed(layers, "priors 0", prior_sizes=(21.0, 45.0)),
        "it has priors of the sizes 21, 45 px, not 30, 60 px",
    ),
    "priors with one size": (
        lambda layers: changed(layers, "priors 0", prior_sizes=(30.0,)),
        "it has priors of the sizes 30 px, not 30, 60 px",
    ),
    "fewer priors": (
        lambda layers: without(layers, "priors 5"),
        "it has 5 layers of priors, not 6",
    ),
    "NaN": (
        with_blobs("Convolution2", lambda weight: (filled(weight, np.nan),)),
        "layer 'Convolution2' has weights that are not finite",
    ),
    "infinity": (
        with_blobs("Scale2", lambda gamma, beta: (gamma, filled(beta, -np.inf))),
        "layer 'Scale2' has weights that are not finite",
    ),
    "too large for float32": (
        with_blobs("First_norm", lambda scale: (filled(scale.astype(np.float64), 1e300),)),
        "layer 'First_norm' has weights that are not finite",
    ),
    "an infinite factor": (
        with_blobs("BatchNorm2", lambda m, v, factor: (m, v, filled(factor, np.inf))),
        "layer 'BatchNorm2' has weights that are not finite",
    ),
    "a tiny factor": (
        with_blobs("BatchNorm2", lambda m, v, factor: (m, v, filled(factor, 1e-44))),
        "layer 'BatchNorm2' has weights that are not finite",
    ),
    "a negative variance": (
        with_blobs("BatchNorm2", lambda m, v, factor: (m, filled(v, -1), factor)),
        "layer 'BatchNorm2' has a negative variance",
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", REFUSED)
def test_other_weights_are_refused_and_nothing_is_set(what, layers, target):
    change, message = REFUSED[what]
    before = {name: values.clone() for name, values in target.state_dict().items()}
    inputs = (target.mean.clone(), target.std.clone(), target.channel_order)
    with pytest.raises(ValueError, match=r"layer|priors") as caught:
        load_caffe(target, change(layers))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()
    assert all(torch.equal(values, before[name]) for name, values in target.state_dict().items())
    assert torch.equal(target.mean, inputs[0])
    assert torch.equal(target.std, inputs[1])
    assert target.channel_order == inputs[2]


def test_another_number_of_classes_is_said_in_so_many_words(target):
    with pytest.raises(ValueError, match=r"for 7 classes, the detector for 20: .*num_classes=7"):
        load_caffe(target, layers_of(create_model(NAME, 7)))
