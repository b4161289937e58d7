"""The surveys that a run began with, in its folder: it is resumed with the same images.

An image that is damaged later is then replaced in training (`unreadable`), and not dropped, which
would change the data of the run and end it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console

from scratchdet.data.survey import Survey
from scratchdet.structures import Strings
from scratchdet.tensor_file import DamagedFile, read_tensors, write_tensors
from scratchdet.terminal import say

FORMAT = "scratchdet survey 2"  # 2: stored, orientations, digests, prints
COLUMNS = ("sizes", "mean", "std", "stored", "orientations", "digests", "prints")
"""Of a survey, those that are arrays."""


class Surveyed(NamedTuple):
    """The survey of one part of the data, and what it is of."""

    annotations: str
    """Fingerprint of the part as it was read, before any image was dropped."""
    survey: Survey


def survey_of(run_dir: Path) -> Path:
    """Where a run has its surveys."""
    return run_dir / "survey.safetensors"


def kept_surveys(run_dir: Path, console: Console) -> dict[str, Surveyed]:
    """Those of the run, by what each part is used for; none, and a line that says so, if lost."""
    path = survey_of(run_dir)
    try:
        if path.exists():
            return read_surveys(path)
        why = f"{path} is not there"
    except DamagedFile as error:
        why = str(error)
    say(console, f"NOTE: {why}: every image is decoded again")
    return {}


def write_surveys(path: Path, surveys: Mapping[str, Surveyed]) -> None:
    """Writes them to `path`, completely or not at all."""
    tensors, about = {}, {}
    for use, (annotations, survey) in surveys.items():
        columns = {
            "remarks.text": survey.remarks.text,
            "remarks.offsets": survey.remarks.offsets,
            **{name: getattr(survey, name) for name in COLUMNS},
        }
        for name, column in columns.items():
            tensors[f"{use}.{name}"] = torch.tensor(column)
        about[use] = {
            "annotations": annotations,
            "channels": survey.channels,
            "dtype": survey.dtype,
            "is_rgb": survey.is_rgb,
        }
    write_tensors(path, tensors, metadata={"format": FORMAT, "about": json.dumps(about)})


def read_surveys(path: Path) -> dict[str, Surveyed]:
    """What `write_surveys` wrote to `path`. Raises DamagedFile if it is anything else."""
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise DamagedFile(f"{path} is not a survey of this version ({FORMAT})")
    try:
        return _surveys(tensors, json.loads(metadata["about"]))
    except (KeyError, ValueError) as error:
        raise DamagedFile(f"{path} is no whole survey: {error!r}") from error


def _surveys(tensors: Mapping[str, torch.Tensor], about: dict[str, Any]) -> dict[str, Surveyed]:
    return {
        use: Surveyed(
            values["annotations"],
            Survey(
                remarks=Strings.from_arrays(
                    tensors[f"{use}.remarks.text"].numpy(),
                    tensors[f"{use}.remarks.offsets"].numpy(),
                ),
                channels=values["channels"],
                dtype=values["dtype"],
                is_rgb=values["is_rgb"],
                **{name: tensors[f"{use}.{name}"].numpy() for name in COLUMNS},
            ),
        )
        for use, values in about.items()
    }
