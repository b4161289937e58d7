"""How long a COCO annotation file takes to read: one of the size of instances_train2017.json.

    python benchmarks/coco_parse.py [--images 118287] [--objects 860001] [--folder DIR]

The file is made up, with the entries, the order and about the length of the real one (118,287
images, 860,001 objects, 80 categories, polygons, 450 MB), and so is the folder of images, whose
files are empty: a reader looks whether they are there. Both are deleted afterwards. CPU seconds are
what counts where other work is going on (`load` in the results).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np
from machine import as_measured, peak_memory

from scratchdet.data.coco import read

RESULTS = Path(__file__).parent / "results" / "coco_parse.json"
REPEATS = 3
CATEGORIES = 80
POLYGONS = 4096
"""Different ones; the objects take turns."""


def polygon(rng: np.random.Generator) -> str:
    """x, y, x, y, ...: in the real file about 50 numbers of two decimals."""
    numbers = rng.uniform(0, 640, 2 * int(rng.integers(8, 40))).round(2)
    return json.dumps([numbers.tolist()])


def image_entries(count: int) -> Iterator[str]:
    for key in range(count):
        name = f"{key * 5:012d}.jpg"
        yield (
            f'{{"license": 3,"file_name": "{name}","coco_url": "http://images.cocodataset.org/'
            f'train2017/{name}","height": 480,"width": 640,"date_captured": "2013-11-14 11:18:45",'
            f'"flickr_url": "http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg",'
            f'"id": {key * 5}}}'
        )


def object_entries(count: int, images: int) -> Iterator[str]:
    rng = np.random.default_rng(0)
    polygons = [polygon(rng) for _ in range(POLYGONS)]
    places = rng.integers(0, images, count).tolist()
    kinds = rng.integers(0, CATEGORIES, count).tolist()
    boxes = rng.uniform(1, 200, (count, 4)).round(2).tolist()
    crowds = (rng.random(count) < 0.012).astype(int).tolist()
    for key, (place, kind, box, crowd) in enumerate(zip(places, kinds, boxes, crowds, strict=True)):
        outline = '{"counts": [272, 2, 4, 4, 4, 4, 2, 9, 1, 2], "size": [480, 640]}'
        yield (
            f'{{"segmentation": {outline if crowd else polygons[key % POLYGONS]},'
            f'"area": {box[2] * box[3]},"iscrowd": {crowd},"image_id": {place * 5},'
            f'"bbox": {box},"category_id": {kind + 1},"id": {key + 1}}}'
        )


def write(root: Path, *, images: int, objects: int) -> Path:
    """The annotation file, in a folder laid out like COCO's."""
    folder = root / "train2017"
    folder.mkdir(parents=True)
    for key in range(images):
        os.close(os.open(folder / f"{key * 5:012d}.jpg", os.O_CREAT))
    file = root / "annotations/instances_train2017.json"
    file.parent.mkdir()
    kinds = [
        {"supercategory": "thing", "id": i + 1, "name": f"kind {i}"} for i in range(CATEGORIES)
    ]
    with file.open("w") as stream:
        stream.write('{"info": {"year": 2017},"licenses": [],"images": [')
        stream.writelines(joined(image_entries(images)))
        stream.write('],"annotations": [')
        stream.writelines(joined(object_entries(objects, images)))
        stream.write(f'],"categories": {json.dumps(kinds)}}}')
    return file


def joined(entries: Iterator[str]) -> Iterator[str]:
    yield next(entries)
    yield from (f",{entry}" for entry in entries)


def main() -> None:
    """Print the figures and write them to results/coco_parse.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=118_287)
    parser.add_argument("--objects", type=int, default=860_001)
    parser.add_argument("--folder", type=Path, help="for the data; default: a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as root:
        file = write(Path(root), images=given.images, objects=given.objects)
        megabytes = file.stat().st_size / 1e6
        times, cpu_times = [], []
        for _ in range(REPEATS):
            start, cpu = perf_counter(), process_time()
            data = read(file)
            times.append(perf_counter() - start)
            cpu_times.append(process_time() - cpu)
            assert (len(data), data.problems, data.notes) == (given.images, (), ())
    result = {
        "task": "scratchdet.data.coco.read, images in their folder, file in the page cache",
        "images": given.images,
        "objects": given.objects,
        "file_mb": round(megabytes),
        "seconds_median": round(median(times), 1),
        "cpu_seconds_median": round(median(cpu_times), 1),
        "seconds_all": [round(value, 1) for value in times],
        "peak_memory_mb": peak_memory(),
    }
    as_measured(result, RESULTS)


if __name__ == "__main__":
    main()
