"""A small network with the layers of the released ones, beside OpenCV 4's Caffe importer.

The network is that of `small_ssd.prototxt`; ours is put together from the layers, the head and the
functions in `ops` that all our networks are made of.
"""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from caffe_detections import assert_same, detections
from caffe_reference import put_in_the_fault
from caffe_writer import FACTOR, array_of, kind_and_tensors, to_bytes
from torch import Tensor, nn
from torchvision.ops import box_convert

from scratchdet.models.backbones.densenet import make_pool
from scratchdet.models.caffemodel import CaffeLayer
from scratchdet.models.detector import Detector
from scratchdet.models.head import MultiBoxHead
from scratchdet.models.layers import L2Norm, conv, pre_activation
from scratchdet.models.necks.dense import L2Normalised
from scratchdet.models.necks.recurrent_pyramid import Doubling, Gate
from scratchdet.ops.coding import VARIANCES
from scratchdet.ops.postprocess import postprocess
from scratchdet.ops.priors import PriorSpec
from scratchdet.structures import Raw

SIZE = (45, 61)  # height, width: odd and different, so that rounding and order matter
CLASSES = 3


class SmallBackbone(nn.Module):
    """The three sources of `small_ssd.prototxt`, L2-normalised: what is between data and head."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = make_pool()
        self.same = nn.MaxPool2d(3, 1, padding=1)
        self.stem = conv(3, 8, 3, norm="batch")
        self.dense = nn.Sequential(
            *pre_activation(8, "batch"), nn.Conv2d(8, 6, 3, padding=1, bias=False)
        )
        self.dilated = conv(14, 32, 3, norm="none", dilation=2)
        self.strided = conv(32, 12, 3, norm="none", stride=2)
        self.doubling = Doubling(12, 16, 2, norm="batch", eps=1e-4)
        self.gate = Gate(16 + 32)
        self.norms = L2Normalised([14, 16 + 32, 12])

    def forward(self, images: Tensor) -> list[Tensor]:
        pooled = self.pool(self.stem(images))
        first = torch.cat([pooled, self.dense(pooled)], dim=1)
        fine = self.dilated(self.same(self.pool(first)))
        third = self.strided(fine)
        second = self.gate(torch.cat([self.doubling(third, fine), fine], dim=1))
        return self.norms([first, second, third])


def small_detector() -> Detector:
    """`small_ssd.prototxt` of our parts; no weight or statistic is neutral."""
    specs = (
        PriorSpec(min_size=6.0, max_size=13.0, ratios=(2.0,), step=2.0),
        PriorSpec(min_size=13.0, max_size=25.0, ratios=(1.6, 2.0, 3.0)),
        PriorSpec(min_size=25.0, ratios=(2.0,), step=8.0),
    )
    torch.manual_seed(0)
    detector = Detector(
        SmallBackbone(),
        nn.Identity(),
        MultiBoxHead(
            (14, 48, 12), [len(spec) for spec in specs], num_classes=CLASSES, norm="batch"
        ),
        specs=specs,
        input_size=SIZE,
        in_channels=3,
        num_classes=CLASSES,
    )
    for layer in detector.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            # About the gain it has: small in the head, so that no box leaves the image altogether.
            layer.weight.data *= 1 + 0.1 * torch.randn(len(layer.weight))
            nn.init.normal_(layer.bias, std=0.1)
        elif isinstance(layer, L2Norm):
            nn.init.normal_(layer.scale, mean=20.0)
    return detector.eval()


def caffe_modules(detector: Detector) -> dict[str, nn.Module]:
    """Our layer of every name in `small_ssd.prototxt` that has weights."""
    backbone, head = detector.backbone, detector.head
    normed = {
        "stem": backbone.stem[:2],
        "dense": (backbone.dense[2], backbone.dense[0]),
        "up": (backbone.doubling.spread, backbone.doubling.activate[0]),
    }
    modules = {
        "dilated": backbone.dilated[0],
        "strided": backbone.strided[0],
        "gate/squeeze": backbone.gate.squeeze,
        "gate/channel": backbone.gate.per_channel,
        "gate/overall": backbone.gate.overall,
    }
    for number, level in enumerate(("first", "second", "third")):
        modules[f"{level}/norm"] = backbone.norms.scales[number]
        normed |= {f"{level}/loc": head.boxes[number], f"{level}/conf": head.classes[number]}
    for name, (convolution, norm) in normed.items():
        modules |= {name: convolution, f"{name}/bn": norm, f"{name}/scale": norm}
    return modules


def weights(detector: Detector) -> bytes:
    """A .caffemodel, whose statistics are stored multiplied by a factor, as Caffe does."""
    layers = []
    for name, module in caffe_modules(detector).items():
        kind, tensors = kind_and_tensors(name, module, FACTOR)
        layers.append(CaffeLayer(name, kind, tuple(array_of(tensor) for tensor in tensors)))
    return to_bytes(layers)


class Computed(NamedTuple):
    """What OpenCV and what ours computes of the same images."""

    images: Tensor
    opencv: dict[str, Tensor]
    raw: Raw
    priors: Tensor


@pytest.fixture(scope="module")
def computed(opencv4) -> Computed:
    detector = small_detector()
    # A seed by which no two scores of a class and no overlap and its threshold are so near each
    # other that errors of rounding decide.
    images = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(866))
    opencv = opencv4(
        Path(__file__).with_name("small_ssd.prototxt").read_text(),
        {"data": images},
        ["mbox_loc", "mbox_conf", "mbox_priorbox", "detection_out"],
        weights=weights(detector),
        again=["mbox_conf"],
    )
    with torch.no_grad():
        return Computed(images, opencv, detector(images), detector.priors)


def test_logits_and_offsets_equal_opencvs(computed):
    # 31 x 23 locations of 4 priors, 16 x 12 of 8, 8 x 6 of 3
    assert computed.raw.logits.shape == (1, 4532, CLASSES + 1)
    for ours, name in ((computed.raw.offsets, "mbox_loc"), (computed.raw.logits, "mbox_conf")):
        theirs = computed.opencv[name].reshape(ours.shape)
        assert ours.std() > 0.4
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_opencv_adds_the_bias_of_a_norm_anew_in_every_call(computed):
    # Why GRP-DSOD's recorded mbox_conf is 0.004 off: it comes of a second call.
    faulty = computed.opencv["mbox_conf again"].reshape(computed.raw.logits.shape)
    assert (computed.raw.logits - faulty).abs().max() > 0.1
    detector = small_detector()
    put_in_the_fault(detector)
    logits = detector(computed.images).logits
    torch.testing.assert_close(logits, faulty, rtol=1e-5, atol=1e-5)


def test_priors_and_variances_equal_opencvs(computed):
    boxes_norm, variances = computed.opencv["mbox_priorbox"].reshape(2, -1, 4)
    ours = box_convert(computed.priors, "cxcywh", "xyxy")
    torch.testing.assert_close(ours, boxes_norm, rtol=0, atol=1e-6)
    expected = torch.tensor(VARIANCES).repeat_interleave(2).expand_as(variances)
    torch.testing.assert_close(variances, expected)


def test_detections_of_the_network_equal_opencvs(computed):
    (ours,) = postprocess(computed.raw, computed.priors, image_sizes=[SIZE])
    assert len(ours.labels.unique()) == CLASSES
    assert_same(ours, detections(computed.opencv["detection_out"], SIZE))
