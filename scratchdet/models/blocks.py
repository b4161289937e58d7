"""The blocks of a network, for figures about each: few, and called as they stand in the code."""

from collections.abc import Iterator

from torch import nn

from scratchdet.models.detector import Detector

MOST = 10  # blocks of a backbone: more are not read


def blocks_of(detector: Detector) -> dict[str, list[nn.Parameter]]:
    """The trained parameters, each in one block, from the image to the outputs.

    Blocks are the stages of the backbone (or all of it, where those are more than MOST), the neck,
    and the two outputs of the head.
    """
    stages = list(_stages(detector.backbone, "backbone"))
    names = [
        *(stages if len(stages) <= MOST else []),
        *(f"head.{name}" for name, _ in detector.head.named_children()),
        *(name for name, _ in detector.named_children()),  # what is in none of the others
    ]
    blocks: dict[str, list[nn.Parameter]] = {}
    for name, parameter in detector.named_parameters():
        if parameter.requires_grad:
            block = next(block for block in names if name.startswith(f"{block}."))
            blocks.setdefault(block, []).append(parameter)
    return blocks


def _stages(module: nn.Module, name: str) -> Iterator[str]:
    """The names of its children; in place of an only child, and of a list of most of it, theirs."""
    sizes = {own: _size(child) for own, child in module.named_children() if _size(child)}
    for own, size in sizes.items():
        child = module.get_submodule(own)
        most = isinstance(child, nn.ModuleList) and size > sum(sizes.values()) / 2
        if (most or len(sizes) == 1) and next(child.children(), None) is not None:
            yield from _stages(child, f"{name}.{own}")
        else:
            yield f"{name}.{own}"


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
