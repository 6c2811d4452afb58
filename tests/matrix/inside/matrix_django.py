"""Django's cases, under WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from contract import django_settings
from contract.responses import Run

django_settings.configure()

from djangoapp.cases import CASES  # noqa: E402
from djangoapp.serve import run  # noqa: E402
from everylayer_django import patches  # noqa: E402
from matrix_trial import Arm, Trial, mild  # noqa: E402
from test_corpus import without_frames  # noqa: E402


class DjangoTrial(Trial):
    """A case under one of Django's handlers."""

    def __init__(self, case: Any, server: str) -> None:
        super().__init__(case)
        self.server = server
        self.name = f"{case} ({server})"

    def serve(self, arm: Arm) -> Run:
        if arm == "ours":
            return run(self.case, self.server, stock=True, position="middle")
        patches.uninstall()
        return run(self.case, self.server, stock=arm == "stock")

    def noticed(self, bare: Run, seen: Run) -> list[str]:
        return super().noticed(without_frames(bare), without_frames(seen))


def trials() -> Iterator[Trial]:
    """Yield each case under each handler that it is for."""
    for case in mild(CASES):
        for server in case.servers:
            yield DjangoTrial(case, server)
