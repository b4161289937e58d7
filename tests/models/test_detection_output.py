"""Our `postprocess` beside DetectionOutput of OpenCV 4's Caffe importer.

Caffe's DetectionOutput and our `postprocess` differ by design in what they do to a box that reaches
outside the image. Ours clips it before NMS, Caffe only with `clip: true`, which the released
networks do not set; and of a box that is wholly outside ours drops what clipping leaves of it,
nothing, which Caffe keeps. So the detections must agree where every box lies inside, and with
`clip: true` where every box at least reaches in. All else is the same: the best `top_k` of every
class enter NMS, suppressed is what overlaps by more than the threshold, the best `keep_top_k` of
all classes remain, a score must be above the least, and a width is x2 - x1, not a pixel more.
"""

from itertools import product

import pytest
import torch
from caffe_detections import assert_same, detections
from torch import Tensor
from torchvision.ops import box_convert

from scratchdet.ops.coding import VARIANCES, encode
from scratchdet.ops.limits import KEEP, MIN_SCORE, NMS_IOU, TOP_PER_CLASS
from scratchdet.ops.postprocess import postprocess
from scratchdet.structures import Raw

SIZE = (45, 61)  # height, width: odd and different, so that rounding and order matter
SCALE = torch.tensor([61.0, 45.0, 61.0, 45.0])
CLASSES = 3


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
    assert_same(ours, detections(caffe_detections[f"{scene}_{setting}"], SIZE))


def test_every_setting_of_detection_output_matters(caffe_detections):
    counts = {name: len(detections(rows, SIZE).scores) for name, rows in caffe_detections.items()}
    for scene in OUTSIDE:
        released = counts.pop(f"{scene}_released")
        close = counts.pop(f"{scene}_close")
        others = [count for name, count in counts.items() if name.startswith(scene)]
        assert max(others) < released < close, counts
