"""What an app answers, and how it breaks its protocol."""

from __future__ import annotations

import hashlib
from typing import Any

from ..text import clean, message_of
from .model import Answer

# Breaches of WSGI and ASGI, as `Answer.hazards` names them.
STARTED_TWICE = "the response was started twice"
HEADERS_LATE = "headers were changed after the response had been started"
AFTER_START = "an exception left the app after the response had started"
BODY_BEFORE_START = "a part of the body was sent before the response was started"
NEVER_STARTED = "no response was started"
NEVER_ENDED = "the response was never ended"
AFTER_END = "a message was sent after the end of the response"
LENGTH = "the body is not as long as its Content-Length says"
NO_BYTES = "a part of the body is not bytes"
BAD_STATUS = "the status is not what the protocol asks for"
BAD_HEADERS = "the headers are not what the protocol asks for"
UNKNOWN_MESSAGE = "a message was sent that the protocol does not know"


class Response:
    """What came back so far, and what was wrong with it."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.status: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.size = 0
        self.sent = False
        self.escaped = ""
        self._digest = hashlib.sha256()
        self._hazards: dict[str, None] = {}

    def breach(self, hazard: str) -> None:
        """Note a hazard, once."""
        self._hazards[hazard] = None

    def body(self, chunk: Any) -> None:
        """Take a part of the body."""
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            self.breach(NO_BYTES)
            chunk = str(chunk).encode("utf-8", "backslashreplace")
        if chunk and self.status is None:
            self.breach(BODY_BEFORE_START)
        self.sent = self.sent or bool(chunk)
        self.size += len(chunk)
        self._digest.update(chunk)

    def escape(self, exc: BaseException) -> None:
        """Take an exception that left the app; the first one counts."""
        if not self.escaped:
            self.escaped = f"{type(exc).__qualname__}: {clean(message_of(exc))}"
        if self.status is not None and self.sent:
            self.breach(AFTER_START)

    def answer(self) -> Answer:
        """Return it all, when nothing more will come."""
        if not self.escaped:
            if self.status is None:
                self.breach(NEVER_STARTED)
            elif not self._length_fits():
                self.breach(LENGTH)
        return Answer(
            status=self.status,
            headers=tuple(self.headers),
            body=self._digest.hexdigest() if self.size else "",
            size=self.size,
            escaped=self.escaped,
            hazards=tuple(self._hazards),
        )

    def _length_fits(self) -> bool:
        if self.method == "HEAD" or self.status in (204, 304):
            return True
        said = [value for name, value in self.headers if name.lower() == "content-length"]
        return all(value.strip() == str(self.size) for value in said)
