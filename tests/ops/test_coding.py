"""Boxes as offsets from priors, and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_convert

from scratchdet.ops.coding import MAX_LOG_SCALE, VARIANCES, decode, encode

PRIOR = torch.tensor([[0.5, 0.5, 0.2, 0.4]])  # cxcywh

coordinates = st.floats(-0.5, 1.5, width=32)
sides = st.floats(0.015625, 2.0, width=32)
rectangles = st.tuples(coordinates, coordinates, sides, sides)


def rows(values):
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 4)


def test_no_boxes_give_no_offsets():
    nothing = torch.zeros(0, 4)
    assert encode(nothing, nothing).shape == (0, 4)
    assert decode(nothing, nothing).shape == (0, 4)
    assert decode(torch.zeros(2, 0, 4), nothing).shape == (2, 0, 4)


def test_by_hand():
    # Centre (0.54, 0.4), size 0.4 x 0.2: moved by 0.2 widths right and 0.25 heights up, x 2, x 1/2.
    box = torch.tensor([[0.34, 0.3, 0.74, 0.5]])
    log2 = 0.6931472
    expected = torch.tensor([[0.2 / 0.1, -0.25 / 0.1, log2 / 0.2, -log2 / 0.2]])
    torch.testing.assert_close(encode(box, PRIOR), expected)
    torch.testing.assert_close(decode(expected, PRIOR), box)


def test_a_prior_is_coded_as_zeros():
    box = box_convert(PRIOR, "cxcywh", "xyxy")
    torch.testing.assert_close(encode(box, PRIOR), torch.zeros(1, 4), atol=1e-6, rtol=0)
    torch.testing.assert_close(decode(torch.zeros(1, 4), PRIOR), box)


def test_variances_are_those_of_the_release():
    assert VARIANCES == (0.1, 0.2)
    one = decode(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), PRIOR)
    assert one[0, 0].item() == pytest.approx(0.5 - 0.1 + 0.1 * 0.2)  # a tenth of the width
    larger = decode(torch.tensor([[0.0, 0.0, 1.0, 0.0]]), PRIOR)
    assert (larger[0, 2] - larger[0, 0]).item() == pytest.approx(0.2 * 2.718281828**0.2)


@settings(deadline=None)
@given(pairs=st.lists(st.tuples(rectangles, rectangles), max_size=8))
def test_decode_undoes_encode(pairs):
    boxes = box_convert(rows([box for box, _ in pairs]), "cxcywh", "xyxy")
    priors = rows([prior for _, prior in pairs])
    torch.testing.assert_close(decode(encode(boxes, priors), priors), boxes, atol=1e-5, rtol=1e-5)


@settings(deadline=None)
@given(pairs=st.lists(st.tuples(st.tuples(*[st.floats(-5, 5, width=32)] * 4), rectangles)))
def test_encode_undoes_decode(pairs):
    offsets, priors = rows([given for given, _ in pairs]), rows([prior for _, prior in pairs])
    torch.testing.assert_close(encode(decode(offsets, priors), priors), offsets, atol=2e-3, rtol=0)


def test_a_batch_is_coded_like_its_images():
    torch.manual_seed(0)
    priors = torch.rand(5, 4) + 0.1
    offsets = torch.randn(2, 5, 4)
    boxes = decode(offsets, priors)
    assert torch.equal(boxes[1], decode(offsets[1], priors))
    assert torch.equal(encode(boxes, priors)[1], encode(boxes[1], priors))


def test_what_an_untrained_network_asks_for_stays_finite():
    wild = torch.tensor([[1e4, -1e4, 1e6, -1e6]])
    boxes = decode(wild, PRIOR)
    assert torch.isfinite(boxes).all()
    width = (boxes[0, 2] - boxes[0, 0]).item()
    assert width == pytest.approx(0.2 * 2.718281828**MAX_LOG_SCALE, rel=1e-3)


def test_arguments_are_not_modified():
    box, prior = torch.tensor([[0.1, 0.2, 0.5, 0.6]]), PRIOR.clone()
    kept = box.clone()
    decode(encode(box, prior), prior)
    assert torch.equal(box, kept)
    assert torch.equal(prior, PRIOR)
