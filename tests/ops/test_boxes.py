"""Pixels to fractions of the image, and back."""

import pytest
import torch

from scratchdet.ops.boxes import denormalise, normalise

SIZE = (100, 200)  # height, width: different, so that mixing them up shows


@pytest.mark.parametrize("rows", [(0,), (3, 0), (0, 5)])
def test_no_boxes_stay_no_boxes(rows):
    nothing = torch.zeros(*rows, 4)
    assert normalise(nothing, SIZE).shape == (*rows, 4)
    assert denormalise(nothing, SIZE).shape == (*rows, 4)


def test_x_is_divided_by_the_width_and_y_by_the_height():
    boxes = torch.tensor([[20.0, 10.0, 100.0, 100.0]])
    assert normalise(boxes, SIZE).tolist() == [[pytest.approx(v) for v in (0.1, 0.1, 0.5, 1.0)]]


def test_a_batch_is_treated_like_its_images():
    boxes = torch.arange(24.0).reshape(2, 3, 4)
    assert torch.equal(normalise(boxes, SIZE)[1], normalise(boxes[1], SIZE))


def test_denormalise_undoes_normalise_and_neither_modifies_its_argument():
    boxes = torch.tensor([[-7.5, 0.0, 31.25, 250.0], [0.0, 0.0, 200.0, 100.0]])
    before = boxes.clone()
    fractions = normalise(boxes, SIZE)
    fractions_before = fractions.clone()
    torch.testing.assert_close(denormalise(fractions, SIZE), boxes)
    assert torch.equal(boxes, before)
    assert torch.equal(fractions, fractions_before)
