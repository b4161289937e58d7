"""The file of a pack: what is put in comes out, in every process, or an error says so."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchdet.data import pack_writer
from scratchdet.data.pack_file import END, find_damages, open_pack
from scratchdet.data.pack_writer import abandoned, writing_pack
from scratchdet.data.references import key_of, read_bytes
from scratchdet.structures import DataError

NAMES = ["a.jpg", "b/c d.jpg", "ä.png"]
keys = st.binary(min_size=1, max_size=40).filter(lambda key: key < END)


def value_of(name):
    return np.random.default_rng(len(name)).bytes(10_000 * len(name))


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "x.lmdb", {key_of(name): value_of(name) for name in NAMES})


def write(path, values):
    return write_in_order(path, sorted(values.items()))


def write_in_order(path, entries):
    with writing_pack(path) as put:
        for key, value in entries:
            put(key, value)
    return path


def read_names(path):
    return [bytes(read_bytes(f"{path}/{name}")) == value_of(name) for name in NAMES]


def test_a_pack_of_nothing_is_whole(tmp_path):
    path = write(tmp_path / "x.lmdb", {})
    assert find_damages(path) == []
    assert open_pack(path).get(b"a") is None
    assert os.listdir(tmp_path) == ["x.lmdb"]


@settings(deadline=None, max_examples=30)
@given(values=st.dictionaries(keys, st.binary(max_size=9000), max_size=20), data=st.data())
def test_values_come_out_as_they_went_in(values, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("pack") / "x.lmdb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_writer, "TRANSACTION", data.draw(st.sampled_from([1, 9000, 1 << 20])))
        write(path, values)
    pack = open_pack(path)
    assert {key: bytes(pack.get(key)) for key in values} == values
    assert find_damages(path) == []


def test_a_value_is_not_copied(path):
    one, other = (np.frombuffer(read_bytes(f"{path}/a.jpg"), np.uint8) for _ in range(2))
    assert np.shares_memory(one, other)
    with pytest.raises(ValueError, match="read-only"):
        one[0] = 0


def test_what_is_not_in_the_pack_is_an_error_of_its_name(path):
    with pytest.raises(DataError, match=r"x\.lmdb/b: the pack has no such image"):
        read_bytes(f"{path}/b")
    with pytest.raises(DataError, match=r"y\.lmdb: cannot be read"):
        read_bytes(path.with_name("y.lmdb") / "a.jpg")


def test_an_empty_value_is_an_empty_file(tmp_path):
    path = write(tmp_path / "x.lmdb", {key_of("a.jpg"): b""})
    with pytest.raises(DataError, match=r"x\.lmdb/a\.jpg: the file is empty"):
        read_bytes(path / "a.jpg")


def test_folders_may_be_called_like_packs(tmp_path):
    folder = tmp_path / "data.lmdb"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"a file")
    assert read_bytes(folder / "a.jpg") == b"a file"
    path = write(folder / "x.lmdb", {key_of("y.lmdb/a.jpg"): b"an entry"})
    assert read_bytes(path / "y.lmdb/a.jpg") == b"an entry"


@pytest.mark.parametrize("content", [b"", b"no LMDB at all" * 1000])
def test_a_file_that_is_no_pack_is_refused(tmp_path, content):
    (tmp_path / "x.lmdb").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.lmdb: "):
        open_pack(tmp_path / "x.lmdb")
    assert find_damages(tmp_path / "x.lmdb")


def test_a_pack_without_its_end_is_refused(path, monkeypatch):
    monkeypatch.setattr(pack_writer._Writer, "finish", lambda writer: writer._write())
    monkeypatch.setattr(pack_writer, "find_damages", lambda *_: [])
    write(path, {b"a": b"1"})
    with pytest.raises(DataError, match="unfinished"):
        open_pack(path)
    assert "unfinished" in find_damages(path)[0]


def test_one_byte_that_changed_is_found_and_named(path):
    content = bytearray(path.read_bytes())
    content[content.index(value_of("b/c d.jpg")[:64]) + 5000] ^= 1
    path.write_bytes(content)
    assert find_damages(path) == ["f/b/c d.jpg: does not have its checksum"]
    with pytest.raises(DataError, match=r"x\.lmdb/f/b/c d\.jpg: damaged"):
        read_bytes(path / "b/c d.jpg")
    assert bytes(read_bytes(path / "a.jpg")) == value_of("a.jpg")


def test_damage_anywhere_is_found_and_never_read_as_something_else(path):
    """In processes of their own: what LMDB does with broken pages is not for this one to see."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 40).tolist() + list(range(0, 12288, 613)):
        content = bytearray(whole)
        content[place] ^= 0xFF
        path.write_bytes(content)
        assert in_child(lambda: only_truth(path)) in (0, signal.SIGBUS, signal.SIGSEGV), place


def test_a_tree_that_leads_elsewhere_is_found(tmp_path):
    """The key in a branch page decides where to look; a walk along the leaves does not see it."""
    values = {key_of(f"{number:03d}"): bytes(5000) for number in range(300)}
    path = write(tmp_path / "x.lmdb", values)
    content = path.read_bytes()
    pages = range(0, len(content), 4096)
    (branch,) = [page for page in pages if content[page + 10] == 1]  # mp_flags: P_BRANCH
    key = content.index(b"f/", branch)
    path.write_bytes(content[:key] + b"g" + content[key + 1 :])
    assert any("is not found by its name" in damage for damage in find_damages(path))


def only_truth(path):
    for name in NAMES:
        try:
            assert bytes(read_bytes(f"{path}/{name}")) == value_of(name)
        except DataError:
            assert find_damages(path)


def test_a_pack_that_was_cut_off_is_refused(path):
    path.write_bytes(path.read_bytes()[:-5000])
    assert find_damages(path)
    with pytest.raises(DataError, match="cut off"):
        read_bytes(path / "a.jpg")


def test_a_pack_made_anew_is_read_anew(path):
    held = read_bytes(path / "a.jpg")
    write(path, {key_of("a.jpg"): b"other"})
    assert read_bytes(path / "a.jpg") == b"other"
    assert held == value_of("a.jpg")


def in_child(work):
    """Runs it in a forked process; 0, or the signal or exit status that it ended with."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def test_a_pack_that_is_open_is_read_after_a_fork(path):
    held = np.frombuffer(read_bytes(path / "a.jpg"), np.uint8)

    def work():
        assert all(read_names(path))
        assert held.tobytes() == value_of("a.jpg")
        assert in_child(lambda: all(read_names(path)) or os._exit(1)) == 0

    assert in_child(work) == 0
    assert all(read_names(path))


def test_threads_read_while_the_process_is_forked(path):
    stop = time.monotonic() + 1.0

    def read_on():
        while time.monotonic() < stop:
            assert all(read_names(path))
        return True

    with ThreadPoolExecutor(3) as pool:
        reading = [pool.submit(read_on) for _ in range(3)]
        forks = 0
        while time.monotonic() < stop:
            assert in_child(lambda: all(read_names(path)) or os._exit(1)) == 0
            forks += 1
        assert all(one.result() for one in reading)
    assert forks > 3


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_two_processes_read_at_once(path, method):
    assert all(read_names(path))
    # Not multiprocessing.Pool, which waits for ever for a process that was ended.
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        assert [*pool.map(_read, [(str(path), name) for name in NAMES] * 3)] == NAMES * 3


def _read(place):
    path, name = place
    return name if read_bytes(f"{path}/{name}") == value_of(name) else "another"


def test_keys_that_do_not_ascend_are_refused(tmp_path):
    with pytest.raises(ValueError, match="does not come after"):
        write_in_order(tmp_path / "x.lmdb", [(b"b", b""), (b"a", b"")])
    assert os.listdir(tmp_path) == []


def test_a_pack_needs_its_ending(tmp_path):
    with pytest.raises(DataError, match=r"NAME\.lmdb"), writing_pack(tmp_path / "x.mdb"):
        pass


def test_an_error_while_writing_leaves_what_was_there(path):
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        write_in_order(path, ((b"%d" % (9 // (number - 3)), b"") for number in range(5, 0, -1)))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    """The limit on the length of a file stands for it: LMDB meets both in the same place."""

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        with pytest.raises(DataError, match=r"x\.lmdb: cannot be written, and is not: "):
            write(tmp_path / "x.lmdb", {b"a": b"1" * (2 << 20)})

    assert in_child(work) == 0
    assert os.listdir(tmp_path) == []


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from scratchdet.data.pack_writer import writing_pack
with writing_pack(Path(sys.argv[1])) as put:
    for number in range(10**9):
        put(b"%09d" % number, bytes(10**6))
        print(number, flush=True)
"""


def test_a_writer_that_is_killed_leaves_no_pack_but_a_part_that_is_known(tmp_path):
    path = tmp_path / "x [1].lmdb"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, path], stdout=subprocess.PIPE, text=True
    )
    for _ in range(100):
        writer.stdout.readline()
    assert abandoned(path) == []
    writer.kill()
    writer.wait()
    writer.stdout.close()
    assert not path.exists()
    (part,) = abandoned(path)
    assert part.stat().st_size > 50e6
    assert abandoned(Path(tmp_path / "x.lmdb")) == []


def test_what_a_former_process_of_the_same_number_left_is_known(tmp_path):
    left = tmp_path / f".x.{os.getpid()}.part.lmdb"  # as at every start of a container
    for path in (left, tmp_path / f".x.y.{os.getpid()}.part.lmdb", tmp_path / ".x.part.lmdb"):
        path.touch()
    assert abandoned(tmp_path / "x.lmdb") == [left]
