"""How far DSOD300 and GRP-DSOD320 are from what the released networks compute.

    python benchmarks/caffe_equality.py [../shared/reference]

The argument is the folder of recorded outputs; its README says how the weights come about, which
are not stored. They are written as a .caffemodel, imported as a user would, and run in float32.

The recorded `mbox_conf` of GRP-DSOD has a fault of the engine, OpenCV 4, in it, which adds the bias
of a norm behind a transposed convolution once more in every further call; see
tests/models/test_against_opencv.py. So there are two figures: of ours as it is, and of ours with
the same fault put in.
"""

import json
import sys
import tempfile
import zlib
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from scratchdet.files import write_text
from scratchdet.models.caffe import CAFFE_MEAN, load_caffe, published_form
from scratchdet.models.caffemodel import CaffeLayer, read_caffemodel
from scratchdet.models.detector import Detector
from scratchdet.models.necks.recurrent_pyramid import Doubling
from scratchdet.models.zoo import create_model
from scratchdet.train.device import describe_device
from scratchdet.version import describe_code

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "models"))
from caffe_writer import write_caffemodel  # noqa: E402

REFERENCE = ROOT.parent / "shared" / "reference"
RESULTS = ROOT / "benchmarks" / "results" / "caffe_equality.json"
NETWORKS = {"dsod300": "dsod300_voc", "grp_dsod320": "grp_dsod320_voc"}


def documented_blob(kind: str, name: str, number: int, shape: list[int]) -> np.ndarray:
    """Blob `number` of a layer, by the rule in the README of the recorded outputs."""
    seed = zlib.crc32(f"{name}/{number}".encode())
    z = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    match kind, number:
        case (("Convolution" | "Deconvolution"), _):
            return z * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        case "BatchNorm", 0:
            return 0.1 * z
        case "BatchNorm", 1:
            return 1 + 0.2 * np.tanh(z)
        case "BatchNorm", 2:
            return np.ones_like(z)
        case "Scale", 0:
            return 1 + 0.1 * z
        case "Scale", 1:
            return 0.1 * z
        case "Normalize", 0:
            return 20 * (1 + 0.05 * z)
        case "InnerProduct", 0:
            return z / np.float32(np.sqrt(shape[1]))
        case "InnerProduct", 1:
            return 0.01 * z
    raise ValueError(f"layer {name!r}: no rule for blob {number} of {kind}")


def imported(name: str, listed: list[tuple[str, str, list[list[int]]]]) -> Detector:
    """The detector with the documented weights, by way of a .caffemodel."""
    layers = [
        CaffeLayer(
            layer,
            kind,
            tuple(documented_blob(kind, layer, *numbered) for numbered in enumerate(shapes)),
        )
        for layer, kind, shapes in listed
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = write_caffemodel(Path(folder) / "weights.caffemodel", layers)
        stored = read_caffemodel(path)
        form = published_form(name, stored)
        detector = create_model(name, num_classes=form.num_classes, **form.choices)
        load_caffe(detector, stored)
    return detector.eval()


def put_in_the_fault(detector: Detector) -> None:
    """Adds the bias of every norm behind a transposed convolution once more."""
    for module in detector.modules():
        if isinstance(module, Doubling):
            norm = module.activate[0]
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            norm.bias += gain * (norm.bias - gain * norm.running_mean)


def largest_difference(ours: Tensor, theirs: np.ndarray) -> float:
    return float(np.abs(ours.numpy().ravel() - theirs.ravel()).max())


@torch.no_grad()
def compare(name: str, folder: Path) -> dict[str, float]:
    """The largest absolute error of each recorded output, and the seconds that it took."""
    listed = json.loads((folder / f"{NETWORKS[name]}_layers.json").read_text())
    with np.load(folder / f"{NETWORKS[name]}.npz") as outputs:
        recorded = dict(outputs)
    start = perf_counter()
    detector = imported(name, listed)
    ready = perf_counter()
    height, width = detector.input_size
    pixels = np.random.default_rng(1234).integers(0, 256, (1, 3, height, width))
    # The recorded image is blue, green, red already, so not `detector.normalise`.
    images = torch.from_numpy(pixels).float() - torch.tensor(CAFFE_MEAN)[:, None, None]
    raw = detector(images)
    done = perf_counter()
    priors = box_convert(detector.priors, "cxcywh", "xyxy")
    figures = {
        "mbox_loc": largest_difference(raw.offsets, recorded["mbox_loc"]),
        "mbox_conf": largest_difference(raw.logits, recorded["mbox_conf"]),
        "mbox_priorbox": largest_difference(priors, recorded["mbox_priorbox"][:, 0]),
    }
    if any(isinstance(module, Doubling) for module in detector.modules()):
        put_in_the_fault(detector)
        faulty = largest_difference(detector(images).logits, recorded["mbox_conf"])
        figures["mbox_conf_with_the_fault_of_the_recording"] = faulty
    seconds = {"import_seconds": round(ready - start, 2), "forward_seconds": round(done - ready, 2)}
    return figures | seconds


def main() -> None:
    """Print the figures and write them to results/caffe_equality.json."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else REFERENCE
    torch.set_num_threads(1)
    result = {
        "task": "maximum absolute error against the recorded outputs, one thread, float32",
        "networks": {name: compare(name, folder) for name in NETWORKS},
        "machine": describe_device("cpu"),
        "versions": {"torch": torch.__version__},
        "commit": describe_code(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    write_text(RESULTS, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
