"""Where the running case fails: the layers ask, the case has answered beforehand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from contract.faults import Fault, fault_site

_faults: dict[str, Fault] = {}
calls: list[str] = []


@contextlib.contextmanager
def failing(faults: Mapping[str, Fault]) -> Iterator[None]:
    """Make the sites of these names fail, for the length of a case."""
    _faults.clear()
    _faults.update(faults)
    calls.clear()
    try:
        yield
    finally:
        _faults.clear()


def site(name: str) -> None:
    """Fail here if the case says so."""
    calls.append(name)
    fault = _faults.get(name)
    if fault is not None:
        fault_site(fault)


class Closes:
    """A resource that a response closes."""

    def close(self) -> None:
        site("resource.close")


class Chunks:
    """An iterable body with a `close` of its own."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"one"
        site("chunks")
        yield b"two"

    def close(self) -> None:
        site("chunks.close")


def on_request_started(sender: Any, **kwargs: Any) -> None:
    site("request_started")


def on_request_finished(sender: Any, **kwargs: Any) -> None:
    site("request_finished")


def on_got_request_exception(sender: Any, **kwargs: Any) -> None:
    site("got_request_exception")


RECEIVERS = {
    "request_started": on_request_started,
    "request_finished": on_request_finished,
    "got_request_exception": on_got_request_exception,
}
