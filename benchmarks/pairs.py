"""A helper and the plain one that it stands for, as something that can be run and counted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

# The C library's function that `mark` calls, and nothing else here.
MARK = "getppid"

# Sets up one side, and gives a function that does its work.
Side = Callable[[], "contextlib.AbstractContextManager[Callable[[], object]]"]


class Pair(NamedTuple):
    """What is compared.

    Attributes:
        plain: without everylayer, or with what is measured switched off.
        ours: with it.
        calls: pieces of work that one run does.
        inside: the work is done within a request that records.
        forks: the work is done in other processes as well.
        wakes: callgrind's number of a thread that looks after others, and wakes as it likes.
        begins: each piece of work begins a process of its own, which calls `mark`.
    """

    plain: Side
    ours: Side
    calls: int
    inside: bool = True
    forks: bool = False
    wakes: str = ""
    begins: bool = False


def mark() -> None:
    """Tell callgrind that a process begins with what is compared."""
    os.getppid()


@contextlib.contextmanager
def request() -> Iterator[None]:
    """Be within a request that records."""
    tracer = TracerProvider().get_tracer("benchmark")
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        yield
