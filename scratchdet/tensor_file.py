"""Named tensors and what is said about them in one `.safetensors` file, with a checksum."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from scratchdet.files import replacing

CHECKSUM = "crc32"  # of tensors and metadata: finds what a disk does to them, at 3 GB/s


class DamagedFile(ValueError):
    """The file is not what was written: cut off, or some of its bytes are others."""


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str],
    keep: Path | None = None,
) -> None:
    """Writes the tensors to `path`, completely or not at all.

    keep: see `files.replacing`.
    """
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    everything = {**metadata, CHECKSUM: checksum(stored, metadata)}
    with replacing(path, keep=keep) as temporary:
        # Not save_file, which has temporary files of its own: a killed process would leave them.
        temporary.write_bytes(save(stored, everything))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors in `path`, on the CPU, and its metadata.

    Raises DamagedFile if they are not what was written. Files without a checksum are taken as they
    are.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DamagedFile(f"{path} is damaged, or no safetensors file: {str(error)!r}") from error
    written = metadata.pop(CHECKSUM, None)
    if written is not None and checksum(tensors, metadata) != written:
        raise DamagedFile(f"{path} is damaged: its checksum is not the one it was written with")
    return tensors, metadata


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Eight hexadecimal digits that depend on all values, their names, types and shapes."""
    total = zlib.crc32(repr(sorted(metadata.items())).encode())
    for name, value in sorted(tensors.items()):
        total = zlib.crc32(f"{name} {value.dtype} {tuple(value.shape)}".encode(), total)
        if value.numel():  # one without values, of NumPy's, cannot be viewed as bytes
            total = zlib.crc32(value.reshape(-1).view(torch.uint8).numpy().data, total)
    return f"{total:08x}"
