"""What each framework's table is turned into: cases to be served in three ways, and judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from contract.expect import problems
from contract.responses import differences
from contract.telemetry import Telemetry

Arm = Literal["bare", "stock", "ours"]


class Trial:
    """One case; the telemetry holds nothing before it is served by stock or by ours.

    Attributes:
        case: of the framework's table.
        name: of the case, and of the server where there are several.
        failing: an error has to be on the trace; otherwise none may be.
    """

    def __init__(self, case: Any) -> None:
        self.case = case
        self.name = str(case)
        self.failing: bool = case.expected.event

    def serve(self, arm: Arm) -> Any:
        """Serve it bare, with stock, or with stock and everylayer; return what the client saw."""
        raise NotImplementedError

    def wrong(self, seen: Any, telemetry: Telemetry, *, ours: bool) -> list[str]:
        """Return what is wrong with the trace; it may hold what the client noticed, too."""
        return problems(telemetry.spans, self.case.fault, self.case.expected, ours=ours)

    def noticed(self, bare: Any, seen: Any) -> list[str]:
        """Return how what the client saw differs from the bare app."""
        return differences(bare, seen)


def mild(cases: Iterable[Any]) -> Iterator[Any]:
    """Leave hostile exceptions out, which stock does not survive."""
    return (case for case in cases if not case.fault.hostile)
