"""How far DSOD300 and GRP-DSOD320 are from what the released networks compute.

    python benchmarks/caffe_equality.py [../shared/reference]

The argument is the folder of recorded outputs; its README says how the weights come about, which
are not stored. They are written as a .caffemodel, imported as a user would, and run in float32.

The recorded `mbox_conf` of GRP-DSOD has a fault of the engine, OpenCV 4, in it, which adds the bias
of a norm behind a transposed convolution once more in every further call; see
tests/models/caffe_reference.py. So there are two figures: of ours as it is, and of ours with
the same fault put in.
"""

import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from scratchdet.files import write_text
from scratchdet.models.necks.recurrent_pyramid import Doubling
from scratchdet.train.device import describe_device
from scratchdet.version import describe_code

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "models"))
from caffe_reference import (  # noqa: E402
    NETWORKS,
    imported,
    put_in_the_fault,
    recorded_images,
    recording,
)

REFERENCE = ROOT.parent / "shared" / "reference"
RESULTS = ROOT / "benchmarks" / "results" / "caffe_equality.json"


def largest_difference(ours: Tensor, theirs: np.ndarray) -> float:
    return float(np.abs(ours.numpy().ravel() - theirs.ravel()).max())


@torch.no_grad()
def compare(name: str, folder: Path) -> dict[str, float]:
    """The largest absolute error of each recorded output, and the seconds that it took."""
    listed, recorded = recording(name, folder)
    start = perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        detector = imported(name, listed, Path(temporary) / "weights.caffemodel")
    images = recorded_images(detector)
    ready = perf_counter()
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
