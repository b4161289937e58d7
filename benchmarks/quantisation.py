"""What INT8 costs in average precision, and what it saves on the disk, for a trained model.

    python benchmarks/quantisation.py runs/NAME path/to/data --out benchmarks/results/int8_NAME.json

Calibrated and measured as `scratchdet export --int8` does it, in each engine.
"""

import argparse
import tempfile
from importlib.util import find_spec
from pathlib import Path

import machine

import scratchdet
from scratchdet.evaluation.columns import from_detections
from scratchdet.evaluation.metrics import evaluate_detections
from scratchdet.evaluation.run import detect_all
from scratchdet.export.calibration import read_material
from scratchdet.export.int8 import SAVERS, quantise
from scratchdet.export.onnx import make_card, session_of
from scratchdet.export.runtime import ExportedDetector
from scratchdet.export.to_onnx import to_onnx
from scratchdet.export.verify import verify

ENGINES = {"onnxruntime": ".onnx", "OpenVINO": ".xml"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    detector = scratchdet.load(given.model)
    material = read_material(detector, given.data)
    card = make_card(detector)
    exported = to_onnx(detector, card)
    verify(detector, session_of(exported), material.calibration[:8], card=card)
    networks = {
        "float32": exported,
        "INT8": quantise(exported, material.calibration, size=card.input_size),
    }
    rows = []
    for engine, suffix in ENGINES.items():
        if engine == "OpenVINO" and find_spec("openvino") is None:
            continue
        for precision, network in networks.items():
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / f"network{suffix}"
                SAVERS[suffix](network, file, metadata=card.to_strings())
                size = sum(path.stat().st_size for path in Path(folder).iterdir())
                predictor = ExportedDetector(file)
                found = from_detections(detect_all(predictor, material.measured))
            ap50, coco = (
                evaluate_detections(material.measured, found, protocol=protocol)
                for protocol in ("voc", "coco")
            )
            rows.append(
                {
                    "engine": engine,
                    "precision": precision,
                    "bytes": size,
                    "ap50_voc": ap50.ap50,
                    "ap_coco": coco.ap,
                    "per_class_ap50": ap50.ap_per_class,
                }
            )
            print(rows[-1], flush=True)
    result = {
        "model": card.model,
        "trained_as": given.model.name,
        "notes": material.notes,
        "rows": rows,
    }
    machine.as_measured(result, given.out)


if __name__ == "__main__":
    main()
