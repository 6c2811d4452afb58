"""Django's cases, under WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contract import django_settings
from contract.expect import problems
from contract.responses import Run, differences
from contract.telemetry import Telemetry

django_settings.configure()

from djangoapp.cases import CASES, Case  # noqa: E402
from djangoapp.serve import run  # noqa: E402
from everylayer_django import patches  # noqa: E402
from test_corpus import without_frames  # noqa: E402


@dataclass
class DjangoTrial:
    """A case under one of Django's handlers."""

    case: Case
    server: str

    @property
    def name(self) -> str:
        return f"{self.case} ({self.server})"

    @property
    def failing(self) -> bool:
        return self.case.expected.event

    def serve_bare(self) -> Run:
        patches.uninstall()
        return run(self.case, self.server)

    def lost_by_stock(self, telemetry: Telemetry) -> Sequence[str]:
        patches.uninstall()
        run(self.case, self.server, stock=True)
        return problems(telemetry.spans, self.case.fault, self.case.expected, ours=False)

    def lost_by_ours(self, bare: Run, telemetry: Telemetry) -> tuple[list[str], list[str]]:
        seen = run(self.case, self.server, stock=True, position="middle")
        wrong = problems(telemetry.spans, self.case.fault, self.case.expected)
        return wrong, differences(without_frames(bare), without_frames(seen))


def trials() -> Iterator[DjangoTrial]:
    """Yield each case under each handler that it is for, hostile exceptions left out."""
    for case in CASES:
        if not case.fault.hostile:
            for server in case.servers:
                yield DjangoTrial(case, server)
