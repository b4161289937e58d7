"""Several input sizes and mirrored images, merged."""

import cv2
import numpy as np
import pytest
import torch

from scratchdet.models.zoo import MODELS, create_model
from scratchdet.ops.merging import taken
from scratchdet.structures import Arrays, as_arrays, nothing_found
from scratchdet.testing.multi_scale import LEAST_INPUT, MultiScale, Scale, mirror, sized

PLAIN = {"smallest": (0,), "largest": (1,), "flip": False, "merge": "vote", "merge_iou": 0.45}


class Toy:
    """Finds the one bright rectangle of an image in its resized copy, whole pixels of that; notes
    what it is asked. Its answer to the mirrored image is the mirrored answer.
    """

    classes, image_dtype, files, input_size = ("bright",), "uint8", "", (64, 96)

    def __init__(self, in_channels=3):
        self.in_channels, self.asked = in_channels, []

    def predict(self, images, *, input_size=None, min_score=0.0, keep=200):
        height, width = input_size or self.input_size
        if images:
            self.asked.append((len(images), height, width))
        return [self.look(np.atleast_3d(image), height, width) for image in images][: keep or None]

    def look(self, image, height, width):
        seen = cv2.resize(image.max(axis=2), (width, height), interpolation=cv2.INTER_AREA) > 127
        if not seen.any():
            return nothing_found()
        (rows, columns), factors = np.nonzero(seen), np.array(image.shape[1::-1]) / (width, height)
        corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        box = (np.array(corners) * np.tile(factors, 2)).astype(np.float32)
        return Arrays(box[None], np.array([0.5], np.float32), np.array([0]))


def scene(box=(20, 30, 60, 70), *, size=(128, 192), channels=3):
    image = np.zeros((*size, channels), np.uint8)
    left, top, right, bottom = box
    image[top:bottom, left:right] = 255
    return image


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(as_arrays(one), as_arrays(other), strict=True))


def scales(*factors, **choices):
    sizes = {"smallest": (0,) * len(factors), "largest": (1,) * len(factors)}
    return {**PLAIN, "scales": factors, **sizes, **choices}


@pytest.fixture(scope="module")
def nano():
    torch.manual_seed(0)
    return create_model("scratchdet_nano", 3, input_size=(64, 96)).eval()


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((64, 96), (81, 50))]


@pytest.mark.parametrize("factors", [(1.0,), (0.5, 1.0, 2.0)])
@pytest.mark.parametrize("flip", [False, True])
def test_no_image_is_no_result_and_a_dark_one_has_no_object(factors, flip):
    several = MultiScale(Toy(), **scales(*factors, flip=flip))
    assert several.predict([]) == []
    (nothing,) = several.predict([np.zeros((70, 90, 3), np.uint8)])
    assert equal(nothing, nothing_found())


@pytest.mark.parametrize("merge", ["vote", "nms"])
def test_one_pass_is_what_the_detector_says_exactly(nano, noise, merge):
    several = MultiScale(nano, **scales(1.0, merge=merge))
    choices = {"min_score": 0.05, "keep": 7, "nms_iou": 0.8}
    for given in ({}, choices):
        found, alone = several.predict(noise, **given), nano.predict(noise, **given)
        assert all(map(equal, found, alone))
        assert len(found[0].scores) > 1


def test_it_can_be_asked_about_what_the_detector_can():
    several = MultiScale(Toy(in_channels=1), **scales(1.0, 2.0, flip=True))
    assert (several.classes, several.in_channels, several.input_size) == (("bright",), 1, (64, 96))
    grey = scene(channels=1)
    assert equal(several.predict([grey])[0], several.predict([grey[:, :, 0]])[0])
    assert several.predict([grey])[0].boxes.round().tolist() == [[20, 30, 60, 70]]


def test_twice_mirrored_is_as_before():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 50, (5, 2))
    boxes = np.concatenate([corners, corners + 9], axis=1).astype(np.float32)
    found = Arrays(boxes, rng.random(5, np.float32), np.arange(5))
    assert equal(mirror(mirror(found, 77), 77), found)
    assert mirror(found, 77).boxes[0].tolist() == [
        77 - boxes[0, 2],
        boxes[0, 1],
        77 - boxes[0, 0],
        boxes[0, 3],
    ]
    assert equal(mirror(nothing_found(), 77), nothing_found())


@pytest.mark.parametrize("merge", ["vote", "nms"])
@pytest.mark.parametrize("box", [(20, 30, 60, 70), (0, 0, 40, 20), (150, 100, 192, 128)])
def test_what_is_the_same_when_mirrored_is_found_the_same_with_mirrored_images(merge, box):
    images = [scene(box), scene(box, size=(256, 384))]
    plain = MultiScale(Toy(), **scales(1.0, merge=merge)).predict(images)
    flipped = MultiScale(Toy(), **scales(1.0, flip=True, merge=merge)).predict(images)
    for one, other in zip(plain, flipped, strict=True):
        assert len(one.scores) == len(other.scores) == 1
        assert np.allclose(one.boxes, other.boxes, atol=1e-4)


def test_every_scale_is_asked_for_and_large_inputs_about_fewer_images_at_a_time():
    toy = Toy()
    several = MultiScale(toy, **scales(0.51, 1.0, 2.0, flip=True))
    several.predict([scene()] * 9)
    assert toy.asked == [
        *[(9, 33, 49)] * 2,
        *[(9, 64, 96)] * 2,
        *[(2, 128, 192)] * 4,
        (1, 128, 192),
        *[(2, 128, 192)] * 4,
        (1, 128, 192),
    ]
    toy.asked.clear()
    several.predict([scene()], input_size=(100, 200))
    assert [size for _, *size in toy.asked[::2]] == [[51, 102], [100, 200], [200, 400]]


def test_boxes_of_several_scales_are_in_pixels_of_the_image_and_voted_on():
    # Edges at 22 and 62 of 192 are seen to 4 px at half the size of 48, to 1 px at 192.
    image = scene((22, 40, 62, 80))
    toy = Toy()
    seen = [toy.predict([image], input_size=size)[0].boxes[0] for size in ((32, 48), (128, 192))]
    assert not np.allclose(*seen)
    (found,) = MultiScale(toy, **scales(0.5, 2.0)).predict([image])
    assert np.allclose(found.boxes, [np.mean(seen, axis=0)])
    (best,) = MultiScale(toy, **scales(0.5, 2.0, merge="nms")).predict([image])
    assert np.allclose(best.boxes, seen[0])


def test_each_scale_gives_the_objects_of_its_sizes_only():
    image = np.zeros((100, 400, 3), np.uint8)  # boxes of 0.1, 0.5 and 1 of it
    sides = ([0, 0, 40, 10], [0, 0, 200, 50], [0, 0, 400, 100])
    found = Arrays(np.array(sides, np.float32), np.ones(3, np.float32), np.arange(3))

    def kept(smallest, largest):
        return sized(found, image, Scale(1.0, smallest, largest)).labels.tolist()

    assert kept(0, 1) == [0, 1, 2]
    assert kept(0.5, 1) == [1, 2]
    assert kept(0.5001, 1) == [2]
    assert kept(0, 0.5) == [0, 1]
    assert kept(0, 0.4999) == [0]
    assert kept(0.2, 0.3) == []
    outside = found._replace(boxes=found.boxes + np.array([0, 0, 5, 5], np.float32))
    assert sized(outside, image, Scale(1.0, 0.9, 1)).labels.tolist() == [2]


def test_small_objects_can_be_taken_from_the_large_input_alone():
    small, large = (22, 40, 30, 48), (22, 20, 122, 120)
    several = MultiScale(Toy(), **{**scales(0.5, 2.0), "smallest": (0.2, 0), "largest": (1, 0.19)})
    toy = Toy()
    for box, size in ((small, (128, 192)), (large, (32, 48))):
        (found,) = several.predict([scene(box)])
        assert equal(found, toy.predict([scene(box)], input_size=size)[0])


def test_no_more_are_left_than_are_to_be_kept(nano, noise):
    several = MultiScale(nano, **scales(0.75, 1.0, flip=True))
    found = several.predict(noise, keep=5)
    assert [len(one.scores) for one in found] == [5, 5]
    assert all((np.diff(one.scores) <= 0).all() for one in found)
    assert max(len(one.scores) for one in several.predict(noise, min_score=0.0)) <= 200


@pytest.mark.parametrize("merge", ["vote", "nms"])
def test_boxes_are_where_they_are_however_few_of_them_are_asked_for(nano, noise, merge):
    several = MultiScale(nano, **scales(0.75, 1.0, flip=True, merge=merge))
    for number, everything in enumerate(several.predict(noise)):
        for share in (0.1, 0.5, 0.9):
            least = float(np.quantile(everything.scores, share))
            fewer = several.predict(noise, min_score=least)[number]
            assert equal(fewer, taken(everything, everything.scores > least))
            assert 1 < len(fewer.scores) < len(everything.scores)
        assert equal(several.predict(noise, keep=5)[number], taken(everything, slice(5)))


class Exported(Toy):
    """Finds nothing that scores less than 0.4, and no more than 100 objects, whoever asks."""

    def predict(self, images, *, input_size=None, min_score=0.4, keep=100):
        if min_score < 0.4 or keep > 100:
            raise ValueError(f"exported with 0.4 and 100, asked for {min_score:g} and {keep}")
        return super().predict(images, input_size=input_size)


def test_an_exported_network_gives_what_it_was_exported_with_and_refuses_what_is_more():
    several = MultiScale(Exported(), **scales(1.0, 2.0))
    for choices, count in (({}, 1), ({"min_score": 0.45}, 1), ({"min_score": 0.5, "keep": 9}, 0)):
        assert len(several.predict([scene()], **choices)[0].scores) == count
    for choices in ({"min_score": 0.3}, {"keep": 150}, {"min_score": 0.001}, {"keep": 900}):
        with pytest.raises(ValueError, match=r"exported with 0\.4 and 100"):
            several.predict([scene()], **choices)


def test_who_asks_for_more_than_is_usual_gets_it(nano, noise):
    several = MultiScale(nano, **scales(0.75, 1.0))
    assert max(len(one.scores) for one in several.predict(noise, keep=300)) == 300
    toy = Toy()
    toy.predict = lambda images, **choices: asked.append(choices) or [nothing_found()] * len(images)
    asked = []
    MultiScale(toy, **scales(1.0, 2.0)).predict([scene()], min_score=0.001)
    assert [choices.get("min_score") for choices in asked[-2:]] == [0.001] * 2


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_network_has_a_prior_for_each_output_at_any_size(name):
    with torch.device("meta"):
        detector = create_model(name, 2).eval()
    for side in (LEAST_INPUT, round(0.75 * detector.input_size[0]), 333):
        detector._priors = {}
        images = torch.empty(1, 3, side, side + 21, device="meta")
        with torch.device("cpu"):
            priors = detector.priors_for((side, side + 21))
        assert detector(images).offsets.shape[1:] == priors.shape


def test_an_input_that_would_be_tiny_is_refused_in_words():
    several = MultiScale(Toy(), **scales(1.0, 0.25))
    with pytest.raises(ValueError, match=r"at the scale 0\.25 the input would be 16 x 24 pixels"):
        several.predict([scene()])


def test_what_is_no_image_is_refused_in_words():
    several = MultiScale(Toy(), **scales(1.0, flip=True))
    with pytest.raises(ValueError, match="a list of images is wanted"):
        several.predict(scene())
    with pytest.raises(ValueError, match=r"image 0 has the shape \(128, 192, 1\)"):
        several.predict([scene(channels=1)])


def test_each_scale_must_have_its_sizes():
    with pytest.raises(ValueError, match="2 scales, 1 smallest and 1 largest sizes"):
        MultiScale(Toy(), **{**PLAIN, "scales": (1.0, 2.0)})
    with pytest.raises(ValueError, match="0 scales"):
        MultiScale(Toy(), **scales())


def test_a_size_that_the_predictor_cannot_do_is_its_own_error():
    class Fixed(Toy):
        def predict(self, images, *, input_size=None, **choices):
            if input_size != self.input_size:
                raise ValueError("this network was exported for one size")
            return super().predict(images, input_size=input_size)

    assert len(MultiScale(Fixed(), **scales(1.0, flip=True)).predict([scene()])) == 1
    with pytest.raises(ValueError, match="exported for one size"):
        MultiScale(Fixed(), **scales(1.0, 1.5)).predict([scene()])
