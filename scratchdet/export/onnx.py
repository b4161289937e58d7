"""A detector as an ONNX file, which is kept only if it computes what the detector does."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from scratchdet.export.card import Card, Form
from scratchdet.export.to_onnx import CHECKED, to_onnx
from scratchdet.export.verify import Difference, verify, verify_file
from scratchdet.files import replacing
from scratchdet.models.detector import Detector
from scratchdet.ops.coding import VARIANCES
from scratchdet.ops.postprocess import KEEP, MIN_SCORE, NMS_IOU, TOP_PER_CLASS
from scratchdet.version import describe_code


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
    card = make_card(
        detector,
        form=form,
        dynamic_size=dynamic_size,
        min_score=min_score,
        top_per_class=top_per_class,
        nms_iou=nms_iou,
        keep=keep,
        about=about,
    )
    model = to_onnx(detector, card)
    run = session_of(model)
    difference = verify(detector, run, images, card=card)
    save_onnx(
        model,
        path,
        metadata=card.to_strings(),
        check=lambda written: verify_file(written, run, images, card=card),
    )
    return difference


def save_onnx(
    model: onnx.ModelProto,
    path: Path,
    *,
    metadata: Mapping[str, str],
    check: Callable[[Path], None] | None = None,
) -> None:
    """Writes `path`, completely or not at all.

    check: is given what was written before it takes its place; raises an error if that is wrong.
    """
    onnx.helper.set_model_props(model, dict(metadata))
    with replacing(path) as temporary:
        onnx.save(model, temporary)
        if check is not None:
            check(temporary)


def make_card(
    detector: Detector,
    *,
    form: Form = "end-to-end",
    dynamic_size: bool = False,
    min_score: float = MIN_SCORE,
    top_per_class: int = TOP_PER_CLASS,
    nms_iou: float = NMS_IOU,
    keep: int = KEEP,
    about: Mapping[str, str] | None = None,
) -> Card:
    """What an exported file will say of the detector; see `export_onnx`."""
    about = about or {}
    return Card(
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


def session_of(model: onnx.ModelProto) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A function from images to everything that `model` computes of them, `CHECKED` included."""
    shown = with_checked(model)
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(None, {"images": images}), strict=True))


def with_checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` that also gives out what it is verified by, `CHECKED`."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {value.name: value for value in shown.graph.value_info}
    shown.graph.output.extend(known[name] for name in CHECKED if name in known)
    return shown
