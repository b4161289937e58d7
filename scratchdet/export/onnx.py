"""A detector as an ONNX file, which is kept only if it computes what the detector does."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxscript import FLOAT
from onnxscript import opset18 as op
from torch import nn

from scratchdet.export.card import Card, Form
from scratchdet.export.graph import EndToEnd, RawOutputs
from scratchdet.export.verify import Difference, verify
from scratchdet.files import replacing
from scratchdet.models.detector import Detector
from scratchdet.ops.coding import VARIANCES
from scratchdet.ops.postprocess import KEEP, MIN_SCORE, NMS_IOU, TOP_PER_CLASS
from scratchdet.version import describe_code

OPSET = 18
OUTPUTS: dict[Form, tuple[str, ...]] = {
    "end-to-end": ("boxes", "scores", "labels", "count"),
    "raw": ("logits", "offsets", "priors"),
}
CHECKED = ("all_scores", "all_boxes")
"""What the end-to-end form computes on the way: outputs while it is verified, not in the file."""
EXAMPLES = 2  # images that are traced: a batch of one would be taken for the only one there is


def export_onnx(
    detector: Detector,
    path: Path,
    *,
    images: Sequence[np.ndarray],
    form: Form = "end-to-end",
    dynamic_size: bool = False,
    min_score: float = MIN_SCORE,
    top_per_class: int = TOP_PER_CLASS,
    nms_iou: float = NMS_IOU,
    keep: int = KEEP,
    about: Mapping[str, str] | None = None,
) -> Difference:
    """Writes `path`, if on `images` it says what the detector says; by how much it differs.

    images: as read, of any sizes. about: the metadata of the saved model: provenance and recipe.
    Raises RuntimeError, and writes nothing, if the exported network is not the same.
    """
    about = about or {}
    card = Card(
        form=form,
        model=str((detector.built_as or {}).get("name", "")),
        classes=detector.classes,
        input_size=detector.input_size,
        dynamic_size=dynamic_size,
        in_channels=detector.in_channels,
        image_dtype=detector.image_dtype,
        files=detector.files,
        channel_order=detector.channel_order,
        mean=tuple(detector.mean.tolist()),
        std=tuple(detector.std.tolist()),
        min_score=min_score,
        top_per_class=top_per_class,
        nms_iou=nms_iou,
        keep=keep,
        variances=VARIANCES,
        provenance=about.get("provenance", ""),
        recipe=about.get("recipe", ""),
        code=describe_code(),
    )
    model = to_onnx(detector, card)
    difference = verify(detector, session_of(model), images, card=card)
    with replacing(path) as temporary:
        onnx.save(model, temporary)
    return difference


def to_onnx(detector: Detector, card: Card) -> onnx.ModelProto:
    """The detector with its card, not yet verified; norms that follow a convolution are folded."""
    raw = RawOutputs(detector, size=None if card.dynamic_size else card.input_size)
    network: nn.Module = raw
    outputs = OUTPUTS[card.form]
    if card.form == "end-to-end":
        outputs += CHECKED
        network = EndToEnd(
            raw,
            min_score=card.min_score,
            top_per_class=card.top_per_class,
            nms_iou=card.nms_iou,
            keep=card.keep,
        )
    shape = (EXAMPLES, *card.input_size, card.in_channels)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            network.eval(),
            (torch.zeros(shape, dtype=getattr(torch, card.image_dtype)),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            custom_translation_table={torch.ops.scratchdet.suppress.default: _suppress},
            verbose=False,
        )
    assert program is not None
    model = _stripped(program.model_proto)
    onnx.helper.set_model_props(model, card.to_strings())
    onnx.checker.check_model(model, full_check=True)
    return model


def session_of(model: onnx.ModelProto) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A function from images to everything that `model` computes of them, `CHECKED` included."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {value.name: value for value in shown.graph.value_info}
    shown.graph.output.extend(known[name] for name in CHECKED if name in known)
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(None, {"images": images}), strict=True))


def _suppress(boxes: FLOAT, scores: FLOAT, iou: float, min_score: float) -> FLOAT:
    """`graph.suppress` in ONNX: what is selected, put where it was among zeros."""
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


def _stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what the exporter notes: source lines and paths of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    shown = [output for output in graph.output if output.name in CHECKED]
    for output in shown:
        graph.output.remove(output)
    graph.value_info.extend(shown)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, the exporter's remarks about itself are not shown; errors are raised as ever."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
