"""A file from the web, of known size and checksum: gone on with where it broke off, and checked."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

CHUNK = 1 << 20  # bytes
SILENCE = 30.0  # seconds without a byte, after which a connection counts as broken
TRIES = 5  # connections in a row that may bring nothing, once one of them has brought something
PAUSE = 1.0  # seconds before the second of them; twice as long before each further one

Report = Callable[[int, int], None]
"""Called with the bytes done and those in all."""


class DownloadError(RuntimeError):
    """A file could not be had, or is not what it should be."""


class _BrokenConnection(Exception):
    """What a new connection may mend."""


def fetch(url: str, path: Path, *, size: int, report: Report) -> None:
    """Brings `path` to `size` bytes; those that are there are not fetched again.

    A broken connection is taken up again, a few times. That the bytes of all connections belong
    together is for the checksum to tell: a file that has changed is of no use anyway.
    """
    begun = failures = 0
    while (before := _size(path)) < size:
        try:
            _receive(url, path, size=size, report=report)
        except _BrokenConnection as error:
            came = _size(path) != before
            begun += came
            failures = 1 if came else failures + 1
            if not begun or failures > TRIES:
                kept = f"; what came is kept in {path}" if _size(path) else ""
                raise DownloadError(f"{url}: {error}{kept}: try again later") from error
            time.sleep(PAUSE * 2 ** (failures - 1))
    if _size(path) > size:
        path.unlink()
        raise DownloadError(f"{path} was longer than {url} and is deleted: try again")


def check(path: Path, *, md5: str, report: Report) -> None:
    """Raises DownloadError unless the file has this checksum."""
    digest = hashlib.md5(usedforsecurity=False)
    size, done = path.stat().st_size, 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report(done, size)
    if digest.hexdigest() != md5:
        raise DownloadError(f"{path}: its md5 is {digest.hexdigest()}, but should be {md5}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _receive(url: str, path: Path, *, size: int, report: Report) -> None:
    """Appends to `path` what one connection brings of what is missing."""
    done = _size(path)
    headers = {"User-Agent": "scratchdet", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    try:
        response = urlopen(Request(url, headers=headers), timeout=SILENCE)
    except HTTPError as error:
        if error.code >= 500 or error.code == 429:  # 429: too many requests
            raise _BrokenConnection(f"the server says {error.code} {error.reason}") from error
        raise DownloadError(f"{url}: the server says {error.code} {error.reason}") from error
    except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
        raise _BrokenConnection(getattr(error, "reason", None) or repr(error)) from error
    with response:
        start = _start(response, url, asked=done, size=size)
        # "wb": a server that knows no ranges begins anew.
        with path.open("ab" if start else "wb") as file:
            while start < size:
                chunk = _read(response)
                file.write(chunk)
                start += len(chunk)
                report(start, size)


def _start(response: HTTPResponse, url: str, *, asked: int, size: int) -> int:
    """The byte that the response begins with: the one asked for, or 0."""
    length = response.headers.get("Content-Length")
    if response.status == 206:
        given = response.headers.get("Content-Range", "")
        if given != f"bytes {asked}-{size - 1}/{size}":
            raise DownloadError(
                f"{url}: asked for bytes {asked} to {size - 1} of {size}, the server sends {given}"
            )
        return asked
    if length not in (None, str(size)):
        raise DownloadError(
            f"{url}: the server has {length} bytes, but the file should have {size}"
        )
    return 0


def _read(response: HTTPResponse) -> bytes:
    # A failing disk must not look like a broken connection, so nothing but the reading is tried;
    # and what has come is taken at once, as a break would lose a chunk that is being filled.
    try:
        chunk = response.read1(CHUNK)
    except (HTTPException, OSError) as error:
        raise _BrokenConnection(f"the connection broke: {error!r}") from error
    if not chunk:
        raise _BrokenConnection("the connection ended too early")
    return chunk
