"""Maps that are padded or cut, at once and in what is exported."""

import pytest
import torch

from scratchdet.models.padding import as_large_as, at_least, reduced_from, sizes_kept, to_multiples

ONES = torch.ones(1, 2, 3, 5)


@pytest.mark.parametrize(
    ("padded", "size"),
    [
        (lambda: at_least(ONES, 4), (4, 5)),
        (lambda: at_least(ONES, 1), (3, 5)),
        (lambda: as_large_as(ONES, torch.zeros(1, 9, 4, 2)), (4, 2)),
        (lambda: to_multiples(ONES, 4), (4, 8)),
        (lambda: to_multiples(ONES, 1), (3, 5)),
        (lambda: reduced_from(ONES, torch.zeros(1, 1, 17, 32), 8), (3, 4)),
        (lambda: reduced_from(ONES, torch.zeros(1, 1, 1, 1), 8), (1, 1)),
    ],
)
def test_zeros_are_added_below_and_on_the_right_and_the_rest_is_cut_off(padded, size):
    height, width = size
    expected = torch.zeros(1, 2, height, width)
    expected[:, :, :3, :5] = 1
    assert torch.equal(padded(), expected)


def operators(program) -> int:
    called = {str(node.target) for node in program.graph.nodes}
    return sum("scratchdet." in name for name in called)


class Padded(torch.nn.Module):
    def forward(self, images):
        maps = to_multiples(images, 4)[:, :, ::4, ::4]
        return at_least(maps, 3), as_large_as(maps, images), reduced_from(maps, images, 8)


@pytest.mark.parametrize("size", [(1, 1), (4, 9), (13, 8)])
def test_what_is_exported_with_sizes_kept_has_an_operator_for_each_and_the_same_result(size):
    images = torch.randn(2, 3, *size)
    with sizes_kept():
        program = torch.export.export(Padded(), (images,), strict=False)
    assert operators(program) == 4
    for one, other in zip(program.module()(images), Padded()(images), strict=True):
        assert torch.equal(one, other)


def test_whoever_exports_without_asking_for_that_needs_none_of_the_operators():
    images = torch.randn(2, 3, 5, 7)
    assert operators(torch.export.export(Padded(), (images,), strict=False)) == 0
    with sizes_kept():
        Padded()(images)
    assert operators(torch.export.export(Padded(), (images,), strict=False)) == 0
