"""Fetching from a server that breaks off, ignores what it is asked, or has something else."""

import hashlib
import random
import socket
import threading

import pytest

from scratchdet.data import fetch as fetching
from scratchdet.data.fetch import DownloadError, check, fetch

CONTENT = random.Random(0).randbytes(3 * fetching.CHUNK + 7)
SIZE = len(CONTENT)


def get(server, path, *, size=SIZE, reports=None):
    server.files["file"] = server.files.get("file", CONTENT)
    fetch(
        f"{server.url}/file",
        path,
        size=size,
        report=lambda *done: None if reports is None else reports.append(done),
    )
    return path.read_bytes()


def test_a_file_comes_whole_with_its_progress(server, tmp_path):
    reports = []
    assert get(server, tmp_path / "file", reports=reports) == CONTENT
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    assert reports == sorted(reports)
    assert len(reports) >= 4


def test_a_file_that_is_there_is_not_asked_for(server, tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    get(server, tmp_path / "file")
    assert server.asked == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path, ranges):
    server.ranges = ranges
    server.cuts = [1000, 0, 2_000_000] if ranges else [1000, 2_000_000]
    assert get(server, tmp_path / "file") == CONTENT
    assert server.asked[:2] == [("/file", None), ("/file", "bytes=1000-")]
    assert len(server.asked) == (4 if ranges else 3)


def test_a_connection_may_break_often_as_long_as_something_comes(server, tmp_path):
    server.cuts = [1000] * (3 * fetching.TRIES)
    assert get(server, tmp_path / "file") == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_what_an_earlier_call_left_is_gone_on_with(server, tmp_path, ranges):
    server.ranges = ranges
    (tmp_path / "file").write_bytes(CONTENT[:5000])
    assert get(server, tmp_path / "file") == CONTENT
    assert server.asked == [("/file", "bytes=5000-")]


def test_a_server_that_is_busy_for_a_moment_is_asked_again(server, tmp_path):
    server.cuts, server.refusals = [10], [0, 503, 429]
    assert get(server, tmp_path / "file") == CONTENT
    assert len(server.asked) == 4


def test_connections_that_bring_nothing_more_are_given_up_and_what_came_is_kept(server, tmp_path):
    server.cuts = [1000] + [0] * 50
    with pytest.raises(DownloadError, match=r"ended too early.*kept.*try again") as error:
        get(server, tmp_path / "file")
    assert "\n" not in str(error.value)
    assert (tmp_path / "file").read_bytes() == CONTENT[:1000]
    assert len(server.asked) == 1 + fetching.TRIES


@pytest.mark.parametrize("status", [404, 403, 503])
def test_a_refusal_is_told_at_once(server, tmp_path, status):
    server.refusals = [status]
    with pytest.raises(DownloadError, match=f"/file: the server says {status}"):
        get(server, tmp_path / "file")
    assert len(server.asked) == 1
    assert not (tmp_path / "file").exists()


def test_a_host_that_does_not_answer_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "PAUSE", 1000)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file"
        with pytest.raises(DownloadError, match=r"file: .*refused.*try again"):
            fetch(url, tmp_path / "file", size=9, report=lambda *_: None)


def test_a_server_that_falls_silent_counts_as_a_broken_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "SILENCE", 0.05)
    monkeypatch.setattr(fetching, "PAUSE", 1000)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(DownloadError, match="timed out"):
            fetch(url, tmp_path / "file", size=9, report=lambda *_: None)


def test_what_came_before_the_silence_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "SILENCE", 0.05)
    monkeypatch.setattr(fetching, "PAUSE", 0)
    path = tmp_path / "file"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/file"

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nabc")
                done.wait(10)

        done = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DownloadError, match=f"timed out.*kept in {path}"):
            fetch(url, path, size=9, report=lambda *_: None)
        done.set()
        thread.join()
    assert path.read_bytes() == b"abc"


def test_a_file_of_another_size_is_not_fetched(server, tmp_path):
    with pytest.raises(DownloadError, match=f"has {len(CONTENT)} bytes, but the file should"):
        get(server, tmp_path / "file", size=len(CONTENT) - 1)
    assert not (tmp_path / "file").exists()


def test_parts_that_do_not_fit_are_not_glued(server, tmp_path):
    (tmp_path / "file").write_bytes(CONTENT[:5000])
    server.shifted = 1
    with pytest.raises(DownloadError, match="asked for bytes 5000 to"):
        get(server, tmp_path / "file")
    server.shifted = 0
    server.files["file"] = CONTENT + b"more"
    with pytest.raises(DownloadError, match="asked for bytes 5000 to"):
        get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT[:5000]


def test_what_is_too_long_is_deleted(server, tmp_path):
    (tmp_path / "file").write_bytes(CONTENT + b"x")
    with pytest.raises(DownloadError, match=r"was longer.*deleted"):
        get(server, tmp_path / "file")
    assert get(server, tmp_path / "file") == CONTENT


def test_a_checksum_is_that_of_the_bytes(tmp_path):
    (tmp_path / "empty").touch()
    check(tmp_path / "empty", md5="d41d8cd98f00b204e9800998ecf8427e", report=lambda *_: None)
    (tmp_path / "file").write_bytes(CONTENT)
    right = hashlib.md5(CONTENT).hexdigest()
    reports = []
    check(tmp_path / "file", md5=right, report=lambda *done: reports.append(done))
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    (tmp_path / "file").write_bytes(CONTENT[:-1] + b"\0")
    with pytest.raises(DownloadError, match=f"should be {right}"):
        check(tmp_path / "file", md5=right, report=lambda *_: None)
