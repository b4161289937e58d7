"""A detector as a graph of ONNX's operators."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import onnx
import torch
from onnxscript import ir
from onnxscript import opset18 as op
from torch import Tensor, nn
from torch.export import Dim

from scratchdet.export.card import Card, Form
from scratchdet.export.graph import Choice, Outputs, Predictions, Rows, Whole
from scratchdet.export.quiet import quiet
from scratchdet.models.detector import Detector
from scratchdet.models.padding import sizes_kept

OPSET = 18
OUTPUTS: dict[Form, tuple[str, ...]] = {
    "end-to-end": ("boxes", "scores", "labels", "count"),
    "raw": ("logits", "offsets", "priors"),
}
CHECKED = ("all_scores", "all_boxes")
"""What the end-to-end form computes on the way: outputs while it is verified, not in the file."""
EXAMPLES = 2  # images that are traced: a batch of one would be taken for the only one there is
LEAST_MAP = 2  # side of the maps that are traced, for the same reason


def to_onnx(detector: Detector, card: Card) -> onnx.ModelProto:
    """The detector with its card, not yet verified; norms that follow a convolution are folded."""
    model = _of_any_size(detector, card) if card.dynamic_size else _of_one_size(detector, card)
    _strip(model)
    onnx.helper.set_model_props(model, card.to_strings())
    onnx.checker.check_model(model, full_check=True)
    return model


def _of_one_size(detector: Detector, card: Card) -> onnx.ModelProto:
    outputs = _outputs(detector, card, priors=detector.priors_for(card.input_size).cpu())
    program = _exported(
        Whole(Predictions(detector), outputs, size=card.input_size),
        {"images": _example(card)},
        outputs=_names(card),
        sizes=[{0: Dim("batch")}],
    )
    program.optimize()
    return program.model_proto


def _of_any_size(detector: Detector, card: Card) -> onnx.ModelProto:
    """The two halves exported by themselves, and put together.

    The exporter cannot follow the size of an image through a whole network: it takes minutes over
    rounded halves of rounded halves, and what is 1 once is 1 for ever. But the first half works on
    any size as it is, and to the second each map has a size of its own.
    """
    maps = _example_maps(detector)
    program = _exported(
        Predictions(detector),
        {"images": _example(card)},
        outputs=list(maps),
        sizes=[{0: Dim("batch")}],
    )
    for value in _computed(program.model.graph):
        value.shape = None
    program.model.graph.inputs[0].shape = ir.Shape(["batch", "height", "width", card.in_channels])
    program.optimize()
    first = program.model_proto
    first.graph.node.append(onnx.helper.make_node("Shape", ["images"], ["size"], start=1, end=3))
    first.graph.output.append(
        onnx.helper.make_tensor_value_info("size", onnx.TensorProto.INT64, [2])
    )
    levels = len(detector.specs)
    sizes = [{0: Dim("batch"), 2: Dim(f"h{i}"), 3: Dim(f"w{i}")} for i in range(levels)]
    program = _exported(
        _outputs(detector, card, priors=None),
        {"size": torch.tensor(card.input_size), **maps},
        outputs=_names(card),
        sizes=[{}, (*sizes, *sizes)],
    )
    program.optimize()
    second = onnx.compose.add_prefix(
        program.model_proto, "rows/", rename_inputs=False, rename_outputs=False
    )
    names = ["size", *maps]
    return onnx.compose.merge_models(first, second, io_map=[(name, name) for name in names])


def _outputs(detector: Detector, card: Card, *, priors: Tensor | None) -> Outputs:
    choice = Choice(
        min_score=card.min_score,
        top_per_class=card.top_per_class,
        nms_iou=card.nms_iou,
        keep=card.keep,
    )
    rows = Rows(detector.specs, num_classes=len(card.classes), priors=priors)
    return Outputs(rows, choice if card.form == "end-to-end" else None)


def _names(card: Card) -> list[str]:
    checked = CHECKED if card.form == "end-to-end" else ()
    return [*OUTPUTS[card.form], *checked]


def _example(card: Card) -> Tensor:
    shape = (EXAMPLES, *card.input_size, card.in_channels)
    return torch.zeros(shape, dtype=getattr(torch, card.image_dtype))


def _example_maps(detector: Detector) -> dict[str, Tensor]:
    """What `Predictions` computes, with its names: all of different sizes."""
    columns = {"classes": len(detector.classes) + 1, "boxes": 4}
    return {
        f"{kind}{level}": torch.zeros(
            EXAMPLES, len(spec) * width, LEAST_MAP + level, LEAST_MAP + level + 1
        )
        for kind, width in columns.items()
        for level, spec in enumerate(detector.specs)
    }


def _exported(
    network: nn.Module,
    inputs: dict[str, Tensor],
    *,
    outputs: list[str],
    sizes: Sequence[Any],
) -> torch.onnx.ONNXProgram:
    """The network in ONNX, not yet optimised. sizes: which of the inputs' are not fixed."""
    with quiet(), torch.no_grad(), sizes_kept():
        program = torch.onnx.export(
            network.eval(),
            tuple(inputs.values()),
            dynamo=True,
            optimize=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=tuple(sizes),
            custom_translation_table=TRANSLATIONS,
            verbose=False,
        )
    assert program is not None
    return program


def _computed(graph: ir.Graph) -> Iterator[ir.Value]:
    """Everything that the nodes of a graph compute."""
    for node in graph:
        yield from node.outputs


def _suppress(boxes: Any, scores: Any, iou: float, min_score: float) -> Any:
    """`graph.suppress`: what is selected, put where it was among zeros."""
    lists = op.Unsqueeze(scores, [1])
    selected = op.NonMaxSuppression(
        boxes,
        lists,
        op.Shape(scores, start=1, end=2),
        op.Constant(value_floats=[iou]),
        op.Constant(value_floats=[min_score]),
    )
    nothing = op.Sub(lists, lists)
    return op.Squeeze(op.ScatterND(nothing, selected, op.GatherND(lists, selected)), [1])


def _at_least(features: Any, side: int) -> Any:
    """`padding.at_least`."""
    size = op.Shape(features, start=2, end=4)
    wanted = op.Max(size, op.Constant(value_ints=[side, side]))
    return _padded(features, op.Sub(wanted, size))


def _as_large_as(features: Any, other: Any) -> Any:
    """`padding.as_large_as`."""
    size = op.Shape(features, start=2, end=4)
    return _padded(features, op.Sub(op.Shape(other, start=2, end=4), size))


def _to_multiples(images: Any, multiple: int) -> Any:
    """`padding.to_multiples`."""
    size = op.Shape(images, start=2, end=4)
    steps = op.Constant(value_ints=[multiple, multiple])
    return _padded(images, op.Sub(op.Mul(_steps(size, multiple), steps), size))


def _reduced_from(features: Any, images: Any, reduction: int) -> Any:
    """`padding.reduced_from`."""
    wanted = _steps(op.Shape(images, start=2, end=4), reduction)
    return _padded(features, op.Sub(wanted, op.Shape(features, start=2, end=4)))


def _steps(size: Any, step: int) -> Any:
    """How many steps are begun on each side."""
    less = op.Sub(size, op.Constant(value_ints=[1, 1]))
    whole = op.Div(less, op.Constant(value_ints=[step, step]))
    return op.Add(whole, op.Constant(value_ints=[1, 1]))


def _padded(features: Any, missing: Any) -> Any:
    """The map with so many more rows and columns; where they are negative, ONNX cuts off."""
    before = op.Constant(value_ints=[0, 0, 0, 0, 0, 0])  # all dimensions, then the first two again
    return op.Pad(features, op.Concat(before, missing, axis=0))


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.scratchdet.suppress.default: _suppress,
    torch.ops.scratchdet.at_least.default: _at_least,
    torch.ops.scratchdet.as_large_as.default: _as_large_as,
    torch.ops.scratchdet.to_multiples.default: _to_multiples,
    torch.ops.scratchdet.reduced_from.default: _reduced_from,
}


def _strip(model: onnx.ModelProto) -> None:
    """Removes what the exporter notes, source lines and paths of this machine, and `CHECKED`."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    checked = [output for output in graph.output if output.name in CHECKED]
    for output in checked:
        graph.output.remove(output)
    graph.value_info.extend(checked)
