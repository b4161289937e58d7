"""Small networks with the layers of the released ones, beside OpenCV 4's Caffe importer.

The networks are those of `small_ssd.prototxt` and of the texts below; ours are put together from
the layers, the head and the functions in `ops` that all our networks are made of.

Caffe's DetectionOutput and our `postprocess` differ by design in what they do to a box that reaches
outside the image. Ours clips it before NMS, Caffe only with `clip: true`, which the released
networks do not set; and of a box that is wholly outside ours drops what clipping leaves of it,
nothing, which Caffe keeps. So the detections must agree where every box lies inside, and with
`clip: true` where every box at least reaches in. All else is the same: the best `top_k` of every
class enter NMS, suppressed is what overlaps by more than the threshold, the best `keep_top_k` of
all classes remain, a score must be above the least, and a width is x2 - x1, not a pixel more.
"""

from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from caffe_writer import FACTOR, array_of, kind_and_tensors, to_bytes
from torch import Tensor, nn
from torchvision.ops import box_convert

from scratchdet.models.caffemodel import CaffeLayer
from scratchdet.models.detector import Detector
from scratchdet.models.head import MultiBoxHead
from scratchdet.models.layers import L2Norm, conv, pre_activation
from scratchdet.models.necks.dense import L2Normalised
from scratchdet.models.necks.recurrent_pyramid import Doubling, Gate
from scratchdet.ops.coding import VARIANCES, encode
from scratchdet.ops.postprocess import KEEP, MIN_SCORE, NMS_IOU, TOP_PER_CLASS, postprocess
from scratchdet.ops.priors import PriorSpec
from scratchdet.structures import Detections, Raw

SIZE = (45, 61)  # height, width: odd and different, so that rounding and order matter
SCALE = torch.tensor([61.0, 45.0, 61.0, 45.0])
CLASSES = 3


class SmallBackbone(nn.Module):
    """The three sources of `small_ssd.prototxt`, L2-normalised: what is between data and head."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
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
    """Why GRP-DSOD's recorded mbox_conf is 0.004 off: it comes of a second call.

    OpenCV 4 makes a transposed convolution and the norm behind it one layer of bias b. It does so
    again in every call for another output, from what the last has left: b becomes gain * b + b.
    """
    detector = small_detector()
    norm = detector.backbone.doubling.activate[0]
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    norm.bias += gain * (norm.bias - gain * norm.running_mean)
    faulty = computed.opencv["mbox_conf again"].reshape(computed.raw.logits.shape)
    assert (computed.raw.logits - faulty).abs().max() > 0.1
    logits = detector(computed.images).logits
    torch.testing.assert_close(logits, faulty, rtol=1e-5, atol=1e-5)


def test_priors_and_variances_equal_opencvs(computed):
    boxes_norm, variances = computed.opencv["mbox_priorbox"].reshape(2, -1, 4)
    ours = box_convert(computed.priors, "cxcywh", "xyxy")
    torch.testing.assert_close(ours, boxes_norm, rtol=0, atol=1e-6)
    expected = torch.tensor(VARIANCES).repeat_interleave(2).expand_as(variances)
    torch.testing.assert_close(variances, expected)


def detections(rows: Tensor) -> Detections:
    """Caffe's rows of image, label, score and box; rows of zeros, background, mean nothing."""
    rows = rows.reshape(-1, 7)
    rows = rows[rows[:, 1] > 0]
    return Detections(rows[:, 3:] * SCALE, rows[:, 2], rows[:, 1].long() - 1)


def assert_same(ours: Detections, theirs: Detections) -> None:
    """The same labels, scores and boxes, in whatever order."""
    assert len(ours.scores) == len(theirs.scores)
    # Of a label in the order of their scores, which differ by more than an error of rounding.
    orders = [
        np.lexsort((one.scores.numpy(), one.labels.numpy())).tolist() for one in (ours, theirs)
    ]
    (boxes, scores, labels), (boxes_there, scores_there, labels_there) = (
        [column[order] for column in one] for one, order in zip((ours, theirs), orders, strict=True)
    )
    assert torch.equal(labels, labels_there)
    torch.testing.assert_close(scores, scores_there, rtol=0, atol=1e-5)
    torch.testing.assert_close(boxes, boxes_there, rtol=0, atol=1e-3)


def test_detections_of_the_network_equal_opencvs(computed):
    (ours,) = postprocess(computed.raw, computed.priors, image_sizes=[SIZE])
    assert len(ours.labels.unique()) == CLASSES
    assert_same(ours, detections(computed.opencv["detection_out"]))


def boxes_and_scores(*, outside: float, count: int = 80) -> tuple[Raw, Tensor]:
    """Raw outputs and priors that make boxes which all reach into the image, and none of which
    reaches out of it by more than `outside` pixels."""
    generator = torch.Generator().manual_seed(0)
    low, high = SCALE[:2] * 0 - outside, SCALE[:2] + outside
    corners = low + (high - low) * torch.rand(2, 4 * count, 2, generator=generator)
    boxes = torch.cat([corners.amin(dim=0), corners.amax(dim=0)], dim=1)
    reaching_in = (boxes[:, :2] < SCALE[:2]).all(dim=1) & (boxes[:, 2:] > 0).all(dim=1)
    boxes = boxes[reaching_in][:count]
    priors = 0.1 + 0.5 * torch.rand(count, 4, generator=generator)
    logits = 2 * torch.randn(1, count, CLASSES + 1, generator=generator)
    return Raw(logits, encode(boxes / SCALE, priors)[None]), priors


RELEASED = {
    "min_score": MIN_SCORE,
    "top_per_class": TOP_PER_CLASS,
    "nms_iou": NMS_IOU,
    "keep": KEEP,
}
SETTINGS = {
    "released": RELEASED,
    "nothing": RELEASED | {"min_score": 1.0},
    "few": RELEASED | {"min_score": 0.6},
    "one_of_a_class": RELEASED | {"top_per_class": 1},
    "some_of_a_class": RELEASED | {"top_per_class": 20},
    "apart": RELEASED | {"nms_iou": 0.1},
    "close": RELEASED | {"nms_iou": 0.8},
    "seven": RELEASED | {"keep": 7},
}
OUTSIDE = {"inside": -0.5, "clipped": 10.0}


def detection_output(scene: str, setting: str) -> str:
    """A layer of Caffe's."""
    values = SETTINGS[setting]
    return f"""layer {{
      name: "{scene}_{setting}" type: "DetectionOutput" top: "{scene}_{setting}"
      bottom: "{scene}_loc" bottom: "{scene}_conf" bottom: "{scene}_priorbox"
      detection_output_param {{
        num_classes: {CLASSES + 1} share_location: true background_label_id: 0
        nms_param {{ nms_threshold: {values["nms_iou"]} top_k: {values["top_per_class"]} }}
        keep_top_k: {values["keep"]} confidence_threshold: {values["min_score"]}
        code_type: CENTER_SIZE clip: {str(scene == "clipped").lower()}
      }}
    }}"""


@pytest.fixture(scope="module")
def caffe_detections(opencv4) -> dict[str, Tensor]:
    """OpenCV's detections of both scenes with all settings, by one run of it."""
    inputs = {}
    for scene, outside in OUTSIDE.items():
        raw, priors = boxes_and_scores(outside=outside)
        variances = torch.tensor(VARIANCES).repeat_interleave(2).repeat(len(priors))
        corners = box_convert(priors, "cxcywh", "xyxy").flatten()
        inputs[f"{scene}_loc"] = raw.offsets.flatten(1)
        inputs[f"{scene}_conf"] = raw.logits.softmax(dim=-1).flatten(1)
        inputs[f"{scene}_priorbox"] = torch.stack([corners, variances])[None]
    both = list(product(OUTSIDE, SETTINGS))
    prototxt = "\n".join(detection_output(*pair) for pair in both)
    outputs = [f"{scene}_{setting}" for scene, setting in both]
    return opencv4(prototxt, inputs, outputs)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("scene", OUTSIDE)
def test_detections_equal_caffes_detection_output(caffe_detections, scene, setting):
    raw, priors = boxes_and_scores(outside=OUTSIDE[scene])
    (ours,) = postprocess(raw, priors, image_sizes=[SIZE], **SETTINGS[setting])
    assert (len(ours.scores) == 0) == (setting == "nothing")
    assert_same(ours, detections(caffe_detections[f"{scene}_{setting}"]))


def test_every_setting_of_detection_output_matters(caffe_detections):
    counts = {name: len(detections(rows).scores) for name, rows in caffe_detections.items()}
    for scene in OUTSIDE:
        released = counts.pop(f"{scene}_released")
        close = counts.pop(f"{scene}_close")
        others = [count for name, count in counts.items() if name.startswith(scene)]
        assert max(others) < released < close, counts
