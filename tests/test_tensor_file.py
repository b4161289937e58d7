"""Tensors come back as they were written, or not at all."""

import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scratchdet.files import DiskFull
from scratchdet.tensor_file import DamagedFile, checksum, read_tensors, write_tensors

TENSORS = {
    "empty": torch.zeros(0, 4),
    "one": torch.tensor(3),
    "half": torch.tensor([1.5, -0.0]).bfloat16(),
    "rows": torch.arange(6.0).reshape(2, 3).t(),
}
METADATA = {"format": "test", "step": "7"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "some.safetensors"
    write_tensors(path, TENSORS, metadata=METADATA)
    return path


def equal(ours, theirs) -> bool:
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype
        for name in ours
    )


def test_tensors_and_metadata_come_back(file):
    tensors, metadata = read_tensors(file)
    assert equal(tensors, TENSORS)
    assert metadata == METADATA


def test_no_tensor_at_all_is_a_file_too(tmp_path):
    write_tensors(tmp_path / "a", {}, metadata={})
    assert read_tensors(tmp_path / "a") == ({}, {})


def test_other_programs_can_read_it(file):
    assert equal(load_file(file), TENSORS)


def test_whichever_bit_is_flipped_wrong_tensors_are_never_given(file):
    content, refused = file.read_bytes(), 0
    places = range(0, 8 * len(content), 7)  # one of nearly every byte
    for place in places:
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        try:
            tensors, metadata = read_tensors(file)
        except DamagedFile:
            refused += 1
        else:  # the name of the checksum itself
            assert equal(tensors, TENSORS)
            assert METADATA.items() <= metadata.items()
    assert refused > len(places) - 20


@pytest.mark.parametrize("kept", [0, 1, 8, 100, -1])
def test_a_file_that_was_cut_off_is_refused(file, kept):
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DamagedFile, match=r"some\.safetensors is damaged"):
        read_tensors(file)


def test_a_file_without_a_checksum_is_taken_as_it_is(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "a", metadata={"b": "c"})
    tensors, metadata = read_tensors(tmp_path / "a")
    assert tensors["a"].tolist() == [1, 1]
    assert metadata == {"b": "c"}


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"a": torch.tensor([1.0, 3.0])}, {}),
        ({"b": torch.tensor([1.0, 2.0])}, {}),
        ({"a": torch.tensor([[1.0, 2.0]])}, {}),
        ({"a": torch.tensor([1.0, 2.0]).view(torch.int32)}, {}),
        ({"a": torch.tensor([1.0, 2.0])}, {"c": "d"}),
    ],
    ids=["value", "name", "shape", "type", "metadata"],
)
def test_the_checksum_depends_on_everything(tensors, metadata):
    assert checksum(tensors, metadata) != checksum({"a": torch.tensor([1.0, 2.0])}, {})


def test_a_full_disk_names_the_file_and_leaves_the_old_one(file, monkeypatch):
    before = file.read_bytes()

    def full(path, data):
        path.open("wb").write(data[:50])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFull, match=r"No space left on device: '.*/some\.safetensors'"):
        write_tensors(file, {}, metadata={})
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]
