"""Images of every kind all the way: read, surveyed, trained on, saved, detected in, drawn."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from rich.console import Console

from scratchdet import cli
from scratchdet.data.formats import read_data
from scratchdet.data.images import read_image
from scratchdet.evaluation.run import evaluate
from scratchdet.models.saved import load_model
from scratchdet.recipe import differing
from scratchdet.train.loop import train
from scratchdet.train.prepare import prepare

HEIGHT, WIDTH = 48, 56
OBJECT = """<object><name>{}</name><difficult>0</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>
<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"""


def write_annotation(path, boxes, *, size=(WIDTH, HEIGHT), first=1):
    """VOC XML of boxes (name, x1, y1, x2, y2), half-open; corners count from `first`."""
    objects = "".join(
        OBJECT.format(name, x1 + first, y1 + first, x2 + first - 1, y2 + first - 1)
        for name, x1, y1, x2, y2 in boxes
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    path.write_text(
        f"<annotation><size><width>{width}</width><height>{height}</height></size>"
        f"{objects}</annotation>"
    )


def save_jpegs(stem, pixels):
    for channel, name in enumerate(("temp", "test")):
        cv2.imwrite(f"{stem}_{name}.jpg", pixels[:, :, channel])


def save_png(stem, pixels):
    cv2.imwrite(f"{stem}.png", pixels[:, :, ::-1])


def save_tiff(stem, pixels):
    tifffile.imwrite(f"{stem}.tif", pixels, photometric="minisblack", planarconfig="contig")


KINDS = {
    "thermal": (1, "uint16", save_png, ""),
    "template and test": (2, "uint8", save_jpegs, "{stem}_temp.jpg,{stem}_test.jpg"),
    "deep RGB": (3, "uint16", save_png, ""),
    "three bands": (3, "float32", lambda stem, pixels: np.save(f"{stem}.npy", pixels), ""),
    "RGB and infrared": (4, "uint8", save_tiff, ""),
    "multispectral": (10, "float32", lambda stem, pixels: np.save(f"{stem}.npy", pixels), ""),
    "hyperspectral": (426, "int16", save_tiff, ""),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    """(root, channels, dtype, pattern): eight images, each with an object in half of its bands."""
    channels, dtype, save, pattern = KINDS[request.param]
    root = tmp_path_factory.mktemp("data") / "voc"
    (root / "JPEGImages").mkdir(parents=True)
    rng = np.random.default_rng(0)
    level = 1 if dtype == "uint8" else 40
    for number in range(8):
        pixels = rng.normal(60, 8, (HEIGHT, WIDTH, channels))
        left, top = rng.integers(2, 20, 2)
        pixels[top : top + 24, left : left + 24, channels // 2 :] += 90
        save(root / "JPEGImages" / f"{number:03d}", (pixels * level).astype(dtype))
        box = ("thing", left, top, left + 24, top + 24)
        write_annotation(root / "Annotations" / f"{number:03d}.xml", [box])
    return root, channels, dtype, pattern


def run(recipe, root, run_dir) -> str:
    console = Console(file=io.StringIO(), width=500)
    train(recipe, data=root, run_dir=run_dir, console=console)
    return console.file.getvalue()


def detected(run_dir, images, out) -> list[dict]:
    assert cli.main(["detect", str(run_dir), str(images), "--out", str(out)]) == 0
    lines = (out / "detections.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_every_kind_of_image_is_trained_on_and_detected_in(kind, tiny, tmp_path):
    root, channels, dtype, pattern = kind
    recipe = differing(tiny, data={"files": pattern, "workers": 1})
    printed = run(recipe, root, tmp_path / "run")
    assert f"pixels: {dtype}, {channels} channel" in printed
    detector = load_model(tmp_path / "run")
    assert (detector.in_channels, detector.image_dtype) == (channels, dtype)
    assert detector.files == pattern

    data = read_data(root, files=pattern)
    pixels = np.concatenate([read_image(path).reshape(-1, channels) for path in data.paths])
    assert len(data) == 8
    held_out = prepare(
        differing(recipe, data={"path": str(root)}).data, threads=1, console=Console(quiet=True)
    )
    np.testing.assert_allclose(held_out.mean, pixels.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(detector.mean.numpy(), held_out.mean, rtol=1e-6)
    np.testing.assert_allclose(detector.std.numpy(), held_out.std, rtol=1e-6)

    (found,) = detector.predict([read_image(data.paths[0])])
    assert torch.isfinite(found.scores).all()
    assert evaluate(detector, root).num_images == 8
    lines = detected(tmp_path / "run", root / "JPEGImages", tmp_path / "found")
    assert [line["image"] for line in lines] == list(data.paths)
    pictures = sorted((tmp_path / "found").glob("*.png"))
    assert len(pictures) == 8
    assert cv2.imread(str(pictures[0])).shape == (round(320 * HEIGHT / WIDTH), 320, 3)
    assert cv2.imread(str(tmp_path / "run" / "detections.png")) is not None


def test_a_lone_file_stands_for_its_image_and_those_left_over_are_told(tiny, tmp_path, capsys):
    root = tmp_path / "voc"
    images = root / "JPEGImages"
    images.mkdir(parents=True)
    for number in range(4):
        save_jpegs(images / f"{number}", np.full((HEIGHT, WIDTH, 2), 60 * number, np.uint8))
        write_annotation(root / "Annotations" / f"{number}.xml", [("a", 4, 4, 30, 30)])
    recipe = differing(tiny, data={"files": "{stem}_temp.jpg,{stem}_test.jpg"})
    run(recipe, root, tmp_path / "run")
    pair = f"{images / '2_temp.jpg'}|{images / '2_test.jpg'}"
    (line,) = detected(tmp_path / "run", images / "2_test.jpg", tmp_path / "one")
    assert line["image"] == pair
    (images / "3_temp.jpg").unlink()
    (images / "odd.jpg").write_bytes((images / "3_test.jpg").read_bytes())
    capsys.readouterr()
    lines = detected(tmp_path / "run", images, tmp_path / "all")
    assert len(lines) == 3
    printed = "".join(capsys.readouterr().out.split())
    assert f"{images / '3_test.jpg'}:thereisno{images / '3_temp.jpg'}togowithit" in printed
    assert f"{images / 'odd.jpg'}:isnotcalledlikeanyof" in printed
    assert cli.main(["detect", str(tmp_path / "run"), str(images / "odd.jpg")]) == 2
    assert "the detector takes images of the files {stem}_temp.jpg" in capsys.readouterr().err


def test_images_of_another_type_or_number_of_channels_are_refused_in_words(tiny, tmp_path, capsys):
    root = tmp_path / "voc"
    for number in range(4):
        pixels = np.full((HEIGHT, WIDTH), 60 * number, np.uint16)
        (root / "JPEGImages").mkdir(parents=True, exist_ok=True)
        np.save(root / "JPEGImages" / f"{number}.npy", pixels)
        write_annotation(root / "Annotations" / f"{number}.xml", [("a", 4, 4, 30, 30)])
    run(tiny, root, tmp_path / "run")
    for number in range(4):
        np.save(root / "JPEGImages" / f"{number}.npy", np.zeros((HEIGHT, WIDTH), np.uint8))
    assert cli.main(["eval", str(tmp_path / "run"), str(root)]) == 2
    assert "its pixels are uint8; uint16 is wanted" in capsys.readouterr().err
    np.save(root / "JPEGImages" / "2.npy", np.zeros((HEIGHT, WIDTH, 2), np.uint16))
    np.save(root / "JPEGImages" / "3.npy", np.zeros((HEIGHT, WIDTH), np.uint16))
    detect = ["detect", str(tmp_path / "run"), str(root / "JPEGImages")]
    assert cli.main([*detect, "--out", str(tmp_path / "out")]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "its pixels are uint8; uint16 is wanted" in printed
    assert "2.npy: has 2 channels; 1 are wanted" in printed
    assert "in 1 images" in printed


# The developers' recorded data


def test_thermal_frames_are_trained_on(shared, tiny, tmp_path):
    recipe = differing(tiny, data={"split": "test", "val_split": "none"})
    printed = run(recipe, shared / "data/hit_uav_mini", tmp_path / "run")
    assert "pixels: uint8, 1 channel, mean " in printed
    frame = sorted((shared / "data/hit_uav_mini/JPEGImages").glob("*.jpg"))[0]
    assert len(detected(tmp_path / "run", frame, tmp_path / "found")) == 1


DEFECTS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")  # its types 1 to 6


def write_deeppcb(shared: Path, root: Path, *, pairs: int) -> Path:
    """A VOC folder of the first pairs of DeepPCB; images are linked."""
    source = shared / "data/deeppcb_77000/group77000"
    for file in sorted((source / "77000_not").glob("*.txt"))[:pairs]:
        rows = [line.split() for line in file.read_text().splitlines() if line.strip()]
        boxes = [(DEFECTS[int(row[4]) - 1], *map(int, row[:4])) for row in rows]
        write_annotation(root / "Annotations" / f"{file.stem}.xml", boxes, size=(640, 640))
    (root / "JPEGImages").symlink_to(source / "77000", target_is_directory=True)
    return root


def test_pairs_of_a_template_and_a_board_are_trained_on(shared, tiny, tmp_path):
    root = write_deeppcb(shared, tmp_path / "pcb", pairs=6)
    recipe = differing(tiny, data={"files": "{stem}_temp.jpg,{stem}_test.jpg"})
    printed = run(recipe, root, tmp_path / "run")
    assert "pixels: uint8, 2 channels, mean " in printed
    board = sorted((root / "JPEGImages").glob("*_test.jpg"))[0]
    (line,) = detected(tmp_path / "run", board, tmp_path / "found")
    assert line["image"].count("|") == 1


def test_a_hyperspectral_plot_is_trained_on_with_the_boxes_of_its_photograph(
    shared, tiny, tmp_path
):
    plot = shared / "data/neon_sjer_052"
    root = tmp_path / "neon"
    (root / "JPEGImages").mkdir(parents=True)
    (root / "Annotations").mkdir()
    (root / "Annotations/SJER_052.xml").write_bytes((plot / "SJER_052.xml").read_bytes())
    (root / "JPEGImages/SJER_052.tif").symlink_to(plot / "SJER_052_hyperspectral.tif")
    recipe = differing(tiny, data={"val_split": "none"})
    printed = run(recipe, root, tmp_path / "run")
    assert "pixels: int16, 426 channels, mean " in printed
    problems = (tmp_path / "run/data_problems.txt").read_text()
    assert "is 40x40, but annotated as 400x400: its boxes are resized to fit" in problems
    assert load_model(tmp_path / "run").in_channels == 426
    (line,) = detected(tmp_path / "run", root / "JPEGImages", tmp_path / "found")
    assert line["image"].endswith("SJER_052.tif")
