"""What is exported computes what the detector does, for every model, or is not written."""

import numpy as np
import onnx
import pytest
import torch

from scratchdet.export import onnx as exporting
from scratchdet.export.card import from_strings
from scratchdet.export.onnx import export_onnx
from scratchdet.export.runtime import ExportedDetector
from scratchdet.export.to_onnx import to_onnx
from scratchdet.export.verify import LARGEST_BOX, LARGEST_SCORE
from scratchdet.models.zoo import MODELS, create_model


def entries(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def shapes(values) -> dict[str, list[object]]:
    """The dimensions of inputs or outputs: numbers, or names of those that are not fixed."""
    return {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in values
    }


def test_the_file_takes_any_number_of_images_and_gives_padded_detections(exported):
    model = onnx.load(exported)
    assert shapes(model.graph.input) == {"images": ["batch", 64, 96, 3]}
    assert shapes(model.graph.output) == {
        "boxes": ["batch", 200, 4],
        "scores": ["batch", 200],
        "labels": ["batch", 200],
        "count": ["batch"],
    }


def test_the_file_is_valid_and_has_norms_only_where_no_convolution_could_take_them_up(exported):
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    maker = {output: node.op_type for node in model.graph.node for output in node.output}
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    assert not [node.name for node in norms if maker.get(node.input[0]) == "Conv"]


def test_the_file_tells_nothing_of_the_machine_that_wrote_it(exported):
    content = exported.read_bytes()
    assert b"/scratchdet/" not in content
    assert b"site-packages" not in content


def test_the_metadata_say_what_the_detector_is(exported, nano):
    card = from_strings(entries(onnx.load(exported)), source=exported)
    assert card.classes == ("left", "right") == nano.classes
    assert (card.input_size, card.in_channels, card.image_dtype) == ((64, 96), 3, "uint8")
    assert card.mean == tuple(nano.mean.tolist())
    assert card.std == tuple(nano.std.tolist())
    assert (card.model, card.form) == ("scratchdet_nano", "end-to-end")
    assert (card.provenance, card.recipe) == ("from a test", 'name = "tést"\n')


def test_batches_of_one_and_four_find_what_the_detector_finds(exported, nano, images):
    network = ExportedDetector(exported)
    for batch in (images[:1], images[1:5]):
        for found, expected in zip(network.predict(batch), nano.predict(batch), strict=True):
            # Of noise, everything is found; what comes first among equals may differ at the end.
            rows = slice(0, 20)
            np.testing.assert_array_equal(found.labels[rows], expected.labels[rows])
            np.testing.assert_allclose(found.scores[rows], expected.scores[rows], atol=1e-4)
            np.testing.assert_allclose(found.boxes[rows], expected.boxes[rows], atol=0.01)


def test_a_network_that_computes_something_else_is_not_written(
    tmp_path, monkeypatch, exported, make, images
):
    other = make.nano(seed=1)
    monkeypatch.setattr(exporting, "to_onnx", lambda detector, card: onnx.load(exported))
    with pytest.raises(RuntimeError, match=r"scores differ by up to .* \(allowed: 0.001\)"):
        export_onnx(other, tmp_path / "other.onnx", images=images)
    assert list(tmp_path.iterdir()) == []


def change(model: onnx.ModelProto) -> None:
    """Makes every filter another one."""
    for entry in model.graph.initializer:
        if len(entry.dims) == 4:
            values = onnx.numpy_helper.to_array(entry) * np.float32(1.01)
            entry.CopyFrom(onnx.numpy_helper.from_array(values, entry.name))


def test_bytes_that_are_not_what_was_verified_are_not_written(
    tmp_path, monkeypatch, exported, nano, images
):
    monkeypatch.setattr(exporting, "to_onnx", lambda detector, card: onnx.load(exported))

    def save(model, path, *, save=onnx.save):
        change(model)
        save(model, path)

    monkeypatch.setattr(onnx, "save", save)
    with pytest.raises(RuntimeError, match=r"the file that was written gives other \w+ than"):
        export_onnx(nano, tmp_path / "other.onnx", images=images)
    assert list(tmp_path.iterdir()) == []


def test_metadata_that_do_not_arrive_are_not_written(tmp_path, monkeypatch, exported, nano, images):
    monkeypatch.setattr(exporting, "to_onnx", lambda detector, card: onnx.load(exported))
    monkeypatch.setattr(onnx.helper, "set_model_props", lambda model, metadata: None)
    with pytest.raises(RuntimeError, match="metadata are not read as they were written"):
        export_onnx(nano, tmp_path / "other.onnx", images=images, min_score=0.02)
    assert list(tmp_path.iterdir()) == []


def test_the_detector_is_as_it_was_after_it_was_exported(exported, nano, make):
    untouched = make.nano().state_dict()
    assert nano.state_dict().keys() == untouched.keys()
    for name, value in nano.state_dict().items():
        torch.testing.assert_close(value, untouched[name], rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("dynamic_size", [False, True], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_the_same_when_exported(tmp_path, name, dynamic_size, images):
    torch.manual_seed(0)
    detector = create_model(name, num_classes=3, input_size=100)
    difference = export_onnx(
        detector, tmp_path / "m.onnx", images=images, dynamic_size=dynamic_size
    )
    assert difference.score < LARGEST_SCORE
    assert difference.box < LARGEST_BOX
    assert difference.detections > 0
    network = ExportedDetector(tmp_path / "m.onnx")
    assert len(network.predict(images[:1])[0].scores) > 0


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["none", "sync_batch", "group", "group_ws"])
def test_every_norm_is_the_same_when_exported(tmp_path, make, images, norm):
    detector = make.nano(norm_backbone=norm, norm_head=norm)
    assert export_onnx(detector, tmp_path / "m.onnx", images=images).detections > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("channels", "dtype", "classes"),
    [
        (1, "uint8", 1),
        (2, "uint8", 2),
        (3, "uint16", 1),
        (10, "uint16", 3),
        (2, "float32", 2),
        (4, "int16", 2),
    ],
)
def test_any_pixels_and_a_single_class_are_the_same_when_exported(
    tmp_path, make, channels, dtype, classes
):
    detector = make.nano(
        in_channels=channels, classes=[f"class {number}" for number in range(classes)]
    )
    detector.image_dtype = dtype
    images = make.images(channels=channels, dtype=dtype)
    export_onnx(detector, tmp_path / "m.onnx", images=images)
    network = ExportedDetector(tmp_path / "m.onnx")
    assert (network.in_channels, network.image_dtype) == (channels, dtype)
    grey = [image[:, :, 0] for image in images] if channels == 1 else images
    assert len(network.predict(grey[:4])) == 4


@pytest.mark.slow
def test_images_are_given_as_rgb_where_the_network_was_trained_on_bgr(tmp_path, make, images):
    detector = make.nano()
    detector.channel_order = "bgr"
    detector.mean, detector.std = torch.tensor([104.0, 117.0, 123.0]), torch.tensor([58.8] * 3)
    export_onnx(detector, tmp_path / "m.onnx", images=images)
    (found,) = ExportedDetector(tmp_path / "m.onnx").predict(images[:1])
    (expected,) = detector.predict(images[:1])
    np.testing.assert_allclose(found.scores[:20], expected.scores[:20], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("dynamic_size", [False, True], ids=["fixed", "dynamic"])
def test_the_raw_form_gives_logits_offsets_and_priors(tmp_path, nano, images, dynamic_size):
    path = tmp_path / "raw.onnx"
    export_onnx(nano, path, images=images, form="raw", dynamic_size=dynamic_size)
    model = onnx.load(path)
    assert list(shapes(model.graph.output)) == ["logits", "offsets", "priors"]
    found = exporting.session_of(model)(np.stack([np.zeros((64, 96, 3), np.uint8)] * 3))
    np.testing.assert_allclose(found["priors"], nano.priors, atol=1e-7)
    assert found["logits"].shape == (3, len(nano.priors), 3)
    assert not {node.op_type for node in model.graph.node} & {"NonMaxSuppression", "TopK"}


@pytest.mark.slow
def test_a_network_of_dynamic_size_finds_the_same_at_any_size(tmp_path, nano, images):
    path = tmp_path / "dynamic.onnx"
    export_onnx(nano, path, images=images, dynamic_size=True)
    network = ExportedDetector(path)
    for size in ((1, 1), (33, 47), (64, 96), (131, 77), (300, 300)):
        (found,) = network.predict(images[:1], input_size=size)
        (expected,) = nano.predict(images[:1], input_size=size)
        assert len(found.scores) == len(expected.scores)
        np.testing.assert_allclose(found.scores[:10], expected.scores[:10], atol=1e-4)
        np.testing.assert_allclose(found.boxes[:10], expected.boxes[:10], atol=0.01)


@pytest.mark.slow
def test_the_same_detector_gives_the_same_file(nano, exported):
    model = onnx.load(exported)
    card = from_strings(entries(model), source=exported)
    again = to_onnx(nano, card)
    assert again.graph.SerializeToString(deterministic=True) == model.graph.SerializeToString(
        deterministic=True
    )
