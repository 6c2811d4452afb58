"""How many bytes errors may take: those of one span, and those of an export in a storm.

An exporter that sends more than its receiver takes loses the whole batch, 512 spans by default.
So the first errors of a storm are whole, and the more there are, the shorter are the next ones.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import text
from .failsafe import contained
from .forks import ForkLock

if TYPE_CHECKING:
    from .error_record import Cause, ErrorRecord
    from .settings import Settings

# What any span may take, whatever came before: eight events with hardly any text.
FLOOR = 4096
# Of the SDK's BatchSpanProcessor: spans of a batch, and how long it may be before all have gone.
SPANS = 512
_AGE_NS = 60 * 10**9

# The next span may take this part of what is left, so that there is something left for later ones.
_PART = 16
# Keys, numbers and what frames them in protobuf; and what another service said of an error.
_KEYS = 400
_UPSTREAM = 2048
# Enough to say what is missing.
_LEAST_TEXT = 144
_LEAST_MESSAGE = 72


class Account:
    """What the events of one span take: bytes, and since when, monotonic nanoseconds."""

    __slots__ = ("bytes", "since_ns")

    def __init__(self) -> None:
        self.bytes = 0
        self.since_ns = 0


class Window:
    """The accounts of the last spans that failed, as far as they may be in the same batch."""

    __slots__ = ("_accounts", "_excess")

    def __init__(self) -> None:
        self._accounts: deque[Account] = deque()
        self._excess = 0

    def room(self, account: Account, rules: Settings, now_ns: int) -> int:
        """Return the bytes that are left to the span of `account`, 0 or more."""
        if account.since_ns == 0:
            account.since_ns = now_ns
            self._accounts.append(account)
        while len(self._accounts) > SPANS or now_ns - self._accounts[0].since_ns > _AGE_NS:
            self._forget(self._accounts.popleft())
        others = self._excess - _over(account)
        left = rules.max_batch_bytes - SPANS * FLOOR - others
        most = min(rules.max_span_bytes, FLOOR + max(left, 0) // _PART)
        return max(most - account.bytes, 0)

    def take(self, account: Account, size: int) -> None:
        """Count `size` bytes more for the span of `account`."""
        before = _over(account)
        account.bytes += size
        if account.since_ns:
            self._excess += _over(account) - before

    def _forget(self, account: Account) -> None:
        self._excess -= _over(account)
        account.since_ns = 0


def _over(account: Account) -> int:
    return max(account.bytes - FLOOR, 0) if account.since_ns else 0


_window = Window()
_lock = ForkLock()


@contained
def fitted(
    records: Sequence[ErrorRecord], account: Account, rules: Settings
) -> Sequence[ErrorRecord] | None:
    """Return `records`, the longest shortened to the room of their span; None if all fit."""
    if not records:
        return None
    fixed = sum(_fixed(record) for record in records)
    texts = [_text(record) for record in records]
    if not account.bytes:
        # The first describes the span's status as well.
        fixed += min(_bytes(records[0].message), 4 * rules.max_description_chars)
    with _lock:
        room = _window.room(account, rules, time.monotonic_ns()) - fixed
        fits = sum(texts) <= room
        limit = 0 if fits else max(_level(texts, room), _LEAST_TEXT)
        _window.take(account, fixed + sum(texts if fits else (min(t, limit) for t in texts)))
    if fits:
        return None
    return [
        _shortened(record, limit) if size > limit else record
        for record, size in zip(records, texts, strict=True)
    ]


def forget() -> None:
    """Begin anew, as if there had been no error yet."""
    global _window
    with _lock:
        _window = Window()


def _level(sizes: Sequence[int], room: int) -> int:
    """Return the limit that makes `sizes` fit `room` by shortening none but the longest."""
    left = len(sizes)
    for size in sorted(sizes):
        if size * left > room:
            break
        room -= size
        left -= 1
    return max(room, 0) // max(left, 1)


def _shortened(record: ErrorRecord, limit: int) -> ErrorRecord:
    causes = record.causes
    while causes and _chain(causes) > limit // 4:
        causes = causes[:-1]
    message = text.cut(record.message, max(limit // 4, _LEAST_MESSAGE))
    left = limit - _chain(causes) - _bytes(message)
    stack = text.cut(record.stacktrace, max(left, _LEAST_MESSAGE))
    return record._replace(message=message, stacktrace=stack, causes=causes, variables="")


def _text(record: ErrorRecord) -> int:
    said = (record.message, record.stacktrace, record.variables)
    return _chain(record.causes) + sum(map(_bytes, said))


def _chain(causes: Sequence[Cause]) -> int:
    return sum(len(cause.type) + len(cause.relation) + 8 for cause in causes)


def _fixed(record: ErrorRecord) -> int:
    names = (record.type, record.function, record.file, record.layer.name, record.tenant)
    upstream = _UPSTREAM if record.upstream is not None else 0
    return _KEYS + sum(map(_bytes, names)) + upstream


def _bytes(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode())
