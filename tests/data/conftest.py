"""A server of files on this machine, which can be told to misbehave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scratchdet.data import fetch


class Server:
    """What it offers, what it does wrong, and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = True
        """Whether it sends the part asked for, or always all."""
        self.cuts: list[int] = []
        """After how many bytes it closes the connection: one for each of the next answers."""
        self.refusals: list[int] = []
        """The status of the next answers; 0: none is refused."""
        self.shifted = 0
        """How far behind the start asked for it begins."""
        self.asked: list[tuple[str, str | None]] = []
        """Path and Range of every request."""
        self.url = ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetch, "PAUSE", 0.001)
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            server.asked.append((self.path, asked))
            body = server.files.get(self.path.removeprefix("/"))
            refusal = server.refusals.pop(0) if server.refusals else 0
            if refusal or body is None:
                self.send_error(refusal or 404)
                return
            start = 0
            if asked and server.ranges:
                start = int(asked.removeprefix("bytes=").removesuffix("-")) + server.shifted
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            end = start + server.cuts.pop(0) if server.cuts else len(body)
            self.wfile.write(body[start:end])

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.handle_error = lambda *_: None  # clients that go away are part of the tests
    server.url = f"http://127.0.0.1:{web.server_address[1]}"
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
