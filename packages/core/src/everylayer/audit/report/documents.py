"""The JSON values in a file: one, or one after another as in JSON lines, gzip or not."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from typing import Any

from .limits import MAX_BYTES, UnreadableError

_GZIP = b"\x1f\x8b"
_BLANK = re.compile(r"\s*")
_decode = json.JSONDecoder().raw_decode


def documents(data: bytes) -> list[Any]:
    """Return the JSON values of a file's content, at least one.

    Raises:
        UnreadableError: it is not JSON, or larger than we read.
    """
    text = _text(_unpacked(data))
    found = []
    at = _end_of_blank(text, 0)
    while at < len(text):
        try:
            value, at = _decode(text, at)
        except json.JSONDecodeError as error:
            raise UnreadableError(f"line {error.lineno} is not JSON ({error.msg})") from None
        except RecursionError:
            raise UnreadableError("its JSON is nested too deep") from None
        except ValueError:
            raise UnreadableError("it holds a number that is too long") from None
        found.append(value)
        at = _end_of_blank(text, at)
    if not found:
        raise UnreadableError("it is empty")
    return found


def _end_of_blank(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _unpacked(data: bytes) -> bytes:
    if data.startswith(_GZIP):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                data = packed.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error):
            raise UnreadableError("it starts like gzip, but cannot be unpacked") from None
    if len(data) > MAX_BYTES:
        raise UnreadableError(f"it is larger than {MAX_BYTES // 1024 // 1024} MiB")
    return data


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableError("it is neither text in UTF-8 nor gzip") from None
