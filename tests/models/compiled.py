"""Run by test_compile.py in a process of its own, where the tests' shape checks are not traced.

Prints, as JSON, what went wrong with each network named on the command line: "" for nothing.
"""

import json
import sys

import torch

from scratchdet.models.detector import Detector
from scratchdet.models.zoo import create_model

SMALL = (64, 96)
LIMIT = 0.02  # relative; float32 itself is off by 0.002 from float64 here, the compiler by 0.007


@torch.no_grad()
def traced(name: str) -> str:
    """In one piece, without running anything: shapes alone."""
    torch._dynamo.reset()
    try:
        with torch.device("meta"):
            detector = create_model(name, num_classes=2, input_size=SMALL).eval()
            images = torch.empty(1, 3, *SMALL)
        compiled = torch.compile(detector, fullgraph=True, backend="eager")(images)
        expected = detector(images)
    except Exception as error:  # noqa: BLE001 - the test shows whatever it is
        return repr(error)[:500]
    same = [mine.shape == other.shape for mine, other in zip(compiled, expected, strict=True)]
    return "" if all(same) else "other shapes"


def gradients(detector: Detector, network: torch.nn.Module, images: torch.Tensor) -> list:
    detector.zero_grad()
    raw = network(images)
    (raw.logits.square().mean() + raw.offsets.square().mean()).backward()
    return [*raw, *(parameter.grad.clone() for parameter in detector.parameters())]


def compared(found: list[torch.Tensor], expected: list[torch.Tensor]) -> str:
    errors = [
        float((one - other).norm() / (other.norm() + 1e-6))
        for one, other in (
            (mine.detach().double(), theirs.detach().double())
            for mine, theirs in zip(found, expected, strict=True)
        )
    ]
    return "" if max(errors) < LIMIT else f"relative errors up to {max(errors)}"


def trained(name: str) -> str:
    """With the real compiler: outputs and gradients."""
    torch.manual_seed(0)
    detector = create_model(name, num_classes=2, input_size=SMALL)
    images = torch.randn(2, 3, *SMALL)
    expected = gradients(detector, detector, images)
    found = gradients(detector, torch.compile(detector, fullgraph=True), images)
    return compared(together(found), together(expected))


def together(results: list[torch.Tensor]) -> list[torch.Tensor]:
    """Outputs, and all gradients as one: where a ReLU near zero flips, a small one is far off."""
    return [*results[:2], torch.cat([gradient.flatten() for gradient in results[2:]])]


def checkpointed(name: str) -> str:
    """Beside the same without either: outputs, gradients and, updated once, the statistics."""
    images = torch.randn(2, 3, *SMALL)
    results = []
    for checkpointing in ("off", "blocks"):
        torch.manual_seed(0)
        detector = create_model(name, num_classes=2, input_size=SMALL, checkpointing=checkpointing)
        network = detector
        if checkpointing == "blocks":
            network = torch.compile(detector, fullgraph=True, backend="aot_eager")
        results.append([*gradients(detector, network, images), *detector.buffers()])
    expected, found = results
    return compared(found, expected)


if __name__ == "__main__":
    torch.set_num_threads(1)
    check = {"traced": traced, "trained": trained, "checkpointed": checkpointed}[sys.argv[1]]
    print(json.dumps({name: check(name) for name in sys.argv[2:]}))
