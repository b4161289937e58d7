"""A trained model as one `.safetensors` file: weights and all that is needed to use them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from scratchdet.models.detector import ChannelOrder, Detector
from scratchdet.models.zoo import create_model
from scratchdet.ops.pixels import DTYPES
from scratchdet.tensor_file import CHECKSUM, read_tensors, write_tensors

FORMAT = "scratchdet 2"  # 1 had other names of Root-ResNet's weights, and another eps in the head
FROM_SCRATCH = "trained from scratch: no external weights"


def save_model(
    detector: Detector,
    path: Path,
    *,
    provenance: str = FROM_SCRATCH,
    about: Mapping[str, str] | None = None,
) -> None:
    """Writes the model to `path`, completely or not at all.

    about: further entries of the metadata: recipe text, commit, step.
    """
    if detector.built_as is None:
        raise ValueError(
            "only a detector made by create_model can be saved: nothing else can rebuild it"
        )
    metadata = {
        **(about or {}),
        "format": FORMAT,
        "model": json.dumps(detector.built_as),
        "classes": json.dumps(detector.classes, ensure_ascii=False),
        "mean": json.dumps(detector.mean.tolist()),
        "std": json.dumps(detector.std.tolist()),
        "channel_order": detector.channel_order,
        "image_dtype": detector.image_dtype,
        "files": detector.files,
        "provenance": provenance,
    }
    write_tensors(path, detector.state_dict(), metadata=metadata)


def load_model(path: Path | str) -> Detector:
    """The detector saved at `path`, on the CPU, in `eval()` mode.

    path: the file, or the folder of a run: its best model, or the last where none is best.
    Raises FileNotFoundError, or ValueError where the file is not such a model.
    """
    file = find_model(Path(path))
    metadata = read_metadata(file)
    try:
        detector = _rebuild(metadata)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{file} describes a network that this version cannot build: {error!r}"
        ) from error
    weights, _ = read_tensors(file)
    try:
        load_weights(detector, weights)
    except ValueError as error:
        raise ValueError(f"{file}: its weights are not those of its network: {error}") from error
    return detector.eval()


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts `weights` into `module`, all or none.

    Raises ValueError with the first that is missing, left over or of another shape, and how many
    more there are.
    """
    wanted = module.state_dict()
    unlike = [
        *(f"{name!r} is missing" for name in wanted if name not in weights),
        *(f"{name!r} has no place in it" for name in weights if name not in wanted),
        *(
            f"{name!r} is {_listed(weights[name])}, not {_listed(value)}"
            for name, value in wanted.items()
            if name in weights and weights[name].shape != value.shape
        ),
    ]
    if unlike:
        more = f" (and {len(unlike) - 1} more)" if len(unlike) > 1 else ""
        raise ValueError(f"{unlike[0]}{more}")
    module.load_state_dict(weights)


def _listed(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single number"


def _rebuild(metadata: Mapping[str, str]) -> Detector:
    """The untrained detector that the metadata describes."""
    built_as = json.loads(metadata["model"])
    classes = json.loads(metadata["classes"])
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError("its classes are not a list of names")
    detector = create_model(**built_as, classes=classes)
    detector.mean = _per_channel("mean", metadata, detector.in_channels)
    detector.std = _per_channel("std", metadata, detector.in_channels)
    if not (detector.std > 0).all():
        raise ValueError("its std is not positive")
    order = metadata.get("channel_order", "rgb")
    if order not in get_args(ChannelOrder):
        raise ValueError(f"channel order {order!r} is not known")
    detector.channel_order = cast(ChannelOrder, order)
    detector.image_dtype = metadata.get("image_dtype", "uint8")
    if detector.image_dtype not in DTYPES:
        raise ValueError(f"pixels of type {detector.image_dtype!r} are not known")
    detector.files = metadata.get("files", "")
    return detector


def _per_channel(what: str, metadata: Mapping[str, str], channels: int) -> Tensor:
    values = json.loads(metadata[what], parse_int=float)
    if isinstance(values, list) and all(isinstance(value, float) for value in values):
        tensor = torch.tensor(values)
        if len(tensor) == channels and tensor.isfinite().all():
            return tensor
    raise ValueError(f"its {what} is not {channels} finite numbers, one for each channel")


def read_metadata(file: Path) -> dict[str, str]:
    """What is written beside the weights: recipe, provenance, classes, commit; no checksum."""
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
            metadata.pop(CHECKSUM, None)
    except SafetensorError as error:
        raise ValueError(f"{file} is not a safetensors file, or damaged: {str(error)!r}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{file} was not written by this version of scratchdet (format "
            f"{metadata.get('format')!r}, not {FORMAT!r})"
        )
    return metadata


def find_model(path: Path) -> Path:
    """The model file that `path` means: itself, the best (else last) of a run, the one in it."""
    folders = ("best", "last", ".")
    if not path.exists():
        raise FileNotFoundError(f"no model at {path}: there is no such file or folder")
    candidates = [path / folder / "model.safetensors" for folder in folders]
    if not path.is_dir():
        candidates = [path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"no model at {path}: looked for {', '.join(map(str, candidates))}")
