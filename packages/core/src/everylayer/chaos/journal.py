"""What chaos did, for the integrity check: in memory, and as JSON lines in a file.

{"kind": "request", "trace_id": "...", "span_id": "..."}
{"kind": "fault", "trace_id": "...", "layer": "...", "phase": "...", "token": "...", ...}
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..forks import ForkLock
from .errors import PlanError

_MOST = 100_000


@dataclass(frozen=True)
class Seen:
    """A request that came by.

    Attributes:
        span_id: of its server span; "" where that is not the current one.
        sampled: it is to be exported.
    """

    trace_id: str
    span_id: str = ""
    sampled: bool = True


@dataclass(frozen=True)
class Injected:
    """A fault that was put.

    Attributes:
        token: stands in the message of the exception and nowhere else.
        error: the class that was raised, as spans name it.
        status: that the response should have, None if that is not said.
        sampled: it is to be exported.
        time: nanoseconds since the epoch.
    """

    trace_id: str
    layer: str
    phase: str
    token: str
    error: str = ""
    status: int | None = None
    sampled: bool = True
    time: int = 0


Entry = Seen | Injected
_KINDS: dict[str, type[Seen] | type[Injected]] = {"request": Seen, "fault": Injected}


class Journal:
    """Keeps the newest entries, and adds each to a file.

    Args:
        path: of the file, "" for none. Processes may share it: an entry is one write.
    """

    __slots__ = ("_entries", "_file", "_lock", "_seen")

    def __init__(self, path: str = "") -> None:
        self._entries: deque[Entry] = deque(maxlen=_MOST)
        self._seen: OrderedDict[Seen, None] = OrderedDict()
        self._lock = ForkLock()
        self._file: int | None = None
        if path:
            try:
                self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            except OSError as error:
                raise PlanError(f"journal is {path!r}, which cannot be written: {error}") from None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What was added, the oldest first."""
        with self._lock:
            return tuple(self._entries)

    @property
    def faults(self) -> tuple[Injected, ...]:
        """The faults among it."""
        return tuple(entry for entry in self.entries if isinstance(entry, Injected))

    def saw(self, request: Seen) -> None:
        """Add a request, once however many layers it passes."""
        with self._lock:
            if request in self._seen:
                return
            self._seen[request] = None
            if len(self._seen) > _MOST:
                self._seen.popitem(last=False)
            self._add("request", request)

    def put(self, fault: Injected) -> None:
        """Add a fault."""
        with self._lock:
            self._add("fault", fault)

    def close(self) -> None:
        """Let go of the file; the entries stay."""
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                os.close(file)

    def _add(self, kind: str, entry: Entry) -> None:
        self._entries.append(entry)
        if self._file is not None:
            line = json.dumps({"kind": kind, **dataclasses.asdict(entry)})
            os.write(self._file, line.encode() + b"\n")


def read(path: str | Path) -> list[Entry]:
    """Return the entries of a journal's file.

    Raises:
        ValueError: naming the line that is none.
        OSError: the file cannot be read.
    """
    return parse(Path(path).read_text(encoding="utf-8").splitlines())


def parse(lines: Iterable[str]) -> list[Entry]:
    """Return the entries that `lines` are.

    Raises:
        ValueError: naming the line that is none.
    """
    found: list[Entry] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_entry(json.loads(line)))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(f"line {number} is no entry of a journal: {error}") from None
    return found


def _entry(data: dict[str, Any]) -> Entry:
    kind = _KINDS[data.pop("kind")]
    made = kind(**data)
    for field in dataclasses.fields(kind):
        if field.type == "str" and not isinstance(getattr(made, field.name), str):
            raise ValueError(f"{field.name} is no string")
    return made
