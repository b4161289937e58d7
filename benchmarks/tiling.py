"""What tiles bring or cost on large images, by their overlap, with and without the whole image.

    python benchmarks/tiling.py runs/deeppcb sensors/deeppcb test 320
    python benchmarks/tiling.py runs/bccd ../shared/data/bccd test 640 2

Evaluates the best model of a run on a split, cut into tiles of so many pixels, and writes
`results/tiling_NAME.json`, where NAME is that of the data's folder. The last number stitches so
many images a side into one (images left over, or of another size, are left out): a large image, in
which objects are smaller than the detector has ever seen them. Times are process time, one thread.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from time import process_time

import machine
import numpy as np
import torch

from scratchdet.data.images import read_image
from scratchdet.evaluation.columns import from_detections
from scratchdet.evaluation.metrics import evaluate_detections
from scratchdet.evaluation.run import read_known
from scratchdet.models.saved import find_model, load_model, read_metadata
from scratchdet.structures import (
    Arrays,
    DetectionData,
    Predictor,
    Record,
    from_records,
    nothing_found,
)
from scratchdet.testing.tiling import Tiled

RESULTS = Path(__file__).parent / "results"
SMALLER = 0.7  # share of the tile, for what happens when objects appear larger than in training


class TilesOnly:
    """A predictor that finds nothing in images with a side over `tile`: in none but tiles."""

    def __init__(self, predictor: Predictor, *, tile: int) -> None:
        self.predictor, self.tile = predictor, tile
        self.classes, self.in_channels = predictor.classes, predictor.in_channels
        self.image_dtype, self.files = predictor.image_dtype, predictor.files
        self.input_size = predictor.input_size

    def predict(self, images, **choices) -> Sequence[Arrays]:
        if max(images[0].shape[:2]) > self.tile:
            return [nothing_found() for _ in images]
        return self.predictor.predict(images, **choices)


def stitched(
    data: DetectionData, images: list[np.ndarray], side: int
) -> tuple[DetectionData, list[np.ndarray]]:
    """side x side images at a time as one, with their objects."""
    usual = [i for i, image in enumerate(images) if image.shape == images[0].shape]
    height, width = images[0].shape[:2]
    records, large = [], []
    for start in range(0, len(usual) - side**2 + 1, side**2):
        members = usual[start : start + side**2]
        rows = [members[row : row + side] for row in range(0, side**2, side)]
        large.append(np.vstack([np.hstack([images[i] for i in row]) for row in rows]))
        parts = [data[i] for i in members]
        corners = [(n % side * width, n // side * height) * 2 for n in range(side**2)]
        moved = [
            part.boxes + np.float32(corner) for part, corner in zip(parts, corners, strict=True)
        ]
        records.append(
            Record(
                id="+".join(part.id for part in parts),
                path=parts[0].path,
                size=(side * width, side * height),
                boxes=np.concatenate(moved),
                labels=np.concatenate([part.labels for part in parts]),
                ignore=np.concatenate([part.ignore for part in parts]),
            )
        )
    return from_records(records, data.classes), large


def figures(
    predictor: Predictor, data: DetectionData, images: list[np.ndarray]
) -> dict[str, float]:
    start = process_time()
    found = from_detections([predictor.predict([image])[0] for image in images])
    seconds = process_time() - start
    voc = evaluate_detections(data, found, protocol="voc")
    coco = evaluate_detections(data, found, protocol="coco")
    names = ("ap", "ap75", "ap_small", "ap_medium", "ap_large")
    return {
        "ap50": round(voc.ap50, 5),
        **{name: round(getattr(coco, name), 5) for name in names},
        "ms_per_image": round(1e3 * seconds / len(data)),
    }


def main() -> None:
    torch.set_num_threads(1)
    run, source, split, tile = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    side = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    metadata = read_metadata(find_model(run))
    detector = load_model(run)
    data = read_known(source, split=split, detector=detector)
    images = [
        read_image(record.path, channels=detector.in_channels, annotated_size=record.size)
        for record in data
    ]
    data, images = stitched(data, images, side)
    only = TilesOnly(detector, tile=tile)
    rows = {
        "whole image": detector,
        "tiles, overlap 0": Tiled(detector, tile=tile, overlap=0.0),
        "tiles, overlap 0.2": Tiled(detector, tile=tile, overlap=0.2),
        "tiles alone, overlap 0.2": Tiled(only, tile=tile, overlap=0.2),
        "smaller tiles, overlap 0.2": Tiled(detector, tile=round(SMALLER * tile), overlap=0.2),
    }
    table = {}
    for name, predictor in rows.items():
        table[name] = figures(predictor, data, images)
        print(f"{name:27}", *(f"{key} {value}" for key, value in table[name].items()), flush=True)
    result = {
        "model": f"{run.name}, step {metadata.get('step', '?')}, code {metadata.get('code', '?')}",
        "data": f"{source.name} {split}, {len(data)} images of {side} x {side}",
        "pixels": list(images[0].shape),
        "tile": tile,
        "input_size": detector.input_size,
        "rows": table,
    }
    machine.as_measured(result, RESULTS / f"tiling_{source.name}.json")


if __name__ == "__main__":
    main()
