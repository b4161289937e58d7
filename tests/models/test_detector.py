"""The detector as a whole: rows in the order of the priors, and `predict` on images as they are."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import box_convert

from scratchdet.models.detector import Detector, build_detector, measure
from scratchdet.models.head import MultiBoxHead
from scratchdet.models.zoo import create_model
from scratchdet.ops.coding import decode
from scratchdet.ops.pixels import DTYPES, check_images
from scratchdet.ops.priors import PriorSpec, make_priors
from scratchdet.structures import Raw

SIZE = (64, 96)


def nano(*, seed=0, **choices):
    """An untrained small network, which sees objects everywhere."""
    torch.manual_seed(seed)
    return create_model("scratchdet_nano", **{"num_classes": 2, "input_size": SIZE, **choices})


def image(height=40, width=50, channels=3, *, seed=0):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class FixedHead(nn.Module):
    """Says that there is an object of label 1 at one prior, whatever the maps."""

    def __init__(self, priors, row):
        super().__init__()
        logits = torch.tensor([9.0, 0.0, 0.0]).repeat(priors, 1)
        logits[row] = torch.tensor([0.0, 0.0, 9.0])
        self.raw = Raw(logits, torch.zeros(priors, 4))

    def forward(self, maps):
        batch = len(maps[0])
        return Raw(*(values.expand(batch, -1, -1) for values in self.raw))


class OneMap(nn.Module):
    """A network of one map."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, images):
        return [self.layer(images)]


class Pass(nn.Module):
    """A neck that adds nothing."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, maps):
        return maps


def test_no_images_have_no_detections():
    assert nano().predict([]) == []


def test_images_of_any_size_are_detected_on_within_their_borders():
    sizes = [(1, 1), (40, 50), (333, 21), (64, 96)]
    results = nano().predict([image(*size) for size in sizes])
    assert len(results) == len(sizes)
    for found, (height, width) in zip(results, sizes, strict=True):
        assert len(found.boxes) > 0
        assert (found.boxes >= 0).all()
        assert (found.boxes <= torch.tensor([width, height, width, height])).all()
        assert set(found.labels.tolist()) <= {0, 1}


def test_an_image_is_detected_on_alone_as_among_others():
    detector, images = nano(), [image(40, 50), image(77, 30, seed=1)]
    together = detector.predict(images, keep=20)
    for found, one in zip(together, images, strict=True):
        (alone,) = detector.predict([one], keep=20)
        torch.testing.assert_close(found.scores, alone.scores, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.boxes, alone.boxes, atol=1e-2, rtol=1e-3)


def test_a_detection_is_found_where_its_prior_lies_in_the_image():
    detector = nano()
    row = 77
    detector.head = FixedHead(len(detector.priors), row)
    (found,) = detector.predict([image(30, 400)], min_score=0.5)
    expected = box_convert(detector.priors[row], "cxcywh", "xyxy") * torch.tensor([400, 30] * 2)
    torch.testing.assert_close(found.boxes, expected.clamp(min=0)[None])
    assert found.labels.tolist() == [1]


def test_the_network_sees_the_whole_image_the_right_way_up():
    detector, seen = nano(), []
    detector.register_forward_pre_hook(lambda module, images: seen.append(images[0]))
    picture = np.zeros((2 * SIZE[0], SIZE[1], 3), np.uint8)
    picture[: SIZE[0], : SIZE[1] // 2] = 255  # white is the upper left quarter
    detector.predict([picture])
    white = torch.zeros(*SIZE, dtype=torch.bool)
    white[: SIZE[0] // 2, : SIZE[1] // 2] = True
    # But for the edge, which is blurred.
    assert ((seen[0] > 0) != white).float().mean() < 0.02


def test_a_grey_image_may_lack_its_axis_of_channels():
    detector = nano(in_channels=1)
    grey = image(40, 50, channels=None)
    (flat,), (deep,) = detector.predict([grey]), detector.predict([grey[..., None]])
    assert len(flat.boxes) > 0
    assert torch.equal(flat.boxes, deep.boxes)


def test_five_channels_will_do():
    assert len(nano(in_channels=5).predict([image(channels=5)])) == 1


@pytest.mark.parametrize("training", [True, False])
def test_prediction_leaves_the_detector_as_it_was(training):
    detector = nano().train(training)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    detector.predict([image()])
    assert detector.training == detector.backbone.training == training
    for name, value in detector.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_prediction_does_not_modify_images():
    given = image(*SIZE)  # of the network's size already: nothing to resize
    before = given.copy()
    nano().predict([given])
    np.testing.assert_array_equal(given, before)


def test_prediction_takes_the_choices_of_post_processing():
    detector, images = nano(), [image()]
    (few,) = detector.predict(images, keep=3)
    assert len(few.boxes) == 3
    (none,) = detector.predict(images, min_score=1.0)
    assert none.boxes.shape == (0, 4)


def test_prediction_at_another_size():
    (found,) = nano().predict([image()], input_size=(96, 64))
    assert len(found.boxes) > 0


def test_a_detector_can_be_trained_on_after_predicting():
    # What inference computes must not spoil the priors for autograd, nor the boxes for the caller.
    detector = nano()
    (found,) = detector.predict([image()])
    raw = detector.train()(torch.randn(2, 3, *SIZE))
    decode(raw.offsets, detector.priors).sum().backward()
    found.boxes.add_(1.0)


def test_images_are_normalised_by_channel():
    detector = nano(in_channels=2)
    detector.mean, detector.std = torch.tensor([10.0, 100.0]), torch.tensor([2.0, 5.0])
    images = torch.tensor([[[[12, 90], [10, 110]]]], dtype=torch.uint8)  # 1 x 1 x 2 x 2
    assert detector.normalise(images).tolist() == [[[[1.0, 0.0]], [[-2.0, 2.0]]]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_of_every_type_are_normalised_as_the_numbers_they_are(dtype):
    detector = nano(in_channels=2)
    detector.mean, detector.std = torch.tensor([10.0, 100.0]), torch.tensor([2.0, 5.0])
    images = torch.from_numpy(np.array([[[[12, 90], [10, 110]]]], dtype))
    found = detector.normalise(images)
    assert found.dtype == torch.float32
    assert found.tolist() == [[[[1.0, 0.0]], [[-2.0, 2.0]]]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 10, 426])
def test_images_of_every_type_and_number_of_channels_are_predicted(channels, dtype):
    detector = nano(in_channels=channels)
    detector.image_dtype = dtype
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, channels)).astype(dtype)
    (found,) = detector.predict([pixels])
    assert len(found.boxes) > 0
    assert torch.isfinite(found.scores).all()
    detector.image_dtype = "uint8" if dtype != "uint8" else "uint16"
    with pytest.raises(ValueError, match=f"type {dtype}; this detector takes .* of uint"):
        detector.predict([pixels])


def test_pixels_that_are_not_finite_are_refused():
    pixels = np.zeros((9, 9, 1), np.float32)
    check_images([pixels], 1, dtype="float32")
    pixels[3, 4] = np.nan
    with pytest.raises(ValueError, match="image 0 has values that are not finite"):
        check_images([pixels], 1, dtype="float32")


def test_priors_follow_the_weights():
    detector = nano()
    assert detector.priors.device.type == "cpu"
    assert detector.to("meta").priors.device.type == "meta"


def test_priors_belong_to_the_maps():
    detector = nano()
    shapes = measure(detector.neck, measure(detector.backbone, (3, *SIZE)))
    expected = make_priors(detector.specs, [(h, w) for _, h, w in shapes], SIZE)
    assert torch.equal(detector.priors, expected)


def test_measuring_leaves_the_module_alone():
    layer = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert measure(OneMap(layer), (3, 8, 9)) == [(4, 6, 7)]
    assert layer.training
    assert layer[0].weight.device.type == "cpu"
    assert torch.count_nonzero(layer[1].running_mean) == 0


def test_rows_of_the_head_are_in_the_order_of_the_priors():
    specs = [PriorSpec(min_size=8.0), PriorSpec(min_size=16.0, max_size=30.0)]
    sizes = [(3, 5), (2, 2)]
    torch.manual_seed(0)
    head = MultiBoxHead([4, 6], [len(spec) for spec in specs], num_classes=2, norm="none")
    for predictor in (*head.classes, *head.boxes):
        nn.init.zeros_(predictor[0].bias)
        # A location sees itself alone.
        predictor[0].weight.data[:, :, [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
    priors = make_priors(specs, sizes, (30, 50))
    for level, (row, column) in ((0, (2, 1)), (0, (0, 4)), (1, (1, 0))):
        maps = [torch.zeros(1, c, *size) for c, size in zip((4, 6), sizes, strict=True)]
        maps[level][0, :, row, column] = torch.randn(maps[level].shape[1])
        rows, columns = sizes[level]
        centre = torch.tensor([(column + 0.5) / columns, (row + 0.5) / rows])
        here = torch.isclose(priors[:, :2], centre).all(1) & of_level(level, specs, sizes)
        assert here.sum() == len(specs[level])
        for values in head(maps):
            assert torch.equal((values[0] != 0).any(1), here)


def of_level(level, specs, sizes):
    counts = torch.tensor([len(s) * h * w for s, (h, w) in zip(specs, sizes, strict=True)])
    return torch.repeat_interleave(torch.arange(len(specs)), counts) == level


def test_channels_of_the_head_are_prior_then_column():
    head = MultiBoxHead([1], [2], num_classes=2, norm="none")
    for predictor, outputs in ((head.classes[0], 6), (head.boxes[0], 8)):
        nn.init.zeros_(predictor[0].weight)
        predictor[0].bias.data = torch.arange(float(outputs))
    raw = head([torch.zeros(1, 1, 1, 1)])
    assert raw.logits.tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert raw.offsets.tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7]]]


def test_own_parts_make_a_detector():
    detector = build_detector(
        OneMap(nn.Conv2d(3, 7, 3, stride=4)),
        Pass,
        [PriorSpec(min_size=10.0)],
        input_size=(20, 30),
        in_channels=3,
        num_classes=2,
        norm_head="none",
    )
    assert isinstance(detector, Detector)
    assert detector.neck.channels == [7]
    assert detector(torch.randn(1, 3, 20, 30)).logits.shape == (1, 5 * 7 * 3, 3)


def test_a_prior_spec_for_every_map_is_needed():
    with pytest.raises(ValueError, match="2 prior specs for 1 feature maps"):
        build_detector(
            OneMap(nn.Conv2d(3, 7, 3)),
            Pass,
            [PriorSpec(min_size=10.0)] * 2,
            input_size=(20, 30),
            in_channels=3,
            num_classes=2,
            norm_head="none",
        )


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (np.zeros((9, 9, 3), np.uint8), "a list of images is wanted, not ndarray"),
        ("photo.jpg", "a list of images is wanted, not str"),
        (["photo.jpg"], "image 0 is str"),
        ([torch.zeros(9, 9, 3)], "image 0 is Tensor"),
        ([np.zeros((3, 9, 9), np.uint8)], r"image 0 has the shape \(3, 9, 9\)"),
        ([np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 3))], "image 1 has .* type float64"),
        ([np.zeros((9, 9), np.uint8)], r"takes \(H, W, 3\) of uint8"),
        ([np.zeros((0, 9, 3), np.uint8)], "image 0 is empty"),
    ],
)
def test_what_is_no_list_of_images_is_refused_in_words(images, why):
    with pytest.raises(ValueError, match=why):
        check_images(images, 3)


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1)])
def test_grey_images_come_with_a_channel_or_without(shape):
    check_images([np.zeros(shape, np.uint8)], 1)
