"""A detector over a data set."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from scratchdet.data.formats import read_data
from scratchdet.data.voc_write import write_voc
from scratchdet.evaluation.run import detect_all, evaluate, read_known, read_unannotated
from scratchdet.structures import DataError, Detections


class Seer:
    """Finds in every image the bright rectangle that `scenes` put there, and takes notes."""

    image_dtype, files = "uint8", ""

    def __init__(self, classes=("a", "b"), in_channels=3) -> None:
        self.classes, self.in_channels = classes, in_channels
        self.batches: list[int] = []
        self.shapes: set[tuple[int, ...]] = set()

    def predict(self, images):
        self.batches.append(len(images))
        self.shapes |= {image.shape for image in images}
        return [self.look(image) for image in images]

    def look(self, image) -> Detections:
        bright = (cv2.blur(image, (3, 3)).reshape(image.shape).max(axis=2) > 150).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(bright)
        if not width:
            return Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
        colour = image[top + height // 2, left + width // 2]
        name = "b" if image.shape[2] == 3 and colour[1] > 150 else "a"
        box = torch.tensor([[left, top, left + width, top + height]], dtype=torch.float32)
        return Detections(box, torch.ones(1), torch.tensor([self.classes.index(name)]))


@pytest.fixture(scope="module")
def root(tmp_path_factory, scenes):
    everything = scenes(9, empty={2, 7})
    splits = {"train": everything[:5], "test": everything[5:]}
    return write_voc(tmp_path_factory.mktemp("data") / "voc", splits, classes=("a", "b"))


def test_no_image_gives_no_detections_and_no_figure(root):
    nothing = read_data(root).subset([])
    assert detect_all(Seer(), nothing) == []
    assert np.isnan(evaluate(Seer(), nothing).ap50)


def test_what_finds_everything_has_full_marks(root):
    metrics = evaluate(Seer(), root, split="train+test")
    assert (metrics.num_images, metrics.num_objects) == (9, 7)
    assert metrics.ap50 == 1
    assert metrics.ap_per_class == {"a": 1.0, "b": 1.0}


def test_the_test_split_is_evaluated_when_nobody_says_which(root, tmp_path, scenes):
    assert evaluate(Seer(), root).num_images == 4
    splits = {"train": scenes(3), "val": scenes(2, seed=1)}
    splits["val"] = [(f"val_{name}", sample) for name, sample in splits["val"]]
    assert evaluate(Seer(), write_voc(tmp_path / "val", splits, classes=("a", "b"))).num_images == 2


def test_undecodable_images_are_left_out_of_an_evaluation_and_listed(tmp_path, scenes):
    root = write_voc(tmp_path / "voc", {"test": scenes(3)}, classes=("a", "b"))
    (root / "JPEGImages/001.jpg").write_bytes(b"no image")
    data = read_known(root, split="test", detector=Seer())
    assert [*data.ids] == ["000", "002"]
    assert "001.jpg" in str(data.problems[-1])
    assert evaluate(Seer(), root).num_images == 2


def test_images_without_annotations_are_read_for_a_submission(tmp_path, scenes):
    root = write_voc(tmp_path / "voc", {"test": scenes(4)}, classes=("a", "b"))
    for name in ("000", "002", "003"):
        (root / f"Annotations/{name}.xml").unlink()
    (root / "JPEGImages/003.jpg").write_bytes(b"no image")
    deep = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint16))[1]
    (root / "JPEGImages/000.jpg").write_bytes(deep.tobytes())  # of other pixels than it takes
    assert [*read_known(root, split="test", detector=Seer()).ids] == ["001"]
    data = read_unannotated(root, split="test", detector=Seer())
    assert ([*data.ids], data.num_objects, data.classes) == (["001", "002"], 0, ("a", "b"))
    dropped = " ".join(map(str, data.problems))
    assert "003" in dropped
    assert "000.jpg" in dropped
    assert [len(found.scores) for found in detect_all(Seer(), data)] == [1, 1]


@pytest.mark.parametrize("batch", [1, 4, 9, 50])
def test_detections_come_in_the_order_of_the_data_whatever_the_batch(root, batch):
    data, detector = read_data(root), Seer()
    found = detect_all(detector, data, batch=batch)
    assert sum(detector.batches) == len(found) == 9
    assert max(detector.batches) == min(batch, 9)
    for record, one in zip(data, found, strict=True):
        assert one.labels.tolist() == record.labels.tolist()
        assert np.allclose(one.boxes.numpy(), record.boxes, atol=2)


def test_progress_counts_the_images_done(root):
    done = []
    detect_all(Seer(), read_data(root), batch=4, progress=done.append)
    assert done == [4, 8, 9]


def test_images_are_read_with_the_channels_of_the_detector(root):
    detector = Seer(in_channels=1)
    detect_all(detector, read_data(root))
    assert detector.shapes == {(64, 64, 1)}


@pytest.mark.parametrize("protocol", ["voc", "voc07", "coco"])
def test_the_protocol_and_the_split_are_as_asked(root, protocol):
    metrics = evaluate(Seer(), root, protocol, split="test")
    assert metrics.protocol == protocol
    assert metrics.num_images == 4
    assert metrics.ap50 == pytest.approx(1)


def test_classes_are_matched_by_name_in_the_order_of_the_detector(root):
    assert evaluate(Seer(("b", "a")), root).ap50 == 1
    metrics = evaluate(Seer(("b", "unknown", "a")), root, split="train+test")
    assert metrics.ap50 == 1
    assert np.isnan(metrics.ap_per_class["unknown"])
    assert metrics.num_objects == 7


def test_data_in_another_order_of_classes_are_refused(root):
    with pytest.raises(DataError, match=r"classes a, b and the detector b, a: read the data with"):
        evaluate(Seer(("b", "a")), read_data(root))


def test_data_without_any_known_class_are_refused(root):
    with pytest.raises(DataError, match=r"no object to evaluate on, of the classes x, y\. 3 were"):
        evaluate(Seer(("x", "y")), root)


def test_data_without_objects_are_no_error(tmp_path, scenes):
    root = write_voc(tmp_path / "voc", {"test": scenes(2, empty={0, 1})}, classes=("a", "b"))
    metrics = evaluate(Seer(), root)
    assert metrics.num_images == 2
    assert np.isnan(metrics.ap50)


def test_an_unreadable_image_is_named(tmp_path, scenes):
    root = write_voc(tmp_path / "voc", {"test": scenes(3)}, classes=("a", "b"))
    data = read_data(root)
    (root / "JPEGImages/001.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"001\.jpg: the file is empty"):
        evaluate(Seer(), data)


def test_an_unknown_protocol_is_refused_with_those_there_are(root):
    with pytest.raises(ValueError, match=r"unknown protocol 'map': choose one of voc07, voc, coco"):
        evaluate(Seer(), root, "map")


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_nothing_is_found_in_an_image_damaged_since_the_survey_if_somebody_is_told(
    tmp_path, scenes, batch
):
    root = write_voc(tmp_path / "voc", {"test": scenes(5)}, classes=("a", "b"))
    data = read_data(root)
    whole = detect_all(Seer(), data, batch=batch)
    Path(data.paths[1]).write_bytes(b"")
    deeper = cv2.imencode(".png", np.zeros((64, 64), np.uint16))[1]
    Path(data.paths[4]).write_bytes(deeper.tobytes())
    told = []
    found = detect_all(Seer(), data, batch=batch, unreadable=told.append)
    assert [len(one.boxes) for one in found] == [1, 0, 1, 1, 0]
    assert all(torch.equal(found[row].boxes, whole[row].boxes) for row in (0, 2, 3))
    assert [(problem.where, problem.action) for problem in told] == [
        (data.paths[row], "nothing found in it") for row in (1, 4)
    ]
    with pytest.raises(DataError, match=r"001\.jpg: the file is empty"):
        detect_all(Seer(), data, batch=batch)
