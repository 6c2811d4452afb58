"""Did the app notice? Compare what a client saw and what was raised, with and without us."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass

from .faults import Fault

# Frames of the instrumentation being tested; everylayer's own vanish from 3.11 on.
_INSTRUMENTATION = ("/opentelemetry/",) + (("/everylayer",) if sys.version_info < (3, 11) else ())


@dataclass(frozen=True)
class Raised:
    """An exception that left the app: its class, text and the functions that it crossed."""

    type: type[BaseException]
    message: str
    functions: tuple[str, ...]

    @classmethod
    def of(cls, exc: BaseException) -> Raised:
        """Describe `exc`, leaving out frames of OpenTelemetry."""
        try:
            message = str(exc)
        except Exception as broken:
            message = f"<{type(broken).__name__}>"
        frames = traceback.walk_tb(BaseException.__dict__["__traceback__"].__get__(exc))
        functions = tuple(
            frame.f_code.co_name
            for frame, _ in frames
            if not any(part in frame.f_code.co_filename for part in _INSTRUMENTATION)
        )
        return cls(type(exc), message, functions)

    def __str__(self) -> str:
        return f"{self.type.__name__}({self.message!r:.100}) through {' > '.join(self.functions)}"


@dataclass(frozen=True)
class Run:
    """One request as seen from outside.

    Attributes:
        status: None where no response was started.
        headers: in order, names in lower case.
        body: all chunks joined.
        raised: what left the app, None where nothing did.
    """

    status: int | None
    headers: tuple[tuple[str, str], ...]
    body: bytes
    raised: Raised | None = None


def differences(bare: Run, instrumented: Run, *, ignore: Iterable[str] = ("date",)) -> list[str]:
    """Return how `instrumented` differs from `bare`; `ignore` lists headers left out."""
    left_out = {name.lower() for name in ignore}

    def kept(run: Run) -> list[tuple[str, str]]:
        return [(n.lower(), v) for n, v in run.headers if n.lower() not in left_out]

    found: list[str] = []
    if bare.status != instrumented.status:
        found.append(f"status {bare.status} became {instrumented.status}")
    if kept(bare) != kept(instrumented):
        found.append(f"headers {kept(bare)} became {kept(instrumented)}")
    if bare.body != instrumented.body:
        found.append(f"body {bare.body!r:.300} became {instrumented.body!r:.300}")
    if bare.raised != instrumented.raised:
        found.append(f"raised {bare.raised} became {instrumented.raised}")
    return found


def same(bare: Run, instrumented: Run, *, ignore: Iterable[str] = ("date",)) -> None:
    """Fail when the app's behaviour changed."""
    found = differences(bare, instrumented, ignore=ignore)
    assert not found, "the app behaves differently:\n  - " + "\n  - ".join(found)


def is_fault(raised: Raised | None, fault: Fault) -> bool:
    """Tell whether what left the app is `fault` itself."""
    return raised is not None and raised.type is fault.cls
