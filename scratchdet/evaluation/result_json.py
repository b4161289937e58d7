"""Entries of a JSON list, or of lines of JSON, one at a time: a million never exist at once."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scratchdet.structures import DataError

SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder()


def entries_of_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The number of each line that is not blank, and what it says; DataError if it is not JSON."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, start=1):
                start = _after_space(line, 0)
                if start < len(line):
                    entry, end = _decoded(line, start, f"{path}:{number}")
                    _check_end(line, end, f"{path}:{number}")
                    yield number, entry
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def entries_of_list(path: Path) -> Iterator[Any]:
    """What is in the list that the file holds; DataError if that is not what it holds."""
    text = _text(path)
    position = _after_space(text, 0)
    if text[position : position + 1] != "[":
        raise DataError(f"{path}: not a list of detections, as COCO's results are")
    position = _after_space(text, position + 1)
    number, place = 0, f"{path}: detection"
    while text[position : position + 1] != "]":
        if number:
            if text[position : position + 1] != ",":
                raise DataError(f"{place} {number - 1}: neither `,` nor `]` after it")
            position = _after_space(text, position + 1)
        entry, end = _decoded(text, position, f"{place} {number}")
        yield entry
        position = _after_space(text, end)
        number += 1
    _check_end(text, position + 1, str(path))


def field(entry: Any, key: str, *types: type, where: str) -> Any:
    """That value of an entry; DataError if it has none, or one of another type.

    Whole numbers are floats, too; floats are whole numbers where they are (pandas writes 7.0).
    """
    if type(entry) is not dict:
        raise DataError(f"{where}: not an object with {key!r}: {reprlib.repr(entry)}")
    if key not in entry:
        raise DataError(f"{where}: has no {key!r}, only {', '.join(entry) or 'nothing'}")
    value = entry[key]
    if type(value) in types or (type(value) is int and float in types):
        return value
    if type(value) is float and int in types and value.is_integer():
        return value
    raise DataError(f"{where}: its {key!r} is {reprlib.repr(value)}")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a JSON text: {error}") from error


def _decoded(text: str, position: int, where: str) -> tuple[Any, int]:
    """The value that begins there, and where it ends."""
    try:
        return DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: malformed JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, deep nesting
        raise DataError(f"{where}: not a JSON text: {error}") from error


def _after_space(text: str, position: int) -> int:
    found = SPACE.match(text, position)
    assert found is not None  # it matches nothing at all, too
    return found.end()


def _check_end(text: str, position: int, where: str) -> None:
    if _after_space(text, position) != len(text):
        raise DataError(f"{where}: malformed JSON: more text after its end")
