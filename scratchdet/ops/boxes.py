"""What torchvision.ops lacks for boxes: units. For formats, it has `box_convert`."""

from jaxtyping import Float
from torch import Tensor


def normalise(boxes: Float[Tensor, "*rows 4"], size: tuple[int, int]) -> Float[Tensor, "*rows 4"]:
    """xyxy boxes in pixels as fractions of an image of `size` (height, width)."""
    height, width = size
    return boxes / boxes.new_tensor([width, height, width, height])


def denormalise(
    boxes_norm: Float[Tensor, "*rows 4"], size: tuple[int, int]
) -> Float[Tensor, "*rows 4"]:
    """xyxy boxes in pixels of an image of `size` (height, width), from fractions of it."""
    height, width = size
    return boxes_norm * boxes_norm.new_tensor([width, height, width, height])
